"""A classifier's predictions for test images or the user's own pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np

from common.data import Data, Split
from common.measures import accuracy
from common.pictures import images, plots
from common.pictures.base import COLUMNS, SAMPLES, Pictures, choose_test, first_test, portions

MOST = 512  # test images whose accuracy is measured during training


class Predictions(Pictures):
    """Test images, each with its predicted class and probability.

    Args:
        data: its test split is shown and measured.
        classify: `uint8` images (N, H, W, 3) to the probability of each class, (N, K).
        input_path: the user's picture or folder of pictures for `generate`; None for test images.
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
        """The same 32 images each time, and the accuracy of `MOST` images."""
        part = choose_test(self._data, MOST)
        probabilities = self.classify(part.images)
        shown = slice(SAMPLES // 2)
        picture = self._sheet(part.images[shown], probabilities[shown], part.labels[shown])
        return picture, {"accuracy": float((probabilities.argmax(1) == part.labels).mean())}

    def generate(self, count: int) -> np.ndarray:
        """The first `count` test images; or all pictures of `--input`, whose classes are printed.

        Raises:
            UserError: there are fewer test images, or the input cannot be read.
        """
        if self._input_path is None:
            return self.show(first_test(self._data, count))
        named = self._data.read_inputs(self._input_path)
        given = np.stack([*named.values()])
        probabilities = self.classify(given)
        for name, row in zip(named, probabilities, strict=True):
            order = np.argsort(-row, kind="stable")
            likely = ", ".join(f"{self._data.class_names[k]} {row[k]:.2f}" for k in order[:3])
            print(f"{name}: {likely}")
        return self._sheet(given, probabilities, None)

    def classify(self, given: np.ndarray) -> np.ndarray:
        """The probability of each class, (N, K), for `uint8` images (N, H, W, 3)."""
        return np.concatenate([self._classify(given[part]) for part in portions(len(given))])

    def test(self) -> dict[str, float]:
        """The figures of the whole test split."""
        return {f"test {name}": value for name, value in self.measure(self._data.test).items()}

    def measure(self, split: Split) -> dict[str, float]:
        """The loss and the accuracy of a split, with the accuracy's confidence interval."""
        probabilities = self.classify(split.images).astype(np.float64)
        right = int((probabilities.argmax(1) == split.labels).sum())
        low, high = accuracy.wilson(right, len(split))
        of_label = probabilities[np.arange(len(split)), split.labels]
        return {
            "classification_loss": float(-np.log(np.maximum(of_label, 1e-300)).mean()),
            "accuracy": right / len(split),
            "accuracy, at least (95 %)": low,
            "accuracy, at most (95 %)": high,
        }

    def show(self, split: Split) -> np.ndarray:
        """A picture of a split's images, each with its predicted class."""
        return self._sheet(split.images, self.classify(split.images), split.labels)

    def finish(self, folder: Path, title: str) -> dict[str, Path]:
        """Write the confusion matrix of the test split as a PNG file.

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
        self, given: np.ndarray, probabilities: np.ndarray, labels: np.ndarray | None
    ) -> np.ndarray:
        chosen = probabilities.argmax(1)
        words = [
            f"{self._data.class_names[k]} {row[k]:.2f}"
            for k, row in zip(chosen, probabilities, strict=True)
        ]
        wrong = np.zeros(len(given), bool) if labels is None else chosen != labels
        return images.grid(images.caption(given, words, wrong), min(COLUMNS, len(given)))
