"""What each rebuilt peer offers to be measured by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from workshop.throughput import Step, time_steps


class Peer:
    """A peer's networks, and its way to train them.

    Args:
        step: takes one training step on the images that it was built with; its losses by name.
        arrays: the weights and running averages that the networks have now, copied.
    """

    def __init__(self, step: Step, arrays: Callable[[], list[np.ndarray]]) -> None:
        self.step = step
        self.arrays = arrays
        self.losses: dict[str, Any] = {}  # of the last step

    def run(self, steps: int) -> float:
        """Take so many steps; the seconds that they took."""
        return time_steps(self._take, steps)

    def _take(self) -> dict[str, Any]:
        self.losses = self.step()
        return self.losses
