"""The Fréchet distance between two sets of features.

Heusel et al. (2017), GANs trained by a two time-scale update rule converge to a local Nash
equilibrium, https://arxiv.org/abs/1706.08500, there of Inception's features and called FID. Of
Quartet's features it is another figure: never compare it with a published FID.
"""

from __future__ import annotations

import numpy as np

from common.measures.checks import check_features


def frechet_distance(real: np.ndarray, drawn: np.ndarray) -> float:
    """|m1 - m2|^2 + Tr(S1 + S2 - 2 (S1 S2)^(1/2)), with m the means and S the covariances.

    0 for the same set, and symmetric. Equal distributions give more than 0, the less the more
    samples there are: compare figures of equally many samples only, and with that of real images
    against other real ones.

    The trace of (S1 S2)^(1/2) is that of (S1^(1/2) S2 S1^(1/2))^(1/2), whose eigenvalues are those
    of a symmetric matrix: no square root of an asymmetric one, which turns complex by rounding.

    Args:
        real: features, shape (N, D), N at least D + 1.
        drawn: features, shape (M, D), M at least D + 1.

    Returns:
        The distance, in the features' units squared.

    Raises:
        UserError: shapes do not fit, or samples are too few: of D samples or fewer the covariance
            is singular, and the distance says more of their number than of their distribution.
    """
    check_features(real, drawn, real.shape[-1] + 1, "for a covariance of full rank")
    (real_mean, real_covariance), (drawn_mean, drawn_covariance) = _moments(real), _moments(drawn)
    values, vectors = np.linalg.eigh(real_covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    both = np.linalg.eigvalsh(root @ drawn_covariance @ root)
    trace = np.trace(real_covariance) + np.trace(drawn_covariance)
    trace -= 2 * np.sqrt(np.maximum(both, 0)).sum()
    return float(np.sum((real_mean - drawn_mean) ** 2) + max(trace, 0))


def _moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) and unbiased covariance (D, D)."""
    features = features.astype(np.float64)
    return features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False))
