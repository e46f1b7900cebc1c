"""Random crops for training a classifier, and central crops for testing.

As torchvision's RandomResizedCrop, RandomHorizontalFlip, Resize and CenterCrop have them:
https://docs.pytorch.org/vision/stable/transforms.html
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from common.data.dataset import Dataset, Split

AREA = (0.08, 1.0)  # of a crop, as a fraction of the image's
ASPECT = (3 / 4, 4 / 3)  # width over height
TRIES = 10
MARGIN = 8 / 7  # side of a test image, divided by the side of its central crop

Box = tuple[int, int, int, int]  # left, top, right, bottom


def enlarged(size: int) -> int:
    """The side in pixels of an image whose central crop has `size` pixels."""
    return round(size * MARGIN)


def prepare(dataset: Dataset, size: int) -> Dataset:
    """Convert a data set for a classifier: central crops of test images, grey to RGB.

    Args:
        dataset: its images have sides of `enlarged(size)` pixels, or more in the training split.
        size: side of the networks' input in pixels.

    Returns:
        Images in three channels, without masks. `augment` is off, because `random_crops` crops the
        training images.
    """

    def in_colour(split: Split) -> Split:
        images = split.images
        if images.shape[-1] == 1:
            images = images.repeat(3, axis=-1)
        return Split(images, split.labels)

    test = in_colour(dataset.test)
    return replace(
        dataset,
        train=in_colour(dataset.train),
        test=replace(test, images=take_middle(test.images, size)),
        image_shape=(size, size, 3),
        augment=False,
    )


def take_middle(images: np.ndarray, size: int) -> np.ndarray:
    """The central crop of images: (..., H, W, C) -> (..., size, size, C)."""
    top, left = ((side - size) // 2 for side in images.shape[-3:-1])
    return np.ascontiguousarray(images[..., top : top + size, left : left + size, :])


def choose_box(height: int, width: int, random: np.random.Generator) -> Box:
    """Draw the box of a random crop: its area and aspect ratio, then its position.

    A crop that does not fit is drawn again. After `TRIES` it is the largest central crop with an
    aspect ratio in `ASPECT`.

    Args:
        height: of the image, in pixels.
        width: of the image, in pixels.
        random: the generator of all random numbers.

    Returns:
        (left, top, right, bottom) in whole pixels, the last two exclusive.
    """
    for _ in range(TRIES):
        area = height * width * random.uniform(*AREA)
        aspect = math.exp(random.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
        wide, high = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < wide <= width and 0 < high <= height:
            top = int(random.integers(height - high, endpoint=True))
            left = int(random.integers(width - wide, endpoint=True))
            return left, top, left + wide, top + high
    wide = min(width, round(height * ASPECT[1]))
    high = min(height, round(width / ASPECT[0]))
    left, top = (width - wide) // 2, (height - high) // 2
    return left, top, left + wide, top + high


def random_crops(images: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    """Crop each image at random, resize the crop, and mirror it with probability 1/2.

    Args:
        images: `uint8`, shape (N, H, W, 3), values 0 to 255.
        size: side of the crops after resizing, in pixels.
        random: the generator of all random numbers.

    Returns:
        `uint8`, shape (N, size, size, 3), by Pillow's bilinear filter.
    """
    from PIL import Image

    count, height, width, channels = images.shape
    crops = np.empty((count, size, size, channels), np.uint8)
    for crop, image in zip(crops, images, strict=True):
        box = choose_box(height, width, random)
        picture = Image.fromarray(image).crop(box).resize((size, size), Image.Resampling.BILINEAR)
        pixels = np.asarray(picture)
        crop[:] = pixels[:, ::-1] if random.random() < 0.5 else pixels
    return crops
