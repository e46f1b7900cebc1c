"""Compares Keras' convolutions that pad by "same" with padding by hand, the odd zero in front."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "keras")]

import keras  # noqa: E402
from keras import ops  # noqa: E402

import layers  # noqa: E402

random = np.random.default_rng(0)
nn: Any = layers  # pyright takes another framework's


def main() -> None:
    for kernel, stride, height, width in itertools.product((2, 3, 4, 5), (1, 2), (5, 8), (6, 8)):
        x = random.standard_normal((2, height, width, 3)).astype(np.float32)
        layer = nn.Conv2D(2, kernel, strides=stride, padding="same")
        quick = layer(x)
        padded = ops.convert_to_tensor(pad(x, kernel, stride))
        by_hand = ops.conv(padded, layer.kernel, stride, "valid")
        found, expected = (np.array(ops.convert_to_numpy(y)) for y in (quick, by_hand))
        np.testing.assert_allclose(found, expected, atol=1e-4, err_msg=f"{kernel} {stride}")
    print(keras.backend.backend(), end="")


def pad(x: np.ndarray, kernel: int, stride: int) -> np.ndarray:
    zeros = [max(0, (-(-n // stride) - 1) * stride + kernel - n) for n in x.shape[1:3]]
    return np.pad(x, [(0, 0), *((n - n // 2, n // 2) for n in zeros), (0, 0)])


if __name__ == "__main__":
    main()
