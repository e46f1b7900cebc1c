"""Faster batch norm for Chainer on a CPU, computed in pieces that stay in the processor's cache.

Chainer passes over all images about twenty times in a step, forward and backward. Here sums over
images and pixels are matrix products, and all operations on a piece are done while it is in the
cache. `chainer_cpu.install` replaces Chainer's functions by these.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

import chainer.functions.normalization.batch_normalization  # noqa: F401

# By name: its package also has a function of this name.
MODULE: Any = sys.modules["chainer.functions.normalization.batch_normalization"]
IMPLEMENTATION = MODULE.GeneralBatchNormalizationImpl

PIECE = 1 << 16  # elements processed at a time
FEW = 1 << 15  # below this number of elements, Chainer's functions are as fast

OWN_MEAN = IMPLEMENTATION.get_mean_and_var
OWN_NORMALIZE = MODULE._apply_bn_fwd
OWN_GRADIENTS = IMPLEMENTATION.backward


def _suits(x: Any, axis: tuple[int, ...], *others: Any) -> bool:
    """True for large NumPy arrays of one dtype, normalised by channel."""
    if not isinstance(x, np.ndarray) or x.size < FEW or axis != (0, *range(2, x.ndim)):
        return False
    return all(other.dtype == x.dtype for other in others)


def _lines(x: np.ndarray) -> np.ndarray:
    """Images with channels last, by rows of pixels: (N, C, H, W) to (N, H, W * C)."""
    last = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    return last.reshape(len(x), -1, math.prod(last.shape[-2:]) if x.ndim > 2 else last.shape[-1])


def _images(lines: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The inverse of `_lines`, as a view."""
    count, channels, *size = shape
    return np.moveaxis(lines.reshape(count, *size, channels), -1, 1)


def _along(numbers: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """One value per channel, repeated for all pixels of a row."""
    return np.tile(numbers.reshape(-1), lines.shape[-1] // numbers.size)


def _pieces(lines: np.ndarray) -> Iterator[slice]:
    images = max(1, PIECE // math.prod(lines.shape[1:]))
    for first in range(0, len(lines), images):
        yield slice(first, first + images)


def total(lines: np.ndarray, channels: int) -> np.ndarray:
    """The sum of each channel."""
    pixels = lines.reshape(-1, channels)
    return np.ones(len(pixels), lines.dtype) @ pixels


def mean_and_variance(
    self: Any, axis: tuple[int, ...], gamma: Any, x: Any, xp: Any, interm_dtype: Any
) -> tuple[Any, Any]:
    """Replaces `GeneralBatchNormalizationImpl.get_mean_and_var`."""
    if not _suits(x, axis, gamma):
        return OWN_MEAN(self, axis, gamma, x, xp, interm_dtype)
    lines, channels = _lines(x), x.shape[1]
    count = x.dtype.type(x.size // channels)
    mean = np.zeros(channels, x.dtype)
    for some in _pieces(lines):
        mean += total(lines[some], channels)
    mean /= count
    along = _along(mean, lines)
    variance = np.zeros(channels, x.dtype)
    for some in _pieces(lines):
        away = lines[some] - along
        away *= away
        variance += total(away, channels)
    return mean, variance / count


def normalize(xp: Any, x: Any, mean: Any, inv_std: Any, gamma: Any, beta: Any) -> Any:
    """Replaces `_apply_bn_fwd`."""
    numbers = mean, inv_std, gamma, beta
    each_channel = (1, *x.shape[1:2], *[1] * (x.ndim - 2))
    by_channel = all(array.shape == each_channel for array in numbers)
    if not by_channel or not _suits(x, (0, *range(2, x.ndim)), *numbers):
        return OWN_NORMALIZE(xp, x, *numbers)
    lines = _lines(x)
    y = np.empty_like(lines)
    mean, factor, shift = (_along(each, lines) for each in (mean, inv_std * gamma, beta))
    for some in _pieces(lines):
        made = np.subtract(lines[some], mean, out=y[some])
        made *= factor
        made += shift
    return _images(y, x.shape)


def gradients(
    self: Any, axis: tuple[int, ...], gamma: Any, gy: Any, x: Any, *others: Any
) -> tuple[Any, ...]:
    """Replaces `GeneralBatchNormalizationImpl.backward`: gradients of x, gamma and beta."""
    # The batch norm of several processes sums in its own way.
    if type(self) is not IMPLEMENTATION or not _suits(x, axis, gamma, gy):
        return OWN_GRADIENTS(self, axis, gamma, gy, x, *others)
    _, _, _, mean, inv_std, *_ = others
    lines, given, channels = _lines(x), _lines(gy), x.shape[1]
    along = _along(mean, lines)
    ggamma, gbeta = np.zeros((2, channels), x.dtype)
    for some in _pieces(lines):
        away = lines[some] - along
        away *= given[some]
        ggamma += total(away, channels)
        gbeta += total(given[some], channels)
    ggamma *= inv_std
    count = x.dtype.type(x.size // channels)
    slope, level, factor = (
        _along(each, lines) for each in (inv_std * ggamma / count, gbeta / count, gamma * inv_std)
    )
    gx = np.empty_like(lines)
    for some in _pieces(lines):
        away = lines[some] - along
        away *= slope
        away += level
        made = np.subtract(given[some], away, out=gx[some])
        made *= factor
    return _images(gx, x.shape), None, ggamma, gbeta
