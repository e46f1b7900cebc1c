"""Chainer: made fit for NumPy 2 by its import here; seed, device, parameters to and from NumPy."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from common.bridges import chainer_compat  # noqa: F401  # isort: skip  (before Chainer)
import chainer

from common.errors import UserError

CHANNELS_FIRST = True
np.seterr(over="ignore", invalid="ignore")  # a loss that is not finite is reported by the run
NAMES = {
    "W": "weight",
    "b": "bias",
    "gamma": "weight",
    "beta": "bias",
    "avg_mean": "running_mean",
    "avg_var": "running_var",
}


def set_seed(seed: int) -> None:
    """Seed the initial weights (and dropout), which Chainer draws from NumPy's or CuPy's own."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    if chainer.backends.cuda.available:
        chainer.backends.cuda.cupy.random.seed(seed)


def find_device(name: str) -> Any:
    """The `chainer.backend.Device` that `--device` asks for: `auto`, `cpu` or `gpu`.

    Raises:
        UserError: a GPU is asked for and CuPy finds none.
    """
    count, problem = _count_gpus()
    if name == "gpu" and not count:
        raise UserError(
            f"--device gpu: Chainer {chainer.__version__} finds no GPU ({problem}); "
            "install CuPy 13 for your CUDA, or use --device cpu"
        )
    device = chainer.get_device("@cupy:0" if count and name != "cpu" else "@numpy")
    device.use()
    return device


def _count_gpus() -> tuple[int, str]:
    # chainer.backends.cuda.available says yes wherever CuPy imports, GPU or not.
    try:
        import cupy  # type: ignore[import-not-found]

        return cupy.cuda.runtime.getDeviceCount(), "CuPy sees no device"
    except ImportError:
        return 0, "CuPy is not installed"
    except Exception as error:
        return 0, f"CuPy: {error}"


def _entries(network: chainer.Chain) -> dict[str, tuple[chainer.Link, str]]:
    """Each parameter or running average by its checkpoint name: where it lives."""
    return {
        f"{layer.name}.{NAMES[name]}": (layer, name)
        for layer in network.children()
        for name in NAMES
        if getattr(layer, name, None) is not None
    }


def get_arrays(network: chainer.Chain) -> dict[str, np.ndarray]:
    """A network's parameters and running averages, as a checkpoint holds them."""
    return {
        key: np.array(chainer.backends.cuda.to_cpu(_array(layer, name)))
        for key, (layer, name) in _entries(network).items()
    }


def set_arrays(network: chainer.Chain, arrays: dict[str, np.ndarray]) -> None:
    """The inverse of `get_arrays`."""
    for key, (layer, name) in _entries(network).items():
        _array(layer, name)[...] = network.device.send(arrays[key])


def _array(layer: chainer.Link, name: str) -> Any:
    value = getattr(layer, name)
    return value.array if isinstance(value, chainer.Parameter) else value


def get_optimizer_state(optimizer: chainer.Optimizer) -> dict[str, np.ndarray]:
    """What an optimiser remembers, as flat arrays named by Chainer."""
    serializer = chainer.serializers.DictionarySerializer()
    serializer.save(optimizer)
    return {key: np.asarray(array) for key, array in serializer.target.items()}


def set_optimizer_state(optimizer: chainer.Optimizer, arrays: dict[str, np.ndarray]) -> None:
    """The inverse of `get_optimizer_state`."""
    chainer.serializers.NpzDeserializer(arrays).load(optimizer)
