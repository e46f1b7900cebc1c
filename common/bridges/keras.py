"""Keras on any backend: seed, device, precision, and parameters to and from NumPy."""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import keras
from keras import layers

from common.bridges import DTYPES, check_precision, keep_memory
from common.errors import UserError
from common.processes import this_process

# Keras imports TensorFlow if it can, whatever its backend. Without this, it would import the folder
# of that name where TensorFlow is missing. A folder without __init__.py has no origin.
if (_spec := importlib.util.find_spec("tensorflow")) and _spec.origin is None:
    sys.modules["tensorflow"] = None  # type: ignore[assignment]

# By class of layer: for each of Keras' names, the checkpoint's name and the order of axes in its
# layout. Dense: in x out to out x in. Convolutions: H W I O to O I H W. Transposed convolutions:
# H W O I to I O H W.
BIAS = {"bias": ("bias", (0,))}
LAYOUTS = {
    layers.Dense: {"kernel": ("weight", (1, 0)), **BIAS},
    layers.Conv2D: {"kernel": ("weight", (3, 2, 0, 1)), **BIAS},
    layers.Conv2DTranspose: {"kernel": ("weight", (3, 2, 0, 1)), **BIAS},
    layers.BatchNormalization: {
        "gamma": ("weight", (0,)),
        "beta": ("bias", (0,)),
        "moving_mean": ("running_mean", (0,)),
        "moving_variance": ("running_var", (0,)),
    },
    layers.GroupNormalization: {"gamma": ("weight", (0,)), "beta": ("bias", (0,))},
}


def prepare(seed: int, device: str, precision: str) -> None:
    """Seed the initial weights and dropout, set the precision, and choose the device.

    Args:
        seed: the value of `--seed`.
        device: `auto`, `cpu` or `gpu`.
        precision: `float32`, `tf32`, `bfloat16` (see `mix`) or `float64`; holds for everything
            computed afterwards.

    Raises:
        UserError: the device is `gpu` and the backend finds none, or the precision is tf32 on a
            CPU.
    """
    backend = keras.backend.backend()
    _prepare_gpus(backend, precision)
    keras.config.set_image_data_format("channels_last")  # whatever ~/.keras/keras.json says
    keras.config.set_floatx(DTYPES[precision])
    keras.config.set_dtype_policy(
        "mixed_bfloat16" if precision == "bfloat16" else DTYPES[precision]
    )
    if precision == "float64":
        _allow_float64(backend)
    if backend == "torch" and precision in ("float64", "bfloat16"):
        _mend_convolution()
    if this_process().count > 1:  # before anything is computed
        from common.bridges import keras_parallel

        keras_parallel.start(backend, this_process().index, device)
    keras.utils.set_random_seed(seed)
    found = device != "cpu" and _has_gpu(backend)
    if device == "gpu" and not found:
        raise UserError(
            f"--device gpu: Keras {keras.__version__} on {backend} finds no GPU, only the CPU; "
            f"install a build of {backend} for your GPU, or use --device cpu"
        )
    check_precision(precision, found)
    if backend == "torch" and not found:
        keep_memory()
    if device == "cpu":
        keras.device("cpu:0").__enter__()  # for the rest of the script


def _prepare_gpus(backend: str, precision: str) -> None:
    """Allocate GPU memory on demand, and set the precision of products.

    float64 is for comparisons, so it also restricts the backend to deterministic algorithms.
    """
    if backend == "tensorflow":
        from common.bridges import tensorflow

        tensorflow.prepare_gpus(precision)
    elif backend == "torch":
        from common.bridges import pytorch

        pytorch.prepare_gpus(precision)
    else:
        import jax

        # Both are read when JAX first computes.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        repeatable = "--xla_gpu_deterministic_ops=true"
        flags = os.environ.get("XLA_FLAGS", "")
        if precision == "float64" and repeatable not in flags:
            os.environ["XLA_FLAGS"] = f"{flags} {repeatable}".strip()
        products = "tensorfloat32" if precision == "tf32" else "highest"
        jax.config.update("jax_default_matmul_precision", products)


