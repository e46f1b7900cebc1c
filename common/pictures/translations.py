"""Translations of an image-to-image model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from common.data import Data, Split
from common.data.domains import divide
from common.data.tasks import Translation
from common.errors import UserError
from common.files import disk_errors
from common.pictures import images
from common.pictures.base import Pictures, choose, choose_test, first_test, portions


class Translations(Pictures):
    """Source, translation and real image side by side, from the test split.

    Args:
        data: its task is a `Translation`; its test split is shown.
        translate: `uint8` sources (N, H, W, 3) to translations of the same shape.
        input_path: the user's picture or folder of pictures for `generate`; None for test images.
        folder: the run folder; translations of the user's pictures are written to `generated/`.
    """

    def __init__(
        self,
        data: Data,
        translate: Callable[[np.ndarray], np.ndarray],
        input_path: str | None,
        folder: Path,
    ) -> None:
        self._data = data
        self._translate = translate
        self._input_path = input_path
        self._folder = folder

    def draw(self) -> tuple[np.ndarray, dict[str, float]]:
        """The same images each time."""
        return self._rows(choose_test(self._data, 16)), {}

    def generate(self, count: int) -> np.ndarray:
        """The first `count` images of the test split; or all pictures of `--input`.

        Translations of the user's pictures are also written one by one.

        Raises:
            UserError: the input cannot be read, or a file cannot be written.
        """
        if self._input_path is None:
            return self._rows(first_test(self._data, count))
        named = self._data.read_inputs(self._input_path)
        given = np.stack([*named.values()])
        made = self.translate(given)
        save_each(self._folder, named, made)
        return images.beside(given, made)

    def make_sources(self, split: Split) -> np.ndarray:
        """The `uint8` sources (N, H, W, 3) of images."""
        assert isinstance(self._data.task, Translation)
        return self._data.task.make_sources(split)

    def translate(self, given: np.ndarray) -> np.ndarray:
        """The translations of `uint8` sources (N, H, W, 3)."""
        return np.concatenate([self._translate(given[part]) for part in portions(len(given))])

    def _rows(self, split: Split) -> np.ndarray:
        given = self.make_sources(split)
        return images.beside(given, self.translate(given), split.images)


class DomainTranslations(Pictures):
    """Test images of two domains, each translated into the other domain and back.

    A row shows an image of a, its translation to b, and that back in a; then the same from b.

    Args:
        data: its test split is shown; its two classes are the domains.
        translate: `uint8` images (N, H, W, C) of a domain, and `a2b` or `b2a`, to their
            translations and to these translated back.
        input_path: the user's picture or folder of pictures for `generate`; None for test images.
        direction: `a2b` or `b2a`, the only direction for `generate`; None for both.
        folder: the run folder; translations of the user's pictures are written to `generated/`.
    """

    def __init__(
        self,
        data: Data,
        translate: Callable[[np.ndarray, str], tuple[np.ndarray, np.ndarray]],
        input_path: str | None,
        direction: str | None,
        folder: Path,
    ) -> None:
        self._data = data
        self._translate = translate
        self._input_path = input_path
        self._direction = direction
        self._folder = folder

    def draw(self) -> tuple[np.ndarray, dict[str, float]]:
        """The same images each time."""
        parts = divide(self._data.test)
        count = min(8, *map(len, parts))
        return self._rows([choose(part, count).images for part in parts], None), {}

    def generate(self, count: int) -> np.ndarray:
        """The first `count` test images of each domain; or all pictures of `--input`.

        Translations of the user's pictures are also written one by one.

        Raises:
            UserError: there are fewer images, the input cannot be read, no direction is given for
                it, or a file cannot be written.
        """
        if self._input_path is not None:
            return self._translate_input(self._input_path)
        parts = divide(self._data.test)
        most = min(map(len, parts))
        if count > most:
            raise UserError(
                f"--generate {count}: {self._data.name} has only {most} test images of a domain"
            )
        return self._rows([part.images[:count] for part in parts], self._direction)

    def _translate_input(self, path: str) -> np.ndarray:
        if self._direction is None:
            raise UserError(f"--input {path}: give the direction, --direction a2b or b2a")
        named = self._data.read_inputs(path)
        given = np.stack([*named.values()])
        made, back = self.translate(given, self._direction)
        save_each(self._folder, named, made)
        return images.beside(given, made, back, columns=1)

    def translate(self, given: np.ndarray, direction: str) -> tuple[np.ndarray, np.ndarray]:
        """The translations of `uint8` images (N, H, W, C), and these translated back."""
        made = [self._translate(given[part], direction) for part in portions(len(given))]
        there, back = (np.concatenate(which) for which in zip(*made, strict=True))
        return there, back

    def _rows(self, parts: list[np.ndarray], only: str | None) -> np.ndarray:
        sets = []
        for given, direction in zip(parts, ("a2b", "b2a"), strict=True):
            if direction == only or only is None:
                sets += [given, *self.translate(given, direction)]
        return images.beside(*sets, columns=1)


def save_each(folder: Path, names: Iterable[str], made: np.ndarray) -> None:
    """Write `uint8` images (N, H, W, C) to `generated/NAME.png` in a run folder.

    Raises:
        UserError: a file cannot be written.
    """
    for name, image in zip(names, made, strict=True):
        file = folder / "generated" / f"{name}.png"
        with disk_errors(file.parent):
            file.parent.mkdir(parents=True, exist_ok=True)
        images.save(file, image)
