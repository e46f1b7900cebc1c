"""What an image-to-image model makes of its sources."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from common.data import Data, Split, sources
from common.data.inputs import read_sources
from common.files import disk_errors
from common.pictures import images
from common.pictures.base import Pictures, choose_test, first_test, portions


class Translations(Pictures):
    """Source, translation and real image side by side, from the test split.

    Args:
        data: its test split is shown.
        task: what sources are; one of `sources.TASKS`.
        translate: `uint8` sources (N, H, W, 3) to such images.
        input_path: a picture, or a folder of pictures, that `generate` translates in their place.
        folder: of the run; translations of these are written to `generated/` in it.
    """

    def __init__(
        self,
        data: Data,
        task: str,
        translate: Callable[[np.ndarray], np.ndarray],
        input_path: str | None,
        folder: Path,
    ) -> None:
        self._data = data
        self._task = task
        self._translate = translate
        self._input_path = input_path
        self._folder = folder

    def draw(self) -> tuple[np.ndarray, dict[str, float]]:
        """The same images each time."""
        return self._rows(choose_test(self._data, 16)), {}

    def generate(self, count: int) -> np.ndarray:
        """The first `count` images of the test split; or what `--input` names, all of it.

        Translations of the latter are also written one by one.

        Raises:
            UserError: the input cannot be read, or a file cannot be written.
        """
        if self._input_path is None:
            return self._rows(first_test(self._data, count))
        named = read_sources(self._task, self._input_path, self._data.image_shape[0])
        given = np.stack([*named.values()])
        made = self.translate(given)
        for name, image in zip(named, made, strict=True):
            file = self._folder / "generated" / f"{name}.png"
            with disk_errors(file.parent):
                file.parent.mkdir(parents=True, exist_ok=True)
            images.save(file, image)
        return images.beside(given, made)

    def translate(self, given: np.ndarray) -> np.ndarray:
        """The translations of `uint8` sources (N, H, W, 3)."""
        return np.concatenate([self._translate(given[part]) for part in portions(len(given))])

    def _rows(self, split: Split) -> np.ndarray:
        given = sources.make_sources(self._task, split)
        return images.beside(given, self.translate(given), split.images)
