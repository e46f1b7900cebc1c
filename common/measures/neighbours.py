"""Precision and recall of drawn images, and each one's nearest real image, by their features.

Kynkäänniemi et al. (2019), Improved precision and recall metric for assessing generative models,
https://arxiv.org/abs/1904.06991, there of VGG's features.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from common.measures.checks import check_features

NEIGHBOURS = 3  # the paper's k
BLOCK = 1024  # rows of a matrix of distances held at a time


def precision_and_recall(real: np.ndarray, drawn: np.ndarray) -> tuple[float, float]:
    """Precision: the share of drawn samples among the real; recall: of real ones among the drawn.

    A sample lies among a set if it lies in a ball around one of its members that reaches to that
    member's third nearest neighbour in the set. Low precision: images look wrong. Low recall: some
    kinds of image are missing. Both depend on the number of samples: compare figures of equally
    many only.

    Args:
        real: features, shape (N, D), N at least 4.
        drawn: features, shape (M, D), M at least 4.

    Returns:
        Precision and recall, each from 0 to 1.

    Raises:
        UserError: shapes do not fit, or there are too few samples.
    """
    check_features(real, drawn, NEIGHBOURS + 1, f"for {NEIGHBOURS} neighbours each")
    return _share_among(real, drawn), _share_among(drawn, real)


def nearest(real: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The index of the real sample nearest to each drawn one: was it learnt by heart?

    Args:
        real: features, shape (N, D).
        drawn: features, shape (M, D).

    Returns:
        `int64`, shape (M,), indices into `real`.

    Raises:
        UserError: shapes do not fit, or there are no samples.
    """
    check_features(real, drawn, 1, "to find the nearest")
    return np.concatenate([block.argmin(axis=1) for block in _distances(drawn, real)])


def _share_among(members: np.ndarray, samples: np.ndarray) -> float:
    """The share of samples that lie in some member's ball."""
    # Sorted, a member's distance to itself comes first.
    radii = np.concatenate(
        [np.partition(block, NEIGHBOURS)[:, NEIGHBOURS] for block in _distances(members, members)]
    )
    inside = [(block <= radii).any(axis=1) for block in _distances(samples, members)]
    return float(np.concatenate(inside).mean())


def _distances(first: np.ndarray, second: np.ndarray) -> Iterator[np.ndarray]:
    """Distances, shape (N, M), in blocks of rows; of equal samples exactly 0."""
    from scipy.spatial.distance import cdist

    for start in range(0, len(first), BLOCK):
        yield cdist(first[start : start + BLOCK], second)
