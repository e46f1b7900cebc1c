"""The data set that every loader returns: images, labels and class names, in two splits."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Split:
    """The training or the test images of a data set, or some of them.

    Attributes:
        images: `uint8`, shape (N, H, W, C), C is 1 (grey) or 3 (RGB), values 0 to 255.
        labels: `int64`, shape (N,), indices into the data set's `class_names`.
        masks: `uint8`, shape (N, H, W), a class index per pixel (0 for the background, then label
            + 1), or None.
        sources: `uint8`, shape (N, H, W, 3), the other image of each pair, or None.
        grounds: `uint8`, shape (N,), the kind of background in each image, or None if unknown.
    """

    images: np.ndarray
    labels: np.ndarray
    masks: np.ndarray | None = None
    sources: np.ndarray | None = None
    grounds: np.ndarray | None = None

    def arrays(self) -> tuple[np.ndarray | None, ...]:
        """All arrays, in the order of the attributes."""
        return self.images, self.labels, self.masks, self.sources, self.grounds

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: np.ndarray | slice) -> Split:
        """The items at these indices."""
        return Split(
            *(None if array is None else array[indices] for array in self.arrays())  # type: ignore[arg-type]
        )


@dataclass(frozen=True)
class Dataset:
    """A data set in memory.

    Attributes:
        name: as given to `--dataset`.
        class_names: one per label.
        train: the training split. With `augment` its images may be larger than `image_shape`;
            batches hold random crops of them.
        test: the test split; its images have `image_shape`.
        image_shape: (H, W, C) of the networks' images.
        augment: True if training images are to be cropped, flipped and turned at random.
    """

    name: str
    class_names: tuple[str, ...]
    train: Split
    test: Split
    image_shape: tuple[int, int, int]
    augment: bool = False

    def fingerprint(self) -> str:
        """SHA-256 of all arrays of both splits, as 64 hexadecimal digits."""
        digest = hashlib.sha256()
        for split in (self.train, self.test):
            for array in split.arrays():
                if array is None:
                    continue
                digest.update(repr((array.shape, array.dtype.str)).encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()
