"""Precision, recall, classes and nearest real images of generated images, by features.

Kynkäänniemi et al. (2019), Improved precision and recall metric for assessing generative models,
https://arxiv.org/abs/1904.06991, which uses VGG's features.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from common.errors import UserError
from common.measures.checks import check_features

NEIGHBOURS = 3  # the paper's k
READERS = 5  # nearest known images that vote on a class
BLOCK = 1024  # rows of a matrix of distances held at a time


def precision_and_recall(real: np.ndarray, generated: np.ndarray) -> tuple[float, float]:
    """Precision: fraction of generated samples within the real set; recall: the reverse.

    A sample is within a set if, for some member of the set, it is no farther away than that
    member's third nearest neighbour. Low precision: images look wrong. Low recall: some kinds of
    image are missing. Both depend on the number of samples, so compare only equal numbers.

    Args:
        real: features, shape (N, D), N at least 4.
        generated: features, shape (M, D), M at least 4.

    Returns:
        Precision and recall, each from 0 to 1.

    Raises:
        UserError: shapes do not match, or there are too few samples.
    """
    check_features(real, generated, NEIGHBOURS + 1, f"for {NEIGHBOURS} neighbours each")
    return _fraction_within(real, generated), _fraction_within(generated, real)


def nearest(real: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """The index of the real sample nearest to each generated one, to detect memorisation.

    Args:
        real: features, shape (N, D).
        generated: features, shape (M, D).

    Returns:
        `int64`, shape (M,), indices into `real`.

    Raises:
        UserError: shapes do not match, or there are no samples.
    """
    check_features(real, generated, 1, "to find the nearest")
    return np.concatenate([block.argmin(axis=1) for block in _distances(generated, real)])


def read_classes(known: np.ndarray, labels: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Classify images by the majority of their `READERS` nearest known images.

    Ties go to the smaller label.

    Args:
        known: features, shape (N, D).
        labels: classes of the known images, integers from 0, shape (N,).
        seen: features of the images to classify, shape (M, D).

    Returns:
        `int64`, shape (M,).

    Raises:
        UserError: shapes do not match, or fewer than `READERS` images are known.
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


def _fraction_within(members: np.ndarray, samples: np.ndarray) -> float:
    """The fraction of samples within the set of members."""
    # The nearest neighbour of a member is itself.
    radii = np.concatenate(
        [np.partition(block, NEIGHBOURS)[:, NEIGHBOURS] for block in _distances(members, members)]
    )
    inside = [(block <= radii).any(axis=1) for block in _distances(samples, members)]
    return float(np.concatenate(inside).mean())


def _distances(first: np.ndarray, second: np.ndarray) -> Iterator[np.ndarray]:
    """Distances, shape (N, M), in blocks of rows; exactly 0 for equal samples."""
    from scipy.spatial.distance import cdist

    for start in range(0, len(first), BLOCK):
        yield cdist(first[start : start + BLOCK], second)
