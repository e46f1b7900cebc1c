"""Between arrays and picture files: value ranges, grids, PNG, animation."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from common.files import replacing


def to_floats(images: np.ndarray, low: float, high: float) -> np.ndarray:
    """`uint8` images to `float32` in [low, high]: -1 and 1 for a tanh, 0 and 1 for a sigmoid."""
    return images.astype(np.float32) / np.float32(255 / (high - low)) + np.float32(low)


def to_bytes(images: np.ndarray, low: float, high: float) -> np.ndarray:
    """`float32` images in [low, high] to `uint8`, rounded; the inverse of `to_floats`."""
    levels = (images - np.float32(low)) * np.float32(255 / (high - low))
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def grid(images: np.ndarray, columns: int | None = None, border: int = 2) -> np.ndarray:
    """Lay `uint8` images (N, H, W, C) out as one picture, row by row, on a white ground.

    Args:
        images: at least one image.
        columns: images in a row; by default as near to a square as N allows.
        border: white pixels between and around the images.

    Returns:
        `uint8`, shape (rows * (H + border) + border, columns * (W + border) + border, C).
    """
    count, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    sheet = np.full(
        (rows * (height + border) + border, columns * (width + border) + border, channels),
        255,
        np.uint8,
    )
    for index, image in enumerate(images):
        y = border + index // columns * (height + border)
        x = border + index % columns * (width + border)
        sheet[y : y + height, x : x + width] = image
    return sheet


def save(path: Path, picture: np.ndarray) -> None:
    """Write a `uint8` picture (H, W, 1 or 3) as a PNG file.

    Raises:
        UserError: the file cannot be written.
    """
    from PIL import Image

    with replacing(path) as aside:
        Image.fromarray(picture.squeeze(-1) if picture.shape[-1] == 1 else picture).save(aside)


def animate(paths: list[Path], path: Path, most: int = 60) -> None:
    """Join PNG files of one size into an animated WebP, the last one shown longest.

    Args:
        paths: the frames, in order; of more than `most`, evenly spaced ones are taken.
        path: the file to write.
        most: the largest number of frames.

    Raises:
        UserError: the file cannot be written.
    """
    from PIL import Image

    if len(paths) > most:
        paths = [paths[round(i)] for i in np.linspace(0, len(paths) - 1, most)]
    frames = [Image.open(frame).convert("RGB") for frame in paths]
    durations = [250] * (len(frames) - 1) + [2000]  # milliseconds
    with replacing(path) as aside:
        frames[0].save(
            aside, save_all=True, append_images=frames[1:], duration=durations, loop=0, quality=85
        )
