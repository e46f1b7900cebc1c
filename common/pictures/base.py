"""The base of all kinds of pictures, and choices of test images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
from tqdm import tqdm

from common.data import Data, Split
from common.errors import UserError

SAMPLES = 64  # images in a sample grid
COLUMNS = 8

Random = np.random.Generator


class Pictures:
    """A kind of picture that shows the progress of training.

    Attributes:
        figures: names of the figures that `draw` measures, columns of metrics.csv.
        best_by: the figure whose highest value selects the best weights; None keeps none.
    """

    figures: ClassVar[tuple[str, ...]] = ()
    best_by: ClassVar[str | None] = None

    def draw(self) -> tuple[np.ndarray, dict[str, float]]:
        """A `uint8` picture (H, W, C) of the current weights, and its `figures`."""
        raise NotImplementedError

    def generate(self, count: int) -> np.ndarray:
        """The `uint8` picture of `count` images for `--generate`."""
        raise NotImplementedError

    def finish(self, folder: Path, title: str) -> dict[str, Path]:
        """Write the additional files of a finished run into its folder; return them by name.

        Raises:
            UserError: a file cannot be written.
        """
        return {}

    def test(self) -> dict[str, float]:
        """Figures of the whole test split, measured after training."""
        return {}


def portions(count: int, size: int = SAMPLES) -> Iterator[slice]:
    """Consecutive slices of at most `size` up to `count`, with a progress bar after two seconds."""
    with tqdm(total=count, unit="image", delay=2, leave=False) as bar:
        for start in range(0, count, size):
            part = slice(start, min(start + size, count))
            yield part
            bar.update(part.stop - start)


def choose_test(data: Data, count: int) -> Split:
    """At most `count` random items of the test split, always the same."""
    return choose(data.test, count)


def choose(split: Split, count: int) -> Split:
    """At most `count` random items of a split, always the same."""
    most = len(split)
    return split.take(np.random.default_rng(0).choice(most, min(count, most), replace=False))


def first_test(data: Data, count: int) -> Split:
    """The first `count` items of the test split.

    Raises:
        UserError: there are fewer.
    """
    most = len(data.test)
    if count > most:
        raise UserError(f"--generate {count}: {data.name} has only {most} test images")
    return data.test.take(slice(count))
