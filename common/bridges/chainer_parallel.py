"""Chainer in several processes started by `mpiexec`: ChainerMN.

ChainerMN's multi-node optimiser is not used: its first call broadcasts weights and updates nothing.
Instead, a hook of Chainer's optimisers averages the gradients.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import chainer
import chainer.links as L

from common.errors import UserError

_COMMUNICATOR: dict[str, Any] = {}


def start(on_gpu: bool) -> int:
    """Join the other processes; return this one's rank on its machine, which is also its GPU's.

    Raises:
        UserError: mpi4py is not installed, or was built for another MPI than mpiexec's.
    """
    try:
        import mpi4py.MPI
    except ImportError as error:
        raise UserError(
            f"mpiexec: ChainerMN needs mpi4py ({error}); docs/processes.md says how to install it"
        ) from error
    if mpi4py.MPI.COMM_WORLD.size == 1:
        raise UserError(
            f"mpiexec: mpi4py finds no other process; it was built for "
            f"{mpi4py.MPI.get_vendor()[0]}, and this mpiexec is another's"
        )
    import chainermn

    _COMMUNICATOR["used"] = chainermn.create_communicator("pure_nccl" if on_gpu else "naive")
    return _COMMUNICATOR["used"].intra_rank


def join(optimizers: dict[str, chainer.Optimizer]) -> None:
    """Train as one from now on: batch norm and updates are those of the whole batch."""
    communicator = _COMMUNICATOR["used"]

    def average_gradients(optimizer: Any) -> None:
        for parameter in optimizer.target.params():
            if parameter.grad is not None:  # ChainerMN would average a copy and drop it
                parameter.grad = parameter.xp.ascontiguousarray(parameter.grad)
        communicator.multi_node_mean_grad(optimizer.target)

    for optimizer in optimizers.values():
        target: Any = optimizer.target
        for layer in target.links():
            if isinstance(layer, L.BatchNormalization):
                layer.forward = make_whole(layer, communicator)
        optimizer.add_hook(average_gradients, "average_gradients", timing="pre")


def average(values: np.ndarray) -> np.ndarray:
    """The mean of an array over the processes."""
    communicator = _COMMUNICATOR["used"]
    return communicator.mpi_comm.allreduce(values) / communicator.size


def make_whole(layer: Any, communicator: Any) -> Any:
    """A batch norm with whole-batch statistics that shares the layer's arrays."""
    import chainermn.links

    chainer.disable_experimental_feature_warning = True

    class WholeBatchNorm(chainermn.links.MultiNodeBatchNormalization):
        """ChainerMN's, except that the whole batch's count unbiases the running variance."""

        def __call__(self, x: Any, finetune: bool = False) -> Any:
            kept = self.decay * self.avg_var
            y = super().__call__(x, finetune)
            if chainer.config.train:
                local = x.size // self.avg_var.size
                whole = local * self.comm.size
                unbiased = max(local - 1, 1) / local * whole / (whole - 1)
                self.avg_var[...] = kept + (self.avg_var - kept) * unbiased
            return y

    made = WholeBatchNorm(
        layer.avg_mean.shape, communicator, layer.decay, layer.eps, layer.avg_mean.dtype
    )
    made.to_device(layer.device)
    with made.init_scope():
        made.gamma, made.beta = layer.gamma, layer.beta
    made.avg_mean, made.avg_var = layer.avg_mean, layer.avg_var
    return made
