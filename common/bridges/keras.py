"""Keras on any backend: seed, device, and parameters to and from NumPy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import keras

from common.errors import UserError

CHANNELS_FIRST = False
# XLA is what makes JAX fast; TensorFlow's step on a CPU it makes many times slower.
JIT_COMPILE = keras.backend.backend() == "jax"
# From Keras' names and axes to the checkpoint's; H W I O to O I H W, H W O I to I O H W.
NAMES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
AXES = {2: (1, 0), 4: (3, 2, 0, 1)}
AXES_BACK = {2: (1, 0), 4: (2, 3, 1, 0)}


def set_seed(seed: int) -> None:
    """Seed the initial weights (and dropout)."""
    keras.utils.set_random_seed(seed)


def find_device(name: str) -> None:
    """Make the backend use what `--device` asks for: `auto`, `cpu` or `gpu`. Call it first.

    Raises:
        UserError: a GPU is asked for and the backend finds none.
    """
    backend = keras.backend.backend()
    if name == "gpu" and not _has_gpu(backend):
        raise UserError(
            f"--device gpu: Keras {keras.__version__} on {backend} finds no GPU, only the CPU; "
            f"install a build of {backend} for your GPU, or use --device cpu"
        )
    if name == "cpu":
        keras.device("cpu:0").__enter__()  # for the rest of the script


def _has_gpu(backend: str) -> bool:
    if backend == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_physical_devices("GPU"))
    if backend == "torch":
        import torch

        return torch.accelerator.is_available()
    import jax

    return jax.default_backend() != "cpu"


def _to_numpy(variable: keras.Variable) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(variable))


def _variables(network: keras.Model) -> Iterator[tuple[str, keras.Variable]]:
    """A network's variables by their names in a checkpoint: `deconv2.weight`."""
    for layer in network.layers:
        for variable in layer.weights:
            yield f"{layer.name}.{NAMES[variable.name]}", variable


def get_arrays(network: keras.Model) -> dict[str, np.ndarray]:
    """A network's parameters and running averages, as a checkpoint holds them."""
    return {
        key: _to_numpy(variable).transpose(AXES.get(len(variable.shape)))
        for key, variable in _variables(network)
    }


def set_arrays(network: keras.Model, arrays: dict[str, np.ndarray]) -> None:
    """The inverse of `get_arrays`."""
    for key, variable in _variables(network):
        variable.assign(arrays[key].transpose(AXES_BACK.get(len(variable.shape))))


def get_optimizer_state(optimizer: keras.Optimizer) -> dict[str, np.ndarray]:
    """What an optimiser remembers, as flat arrays by position."""
    return {str(index): _to_numpy(variable) for index, variable in enumerate(_memory(optimizer))}


def set_optimizer_state(optimizer: keras.Optimizer, arrays: dict[str, np.ndarray]) -> None:
    """The inverse of `get_optimizer_state`."""
    for index, variable in enumerate(_memory(optimizer)):
        variable.assign(arrays[str(index)])


def _memory(optimizer: keras.Optimizer) -> list[keras.Variable]:
    """Its own variables but the learning rate, which the command line may change."""
    return [variable for variable in optimizer.variables if variable.name != "learning_rate"]
