"""Digits: 1 797 real handwritten digits of 8x8 pixels, which scikit-learn ships.

From E. Alpaydin and C. Kaynak, https://archive.ics.uci.edu/dataset/80 (CC BY 4.0): each of 43
people's 32x32 bitmaps counted in blocks of 4x4, hence 17 levels of grey.
"""

from __future__ import annotations

import numpy as np

from common.datasets.dataset import Dataset, Split

TEST_EVERY = 6  # one digit in so many is kept for the test


def load() -> Dataset:
    """All digits as `uint8` (N, 8, 8, 1), white on black; every sixth is for the test."""
    from sklearn.datasets import load_digits

    levels, labels = load_digits(return_X_y=True)
    images = np.rint(levels.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    split = Split(images, labels.astype(np.int64))
    test = np.arange(len(images)) % TEST_EVERY == TEST_EVERY - 1
    names = tuple(str(digit) for digit in range(10))
    return Dataset("digits", names, split.take(~test), split.take(test), (8, 8, 1))
