"""The interface between a run and a framework, which each framework's module implements."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

Arrays = dict[str, np.ndarray]


class Bridge(Protocol):
    """A framework's module in `common.bridges`.

    Networks, optimisers (in Keras, trainers) and devices are the framework's own objects. Arrays
    have the names that follow the network's in a checkpoint, `deconv2.weight`, and PyTorch's
    layouts.
    """

    def prepare(self, seed: int, device: str, precision: str, /) -> Any:
        """Seed initial weights and dropout, set the precision, choose the device and return it.

        TensorFlow returns a strategy, and Keras returns None.

        Raises:
            UserError: the framework lacks the device or the precision.
        """
        ...

    def mix(self, networks: dict[str, Any], /) -> None:
        """Make networks compute in mixed precision; only called if `prepare` took bfloat16."""
        ...

    def get_arrays(self, network: Any, /) -> Arrays:
        """Copies of all parameters of a network, and of its running averages."""
        ...

    def set_arrays(self, network: Any, arrays: Arrays, /) -> None:
        """Overwrite all parameters and running averages of a network; the shapes must match."""
        ...

    def get_optimizer_state(self, optimizer: Any, /) -> Arrays:
        """Copies of an optimiser's state, such as its moments."""
        ...

    def set_optimizer_state(self, optimizer: Any, arrays: Arrays, /) -> None:
        """The inverse of `get_optimizer_state`."""
        ...

    def get_rng_state(self, networks: dict[str, Any], /) -> Arrays:
        """The rng state of the framework, from which dropout draws."""
        ...

    def set_rng_state(self, networks: dict[str, Any], arrays: Arrays, /) -> None:
        """The inverse of `get_rng_state`."""
        ...

    def join(
        self, networks: dict[str, Any], optimizers: dict[str, Any], seed: int | None, /
    ) -> None:
        """Make several processes train as one: whole-batch statistics, averaged gradients.

        Args:
            networks: by name; all processes have the same weights.
            optimizers: by name.
            seed: of this process's dropout; None keeps the current rng state.
        """
        ...

    def average(self, values: np.ndarray, /) -> np.ndarray:
        """The mean of an array over the processes that train together."""
        ...

    def apply(self, network: Any, array: np.ndarray, /) -> list[np.ndarray]:
        """A network's outputs in inference mode; images are (N, H, W, C), in and out."""
        ...
