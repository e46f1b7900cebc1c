"""The kernel distance between two sets of features.

Bińkowski et al. (2018), Demystifying MMD GANs, https://arxiv.org/abs/1801.01401, which calls it
KID and uses Inception's features. With Quartet's features it is another figure.
"""

from __future__ import annotations

import numpy as np

from common.measures.checks import check_features

BLOCK = 1024  # rows of a kernel matrix held at a time


def kernel_distance(real: np.ndarray, generated: np.ndarray) -> float:
    """The unbiased squared maximum mean discrepancy with the kernel (x . y / D + 1)^3.

    Symmetric. For equal distributions its expectation is 0 for any number of samples, so it can be
    negative.

    Args:
        real: features, shape (N, D), N at least 2.
        generated: features, shape (M, D), M at least 2.

    Returns:
        The distance.

    Raises:
        UserError: shapes do not match, or there are fewer than two samples.
    """
    check_features(real, generated, 2, "to compare samples of one set")
    real, generated = real.astype(np.float64), generated.astype(np.float64)
    across = _sum(real, generated) / (len(real) * len(generated))
    return float(_within(real) + _within(generated) - 2 * across)


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
