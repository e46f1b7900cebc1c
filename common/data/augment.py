"""Random crops, flips and quarter turns, for data sets of few images."""

from __future__ import annotations

import numpy as np


def augment(
    images: np.ndarray,
    image_size: int,
    rng: np.random.Generator,
    masks: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Crop, mirror and turn each image at random, independently of the others.

    The eight positions of a square (four quarter turns, each mirrored or not) are equally likely.

    Args:
        images: `uint8`, shape (N, H, W, C), values 0 to 255, H and W at least `image_size`.
        image_size: side of the square crops, in pixels.
        rng: the generator of all random numbers.
        masks: `uint8`, shape (N, H, W), transformed like their images; or None.

    Returns:
        The new images, `uint8`, shape (N, image_size, image_size, C); and the new masks, `uint8`,
        shape (N, image_size, image_size), or None.

    Raises:
        ValueError: the images are smaller than `image_size`.
    """
    count, height, width, channels = images.shape
    tops = rng.integers(height - image_size, size=count, endpoint=True).tolist()
    lefts = rng.integers(width - image_size, size=count, endpoint=True).tolist()
    upside_down, mirrored, transposed = rng.integers(2, size=(3, count)).tolist()

    def transform(planes: np.ndarray) -> np.ndarray:
        transformed = np.empty((count, image_size, image_size), planes.dtype)
        for index, (top, left) in enumerate(zip(tops, lefts, strict=True)):
            crop = planes[index, top : top + image_size, left : left + image_size]
            if upside_down[index]:
                crop = crop[::-1]
            if mirrored[index]:
                crop = crop[:, ::-1]
            # Swapping rows and columns after a flip is a quarter turn.
            transformed[index] = crop.T if transposed[index] else crop
        return transformed

    # Moving a pixel's channels as one item halves the time.
    pixels = np.ascontiguousarray(images).view(f"V{channels}")[..., 0]
    changed = transform(pixels)[..., np.newaxis].view(np.uint8)
    return changed, None if masks is None else transform(masks)
