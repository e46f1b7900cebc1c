"""PyTorch in several processes started by `torchrun`: batch norm and gradients over all of them.

`DistributedDataParallel` is not used. It expects each backward pass to reach all parameters of the
network that it wraps. The passes of a GAN do not, and neither does a gradient penalty, which runs a
backward pass inside the forward pass.
"""

from __future__ import annotations

import atexit
import os
from typing import Any

import numpy as np

import torch
import torch.distributed as dist
from torch import nn


def start(on_gpu: bool) -> None:
    """Join the process group; on GPUs, each process takes the one with its local rank."""
    if on_gpu:
        torch.accelerator.set_device_index(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")
    atexit.register(dist.destroy_process_group)


def join(networks: dict[str, nn.Module], optimizers: dict[str, torch.optim.Optimizer]) -> None:
    """Train as one from now on: batch norm and updates are those of the whole batch."""
    for network in networks.values():
        for layer in network.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.__class__ = WholeBatchNorm  # keeps the parameters that the optimiser holds
    for optimizer in optimizers.values():
        optimizer.register_step_pre_hook(average_gradients)


def average(values: np.ndarray) -> np.ndarray:
    """The mean of an array over the processes."""
    tensor = torch.from_numpy(values.copy())
    dist.all_reduce(tensor)
    return tensor.numpy() / dist.get_world_size()


@torch.no_grad()
def average_gradients(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    """Replace gradients by their mean over the processes, before an update."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    average_tensors([p.grad for p in parameters if p.grad is not None])


def average_tensors(tensors: list[torch.Tensor]) -> None:
    """Replace each tensor by its mean over the processes, all in one message."""
    joined = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(joined)
    joined /= dist.get_world_size()
    parts = joined.split([tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))


class Mean(torch.autograd.Function):
    """The mean of a tensor over the processes, differentiable more than once.

    It assumes a loss that is averaged over the processes, as the parameters' gradients are.
    """

    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """A tensor of any shape, the same shape in all processes."""
        tensor = tensor.clone()
        dist.all_reduce(tensor)
        return tensor / dist.get_world_size()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        """The gradient of the mean is again the mean."""
        return Mean.apply(*gradients)


def whole_moments(x: torch.Tensor, axes: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance over these axes and all processes, each of shape (C,)."""
    mean = Mean.apply(x.mean(axes))
    around = [1 if axis in axes else -1 for axis in range(x.ndim)]
    return mean, Mean.apply((x - mean.view(around)).square().mean(axes))


class WholeBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm with the statistics of the whole batch, of which each process has a slice.

    PyTorch's `SyncBatchNorm` refuses CPUs and cannot be differentiated twice.
    """

    def _check_input_dim(self, input: torch.Tensor) -> None:
        """Accept any number of axes after the channels."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """(N, C, ...) -> (N, C, ...)."""
        if not self.training:
            return super().forward(input)
        input = input.to(self.weight.dtype)  # statistics are not computed in bfloat16
        mean, variance = whole_moments(input, [0, *range(2, input.ndim)])
        with torch.no_grad():
            n = dist.get_world_size() * input.numel() // input.shape[1]
            self.running_mean.lerp_(mean, self.momentum)  # type: ignore[union-attr, arg-type]
            self.running_var.lerp_(variance * (n / (n - 1)), self.momentum)  # type: ignore[union-attr, arg-type]
        shape = [1, -1] + [1] * (input.ndim - 2)
        x = (input - mean.view(shape)) * torch.rsqrt(variance + self.eps).view(shape)
        return x * self.weight.view(shape) + self.bias.view(shape)
