"""Principal component analysis: the optimum of a linear autoencoder.

Baldi, Hornik (1989), Neural networks and principal component analysis,
https://doi.org/10.1016/0893-6080(89)90014-2
"""

from __future__ import annotations

import numpy as np

HALF_RANGE = 127.5  # grey levels per unit of the error, for pixels in [-1, 1]


def test_error(train: np.ndarray, test: np.ndarray, components: int) -> float:
    """Mean squared error of test images reconstructed from their principal components.

    Args:
        train: `uint8` images (N, H, W, C) that define the components.
        test: `uint8` images (M, H, W, C).
        components: number of components, at most that of images or pixels.

    Returns:
        The error of pixels scaled to [-1, 1].
    """
    from sklearn.decomposition import PCA

    flat = train.reshape(len(train), -1).astype(np.float32) / HALF_RANGE - 1
    held_out = test.reshape(len(test), -1).astype(np.float32) / HALF_RANGE - 1
    pca = PCA(min(components, *flat.shape), random_state=0).fit(flat)
    restored = pca.inverse_transform(pca.transform(held_out))
    return float(np.mean(np.square(restored - held_out)))
