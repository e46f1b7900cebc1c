"""Quartet's features: outputs of a small network for images of 32 x 32 pixels, in NumPy.

The Fréchet distance, the kernel distance, precision and recall compare images by features. The
papers take them from Inception: 90 MB of weights for photos of 299 pixels. This network has 0.2
million weights, which fit into the repository and suit small images. Figures made with it are
**not FIDs, and must not be compared with published ones**. They rank models on one data set.

`python -m workshop.train_features` trains it on newts, digits and the other data sets that are
available. Linear functions of the features learn to predict classes, a coarse picture, the masks of
newts, and how blurred and noisy an image is.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from common.data import sizes
from common.measures.checks import check_images

WEIGHTS = Path(__file__).with_name("features.safetensors")
SIDE = 32  # pixels
CHANNELS = (3, 24, 48, 96, 96)  # input of the first convolution, and outputs of each
DIMENSIONS = 64
SLOPE = 0.2  # of the leaky ReLUs
BATCH = 128  # images at a time, to limit memory

Arrays = dict[str, np.ndarray]


def extract(images: np.ndarray, trained: bool = True) -> np.ndarray:
    """The features of images; each has mean 0 and standard deviation 1 over the training data.

    Args:
        images: `uint8`, shape (N, H, W, C), C 1 or 3. Grey is repeated in three channels; other
            sizes than 32 x 32 are resized with Pillow's Lanczos filter.
        trained: False uses random weights, as a control.

    Returns:
        `float64`, shape (N, 64).

    Raises:
        UserError: the arrays are not images.
    """
    check_images(images)
    weights = load_weights() if trained else random_weights()
    parts = [
        _forward(fit(images[start : start + BATCH]), weights)
        for start in range(0, len(images), BATCH)
    ]
    return np.concatenate(parts).astype(np.float64)


def fit(images: np.ndarray) -> np.ndarray:
    """Convert images to the network's input: `uint8` (N, H, W, C) to (N, 32, 32, 3)."""
    if images.shape[1:3] != (SIDE, SIDE):
        images = sizes.resize(images, SIDE)
    return np.broadcast_to(images, (len(images), SIDE, SIDE, 3))


@functools.cache
def load_weights() -> Arrays:
    """The trained weights, `float32`, in the layouts of checkpoints (O I H W, out x in)."""
    from safetensors.numpy import load_file

    return {name: array.astype(np.float32) for name, array in load_file(WEIGHTS).items()}


@functools.cache
def random_weights() -> Arrays:
    """Random weights of the same shapes, normal as in He et al. 2015 (arXiv 1502.01852)."""
    random = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {
        f"conv{i}": (CHANNELS[i], CHANNELS[i - 1], 3, 3) for i in range(1, len(CHANNELS))
    }
    shapes["dense"] = (DIMENSIONS, CHANNELS[-1] * (SIDE >> len(shapes)) ** 2)
    weights = {}
    for name, shape in shapes.items():
        deviation = np.sqrt(2 / (1 + SLOPE**2) / np.prod(shape[1:]))
        weights[f"{name}.weight"] = random.normal(0, deviation, shape).astype(np.float32)
        weights[f"{name}.bias"] = np.zeros(shape[0], np.float32)
    return weights


def _forward(images: np.ndarray, weights: Arrays) -> np.ndarray:
    """`uint8` (N, 32, 32, 3) to `float32` (N, 64)."""
    x = images.astype(np.float32) / 127.5 - 1
    for i in range(1, len(CHANNELS)):
        x = _convolve(x, weights[f"conv{i}.weight"], weights[f"conv{i}.bias"])
        x = np.maximum(x, SLOPE * x)
    x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)  # checkpoints flatten in C H W order
    return x @ weights["dense.weight"].T + weights["dense.bias"]


def _convolve(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """A convolution at stride 2, padded by 1: (N, H, W, I) to (N, H / 2, W / 2, O)."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    _, height, width, _ = x.shape
    shifts = [
        padded[:, top : top + height : 2, left : left + width : 2]
        for top in range(3)
        for left in range(3)
    ]
    windows = np.concatenate(shifts, axis=-1)
    return windows @ kernel.transpose(2, 3, 1, 0).reshape(-1, len(kernel)) + bias
