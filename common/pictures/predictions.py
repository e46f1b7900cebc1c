"""What a classifier takes test images for, or a user's own pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np

from common.data import Data, Split
from common.measures import accuracy
from common.pictures import images, plots
from common.pictures.base import COLUMNS, SAMPLES, Pictures, choose_test, first_test, portions

MOST = 512  # test images whose accuracy is measured while training goes on


class Predictions(Pictures):
    """Test images, each over the class it is taken for and its probability.

    Args:
        data: its test split is shown, and measured on.
        classify: `uint8` images (N, H, W, 3) to the probability of each class, (N, K).
        input_path: a user's picture, or folder of pictures, for `generate`; None for test images.
    """

    figures = ("accuracy",)
    best_by: ClassVar[str | None] = "accuracy"

    def __init__(
        self, data: Data, classify: Callable[[np.ndarray], np.ndarray], input_path: str | None
    ) -> None:
        self._data = data
        self._classify = classify
        self._input_path = input_path

    def draw(self) -> tuple[np.ndarray, dict[str, float]]:
        """The same images each time, 32 of those that the accuracy is measured on."""
        part = choose_test(self._data, MOST)
        chances = self.classify(part.images)
        shown = slice(SAMPLES // 2)
        picture = self._sheet(part.images[shown], chances[shown], part.labels[shown])
        return picture, {"accuracy": float((chances.argmax(1) == part.labels).mean())}

    def generate(self, count: int) -> np.ndarray:
        """The first `count` test images; or what `--input` names, all of it, also said in words.

        Raises:
            UserError: there are not so many, or the input cannot be read.
        """
        if self._input_path is None:
            return self.show(first_test(self._data, count))
        named = self._data.read_inputs(self._input_path)
        given = np.stack([*named.values()])
        chances = self.classify(given)
        for name, row in zip(named, chances, strict=True):
            order = np.argsort(-row, kind="stable")
            likely = ", ".join(f"{self._data.class_names[k]} {row[k]:.2f}" for k in order[:3])
            print(f"{name}: {likely}")
        return self._sheet(given, chances, None)

    def classify(self, given: np.ndarray) -> np.ndarray:
        """The probability of each class, (N, K), of `uint8` images (N, H, W, 3)."""
        return np.concatenate([self._classify(given[part]) for part in portions(len(given))])

    def test(self) -> dict[str, float]:
        """The figures of the whole test split."""
        return {f"test {name}": value for name, value in self.measure(self._data.test).items()}

    def measure(self, split: Split) -> dict[str, float]:
        """Figures of images with labels: the loss, and the accuracy with its interval."""
        chances = self.classify(split.images).astype(np.float64)
        right = int((chances.argmax(1) == split.labels).sum())
        low, high = accuracy.wilson(right, len(split))
        of_label = chances[np.arange(len(split)), split.labels]
        return {
            "classification_loss": float(-np.log(np.maximum(of_label, 1e-300)).mean()),
            "accuracy": right / len(split),
            "accuracy, at least (95 %)": low,
            "accuracy, at most (95 %)": high,
        }

    def show(self, split: Split) -> np.ndarray:
        """A picture of images with labels, each over what it is taken for."""
        return self._sheet(split.images, self.classify(split.images), split.labels)

    def finish(self, folder: Path, title: str) -> dict[str, Path]:
        """Which classes of the test split are taken for which, as a PNG file.

        Raises:
            UserError: the file cannot be written.
        """
        test, names = self._data.test, self._data.class_names
        chosen = self.classify(test.images).argmax(1)
        counts = accuracy.confusion(test.labels, chosen, len(names))
        path = folder / "confusion.png"
        plots.confusion(path, title, counts, names)
        return {"confusion": path}

    def _sheet(
        self, given: np.ndarray, chances: np.ndarray, labels: np.ndarray | None
    ) -> np.ndarray:
        chosen = chances.argmax(1)
        words = [
            f"{self._data.class_names[k]} {row[k]:.2f}"
            for k, row in zip(chosen, chances, strict=True)
        ]
        wrong = np.zeros(len(given), bool) if labels is None else chosen != labels
        return images.grid(images.caption(given, words, wrong), min(COLUMNS, len(given)))
