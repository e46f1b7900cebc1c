"""Shuffled batches, the same for every framework, with a state that can be saved."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from common import tasks
from common.augment import augment
from common.datasets.dataset import Dataset, Split
from common.errors import UserError

CROPS = 16  # how often an epoch shows an augmented image, each time cropped and turned anew


@dataclass(frozen=True)
class Batch:
    """What a step learns from.

    Attributes:
        images: shape (N, H, W, C), `uint8`; from `Run.steps` `float32` in the model's
            `pixel_range` and the framework's layout.
        labels: `int64`, shape (N,), indices into the data set's `class_names`.
        sources: like `images`; what they are to be made from, if the model has a task.
    """

    images: np.ndarray
    labels: np.ndarray
    sources: np.ndarray | None = None


def stack(batches: list[Batch]) -> Batch:
    """Several batches as one, whose arrays have a new first axis."""
    sources = [batch.sources for batch in batches if batch.sources is not None]
    return Batch(
        np.stack([batch.images for batch in batches]),
        np.stack([batch.labels for batch in batches]),
        np.stack(sources) if sources else None,
    )


class Batches:
    """Endless batches over shuffled epochs: each image once per epoch, none dropped or repeated.

    A batch that an epoch's end cuts short is filled up from the next epoch. Of a data set with
    augmentation an epoch holds `CROPS` variants of each image.

    Args:
        dataset: its training split is used.
        batch_size: images in a batch.
        random: the run's generator, which shuffles and augments.
        task: what sources are made for (see `common.tasks`), or None for none.

    Raises:
        UserError: the batch is larger than the training split.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        random: np.random.Generator,
        task: str | None = None,
    ) -> None:
        count = len(dataset.train) * (CROPS if dataset.augment else 1)
        if batch_size > count:
            raise UserError(
                f"--batch-size {batch_size}: {dataset.name} has only {count} training images; "
                f"give at most {count}"
            )
        self.dataset = dataset
        self.batch_size = batch_size
        self.random = random
        self.task = task
        self.order = random.permutation(count)
        self.position = 0

    def next(self) -> Batch:
        """The next batch, its images and sources `uint8`."""
        indices = self.order[self.position : self.position + self.batch_size]
        self.position += len(indices)
        missing = self.batch_size - len(indices)
        if missing:
            self.order = self.random.permutation(len(self.order))
            self.position = missing
            indices = np.concatenate([indices, self.order[:missing]])
        indices = indices % len(self.dataset.train)
        part = self.dataset.train.take(indices)
        if self.dataset.augment:
            part = self._augmented(part)
        sources = tasks.make_sources(self.task, part) if self.task else None
        return Batch(part.images, part.labels, sources)

    def _augmented(self, part: Split) -> Split:
        size = self.dataset.image_shape[0]
        if part.masks is None or self.task != "segmentation":
            return replace(part, images=augment(part.images, size, self.random), masks=None)
        images, masks = augment(part.images, size, self.random, part.masks)
        return replace(part, images=images, masks=masks)

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
