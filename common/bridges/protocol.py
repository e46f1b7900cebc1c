"""What a run asks of a framework: each module of this package that is named for one offers it."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

Arrays = dict[str, np.ndarray]


class Bridge(Protocol):
    """A framework's module in `common.bridges`.

    Networks, optimisers (Keras' trainers) and devices are the framework's own. Arrays go by the
    names that a checkpoint has below a network's, `deconv2.weight`, in PyTorch's layouts.
    """

    def prepare(self, seed: int, device: str, precision: str, /) -> Any:
        """Seed initial weights and dropout, set the precision; return where to compute, if named.

        Raises:
            UserError: the framework cannot compute there, or so.
        """
        ...

    def mix(self, networks: dict[str, Any], /) -> None:
        """Have networks compute in mixed precision, where `prepare` does not refuse bfloat16."""
        ...

    def get_arrays(self, network: Any, /) -> Arrays:
        """Copies of all parameters of a network, and of its running averages."""
        ...

    def set_arrays(self, network: Any, arrays: Arrays, /) -> None:
        """Give a network other parameters, of its own shapes; all of them are there."""
        ...

    def get_optimizer_state(self, optimizer: Any, /) -> Arrays:
        """Copies of what an optimiser remembers, such as moments."""
        ...

    def set_optimizer_state(self, optimizer: Any, arrays: Arrays, /) -> None:
        """The inverse of `get_optimizer_state`."""
        ...

    def get_rng_state(self, networks: dict[str, Any], /) -> Arrays:
        """The state of the framework's random numbers, which dropout draws."""
        ...

    def set_rng_state(self, networks: dict[str, Any], arrays: Arrays, /) -> None:
        """The inverse of `get_rng_state`."""
        ...

    def join(
        self, networks: dict[str, Any], optimizers: dict[str, Any], seed: int | None, /
    ) -> None:
        """Have several processes train as one: whole batches' moments, gradients' means.

        Args:
            networks: by name; all processes have the same weights.
            optimizers: by name.
            seed: of this process's dropout; None leaves it as it is.
        """
        ...

    def average(self, values: np.ndarray, /) -> np.ndarray:
        """The mean of an array over the processes that train together."""
        ...

    def apply(self, network: Any, array: np.ndarray, /) -> list[np.ndarray]:
        """A network's outputs, in inference mode; images are channels last, whatever it takes."""
        ...
