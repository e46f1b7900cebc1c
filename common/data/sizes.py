"""Chooses the size of a data set's images, and pads or resizes images to it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from common.data.dataset import Dataset, Split
from common.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

SMALLEST = 8  # pixels; smaller images show nothing
SMALLEST_START = 4  # pixels of the smallest side that networks double to an image's


def count_doublings(size: int) -> int:
    """How often a side of 4 to 7 pixels is doubled to reach `size`: 2 for 28 = 7 * 2 * 2."""
    return max(0, size.bit_length() - SMALLEST_START.bit_length())


def multiple_at(size: int, multiple: int | None) -> int:
    """The number that a side near `size` must be a multiple of.

    Args:
        size: side in pixels.
        multiple: the same number for all sides; None means that sides are 4 to 7 pixels, doubled
            any number of times: multiples of 4 up to 28, of 8 from 32 to 56, of 16 from 64 to 112.
    """
    return 2 ** count_doublings(size) if multiple is None else multiple


def round_up(size: int, multiple: int | None) -> int:
    """The smallest accepted side of at least `size` pixels; `multiple` as in `multiple_at`."""
    multiple = multiple_at(size, multiple)
    return -(-size // multiple) * multiple


def choose(own: int, image_size: int | None, multiple: int | None) -> int:
    """Choose the side of a data set's images in pixels.

    Args:
        own: the data set's own side, which is rounded up if `image_size` is None.
        image_size: the value of `--image-size`, or None.
        multiple: the model's strides need a multiple of it, as in `multiple_at`.

    Raises:
        UserError: `image_size` is too small or does not fit the model.
    """
    if image_size is None:
        return round_up(own, multiple)
    smallest = round_up(SMALLEST, multiple)
    if image_size < smallest:
        raise UserError(
            f"--image-size {image_size}: too small; the smallest accepted is {smallest}"
        )
    step = multiple_at(image_size, multiple)
    if image_size % step:
        below = image_size // step * step
        wanted = f"a multiple of {multiple}" if multiple else "4 to 7, doubled any number of times"
        raise UserError(
            f"--image-size {image_size}: must be {wanted}; the nearest: {below} or {below + step}"
        )
    return image_size


def central_square(picture: Image) -> Image:
    """Crop a picture to the largest square around its centre."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return picture.crop((left, top, left + side, top + side))


def pad(images: np.ndarray, size: int) -> np.ndarray:
    """Pad `uint8` images (N, H, W, C) with zeros on all sides to (N, size, size, C)."""
    count, height, width, channels = images.shape
    padded = np.zeros((count, size, size, channels), np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    padded[:, top : top + height, left : left + width] = images
    return padded


def resize(images: np.ndarray, size: int, name: str = "images") -> np.ndarray:
    """Resize `uint8` images (N, H, W, 1 or 3) to (N, size, size, C) with Pillow's Lanczos filter.

    Args:
        images: the images.
        size: the new side in pixels.
        name: label of the progress bar, which appears after two seconds.

    Returns:
        `uint8`, shape (N, size, size, C).
    """
    from PIL import Image
    from tqdm import tqdm

    count, *_, channels = images.shape
    resized = np.empty((count, size, size, channels), np.uint8)
    # Pillow needs grey images without a channel axis.
    sources = images[..., 0] if channels == 1 else images
    for index in tqdm(range(count), desc=f"resizing {name}", unit="image", delay=2, leave=False):
        picture = Image.fromarray(sources[index]).resize((size, size), Image.Resampling.LANCZOS)
        resized[index] = np.asarray(picture).reshape(size, size, channels)
    return resized


def fit(dataset: Dataset, size: int, multiple: int | None) -> Dataset:
    """Convert a data set's images to another size.

    Images are padded with zeros if `size` is their own side rounded up to `multiple`, and the zeros
    are at most a quarter of it; padding keeps all pixels unchanged. Otherwise images are resized.

    Args:
        dataset: its images are square, have `image_shape` in both splits, and no masks.
        size: the side in pixels, from `choose`.
        multiple: as in `choose`.
    """
    own, _, channels = dataset.image_shape
    if size == own:
        return dataset

    def fitted(split: Split) -> Split:
        if size == round_up(own, multiple) and 4 * own >= 3 * size:
            return replace(split, images=pad(split.images, size))
        return replace(split, images=resize(split.images, size, dataset.name))

    return replace(
        dataset,
        train=fitted(dataset.train),
        test=fitted(dataset.test),
        image_shape=(size, size, channels),
    )
