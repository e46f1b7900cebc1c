"""PyTorch: seed, device, precision, and parameters to and from NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import torch

from common.bridges import DTYPES, check_precision, keep_memory
from common.errors import UserError
from common.processes import this_process

# Batch norm counts its batches, but with a fixed momentum nothing reads the count.
NOT_KEPT = "num_batches_tracked"


def prepare(seed: int, device: str, precision: str) -> torch.device:
    """Seed the initial weights and dropout, set the precision, and find the device.

    Args:
        seed: the value of `--seed`.
        device: `auto`, `cpu` or `gpu`.
        precision: `float32`, `tf32`, `bfloat16` (see `mix`) or `float64`; holds for everything
            computed afterwards.

    Raises:
        UserError: the device is `gpu` and PyTorch finds none, or the precision is tf32 on a CPU.
    """
    torch.manual_seed(seed)
    torch.set_default_dtype(getattr(torch, DTYPES[precision]))
    prepare_gpus(precision)
    found = device != "cpu" and torch.accelerator.is_available()
    if device == "gpu" and not found:
        build = torch.version.cuda or torch.version.hip or "none, this is the CPU build"
        raise UserError(
            f"--device gpu: PyTorch {torch.__version__} finds no GPU (CUDA of its build: {build}); "
            "install a build for your GPU, or use --device cpu"
        )
    check_precision(precision, found)
    if this_process().count > 1:
        from common.bridges import pytorch_parallel

        pytorch_parallel.start(found)
    if found:
        name = torch.accelerator.current_accelerator()
        return torch.device(f"{name}:{torch.accelerator.current_device_index()}")
    keep_memory()
    return torch.device("cpu")


def send(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """An array as a tensor on the device.

    A plain `.to(device)` would make each step wait for the GPU to finish its queue. A copy from
    pinned memory is queued instead.
    """
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def prepare_gpus(precision: str) -> None:
    """Set the precision of products on NVIDIA GPUs: by default only convolutions use tf32.

    float64 is for comparisons, so it also restricts cuDNN to deterministic algorithms, which can
    take twice as long.
    """
    products = "tf32" if precision == "tf32" else "ieee"
    torch.backends.cuda.matmul.fp32_precision = products
    torch.backends.cudnn.conv.fp32_precision = products  # type: ignore[attr-defined]
    torch.backends.cudnn.deterministic = precision == "float64"


def mix(networks: dict[str, torch.nn.Module]) -> None:
    """Make networks compute in mixed precision, by PyTorch's `autocast` to bfloat16.

    Outputs are cast back to float32, so that losses are computed in float32.
    """
    for network in networks.values():
        device = next(network.parameters()).device.type
        network.forward = _autocast(network.forward, device)


def _autocast(forward: Callable[..., Any], device: str) -> Callable[..., Any]:
    def forward_in_bfloat16(*inputs: torch.Tensor) -> Any:
        with torch.autocast(device, torch.bfloat16):
            made = forward(*inputs)
        return tuple(x.float() for x in made) if isinstance(made, tuple) else made.float()

    return forward_in_bfloat16


def get_arrays(network: torch.nn.Module) -> dict[str, np.ndarray]:
    """A network's parameters and running averages, as a checkpoint holds them."""
    return {
        name: tensor.detach().cpu().numpy().copy()
        for name, tensor in network.state_dict().items()
        if not name.endswith(NOT_KEPT)
    }


def set_arrays(network: torch.nn.Module, arrays: dict[str, np.ndarray]) -> None:
    """The inverse of `get_arrays`, cast to the network's precision.

    Raises:
        RuntimeError: a name is missing or not known.
    """
    counts = {name: t for name, t in network.state_dict().items() if name.endswith(NOT_KEPT)}
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    network.load_state_dict(tensors | counts)


def get_optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, np.ndarray]:
    """An optimiser's state as arrays by `INDEX.NAME`."""
    return {
        f"{index}.{name}": value.detach().cpu().numpy()
        for index, entry in optimizer.state_dict()["state"].items()
        for name, value in entry.items()
    }


def set_optimizer_state(optimizer: torch.optim.Optimizer, arrays: dict[str, np.ndarray]) -> None:
    """The inverse of `get_optimizer_state`."""
    state: dict[int, dict[str, Any]] = {}
    for key, array in arrays.items():
        index, name = key.split(".")
        state.setdefault(int(index), {})[name] = torch.from_numpy(array.copy())
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def get_rng_state(networks: dict[str, torch.nn.Module]) -> dict[str, np.ndarray]:
    """PyTorch's rng state, from which dropout draws: the CPU's, and the GPU's if it is used."""
    states = {"cpu": torch.get_rng_state().numpy()}
    if _on_gpu(networks):
        states["gpu"] = torch.get_device_module().get_rng_state().cpu().numpy()
    return states


def set_rng_state(networks: dict[str, torch.nn.Module], arrays: dict[str, np.ndarray]) -> None:
    """The inverse of `get_rng_state`."""
    torch.set_rng_state(torch.from_numpy(arrays["cpu"].copy()))
    if "gpu" in arrays and _on_gpu(networks):
        torch.get_device_module().set_rng_state(torch.from_numpy(arrays["gpu"].copy()))


@torch.no_grad()
def apply(network: torch.nn.Module, array: np.ndarray) -> list[np.ndarray]:
    """A network's outputs for an array; images are (N, H, W, C), in and out.

    The network must not differ between training and inference.
    """
    device = next(network.parameters()).device
    given = np.moveaxis(array, -1, 1) if array.ndim == 4 else array
    made = network(send(np.ascontiguousarray(given), device))
    tensors = made if isinstance(made, tuple) else (made,)
    arrays = [tensor.cpu().numpy() for tensor in tensors]
    return [np.moveaxis(a, 1, -1) if a.ndim == 4 else a for a in arrays]


def join(networks: dict[str, Any], optimizers: dict[str, Any], seed: int | None) -> None:
    """Train as one with the other processes; a seed restarts the rng of dropout."""
    from common.bridges import pytorch_parallel

    pytorch_parallel.join(networks, optimizers)
    if seed is not None:
        torch.manual_seed(seed)


def average(values: np.ndarray) -> np.ndarray:
    """The mean of an array over the processes."""
    from common.bridges import pytorch_parallel

    return pytorch_parallel.average(values)


def _on_gpu(networks: dict[str, torch.nn.Module]) -> bool:
    return any(p.device.type != "cpu" for n in networks.values() for p in n.parameters())
