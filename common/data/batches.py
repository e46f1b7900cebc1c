"""Batches in random order, the same in all frameworks, with a state that can be saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from common.data.augment import augment
from common.data.dataset import Dataset, Split
from common.data.domains import NAMES, divide
from common.errors import UserError

CROPS = 16  # crops of an augmented image in one epoch


@dataclass(frozen=True)
class Batch:
    """The arrays that one update learns from.

    Pixels are `uint8`; a script's `preprocess` converts them to its networks' range and layout.

    Attributes:
        images: `uint8`, shape (N, H, W, C), values 0 to 255: what the model learns to draw or to
            tell apart; of two domains, images of domain b.
        labels: `int64`, shape (N,), indices into the data set's `class_names`.
        sources: `uint8`, shape (N, H, W, C), or None where the task has none. Of a translation,
            what each image is to be made from; of two domains, images of domain a, which have no
            relation to those of domain b.
    """

    images: np.ndarray
    labels: np.ndarray
    sources: np.ndarray | None = None

    def map(self, function: Callable[[np.ndarray], np.ndarray]) -> Batch:
        """Apply a function to each array."""
        return replace(self, **{name: function(array) for name, array in self.arrays().items()})

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name, without those that are None."""
        return {name: array for name, array in vars(self).items() if array is not None}


def stack(batches: list[Batch]) -> Batch:
    """Stack the arrays of several batches along a new first axis: (B, N, H, W, C) and (B, N)."""
    first, *_ = arrays = [batch.arrays() for batch in batches]
    return replace(batches[0], **{name: np.stack([a[name] for a in arrays]) for name in first})


def augmented(dataset: Dataset, part: Split, random: np.random.Generator) -> Split:
    """Crop, flip and turn images at random if the data set is augmented."""
    if not dataset.augment:
        return part
    images, masks = augment(part.images, dataset.image_shape[0], random, part.masks)
    return replace(part, images=images, masks=masks)


def make_batch(dataset: Dataset, part: Split, random: np.random.Generator) -> Batch:
    """Images and labels, augmented if the data set is."""
    part = augmented(dataset, part, random)
    return Batch(part.images, part.labels)


class Batches:
    """Endless batches of a training split, in a new random order each epoch.

    A batch that reaches past the end of an epoch is completed from the next one. An epoch shows
    each image once, or `CROPS` times if images are cropped at random.

    Args:
        dataset: its training split is used.
        batch_size: images in a batch.
        random: the run's generator; it shuffles now and after each epoch, and augments.
        make_batch: makes a batch from images of the split.
        cropped: True if `make_batch` crops images at random, whatever the data set says.

    Raises:
        UserError: a batch is larger than an epoch.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        random: np.random.Generator,
        make_batch: Callable[[Dataset, Split, np.random.Generator], Batch] = make_batch,
        cropped: bool = False,
    ) -> None:
        count = len(dataset.train) * (CROPS if cropped or dataset.augment else 1)
        if batch_size > count:
            raise UserError(
                f"--batch-size {batch_size}: {dataset.name} has only {count} training images; "
                f"give at most {count}"
            )
        self.dataset = dataset
        self.batch_size = batch_size
        self.random = random
        self.make_batch = make_batch
        self.order = random.permutation(count)
        self.position = 0

    @property
    def epoch(self) -> int:
        """Images in a pass over the training split, counting each once."""
        return len(self.dataset.train)

    def next(self) -> Batch:
        """The next batch."""
        indices = self.order[self.position : self.position + self.batch_size]
        self.position += len(indices)
        missing = self.batch_size - len(indices)
        if missing:
            self.order = self.random.permutation(len(self.order))
            self.position = missing
            indices = np.concatenate([indices, self.order[:missing]])
        indices = indices % len(self.dataset.train)
        return self.make_batch(self.dataset, self.dataset.train.take(indices), self.random)

    def state(self) -> tuple[np.ndarray, dict[str, Any]]:
        """The state that `restore` takes.

        Returns:
            The epoch's order, `int64`, shape (images in an epoch,); and a dict for JSON with the
            position in the order and the rng state of the run.
        """
        return self.order, {
            "position": self.position,
            "random": self.random.bit_generator.state,
        }

    def restore(self, order: np.ndarray, state: dict[str, Any]) -> None:
        """Restore an earlier `state`, and with it the run's rng state.

        Args:
            order: the first part of the state; the data set must have the same length.
            state: the second part of the state.
        """
        self.order = order
        self.position = state["position"]
        self.random.bit_generator.state = state["random"]


class DomainBatches:
    """Endless batches of two domains, shuffled independently.

    Args:
        dataset: its two classes are the domains.
        batch_size: images of each domain in a batch.
        random: the run's generator, which shuffles both.

    Raises:
        UserError: a batch is larger than an epoch of one domain.
    """

    def __init__(self, dataset: Dataset, batch_size: int, random: np.random.Generator) -> None:
        self.parts = [
            Batches(
                replace(dataset, name=f"domain {name} of {dataset.name}", train=part),
                batch_size,
                random,
            )
            for name, part in zip(NAMES, divide(dataset.train), strict=True)
        ]

    @property
    def epoch(self) -> int:
        """Images in a pass over the larger domain."""
        return max(part.epoch for part in self.parts)

    def next(self) -> Batch:
        """The next batch: domain b as images, domain a as sources."""
        first, second = (part.next() for part in self.parts)
        return replace(second, sources=first.images)

    def state(self) -> tuple[np.ndarray, dict[str, Any]]:
        """The state that `restore` takes: as in `Batches`, with both orders and both positions."""
        orders, states = zip(*(part.state() for part in self.parts), strict=True)
        positions = [state["position"] for state in states]
        return np.concatenate(orders), {**states[0], "position": positions}

    def restore(self, order: np.ndarray, state: dict[str, Any]) -> None:
        """Restore an earlier `state`, as `Batches` does."""
        orders = np.split(order, [len(self.parts[0].order)])
        for part, own, position in zip(self.parts, orders, state["position"], strict=True):
            part.restore(own, {**state, "position": position})


def every_image(dataset: Dataset) -> np.ndarray:
    """All training images, `uint8` (N, H, W, C), for measures of the whole training split.

    If the data set is augmented, `CROPS` crops of each image, always the same ones.
    """
    images = dataset.train.images
    if not dataset.augment:
        return images
    random = np.random.default_rng(0)
    return augment(images.repeat(CROPS, axis=0), dataset.image_shape[0], random)[0]