def _allow_float64(backend: str) -> None:
    """Stop Keras and JAX from casting float64 to float32 in most operations.

    On JAX and PyTorch, Keras casts 64-bit result types by this table, and has no setting for it:
    https://github.com/keras-team/keras/issues/23704.
    """
    from keras.src.backend.common import dtypes

    dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"
    if backend == "jax":
        import jax

        jax.config.update("jax_enable_x64", True)


def _mend_convolution() -> None:
    """Pass contiguous kernels to PyTorch's convolution, which Keras does not.

    With one output channel, PyTorch's backward pass on a CPU otherwise fails in float64, and in
    bfloat16 on processors without it ("slow_conv2d: grad_weight must be contiguous").
    """
    from torch.nn import functional

    conv2d = functional.conv2d

    def with_kernel_in_order(x: Any, kernel: Any, *more: Any, **named: Any) -> Any:
        return conv2d(x, kernel.contiguous(), *more, **named)

    if conv2d.__name__ != with_kernel_in_order.__name__:
        functional.conv2d = with_kernel_in_order


def _has_gpu(backend: str) -> bool:
    if backend == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_physical_devices("GPU"))
    if backend == "torch":
        import torch

        return torch.accelerator.is_available()
    import jax

    return jax.default_backend() != "cpu"


def mix(networks: dict[str, keras.Model]) -> None:
    """Make networks of mixed precision return float32, so that losses are computed in float32.

    Under Keras' policy `mixed_bfloat16`, layers return bfloat16.
    """
    for network in networks.values():
        network.call = _in_float32(network.call)


