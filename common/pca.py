"""The yardstick of a linear autoencoder: principal component analysis, which is its optimum.

Baldi, Hornik (1989), Neural networks and principal component analysis,
https://doi.org/10.1016/0893-6080(89)90014-2
"""

from __future__ import annotations

import numpy as np

from common.augment import augment
from common.batches import CROPS
from common.datasets.dataset import Dataset
from common.images import to_floats


def test_error(dataset: Dataset, components: int, low: float, high: float) -> float:
    """Mean squared error of restoring the test images from their principal components.

    Args:
        dataset: its training split is analysed, with augmentation where it has it.
        components: how many are kept; of fewer images or pixels, all there are.
        low: value of black.
        high: value of white.
    """
    from sklearn.decomposition import PCA

    train = dataset.train.images
    if dataset.augment:
        random = np.random.default_rng(0)
        train = augment(train.repeat(CROPS, axis=0), dataset.image_shape[0], random)
    flat = to_floats(train, low, high).reshape(len(train), -1)
    test = to_floats(dataset.test.images, low, high).reshape(len(dataset.test), -1)
    pca = PCA(min(components, *flat.shape), random_state=0).fit(flat)
    restored = pca.inverse_transform(pca.transform(test))
    return float(np.mean(np.square(restored - test)))
