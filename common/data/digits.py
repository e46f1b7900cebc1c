"""Digits: 1 797 real handwritten digits of 8x8 pixels, which scikit-learn ships.

The test part, written by 13 people, of E. Alpaydin and C. Kaynak's data set,
https://archive.ics.uci.edu/dataset/80 (CC BY 4.0). Each pixel counts the ink in a block of 4x4
pixels of a scanned bitmap of 32x32: 17 levels of grey.
"""

from __future__ import annotations

import numpy as np

from common.data.dataset import Dataset, Split

TEST_EVERY = 6  # every sixth digit is in the test split


def load() -> Dataset:
    """All digits: images `uint8` (N, 8, 8, 1), white on black; every sixth is in the test split."""
    from sklearn.datasets import load_digits

    levels, labels = load_digits(return_X_y=True)
    images = np.rint(levels.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    split = Split(images, labels.astype(np.int64))
    test = np.arange(len(images)) % TEST_EVERY == TEST_EVERY - 1
    names = tuple(str(digit) for digit in range(10))
    return Dataset("digits", names, split.take(~test), split.take(test), (8, 8, 1))
