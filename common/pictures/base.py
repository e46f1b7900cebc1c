"""What all kinds of pictures have in common."""

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
    """A kind of picture that shows how training goes.

    Attributes:
        figures: columns of metrics.csv that drawing fills.
        best_by: the figure whose highest value says which weights are kept as the best, if any.
    """

    figures: ClassVar[tuple[str, ...]] = ()
    best_by: ClassVar[str | None] = None

    def draw(self) -> tuple[np.ndarray, dict[str, float]]:
        """A `uint8` picture (H, W, C) that shows how training goes, and its `figures`."""
        raise NotImplementedError

    def generate(self, count: int) -> np.ndarray:
        """The `uint8` picture of `count` images that `--generate` asks for."""
        raise NotImplementedError

    def finish(self, folder: Path, title: str) -> dict[str, Path]:
        """Write what a finished run leaves besides, into its folder: files, by name.

        Raises:
            UserError: a file cannot be written.
        """
        return {}

    def test(self) -> dict[str, float]:
        """Figures of the whole test split, once training is over."""
        return {}


def portions(count: int, size: int = SAMPLES) -> Iterator[slice]:
    """Slices of at most `size` that make up `count`, with a progress bar if it takes long."""
    with tqdm(total=count, unit="image", delay=2, leave=False) as bar:
        for start in range(0, count, size):
            part = slice(start, min(start + size, count))
            yield part
            bar.update(part.stop - start)


def choose_test(data: Data, count: int) -> Split:
    """Some of the test split, always the same."""
    return choose(data.test, count)


def choose(split: Split, count: int) -> Split:
    """Some of a split, always the same."""
    most = len(split)
    return split.take(np.random.default_rng(0).choice(most, min(count, most), replace=False))


def first_test(data: Data, count: int) -> Split:
    """The first `count` of the test split, in order.

    Raises:
        UserError: there are not so many.
    """
    most = len(data.test)
    if count > most:
        raise UserError(f"--generate {count}: {data.name} has only {most} test images")
    return data.test.take(slice(count))
