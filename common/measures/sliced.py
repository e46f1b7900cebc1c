"""The sliced Wasserstein distance between patches of two sets of images; it needs no features.

Karras et al. (2018), Progressive growing of GANs, https://arxiv.org/abs/1710.10196, section
5. With fewer patches and directions than there, so that it takes a second and not a minute.
"""

from __future__ import annotations

import numpy as np

from common.errors import UserError
from common.measures.checks import check_like

PATCH = 7  # side in pixels
# The paper has 128 and 512: ten times the work, for a floor that is half as high.
PER_IMAGE = 32  # patches of each image at each level
DIRECTIONS = 128
COARSEST = 16  # side of the last level in pixels
BLOCK = 32  # directions at a time
# The binomial filter of Burt and Adelson, as the paper has it.
TAPS = np.array([1, 4, 6, 4, 1], np.float32) / 16


def sliced_distance(
    real: np.ndarray, drawn: np.ndarray, random: np.random.Generator
) -> dict[int, float]:
    """How unlike the patches of two sets are, at each level of a Laplacian pyramid.

    The finest level shows sharpness and noise, the coarsest what is left at 16 pixels: shapes and
    colours. Patches of 7 x 7 pixels are taken from random places, the same in both sets; each
    channel is scaled to mean 0 and deviation 1 over the set's patches, so brightness and contrast
    of a level do not count. A distance between equal distributions is above 0, the less the more
    images there are. That of a set to itself is 0.

    Args:
        real: `uint8`, shape (N, H, W, C).
        drawn: `uint8`, as many of the same shape.
        random: draws places and directions.

    Returns:
        By the level's side in pixels (32 for a level of 32 x 32), largest first: the distance times
        1000, as in the paper.

    Raises:
        UserError: images of the two sets differ in number or shape, are smaller than 16 pixels, or
            cannot be halved down to it.
    """
    check_like(real, drawn, equal_numbers=True)
    sides = _sides(real.shape[1:3])
    found = {}
    levels = zip(_pyramid(real, len(sides)), _pyramid(drawn, len(sides)), strict=True)
    for side, (first, second) in zip(sides, levels, strict=True):
        height, width = first.shape[1:3]
        tops = random.integers(0, height - PATCH + 1, (len(first), PER_IMAGE))
        lefts = random.integers(0, width - PATCH + 1, (len(first), PER_IMAGE))
        a, b = (_normalised(_cut(images, tops, lefts)) for images in (first, second))
        directions = random.standard_normal((a.shape[1], DIRECTIONS)).astype(np.float32)
        directions /= np.sqrt(np.sum(directions**2, axis=0))
        found[side] = 1000 * _distance(a, b, directions)
    return found


def _sides(shape: tuple[int, ...]) -> list[int]:
    """The side of each level, the largest first."""
    sides = [min(shape)]
    while sides[-1] >= 2 * COARSEST:
        sides.append(sides[-1] // 2)
    halvings = 2 ** (len(sides) - 1)
    if sides[-1] < COARSEST or any(side % halvings for side in shape):
        raise UserError(
            f"images of {shape[0]} x {shape[1]} pixels: accepted are sides of at least {COARSEST} "
            f"that can be halved down to {COARSEST} or just above it; resize or pad them"
        )
    return sides


def _pyramid(images: np.ndarray, levels: int) -> list[np.ndarray]:
    """A Laplacian pyramid (Burt, Adelson 1983): each level less what the next one can tell of it.

    Shapes are (N, H, W, C), (N, H / 2, W / 2, C), …; the last level is what remains, blurred.
    """
    rest, pyramid = images.astype(np.float32), []
    for _ in range(levels - 1):
        smaller = _filtered(rest)[:, ::2, ::2]
        spread = np.zeros_like(rest)
        spread[:, ::2, ::2] = 4 * smaller
        pyramid.append(rest - _filtered(spread))
        rest = smaller
    return [*pyramid, rest]


def _filtered(images: np.ndarray) -> np.ndarray:
    from scipy.ndimage import correlate1d

    return correlate1d(correlate1d(images, TAPS, 1, mode="mirror"), TAPS, 2, mode="mirror")


def _cut(images: np.ndarray, tops: np.ndarray, lefts: np.ndarray) -> np.ndarray:
    """Patches at places (N, P): (N, H, W, C) to (N * P, 7, 7, C)."""
    windows = np.lib.stride_tricks.sliding_window_view(images, (PATCH, PATCH), axis=(1, 2))
    patches = windows[np.arange(len(images))[:, None], tops, lefts]  # (N, P, C, 7, 7)
    return patches.reshape(-1, *patches.shape[2:]).transpose(0, 2, 3, 1)


def _normalised(patches: np.ndarray) -> np.ndarray:
    """Patches with mean 0 and deviation 1 in each channel, flat: (P, 7, 7, C) to (P, 49 C)."""
    mean = patches.mean(axis=(0, 1, 2), dtype=np.float64)
    deviation = patches.std(axis=(0, 1, 2), dtype=np.float64)
    scaled = (patches - mean) / np.where(deviation > 1e-6, deviation, 1)
    return scaled.astype(np.float32).reshape(len(patches), -1)


def _distance(first: np.ndarray, second: np.ndarray, directions: np.ndarray) -> float:
    """The mean over directions of the distance in one dimension, where sorting is the transport."""
    total = 0.0
    for start in range(0, directions.shape[1], BLOCK):
        part = directions[:, start : start + BLOCK]
        a, b = np.sort(first @ part, axis=0), np.sort(second @ part, axis=0)
        total += float(np.abs(a - b).mean(axis=0, dtype=np.float64).sum())
    return total / directions.shape[1]