def _in_float32(call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def call_and_cast(*args: Any, **kwargs: Any) -> Any:
        made = call(*args, **kwargs)
        return keras.tree.map_structure(lambda x: keras.ops.cast(x, "float32"), made)

    return call_and_cast


def get_arrays(network: keras.Model) -> dict[str, np.ndarray]:
    """A network's parameters and running averages, as a checkpoint holds them.

    Raises:
        TypeError: a layer has weights, and its kind is not in `LAYOUTS`.
    """
    return {
        key: _to_numpy(variable).transpose(axes) for key, variable, axes in _parameters(network)
    }


def set_arrays(network: keras.Model, arrays: dict[str, np.ndarray]) -> None:
    """The inverse of `get_arrays`, cast to the network's precision.

    Raises:
        KeyError: a name is missing or not known.
        TypeError: a layer has weights, and its kind is not in `LAYOUTS`.
    """
    parameters = list(_parameters(network))
    _check_names(arrays, {key for key, _, _ in parameters})
    for key, variable, axes in parameters:
        variable.assign(arrays[key].transpose(np.argsort(axes)).astype(variable.dtype))


def get_optimizer_state(trainer: keras.Model) -> dict[str, np.ndarray]:
    """The state of a compiled model's optimiser as arrays by `INDEX.NAME`."""
    return {key: _to_numpy(variable) for key, variable in _memory(trainer.optimizer)}


def set_optimizer_state(trainer: keras.Model, arrays: dict[str, np.ndarray]) -> None:
    """The inverse of `get_optimizer_state`.

    Raises:
        KeyError: a name is missing or not known.
    """
    _assign(_memory(trainer.optimizer), arrays)


def get_rng_state(networks: dict[str, keras.Model]) -> dict[str, np.ndarray]:
    """The rng state of each dropout, by `NETWORK.INDEX`; empty without dropout.

    On PyTorch, Keras' dropout draws from PyTorch's own generators: `cpu`, and `gpu` if it is used.
    """
    seeds = list(_seeds(networks))
    states = {key: _to_numpy(variable) for key, variable in seeds}
    if seeds and keras.backend.backend() == "torch":
        import torch

        states["cpu"] = torch.get_rng_state().numpy()
        if seeds[0][1].value.device.type != "cpu":
            states["gpu"] = torch.get_device_module().get_rng_state().cpu().numpy()
    return states


def set_rng_state(networks: dict[str, keras.Model], arrays: dict[str, np.ndarray]) -> None:
    """The inverse of `get_rng_state`.

    Raises:
        KeyError: a name is missing or not known.
    """
    arrays = dict(arrays)
    cpu, gpu = arrays.pop("cpu", None), arrays.pop("gpu", None)
    _assign(list(_seeds(networks)), arrays)
    if cpu is not None:
        import torch

        torch.set_rng_state(torch.from_numpy(cpu.copy()))
        if gpu is not None and torch.accelerator.is_available():
            torch.get_device_module().set_rng_state(torch.from_numpy(gpu.copy()))


def join(networks: dict[str, Any], optimizers: dict[str, Any], seed: int | None) -> None:
    """Train as one with the other processes; a seed restarts the rng of dropout."""
    from common.bridges import keras_parallel

    found = [layer for network in networks.values() for _, layer in _layers(network)]
    norms = [layer for layer in found if isinstance(layer, layers.BatchNormalization)]
    keras_parallel.join(norms, optimizers.values(), this_process().count)
    if seed is not None and keras.backend.backend() != "jax":  # JAX's processes share one rng
        for index, (_, variable) in enumerate(_seeds(networks)):
            variable.assign(np.array([seed, index], variable.dtype))
        if keras.backend.backend() == "torch":
            import torch

            torch.manual_seed(seed)


def average(values: np.ndarray) -> np.ndarray:
    """The mean of an array over the processes."""
    from common.bridges import keras_parallel

    return keras_parallel.average(values)


def apply(network: Any, array: np.ndarray) -> list[np.ndarray]:
    """A network's outputs for an array; images are (N, H, W, C), in and out.

    The network must not differ between training and inference.
    """
    made = network.predict_on_batch(array)
    return list(made) if isinstance(made, list | tuple) else [made]


def _layers(model: keras.Model, prefix: str = "") -> Iterator[tuple[str, keras.Layer]]:
    """The layers of a model and of the models in it, by their names: `block1.conv2`."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer, f"{prefix}{layer.name}.")
        else:
            yield prefix + layer.name, layer


def _parameters(
    network: keras.Model,
) -> Iterator[tuple[str, keras.Variable, tuple[int, ...]]]:
    """A network's parameters by their names in a checkpoint, and their axes in its layout."""
    for name, layer in _layers(network):
        if not layer.weights:
            continue
        kind = next((kind for kind in type(layer).__mro__ if kind in LAYOUTS), None)
        if kind is None:
            raise TypeError(f"{name}: layer {type(layer).__name__} is not in LAYOUTS")
        for variable in layer.weights:
            parameter, axes = LAYOUTS[kind][variable.name]
            yield f"{name}.{parameter}", variable, axes


def _memory(optimizer: keras.Optimizer) -> list[tuple[str, keras.Variable]]:
    """An optimiser's own variables, except the learning rate, which the command line may change."""
    return [
        (f"{index}.{variable.name}", variable)
        for index, variable in enumerate(optimizer.variables)
        if variable.name != "learning_rate"
    ]


def _seeds(networks: dict[str, keras.Model]) -> Iterator[tuple[str, keras.Variable]]:
    for name, network in networks.items():
        dropouts = [layer for _, layer in _layers(network) if isinstance(layer, layers.Dropout)]
        for index, layer in enumerate(dropouts):
            if layer.rate > 0:  # without a rate it draws nothing
                yield f"{name}.{index}", layer.seed_generator.state


def _assign(variables: list[tuple[str, keras.Variable]], arrays: dict[str, np.ndarray]) -> None:
    _check_names(arrays, {key for key, _ in variables})
    for key, variable in variables:
        variable.assign(arrays[key].astype(variable.dtype))


def _check_names(arrays: dict[str, np.ndarray], expected: set[str]) -> None:
    if wrong := arrays.keys() ^ expected:
        raise KeyError(f"missing or not known: {', '.join(sorted(wrong))}")


def _to_numpy(variable: keras.Variable) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(variable))
