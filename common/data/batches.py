"""Batches in random order, the same for every framework, with a state that can be saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from common.data.augment import augment
from common.data.dataset import Dataset, Split
from common.data.domains import NAMES, divide
from common.errors import UserError

CROPS = 16  # times that an epoch shows an augmented image, each time cropped and turned anew


@dataclass(frozen=True)
class Batch:
    """What one update learns from.

    Its pixels are always `uint8`: a script's own `preprocess` brings them to the networks' range
    and layout.

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
        """The batch of what a function makes of its arrays."""
        return replace(self, **{name: function(array) for name, array in self.arrays().items()})

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that there are, by name."""
        return {name: array for name, array in vars(self).items() if array is not None}


def stack(batches: list[Batch]) -> Batch:
    """Several batches as one, whose arrays have a new first axis: (B, N, H, W, C) and (B, N)."""
    first, *_ = arrays = [batch.arrays() for batch in batches]
    return replace(batches[0], **{name: np.stack([a[name] for a in arrays]) for name in first})


def augmented(dataset: Dataset, part: Split, random: np.random.Generator) -> Split:
    """A part of the training split, cropped, flipped and turned at random if need be."""
    if not dataset.augment:
        return part
    images, masks = augment(part.images, dataset.image_shape[0], random, part.masks)
    return replace(part, images=images, masks=masks)


def make_batch(dataset: Dataset, part: Split, random: np.random.Generator) -> Batch:
    """The images and labels of a part of the training split, augmented if need be."""
    part = augmented(dataset, part, random)
    return Batch(part.images, part.labels)


class Batches:
    """Endless batches of a training split, which each epoch shows once in a new random order.

    A batch that reaches past the end of an epoch is completed from the next one. Where images are
    cropped at random, an epoch holds `CROPS` variants of each.

    Args:
        dataset: its training split is used.
        batch_size: images in a batch.
        random: the run's generator, which shuffles now and after each epoch, and augments.
        make_batch: makes a batch of a part of the split, with random numbers if it needs any.
        cropped: whether `make_batch` crops the images, even if the data set does not ask for it.

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
        """How many images a pass over the training split takes, of each one crop."""
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
        """What `restore` needs to go on from here.

        Returns:
            The epoch's order, `int64` of shape (images in an epoch,); and what fits into JSON: the
            position in it, and the state of the run's generator.
        """
        return self.order, {
            "position": self.position,
            "random": self.random.bit_generator.state,
        }

    def restore(self, order: np.ndarray, state: dict[str, Any]) -> None:
        """Go on from an earlier `state`, which also sets the run's generator back to it.

        Args:
            order: the first part of the state, of a data set of the same length.
            state: the second part.
        """
        self.order = order
        self.position = state["position"]
        self.random.bit_generator.state = state["random"]


class DomainBatches:
    """Endless batches of two domains, each of which is shuffled by itself.

    Args:
        dataset: has two classes, which are the domains.
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
        """How many images of each domain a pass over the larger one takes."""
        return max(part.epoch for part in self.parts)

    def next(self) -> Batch:
        """The next batch: images of domain b, and as sources those of domain a."""
        first, second = (part.next() for part in self.parts)
        return replace(second, sources=first.images)

    def state(self) -> tuple[np.ndarray, dict[str, Any]]:
        """What `restore` needs: as of `Batches`, the two orders joined, a position for each."""
        orders, states = zip(*(part.state() for part in self.parts), strict=True)
        positions = [state["position"] for state in states]
        return np.concatenate(orders), {**states[0], "position": positions}

    def restore(self, order: np.ndarray, state: dict[str, Any]) -> None:
        """Go on from an earlier `state`, as `Batches` does."""
        orders = np.split(order, [len(self.parts[0].order)])
        for part, own, position in zip(self.parts, orders, state["position"], strict=True):
            part.restore(own, {**state, "position": position})


def every_image(dataset: Dataset) -> np.ndarray:
    """The images of an epoch, `uint8` (N, H, W, C): what a model learns from, measured as a whole.

    Of a data set with augmentation, `CROPS` variants of each image, always the same.
    """
    images = dataset.train.images
    if not dataset.augment:
        return images
    random = np.random.default_rng(0)
    return augment(images.repeat(CROPS, axis=0), dataset.image_shape[0], random)[0]
