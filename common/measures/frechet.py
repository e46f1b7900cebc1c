"""The Fréchet distance between two sets of features.

Heusel et al. (2017), GANs trained by a two time-scale update rule converge to a local Nash
equilibrium, https://arxiv.org/abs/1706.08500, which calls it FID and uses Inception's features.
With Quartet's features it is another figure: do not compare it with a published FID.
"""

from __future__ import annotations

import numpy as np

from common.measures.checks import check_features


def frechet_distance(real: np.ndarray, generated: np.ndarray) -> float:
    """|m1 - m2|^2 + Tr(S1 + S2 - 2 (S1 S2)^(1/2)), with m the means and S the covariances.

    Symmetric, and 0 for identical sets. Samples of equal distributions give more than 0, and less
    with more samples. So compare only figures of equal numbers of samples, and compare them with
    the figure of real images against other real images.

    The trace of (S1 S2)^(1/2) is computed as that of (S1^(1/2) S2 S1^(1/2))^(1/2), from the
    eigenvalues of a symmetric matrix; rounding can make the root of S1 S2 complex.

    Args:
        real: features, shape (N, D), N at least D + 1.
        generated: features, shape (M, D), M at least D + 1.

    Returns:
        The distance, in the features' units squared.

    Raises:
        UserError: shapes do not match, or there are too few samples: the covariance of D samples
            or fewer is singular.
    """
    check_features(real, generated, real.shape[-1] + 1, "for a covariance of full rank")
    real_mean, real_covariance = _moments(real)
    generated_mean, generated_covariance = _moments(generated)
    values, vectors = np.linalg.eigh(real_covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    both = np.linalg.eigvalsh(root @ generated_covariance @ root)
    trace = np.trace(real_covariance) + np.trace(generated_covariance)
    trace -= 2 * np.sqrt(np.maximum(both, 0)).sum()
    return float(np.sum((real_mean - generated_mean) ** 2) + max(trace, 0))


def _moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) and unbiased covariance (D, D)."""
    features = features.astype(np.float64)
    return features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False))
