"""Compares the quick ways to pad in TensorFlow with padding by hand; prints how often each came."""

from __future__ import annotations

import collections
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tensorflow")]

import tensorflow as tf  # noqa: E402

import layers as nn  # noqa: E402

random = np.random.default_rng(0)
choose = nn.find_padding


def main() -> None:
    ways: collections.Counter[str] = collections.Counter()
    for kernel, stride, padding, height, width in itertools.product(
        (1, 2, 3, 4, 5, 7), (1, 2, 3), (0, 1, 2, 3), (5, 8), (6, 8)
    ):
        if padding >= kernel or kernel > min(height, width) + 2 * padding:
            continue
        x = tf.constant(random.standard_normal((2, height, width, 2)), tf.float32)
        ways[compare(nn.Conv2d(2, 3, kernel, stride, padding), x)] += 1
        for output_padding in range(min(stride, padding + 1)):
            if (height - 1) * stride - 2 * padding + kernel + output_padding > 0:
                layer = nn.ConvTranspose2d(2, 3, kernel, stride, padding, output_padding)
                ways[compare(layer, x)] += 1
    print(json.dumps(ways))


def compare(layer: Any, x: tf.Tensor) -> str:
    """The way that is chosen, which gives the same images and gradients as "VALID"."""
    layer.weight.assign(random.standard_normal(layer.weight.shape))
    taken = []

    def find(*arguments: Any) -> str:
        taken.append(choose(*arguments))
        return taken[-1]

    nn.find_padding = find
    ours = run(layer, x)
    nn.find_padding = lambda *_: "VALID"
    for quick, by_hand in zip(ours, run(layer, x), strict=True):
        np.testing.assert_allclose(quick, by_hand, atol=1e-4)
    return taken[0]


def run(layer: Any, x: tf.Tensor) -> list[Any]:
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        loss = tf.reduce_sum(y * tf.sin(tf.reshape(tf.range(tf.size(y), dtype=y.dtype), y.shape)))
    return [y, *tape.gradient(loss, [x, layer.weight])]


if __name__ == "__main__":
    main()
