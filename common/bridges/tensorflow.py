"""TensorFlow: seed, device, and parameters to and from NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import tensorflow as tf

from common.errors import UserError

CHANNELS_FIRST = False
# From TensorFlow's names and axes to the checkpoint's; H W I O to O I H W, H W O I to I O H W.
NAMES = {
    "kernel": "weight",
    "bias": "bias",
    "scale": "weight",
    "offset": "bias",
    "running_mean": "running_mean",
    "running_variance": "running_var",
}
AXES = {2: (1, 0), 4: (3, 2, 0, 1)}
AXES_BACK = {2: (1, 0), 4: (2, 3, 1, 0)}


def set_seed(seed: int) -> None:
    """Seed the initial weights (and dropout)."""
    tf.random.set_seed(seed)


def find_device(name: str) -> None:
    """Make TensorFlow use what `--device` asks for: `auto`, `cpu` or `gpu`. Call it first.

    Raises:
        UserError: a GPU is asked for and TensorFlow finds none.
    """
    found = tf.config.list_physical_devices("GPU")
    if name == "gpu" and not found:
        devices = ", ".join(device.name for device in tf.config.list_physical_devices())
        raise UserError(
            f"--device gpu: TensorFlow {tf.__version__} finds no GPU, only {devices}; "
            "install tensorflow[and-cuda], or use --device cpu"
        )
    if name == "cpu":
        tf.config.set_visible_devices([], "GPU")
    for device in found if name != "cpu" else ():
        tf.config.experimental.set_memory_growth(device, True)


def _variables(network: tf.Module) -> Iterator[tuple[str, tf.Variable]]:
    """A network's variables by their names in a checkpoint: `deconv2.weight`."""
    for layer_name, layer in vars(network).items():
        if isinstance(layer, tf.Module):
            for name, variable in vars(layer).items():
                if isinstance(variable, tf.Variable):
                    yield f"{layer_name}.{NAMES[name]}", variable


def get_arrays(network: tf.Module) -> dict[str, np.ndarray]:
    """A network's parameters and running averages, as a checkpoint holds them."""
    return {
        key: variable.numpy().transpose(AXES.get(len(variable.shape)))
        for key, variable in _variables(network)
    }


def set_arrays(network: tf.Module, arrays: dict[str, np.ndarray]) -> None:
    """The inverse of `get_arrays`."""
    for key, variable in _variables(network):
        variable.assign(arrays[key].transpose(AXES_BACK.get(len(variable.shape))))


def get_optimizer_state(optimizer: Any) -> dict[str, np.ndarray]:
    """What an optimiser remembers, as flat arrays by position."""
    return {str(index): variable.numpy() for index, variable in enumerate(_memory(optimizer))}


def set_optimizer_state(optimizer: Any, arrays: dict[str, np.ndarray]) -> None:
    """The inverse of `get_optimizer_state`."""
    for index, variable in enumerate(_memory(optimizer)):
        variable.assign(arrays[str(index)])


def _memory(optimizer: Any) -> list[tf.Variable]:
    """Its own variables: all but the trainable ones, which are the network's."""
    return [variable for variable in optimizer.variables if not variable.trainable]
