"""PyTorch: seed, device, and parameters to and from NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

import torch

from common.errors import UserError

CHANNELS_FIRST = True


def set_seed(seed: int) -> None:
    """Seed the initial weights (and dropout)."""
    torch.manual_seed(seed)


def find_device(name: str) -> torch.device:
    """The device that `--device` asks for: `auto`, `cpu` or `gpu`.

    Raises:
        UserError: a GPU is asked for and PyTorch finds none.
    """
    if name != "cpu" and torch.accelerator.is_available():
        return torch.accelerator.current_accelerator()  # type: ignore[return-value]
    if name == "gpu":
        build = torch.version.cuda or torch.version.hip or "none, this is the CPU build"
        raise UserError(
            f"--device gpu: PyTorch {torch.__version__} finds no GPU (CUDA of its build: {build}); "
            "install a build for your GPU, or use --device cpu"
        )
    return torch.device("cpu")


def get_arrays(network: torch.nn.Module) -> dict[str, np.ndarray]:
    """A network's parameters and running averages, as a checkpoint holds them."""
    return {
        name: tensor.detach().cpu().numpy().copy()
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def set_arrays(network: torch.nn.Module, arrays: dict[str, np.ndarray]) -> None:
    """The inverse of `get_arrays`."""
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    network.load_state_dict(tensors, strict=False)


def get_optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, np.ndarray]:
    """What an optimiser remembers, as flat arrays: `INDEX.NAME`."""
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
