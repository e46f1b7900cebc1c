"""Precision, recall, classes and nearest real images of what was drawn, by features.

Kynkäänniemi et al. (2019), Improved precision and recall metric for assessing generative models,
https://arxiv.org/abs/1904.06991, there of VGG's features.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from common.errors import UserError
from common.measures.checks import check_features

NEIGHBOURS = 3  # the paper's k
READERS = 5  # known images that a class is read from
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


def read_classes(known: np.ndarray, labels: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The class of each image: that of most of its `READERS` nearest known ones.

    Of equally frequent classes, the one with the smaller label.

    Args:
        known: features, shape (N, D).
        labels: their classes, whole numbers from 0, shape (N,).
        seen: features of the images to read, shape (M, D).

    Returns:
        `int64`, shape (M,).

    Raises:
        UserError: shapes do not fit, or fewer than `READERS` images are known.
    """
    check_features(known, seen, 1, "to read")
    if len(known) < READERS:
        raise UserError(f"{len(known)} known images: too few to read classes from {READERS}")
    classes = np.arange(labels.max() + 1)
    found = []
    for block in _distances(seen, known):
        near = labels[np.argpartition(block, READERS - 1, axis=1)[:, :READERS]]
        found.append((near[..., np.newaxis] == classes).sum(axis=1).argmax(axis=1))
    return np.concatenate(found)


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
