"""Estimates masks of newts, to measure whether translations keep the pose of their sources.

The data set must have masks. Masks of translated images are unknown, so a classifier of pixels
estimates them. It is fitted to real images by least squares on random features of a pixel's
neighbourhood (Rahimi, Recht 2008, "Weighted sums of random kitchen sinks").
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from common.measures.checks import check_like

RADIUS = 2  # pixels of a neighbourhood on each side of its centre
FEATURES = 256
PIXELS = 40_000  # that the classifier is fitted to
RIDGE = 1e-3  # keeps weights small

Segment = Callable[[np.ndarray], np.ndarray]


def fit(images: np.ndarray, masks: np.ndarray) -> Segment:
    """Fit a function that estimates masks.

    Args:
        images: `uint8`, shape (N, H, W, 3).
        masks: `uint8`, shape (N, H, W), a class per pixel.

    Returns:
        A function from images of any number and size to estimated masks, both as above.
    """
    random = np.random.default_rng(0)
    size = 3 * (2 * RADIUS + 1) ** 2
    weights = random.normal(0, 2 / np.sqrt(size), (size, FEATURES)).astype(np.float32)
    biases = random.uniform(-1, 1, FEATURES).astype(np.float32)

    def features(patches: np.ndarray) -> np.ndarray:
        hidden = np.maximum(patches @ weights + biases, 0)
        return np.concatenate([hidden, np.ones((len(hidden), 1), np.float32)], axis=1)

    chosen = random.choice(masks.size, min(PIXELS, masks.size), replace=False)
    number, rest = np.divmod(chosen, masks[0].size)
    row, column = np.divmod(rest, masks.shape[2])
    given = features(_patches(images)[number, row, column].reshape(len(chosen), size))
    wanted = np.eye(int(masks.max()) + 1, dtype=np.float32)[masks.ravel()[chosen]]
    square = given.T @ given + RIDGE * len(given) * np.eye(FEATURES + 1, dtype=np.float32)
    solution = np.linalg.solve(square, given.T @ wanted)

    def segment(images: np.ndarray) -> np.ndarray:
        found = np.empty(images.shape[:3], np.uint8)
        for mask, patches in zip(found, _patches(images), strict=True):
            scores = features(patches.reshape(-1, size)) @ solution
            mask[:] = scores.argmax(1).reshape(mask.shape)
        return found

    return segment


def _patches(images: np.ndarray) -> np.ndarray:
    """The neighbourhood of each pixel, in [-1, 1]: (N, H, W, 3, 2 r + 1, 2 r + 1), a view."""
    sides = (RADIUS, RADIUS)
    padded = np.pad(images, ((0, 0), sides, sides, (0, 0)), "reflect").astype(np.float32)
    window = (2 * RADIUS + 1, 2 * RADIUS + 1)
    return sliding_window_view(padded / 127.5 - 1, window, axis=(1, 2))  # type: ignore[call-overload]


def overlap(masks: np.ndarray, others: np.ndarray) -> float:
    """Intersection over union of the newts in two sets of masks, averaged over images.

    Args:
        masks: `uint8`, shape (N, H, W), 0 for the background.
        others: masks of the same shape; mask i is compared with mask i.

    Returns:
        From 0 (no common pixel) to 1 (equal).

    Raises:
        UserError: their shapes differ.
    """
    check_like(masks[..., np.newaxis], others[..., np.newaxis], equal_numbers=True)
    first, second = masks > 0, others > 0
    both = (first & second).sum((1, 2))
    either = np.maximum((first | second).sum((1, 2)), 1)
    return float((both / either).mean())


def share(masks: np.ndarray, classes: np.ndarray) -> float:
    """The fraction of a newt's pixels with a given class, averaged over images; 0 without a newt.

    Args:
        masks: `uint8`, shape (N, H, W), 0 for the background.
        classes: the class to count in each mask, shape (N,).
    """
    newts = (masks > 0).sum((1, 2))
    right = (masks == classes[:, None, None]).sum((1, 2))
    return float((right / np.maximum(newts, 1)).mean())
