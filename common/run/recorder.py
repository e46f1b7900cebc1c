"""Records the figures of a run: `metrics.csv`, TensorBoard and the progress bar."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from common.errors import UserError, warn
from common.measures.diversity import COLLAPSED
from common.run.events import Board
from common.run.folder import RunFolder
from common.run.table import Table

LONG_SECONDS = 60.0  # a run must take longer for its duration to be printed


class Recorder:
    """Takes each step's losses, and writes a row for the steps that ask for one.

    Losses stay on the device until a row needs them, so that no step waits for the device.

    Args:
        folder: the run folder.
        step: the last completed step.
        images_per_step: images that a step learns from.
        figures: names of the figures that are measured with pictures.
        digits: significant digits of losses; enough to identify a number in the run's precision.
        average: averages losses (steps, losses) over several processes; None for one process.
        quiet: print nothing; set in all processes but the first.
    """

    def __init__(
        self,
        folder: RunFolder,
        step: int,
        images_per_step: int,
        figures: tuple[str, ...],
        digits: int,
        average: Callable[[np.ndarray], np.ndarray] | None = None,
        quiet: bool = False,
    ) -> None:
        self._folder = folder
        self._images_per_step = images_per_step
        self._names = figures
        self._average = average
        self._quiet = quiet
        self._board = Board(folder.tensorboard, step)
        self.table = Table(folder.metrics, digits)
        self.table.cut(step)
        self._written_step = step
        self._pending: list[tuple[int, dict[str, Any]]] = []
        self._losses: dict[str, float] = {}  # of the last step read
        self._figures: dict[str, float] = {}  # of the last picture
        self._steps_timed = 0
        self._collapsed = False
        self._bar: tqdm | None = None
        self._warmed_up = self._told = False
        self._clock = time.perf_counter()

    @contextlib.contextmanager
    def progress(self, step: int, steps: int) -> Iterator[None]:
        """Show a progress bar from `step` on, until the block ends."""
        self._bar = tqdm(
            total=steps,
            initial=step,
            unit="step",
            mininterval=0.5 if sys.stderr.isatty() else 15,
            dynamic_ncols=True,
            disable=self._quiet,
        )
        self._clock = time.perf_counter()
        with self._bar:
            yield

    def log(self, step: int, losses: dict[str, Any]) -> None:
        """Take a step's losses, still on the device."""
        self._pending.append((step, losses))
        self._steps_timed += 1
        if self._bar is not None:
            self._bar.update()

    def check(self) -> None:
        """Read the pending losses from the device.

        Raises:
            UserError: one of them is not finite.
        """
        pending, self._pending = self._pending, []
        if not pending:
            return
        names = sorted(pending[0][1])  # Keras sorts them
        values = np.array([[float(losses[name]) for name in names] for _, losses in pending])
        if self._average:
            values = self._average(values)
        for (step, _), row in zip(pending, values.tolist(), strict=True):
            self._losses = dict(zip(names, row, strict=True))
            for name, value in self._losses.items():
                if not np.isfinite(value) and not self._quiet:
                    raise UserError(
                        f"step {step}: {name} is {value}; stopped. The last good checkpoint is "
                        f"{self._folder.checkpoint}; a lower --learning-rate may help"
                    )

    def write_row(self, step: int) -> None:
        """Write a step's row, once: its losses, the speed since the last row, and new figures.

        Raises:
            UserError: a loss is not finite, or the file cannot be written.
        """
        if step == self._written_step:
            return
        seconds = time.perf_counter() - self._clock
        self.check()
        row: dict[str, float | None] = dict(self._losses)
        if self._bar is not None:
            shown = {name: f"{value:.3f}" for name, value in self._losses.items()}
            self._bar.set_postfix(shown, refresh=False)
        speed = self._steps_timed * self._images_per_step / max(seconds, 1e-9)
        row["images_per_second"] = round(speed, 2)
        row |= dict.fromkeys(self._names) | self._figures
        self.table.append({"step": step, **row})
        known = {name: value for name, value in row.items() if value is not None}
        self._board.add_scalars(known, step)
        self._figures = {}
        self._tell_duration(step, seconds / max(self._steps_timed, 1))
        self._steps_timed = 0
        self._written_step = step
        self._clock = time.perf_counter()

    def _tell_duration(self, step: int, seconds: float) -> None:
        """Print once how long the run will take, if that is long.

        The steps of the first row are not used, as they may include compilation.

        Args:
            step: the last completed step.
            seconds: the time per step since the last row.
        """
        warmed_up, self._warmed_up = self._warmed_up, True
        if self._told or not warmed_up or self._bar is None or self._bar.total is None:
            return
        self._told = True
        steps = self._bar.total - step
        if steps * seconds < LONG_SECONDS or self._quiet:
            return
        text = f"{steps:,} steps to go, about {in_words(steps * seconds)} at this speed"
        tqdm.write(f"{text}; Ctrl-C saves, --resume goes on", file=sys.stderr)

    def add_picture(self, step: int, path: Path, figures: dict[str, float]) -> None:
        """Print and record a picture's PNG file; its figures go into the step's row."""
        self._board.add_picture("samples", path, step)
        shown = "".join(f", {name} {value:.2f}" for name, value in figures.items())
        if not self._quiet:
            tqdm.write(f"step {step}: {path}{shown}", file=sys.stderr)
        if step:  # step 0 has no row
            self._figures = figures
        if "diversity" in figures and not self._quiet:
            self._watch(step, figures["diversity"])

    @contextlib.contextmanager
    def not_training(self) -> Iterator[None]:
        """Exclude the time of the block from the speed."""
        started = time.perf_counter()
        yield
        self._clock += time.perf_counter() - started

    def highest(self, name: str | None) -> float:
        """The highest value of a figure in the table; -inf if there is none."""
        values = self.table.read().get(name, []) if name else []
        return max((value for value in values if not np.isnan(value)), default=-np.inf)

    def close(self) -> dict[str, list[float]]:
        """Close the event file; return the columns of `metrics.csv`."""
        self._board.close()
        return self.table.read()

    def _watch(self, step: int, value: float) -> None:
        """Warn once when the diversity of samples falls below `COLLAPSED`."""
        collapsed = step > 0 and value < COLLAPSED
        if collapsed and not self._collapsed:
            warn(
                f"step {step}: diversity {value:.2f} is below {COLLAPSED}: the generator draws "
                "the same image each time (training has just begun, or its modes have collapsed)"
            )
        self._collapsed = collapsed


def in_words(seconds: float) -> str:
    """A duration in minutes or hours, to two digits: `5 minutes`, `1.5 hours`."""
    minutes = max(1, round(seconds / 60))
    if minutes < 100:
        return f"{minutes} minute{'s' * (minutes > 1)}"
    hours = seconds / 3600
    return f"{hours:.1f} hours" if hours < 10 else f"{hours:.0f} hours"
