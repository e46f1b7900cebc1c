"""The kernel distance between two sets of features.

Bińkowski et al. (2018), Demystifying MMD GANs, https://arxiv.org/abs/1801.01401, there of
Inception's features and called KID. Of Quartet's features it is another figure.
"""

from __future__ import annotations

import numpy as np

from common.measures.checks import check_features

BLOCK = 1024  # rows of a kernel matrix held at a time


def kernel_distance(real: np.ndarray, drawn: np.ndarray) -> float:
    """The squared maximum mean discrepancy, unbiased, of the kernel (x . y / D + 1)^3.

    Symmetric. Of equal distributions it is 0 on average, however few the samples, and so at times
    less than 0.

    Args:
        real: features, shape (N, D), N at least 2.
        drawn: features, shape (M, D), M at least 2.

    Returns:
        The distance.

    Raises:
        UserError: shapes do not fit, or there are fewer than two samples.
    """
    check_features(real, drawn, 2, "to compare samples of one set")
    real, drawn = real.astype(np.float64), drawn.astype(np.float64)
    across = _sum(real, drawn) / (len(real) * len(drawn))
    return float(_within(real) + _within(drawn) - 2 * across)


def _within(features: np.ndarray) -> float:
    """The kernel's mean over pairs of different samples of one set."""
    count, dimensions = features.shape
    alone = np.sum((np.sum(features**2, axis=1) / dimensions + 1) ** 3)
    return (_sum(features, features) - alone) / (count * (count - 1))


def _sum(first: np.ndarray, second: np.ndarray) -> float:
    """The kernel's sum over all pairs."""
    scaled = second.T / second.shape[1]
    blocks = (first[start : start + BLOCK] for start in range(0, len(first), BLOCK))
    return sum(float(np.sum((block @ scaled + 1) ** 3)) for block in blocks)
