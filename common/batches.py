"""Shuffled batches, the same for every framework, with a state that can be saved."""

from __future__ import annotations

from typing import Any

import numpy as np

from common.augment import augment
from common.datasets.dataset import Dataset
from common.errors import UserError

CROPS = 16  # how often an epoch shows an augmented image, each time cropped and turned anew


class Batches:
    """Endless batches over shuffled epochs: each image once per epoch, none dropped or repeated.

    A batch that an epoch's end cuts short is filled up from the next epoch. Of a data set with
    augmentation an epoch holds `CROPS` variants of each image.

    Args:
        dataset: its training split is used.
        batch_size: images in a batch.
        random: the run's generator, which shuffles and augments.

    Raises:
        UserError: the batch is larger than the training split.
    """

    def __init__(self, dataset: Dataset, batch_size: int, random: np.random.Generator) -> None:
        count = len(dataset.train) * (CROPS if dataset.augment else 1)
        if batch_size > count:
            raise UserError(
                f"--batch-size {batch_size}: {dataset.name} has only {count} training images; "
                f"give at most {count}"
            )
        self.dataset = dataset
        self.batch_size = batch_size
        self.random = random
        self.order = random.permutation(count)
        self.position = 0

    def next(self) -> tuple[np.ndarray, np.ndarray]:
        """The next images, `uint8` (N, H, W, C), and their labels, `int64` (N,)."""
        indices = self.order[self.position : self.position + self.batch_size]
        self.position += len(indices)
        missing = self.batch_size - len(indices)
        if missing:
            self.order = self.random.permutation(len(self.order))
            self.position = missing
            indices = np.concatenate([indices, self.order[:missing]])
        indices = indices % len(self.dataset.train)
        images = self.dataset.train.images[indices]
        if self.dataset.augment:
            images = augment(images, self.dataset.image_shape[0], self.random)
        return images, self.dataset.train.labels[indices]

    def state(self) -> tuple[np.ndarray, dict[str, Any]]:
        """The epoch's order, and the rest as what JSON can hold."""
        return self.order, {
            "position": self.position,
            "random": self.random.bit_generator.state,
        }

    def restore(self, order: np.ndarray, state: dict[str, Any]) -> None:
        """Go on from an earlier `state`."""
        self.order = order
        self.position = state["position"]
        self.random.bit_generator.state = state["random"]
