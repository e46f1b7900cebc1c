"""Chainer: seed, device, precision, and parameters to and from NumPy; patched for NumPy 2."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from common.bridges import chainer_compat  # noqa: F401  # isort: skip  (before Chainer)
import chainer
import chainer.links as L

from common.bridges import DTYPES, chainer_cpu, check_precision, keep_memory
from common.errors import UserError
from common.processes import this_process

chainer_cpu.install()
warnings.filterwarnings("ignore", "cuDNN is not enabled")  # CuPy 14 has no cuDNN for Chainer
np.seterr(over="ignore", invalid="ignore")  # the run reports a loss that is not finite
# Chainer's names of parameters to the checkpoint's, by class of layer. The layouts are the same.
NAMES: dict[type[chainer.Link], dict[str, str]] = {
    L.Linear: {"W": "weight", "b": "bias"},
    L.Convolution2D: {"W": "weight", "b": "bias"},
    L.Deconvolution2D: {"W": "weight", "b": "bias"},
    L.BatchNormalization: {
        "gamma": "weight",
        "beta": "bias",
        "avg_mean": "running_mean",
        "avg_var": "running_var",
    },
    L.GroupNormalization: {"gamma": "weight", "beta": "bias"},
}
NOT_KEPT = {"N"}  # batch norm's count of batches, which nothing reads with a fixed decay


def prepare(seed: int, device: str, precision: str) -> Any:
    """Seed the initial weights and dropout, set the precision, find the `chainer.backend.Device`.

    Args:
        seed: the value of `--seed`; Chainer draws from NumPy's global generator, or CuPy's.
        device: `auto`, `cpu` or `gpu`.
        precision: `float32`, `tf32` or `float64`; holds for everything computed afterwards.

    Raises:
        UserError: the device is `gpu` and CuPy finds none, or the precision is tf32 on a CPU, or
            bfloat16, which Chainer does not support.
    """
    if precision == "bfloat16":
        raise UserError(
            "--precision bfloat16: Chainer does not support it, nor do NumPy and CuPy, which "
            "compute for it; use float32, on a GPU also tf32, or another framework"
        )
    chainer.global_config.dtype = np.dtype(DTYPES[precision])
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    count, problem = _count_gpus()
    if device == "gpu" and not count:
        raise UserError(
            f"--device gpu: Chainer {chainer.__version__} finds no GPU ({problem}); "
            "install CuPy for your CUDA, or use --device cpu"
        )
    on_gpu = bool(count) and device != "cpu"
    check_precision(precision, on_gpu)
    number = 0
    if this_process().count > 1:
        from common.bridges import chainer_parallel

        number = chainer_parallel.start(on_gpu)
    found = chainer.get_device(f"@cupy:{number}" if on_gpu else "@numpy")
    found.use()
    if on_gpu:
        found.xp.random.seed(seed)
        _set_products(precision)
    else:
        keep_memory()
    return found


def mix(networks: dict[str, chainer.Chain]) -> None:
    """Never called: `prepare` refuses bfloat16."""
    raise NotImplementedError


def _set_products(precision: str) -> None:
    # CuPy reads its environment variable for this, CUPY_TF32, only when it is imported.
    from cupy._core import _routines_linalg as linalg  # type: ignore[import-not-found]

    kind = linalg.COMPUTE_TYPE_TF32 if precision == "tf32" else linalg.COMPUTE_TYPE_DEFAULT
    linalg.set_compute_type(np.float32, kind)


def _count_gpus() -> tuple[int, str]:
    # chainer.backends.cuda.available is True wherever CuPy can be imported, even without a GPU.
    try:
        import cupy  # type: ignore[import-not-found]

        return cupy.cuda.runtime.getDeviceCount(), "CuPy sees no device"
    except ImportError:
        return 0, "CuPy is not installed"
    except Exception as error:
        return 0, f"CuPy: {error}"


def _entries(network: chainer.Link, prefix: str = "") -> Iterator[tuple[str, chainer.Link, str]]:
    """Each parameter and running average: its name in a checkpoint, its layer, its name in that."""
    if isinstance(network, chainer.Chain | chainer.ChainList):
        for child in network.children():
            yield from _entries(child, f"{prefix}{child.name}.")
        return
    names = next((NAMES[kind] for kind in type(network).__mro__ if kind in NAMES), None)
    if names is None:
        raise TypeError(f"{prefix}: {type(network).__name__} is not a layer that this bridge knows")
    for name in sorted(network._params | network._persistent):
        if name not in NOT_KEPT and getattr(network, name) is not None:
            yield f"{prefix}{names[name]}", network, name


def get_arrays(network: chainer.Chain) -> dict[str, np.ndarray]:
    """A network's parameters and running averages, as a checkpoint holds them."""
    return {
        key: np.array(chainer.backends.cuda.to_cpu(_array(layer, name)))
        for key, layer, name in _entries(network)
    }


