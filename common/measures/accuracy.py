"""How often a classifier is right, and how sure that is."""

from __future__ import annotations

import math

import numpy as np

NORMAL_95 = 1.959963984540054  # of a normal number, 95 % lie within so many deviations


def wilson(right: int, count: int) -> tuple[float, float]:
    """Between which shares the true one lies, in 95 of 100 experiments: Wilson's interval.

    Unlike the usual one it keeps to 0 and 1, and says of 6 right ones out of 6 that it may be 0.61.
    Wilson (1927), https://doi.org/10.1080/01621459.1927.10502953

    Args:
        right: how many were right.
        count: of how many, at least 1.

    Returns:
        The lower and the upper end, in [0, 1].
    """
    share, square = right / count, NORMAL_95**2
    middle = share + square / (2 * count)
    half = NORMAL_95 * math.sqrt(share * (1 - share) / count + square / (4 * count**2))
    whole = 1 + square / count
    # The ends are exactly 0 and 1 where all are wrong or right, but for rounding.
    low = (middle - half) / whole if right else 0.0
    high = (middle + half) / whole if right < count else 1.0
    return low, high


def confusion(labels: np.ndarray, chosen: np.ndarray, classes: int) -> np.ndarray:
    """How many images of each class were taken for which: `int64`, shape (classes, classes).

    Args:
        labels: `int64`, shape (N,), what they are: rows.
        chosen: `int64`, shape (N,), what they were taken for: columns.
        classes: how many there are.
    """
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (labels, chosen), 1)
    return counts
