"""A classifier's accuracy with its confidence interval, and the confusion matrix."""

from __future__ import annotations

import math

import numpy as np

NORMAL_95 = 1.959963984540054  # deviations around the mean that contain 95 % of a normal


def wilson(right: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % confidence interval of an accuracy.

    Unlike the normal approximation it stays within [0, 1], and is not empty for 6 of 6 right: there
    its lower end is 0.61. Wilson (1927), https://doi.org/10.1080/01621459.1927.10502953

    Args:
        right: number of right predictions.
        count: number of predictions, at least 1.

    Returns:
        The lower and the upper end, in [0, 1].
    """
    share, square = right / count, NORMAL_95**2
    middle = share + square / (2 * count)
    half = NORMAL_95 * math.sqrt(share * (1 - share) / count + square / (4 * count**2))
    whole = 1 + square / count
    # If all are wrong or right, one end is exactly 0 or 1, without a rounding error.
    low = (middle - half) / whole if right else 0.0
    high = (middle + half) / whole if right < count else 1.0
    return low, high


def confusion(labels: np.ndarray, chosen: np.ndarray, classes: int) -> np.ndarray:
    """The confusion matrix, counts of images: `int64`, shape (classes, classes).

    Args:
        labels: true classes (rows), `int64`, shape (N,).
        chosen: predicted classes (columns), `int64`, shape (N,).
        classes: number of classes.
    """
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (labels, chosen), 1)
    return counts
