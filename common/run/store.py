"""The state that `--resume` restores: weights, optimisers, batches, rng and pools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from common.bridges.protocol import Arrays, Bridge
from common.data.batches import Batches, DomainBatches
from common.data.pool import ImagePool
from common.errors import UserError
from common.run import checkpoint
from common.run.checkpoint import Checkpoint, Header
from common.run.folder import RunFolder


class Store:
    """Saves and restores networks, optimisers and pools.

    Args:
        bridge: the framework's module in `common.bridges`.
        networks: by name, the first part of their checkpoint keys.
        optimizers: by name.
        pools: pools of earlier images, by name.
    """

    def __init__(
        self,
        bridge: Bridge,
        networks: dict[str, Any],
        optimizers: dict[str, Any],
        pools: dict[str, ImagePool],
    ) -> None:
        self._bridge = bridge
        self._networks = networks
        self._optimizers = optimizers
        self._pools = pools

    def load_weights(self, header: Header) -> None:
        """Load a checkpoint's weights into the networks, cast to the run's precision.

        Raises:
            UserError: a tensor is missing, unexpected, of another shape, or not finite.
        """
        checkpoint.check_fit(header, self._weights())
        arrays = checkpoint.read_arrays(header)
        for name, network in self._networks.items():
            self._bridge.set_arrays(network, _below(name, arrays))

    def restore(self, path: Path, state: Checkpoint, batches: Batches | DomainBatches) -> int:
        """Restore a saved state; return its step.

        Raises:
            UserError: it is not a state of this run.
        """
        try:
            batches.restore(state.arrays["batches.order"], state.metadata["batches"])
            for name, optimizer in self._optimizers.items():
                self._bridge.set_optimizer_state(optimizer, _below(name, state.arrays))
            self._bridge.set_rng_state(self._networks, _below("chance", state.arrays))
            for name, pool in self._pools.items():
                pool.restore(_below(f"pool.{name}", state.arrays))
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise UserError(
                f"{path}: not the state of this run ({type(error).__name__}: {error}); start "
                "a new run from the weights with --init-from"
            ) from error
        return state.metadata["step"]

    def average(self, values: np.ndarray) -> np.ndarray:
        """The mean of an array over the processes that train together."""
        return self._bridge.average(values)

    def gather(self, folder: RunFolder, step: int, about: dict[str, Any]) -> Checkpoint:
        """A checkpoint of the current weights.

        Args:
            folder: the run folder, named in the error.
            step: the last completed step.
            about: the metadata, except for the step.

        Raises:
            UserError: a weight is no longer finite.
        """
        weights = self._weights()
        for name, array in weights.items():
            if not np.isfinite(array).all():
                raise UserError(
                    f"step {step}: {name} is no longer finite; stopped. The last good "
                    f"checkpoint is {folder.checkpoint}; a lower --learning-rate may help"
                )
        return Checkpoint(weights, about | {"step": step})

    def save(
        self, folder: RunFolder, step: int, about: dict[str, Any],
        batches: Batches | DomainBatches, fingerprint: str,
    ) -> None:  # fmt: skip
        """Write the checkpoint and the state that belongs to it.

        Args:
            folder: the run folder.
            step: the last completed step.
            about: the metadata, except for the step.
            batches: their state includes the run's rng state.
            fingerprint: the data set's.

        Raises:
            UserError: a weight is no longer finite, or the disk is full; the previous checkpoint
                is kept.
        """
        weights = self.gather(folder, step, about)
        order, position = batches.state()
        state = {n: self._bridge.get_optimizer_state(v) for n, v in self._optimizers.items()}
        state["chance"] = self._bridge.get_rng_state(self._networks)
        state |= {f"pool.{name}": pool.state() for name, pool in self._pools.items()}
        told = {name: weights.metadata[name] for name in ("model", "framework", "step")}
        folder.save(
            weights,
            Checkpoint(
                {"batches.order": order, **_joined(state)},
                told | {"batches": position, "fingerprint": fingerprint},
            ),
        )

    def _weights(self) -> Arrays:
        return _joined({n: self._bridge.get_arrays(v) for n, v in self._networks.items()})


def _joined(groups: dict[str, Arrays]) -> Arrays:
    return {f"{name}.{key}": a for name, group in groups.items() for key, a in group.items()}


def _below(name: str, arrays: Arrays) -> Arrays:
    prefix = name + "."
    return {key.removeprefix(prefix): a for key, a in arrays.items() if key.startswith(prefix)}
