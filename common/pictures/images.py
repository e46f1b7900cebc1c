"""Arranges images as pictures, and writes PNG files and animations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.errors import warn
from common.files import replacing


def grid(images: np.ndarray, columns: int | None = None, border: int = 2) -> np.ndarray:
    """Arrange `uint8` images (N, H, W, C) in one picture, row by row, on white.

    Images with sides below 32 pixels are enlarged by an integer factor.

    Args:
        images: at least one image.
        columns: images in a row; by default the grid is nearly square.
        border: white pixels between and around the images.

    Returns:
        `uint8`, (rows * (H + border) + border, columns * (W + border) + border, C), with H and
        W after enlargement.
    """
    zoom = max(1, 32 // images.shape[1])
    images = images.repeat(zoom, axis=1).repeat(zoom, axis=2)
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


def rows_over_rows(upper: np.ndarray, lower: np.ndarray, columns: int) -> np.ndarray:
    """A picture of two sets of `uint8` images (N, H, W, C), their rows alternating."""
    count = len(upper)
    columns = min(columns, count)
    rows = -(-count // columns)
    blank = np.full((2, rows, columns, *upper.shape[1:]), 255, np.uint8)
    for sheet, images in zip(blank, (upper, lower), strict=True):
        sheet.reshape(-1, *upper.shape[1:])[:count] = images
    return grid(blank.swapaxes(0, 1).reshape(-1, *upper.shape[1:]), columns)


def beside(*sets: np.ndarray, columns: int = 2) -> np.ndarray:
    """A picture of sets of `uint8` images (N, H, W, C), with image i of all sets side by side."""
    joined = np.stack(sets, 1).reshape(-1, *sets[0].shape[1:])
    return grid(joined, len(sets) * min(columns, len(sets[0])))


def label_rows(sheet: np.ndarray, names: Sequence[str], border: int = 2) -> np.ndarray:
    """A grid (H, W, C), `uint8`, with a name to the left of each row."""
    from PIL import Image, ImageDraw, ImageFont

    height = (len(sheet) - border) // len(names)
    font = ImageFont.load_default(max(10, min(16, height - 4)))
    width = max(round(font.getlength(name)) for name in names) + 8
    margin = Image.new("L", (width, len(sheet)), 255)
    pen = ImageDraw.Draw(margin)
    for row, name in enumerate(names):
        middle = border + row * height + (height - border) / 2
        pen.text((width - 4, middle), name, 0, font, anchor="rm")
    text = np.repeat(np.asarray(margin)[..., np.newaxis], sheet.shape[-1], axis=-1)
    return np.concatenate([text, sheet], axis=1)


def caption(
    images: np.ndarray, words: Sequence[str], wrong: np.ndarray, smallest: int = 80
) -> np.ndarray:
    """Add a line of text below each image, in red for wrong ones.

    Args:
        images: `uint8`, shape (N, H, W, 3); sides below `smallest` pixels are enlarged.
        words: one text per image; long ones are cut off.
        wrong: bool, shape (N,).
        smallest: the smallest side that leaves room for text.

    Returns:
        `uint8`, shape (N, height, width, 3).
    """
    from PIL import Image, ImageDraw, ImageFont

    zoom = -(-smallest // images.shape[1])
    images = images.repeat(zoom, axis=1).repeat(zoom, axis=2)
    count, height, width, channels = images.shape
    font = ImageFont.load_default(11)
    sheet = np.full((count, height + 15, width, channels), 255, np.uint8)
    sheet[:, :height] = images
    for captioned, text, bad in zip(sheet, words, wrong, strict=True):
        line = Image.new("RGB", (width, 15), (200, 40, 0) if bad else "white")
        ImageDraw.Draw(line).text((2, 1), text, "white" if bad else "black", font)
        captioned[height:] = np.asarray(line)
    return sheet


def save(path: Path, picture: np.ndarray) -> None:
    """Write a `uint8` picture (H, W, 1 or 3) as a PNG file.

    Raises:
        UserError: the file cannot be written.
    """
    from PIL import Image

    with replacing(path) as aside:
        image = Image.fromarray(picture.squeeze(-1) if picture.shape[-1] == 1 else picture)
        image.save(aside, compress_level=3)  # Pillow's 6 takes up to four times as long


def animate(paths: list[Path], path: Path, most: int = 60) -> None:
    """Join PNG files into an animated WebP that shows the last one longest.

    A file that cannot be read, or differs in size from the last one, is left out with a warning.

    Args:
        paths: the frames, in order; if there are more than `most`, evenly spaced ones are used.
        path: the file to write.
        most: the largest number of frames.

    Raises:
        UserError: the file cannot be written.
    """
    from PIL import Image

    if len(paths) > most:
        paths = [paths[round(i)] for i in np.linspace(0, len(paths) - 1, most)]
    frames: list[Image.Image] = []
    for frame in reversed(paths):
        try:
            with Image.open(frame) as picture:
                read = picture.convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            warn(f"{frame}: cannot be read ({error}); left out of {path.name}")
            continue
        if frames and read.size != frames[0].size:
            warn(f"{frame}: differs in size from the last picture; left out of {path.name}")
            continue
        frames.append(read)
    if not frames:
        return
    frames.reverse()
    durations = [250] * (len(frames) - 1) + [2000]  # milliseconds
    with replacing(path) as aside:
        frames[0].save(
            aside, save_all=True, append_images=frames[1:], duration=durations, loop=0, quality=85
        )
