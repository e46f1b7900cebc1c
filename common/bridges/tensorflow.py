"""TensorFlow: seed, device, precision, and parameters to and from NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import tensorflow as tf

from common.bridges import DTYPES, check_precision
from common.errors import UserError
from common.processes import this_process

_PRECISION = {"dtype": tf.float32, "operands": tf.float32}
_STRATEGY = {"strategy": tf.distribute.get_strategy()}  # the default one, for a single process


def default_dtype() -> tf.DType:
    """Dtype of weights and arrays in this run."""
    return _PRECISION["dtype"]


def operand_dtype() -> tf.DType:
    """Dtype of the operands of products and convolutions: bfloat16 in mixed precision."""
    return _PRECISION["operands"]


def prepare(seed: int, device: str, precision: str) -> tf.distribute.Strategy:
    """Seed the initial weights and dropout, set the precision, choose the device. Call it first.

    Args:
        seed: the value of `--seed`.
        device: `auto`, `cpu` or `gpu`.
        precision: `float32`, `tf32`, `bfloat16` (see `mix`) or `float64`.

    Returns:
        The strategy that runs training steps, in one process or in several.

    Raises:
        UserError: the device is `gpu` and TensorFlow finds none, or the precision is tf32 on a
            CPU.
    """
    found = tf.config.list_physical_devices("GPU")
    if device == "gpu" and not found:
        devices = ", ".join(device.name for device in tf.config.list_physical_devices())
        raise UserError(
            f"--device gpu: TensorFlow {tf.__version__} finds no GPU, only {devices}; "
            "install tensorflow[and-cuda], or use --device cpu"
        )
    check_precision(precision, bool(found) and device != "cpu")
    if device == "cpu":
        tf.config.set_visible_devices([], "GPU")
    if this_process().count > 1:  # before anything is computed
        from common.bridges import tensorflow_parallel

        _STRATEGY["strategy"] = tensorflow_parallel.start(this_process().index)
    prepare_gpus(precision)
    tf.random.set_seed(seed)
    tf.random.get_global_generator().reset_from_seed(seed)
    _PRECISION["dtype"] = tf.as_dtype(DTYPES[precision])
    _PRECISION["operands"] = _PRECISION["dtype"]
    return _STRATEGY["strategy"]


def prepare_gpus(precision: str) -> None:
    """Allocate GPU memory on demand, and set the precision of products: the default is tf32."""
    for gpu in tf.config.get_visible_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.experimental.enable_tensor_float_32_execution(precision == "tf32")


def mix(networks: dict[str, tf.Module]) -> None:
    """Make networks compute in mixed precision.

    TensorFlow has no setting for it without Keras, so the layers cast operands to `operand_dtype`.
    """
    _PRECISION["operands"] = tf.bfloat16


Entry = tuple[tf.Variable, tuple[int, ...]]  # with the order of its axes in a checkpoint


def _walk(module: tf.Module, prefix: str = "") -> Iterator[tuple[str, Entry]]:
    """The variables that layers declare, by their names: `blocks.0.conv1.weight`."""
    layouts = getattr(module, "LAYOUTS", {})
    for name, value in vars(module).items():
        if isinstance(value, tf.Variable) and name in layouts:
            key, axes = layouts[name]
            yield prefix + key, (value, axes)
        elif isinstance(value, tf.Module):
            yield from _walk(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            for index, item in enumerate(value):
                if isinstance(item, tf.Module):
                    yield from _walk(item, f"{prefix}{name}.{index}.")


def _entries(network: tf.Module) -> dict[str, Entry]:
    """All variables of a network, by their names in a checkpoint.

    Raises:
        TypeError: one of them is in no layer that declares its layout.
    """
    entries = dict(_walk(network))
    found = {id(variable) for variable, _ in entries.values()}
    for variable in network.variables:
        if id(variable) not in found:
            raise TypeError(
                f"{type(network).__name__}: a variable of shape {tuple(variable.shape)} is in no "
                "layer that declares its layout in LAYOUTS"
            )
    return entries


def get_arrays(network: tf.Module) -> dict[str, np.ndarray]:
    """A network's parameters and running averages, as a checkpoint holds them."""
    return {
        key: variable.numpy().transpose(layout)
        for key, (variable, layout) in _entries(network).items()
    }


def set_arrays(network: tf.Module, arrays: dict[str, np.ndarray]) -> None:
    """The inverse of `get_arrays`, cast to the network's precision.

    Raises:
        KeyError: a name is missing or not known.
    """
    entries = _entries(network)
    if set(entries) != set(arrays):
        raise KeyError(f"not in both: {sorted(set(entries) ^ set(arrays))}")
    for key, (variable, layout) in entries.items():
        array = arrays[key].transpose(np.argsort(layout))
        variable.assign(array.astype(variable.dtype.as_numpy_dtype))


def get_optimizer_state(optimizer: Any) -> dict[str, np.ndarray]:
    """An optimiser's state as arrays by position."""
    return {str(index): variable.numpy() for index, variable in enumerate(_memory(optimizer))}


def set_optimizer_state(optimizer: Any, arrays: dict[str, np.ndarray]) -> None:
    """The inverse of `get_optimizer_state`."""
    for index, variable in enumerate(_memory(optimizer)):
        variable.assign(arrays[str(index)])


def _memory(optimizer: Any) -> list[tf.Variable]:
    """An optimiser's own variables; the trainable ones are the network's."""
    return [variable for variable in optimizer.variables if not variable.trainable]


def get_rng_state(networks: dict[str, tf.Module]) -> dict[str, np.ndarray]:
    """The rng state of TensorFlow's global generator, from which dropout draws."""
    return {"state": tf.random.get_global_generator().state.numpy()}


def set_rng_state(networks: dict[str, tf.Module], arrays: dict[str, np.ndarray]) -> None:
    """The inverse of `get_rng_state`."""
    tf.random.get_global_generator().state.assign(arrays["state"])


def join(networks: dict[str, Any], optimizers: dict[str, Any], seed: int | None) -> None:
    """Train as one with the other processes; a seed restarts the rng of dropout."""
    # Only after all variables exist: one made under the strategy would need a rule for combining
    # the values that the processes assign, which are the same here.
    tf.distribute.experimental_set_strategy(_STRATEGY["strategy"])
    if seed is not None:
        tf.random.get_global_generator().reset_from_seed(seed)


def average(values: np.ndarray) -> np.ndarray:
    """The mean of an array over the processes."""
    from common.bridges import tensorflow_parallel

    return tensorflow_parallel.average(_STRATEGY["strategy"], values)


def apply(network: Any, array: np.ndarray) -> list[np.ndarray]:
    """A network's outputs for an array; images are (N, H, W, C), in and out.

    The network must not differ between training and inference.
    """
    made = network(tf.constant(array))
    return [tensor.numpy() for tensor in (made if isinstance(made, tuple) else (made,))]