def set_arrays(network: chainer.Chain, arrays: dict[str, np.ndarray]) -> None:
    """The inverse of `get_arrays`, cast to the network's precision.

    Raises:
        KeyError: a name is missing or not known.
    """
    entries = {key: _array(layer, name) for key, layer, name in _entries(network)}
    if set(entries) != set(arrays):
        raise KeyError(f"not in both: {sorted(set(entries) ^ set(arrays))}")
    for key, array in entries.items():
        array[...] = network.device.send(arrays[key].astype(array.dtype))


def _array(layer: chainer.Link, name: str) -> Any:
    value = getattr(layer, name)
    return value.array if isinstance(value, chainer.Parameter) else value


def get_optimizer_state(optimizer: chainer.Optimizer) -> dict[str, np.ndarray]:
    """An optimiser's state as arrays by Chainer's names."""
    serializer = chainer.serializers.DictionarySerializer()
    serializer.save(optimizer)
    return {key: np.asarray(array) for key, array in serializer.target.items()}


def set_optimizer_state(optimizer: chainer.Optimizer, arrays: dict[str, np.ndarray]) -> None:
    """The inverse of `get_optimizer_state`."""
    if arrays["t"]:  # there is no state before the first update
        chainer.serializers.NpzDeserializer(arrays).load(optimizer)


def get_rng_state(networks: dict[str, chainer.Chain]) -> dict[str, np.ndarray]:
    """The rng state of NumPy's global generator, from which dropout draws on a CPU.

    On a GPU dropout draws from CuPy's generator, whose state cannot be read. So CuPy is seeded anew
    here, and the seed is stored: a resumed run seeds CuPy alike.
    """
    found = {}
    if _on_gpu(networks):
        found["gpu"] = np.array(np.random.randint(1 << 31))  # noqa: NPY002
        _seed_cupy(found["gpu"])
    state: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    return {"keys": state["state"]["key"], "position": np.array(state["state"]["pos"]), **found}


def set_rng_state(networks: dict[str, chainer.Chain], arrays: dict[str, np.ndarray]) -> None:
    """The inverse of `get_rng_state`."""
    state = {"key": arrays["keys"], "pos": int(arrays["position"])}
    np.random.set_state({"bit_generator": "MT19937", "state": state})  # noqa: NPY002
    if "gpu" in arrays and _on_gpu(networks):
        _seed_cupy(arrays["gpu"])


def join(networks: dict[str, Any], optimizers: dict[str, Any], seed: int | None) -> None:
    """Train as one with the other processes; a seed restarts the rng of dropout."""
    from common.bridges import chainer_parallel

    chainer_parallel.join(optimizers)
    if seed is not None:
        np.random.seed(seed)  # noqa: NPY002
        if _on_gpu(networks):
            _seed_cupy(np.array(seed))


def average(values: np.ndarray) -> np.ndarray:
    """The mean of an array over the processes."""
    from common.bridges import chainer_parallel

    return chainer_parallel.average(values)


def _on_gpu(networks: dict[str, chainer.Chain]) -> bool:
    return any(network.xp is not np for network in networks.values())


def _seed_cupy(seed: np.ndarray) -> None:
    import cupy  # type: ignore[import-not-found]

    cupy.random.seed(int(seed))


def apply(network: Any, array: np.ndarray) -> list[np.ndarray]:
    """A network's outputs for an array; images are (N, H, W, C), in and out.

    The network must not differ between training and inference.
    """
    given = np.moveaxis(array, -1, 1) if array.ndim == 4 else array
    with chainer.no_backprop_mode():
        made = network(network.device.send(np.ascontiguousarray(given)))
    variables = made if isinstance(made, tuple) else (made,)
    host: Any = chainer.get_device("@numpy")
    arrays = [host.send(variable.array) for variable in variables]
    return [np.moveaxis(a, 1, -1) if a.ndim == 4 else a for a in arrays]
