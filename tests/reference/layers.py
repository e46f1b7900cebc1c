"""Layers in plain NumPy, in PyTorch's layouts; see reference.py.

Letters: N images, C channels in, O channels out, H and W height and width, K kernel.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tests.reference.autograd import Value, sum_to

EPS = 1e-5  # of batch norm
KEEPS = 0.9  # share of the old running average


class Network:
    """The arrays of one network by name, and the layers that they make.

    Args:
        arrays: parameters and running averages; running averages are changed in place by `norm`,
            parameters by an optimiser.

    Attributes:
        weights: the parameters, without the running averages.
    """

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.arrays = arrays
        self.weights = {
            name: Value(array) for name, array in arrays.items() if ".running_" not in name
        }

    def dense(self, name: str, x: Value) -> Value:
        """Fully connected, x W' + b: (N, C) -> (N, O), with W (O, C)."""
        return self._add_bias(name, x @ self.weights[f"{name}.weight"].T)

    def conv(self, name: str, x: Value, stride: int, padding: int) -> Value:
        return self._add_bias(name, conv2d(x, self.weights[f"{name}.weight"], stride, padding))

    def deconv(
        self, name: str, x: Value, stride: int, padding: int = 0, output_padding: int = 0
    ) -> Value:
        weight = self.weights[f"{name}.weight"]
        return self._add_bias(name, conv_transpose2d(x, weight, stride, padding, output_padding))

    def norm(self, name: str, x: Value, training: bool) -> Value:
        """Batch normalisation of (N, C) or (N, C, H, W).

        scale (x - mean) / sqrt(var + eps) + shift; Ioffe, Szegedy (2015), algorithms 1 and 2.
        In training, mean and variance are the batch's own, the variance divided by the count n;
        the running averages then move a tenth of the way to them, with the variance divided by
        n - 1. In inference the running averages are used.
        """
        shape = (1, -1, *[1] * (len(x.shape) - 2))
        averages = [self.arrays[f"{name}.running_{which}"] for which in ("mean", "var")]
        if training:
            channels = x.shape[1]
            count = x.data.size // channels
            per_channel = (1, channels, *shape[2:])
            average = sum_to(x, per_channel) / count
            variance = sum_to((x - average) ** 2, per_channel) / count
            unbiased = variance.data * count / (count - 1)
            for old, new in zip(averages, (average.data, unbiased), strict=True):
                old[:] = KEEPS * old + (1 - KEEPS) * new.ravel()
        else:
            average, variance = (Value(array.reshape(shape)) for array in averages)
        scale, shift = (
            self.weights[f"{name}.{which}"].reshape(*shape) for which in ("weight", "bias")
        )
        return scale * (x - average) / (variance + EPS) ** 0.5 + shift

    def group_norm(self, name: str, x: Value) -> Value:
        """Normalisation of each image of (N, C, H, W): group norm with one group; Wu, He (2018).

        scale (x - mean) / sqrt(var + eps) + shift, with mean and variance over C, H and W, and
        scale and shift per channel.
        """
        count = len(x.data)
        size = x.data[0].size
        average = sum_to(x, (count, 1, 1, 1)) / size
        variance = sum_to((x - average) ** 2, (count, 1, 1, 1)) / size
        scale, shift = (
            self.weights[f"{name}.{which}"].reshape(1, -1, 1, 1) for which in ("weight", "bias")
        )
        return scale * (x - average) / (variance + EPS) ** 0.5 + shift

    def reflected_conv(self, name: str, x: Value, padding: int) -> Value:
        """A convolution of stride 1 of images that are mirrored at their edges."""
        return self.conv(name, reflect(x, padding), stride=1, padding=0)

    def _add_bias(self, name: str, x: Value) -> Value:
        bias = self.weights.get(f"{name}.bias")
        return x if bias is None else x + bias.reshape(1, -1, *[1] * (len(x.shape) - 2))


def conv2d(x: Value, weight: Value, stride: int, padding: int) -> Value:
    """Each window of x, times the kernel, summed: (N, C, H, W) -> (N, O, h, w).

    Args:
        x: the images.
        weight: (O, C, K, K).
        stride: pixels from one window to the next.
        padding: zeros on every side.
    """
    count, _, height, width = x.shape
    outputs, _, kernel, _ = weight.shape
    h, w = (count_windows(size, kernel, stride, padding) for size in (height, width))
    y = weight.reshape(outputs, -1) @ unfold(x, kernel, stride, padding)  # (O, N * h * w)
    return y.reshape(outputs, count, h, w).transpose(1, 0, 2, 3)


def conv_transpose2d(
    x: Value, weight: Value, stride: int, padding: int, output_padding: int
) -> Value:
    """The adjoint of `conv2d`: every pixel adds the kernel, times itself, to its window.

    The result has (H - 1) stride - 2 padding + K + output_padding rows.

    Args:
        x: the images (N, C, H, W).
        weight: (C, O, K, K).
        stride: pixels from one window to the next.
        padding: rows and columns cut off on every side.
        output_padding: rows below and columns to the right that are kept of the padding.
    """
    count, channels, height, width = x.shape
    _, outputs, kernel, _ = weight.shape
    grow = kernel - 2 * padding + output_padding
    shape = (count, outputs, (height - 1) * stride + grow, (width - 1) * stride + grow)
    pixels = x.transpose(0, 2, 3, 1).reshape(-1, channels)  # (N * H * W, C)
    windows = pixels @ weight.reshape(channels, -1)  # (N * H * W, O * K * K)
    return fold(windows.T, shape, kernel, stride, padding)


def instance_norm(x: Value) -> Value:
    """(x - mean) / sqrt(var + eps) of each channel of each image; Ulyanov and others (2016)."""
    count, channels, height, width = x.shape
    per_channel = (count, channels, 1, 1)
    average = sum_to(x, per_channel) / (height * width)
    variance = sum_to((x - average) ** 2, per_channel) / (height * width)
    return (x - average) / (variance + EPS) ** 0.5


def reflect(x: Value, padding: int) -> Value:
    """Mirror images at their edges, which are not repeated: (N, C, H, W) -> (N, C, H + 2p, W + 2p).

    It is linear: R x C', where each row of R picks a row of x, and each row of C a column.
    """
    rows, columns = _mirrors(x.shape, padding)
    return Value(rows @ x.data @ columns.T, (x, lambda g: unreflect(g, x.shape, padding)))


def unreflect(x: Value, shape: tuple[int, ...], padding: int) -> Value:
    """The adjoint of `reflect`: every pixel is added to the one of `shape` that it is a copy of."""
    rows, columns = _mirrors(shape, padding)
    return Value(rows.T @ x.data @ columns, (x, lambda g: reflect(g, padding)))


def _mirrors(shape: tuple[int, ...], padding: int) -> list[np.ndarray]:
    return [np.eye(size)[np.pad(np.arange(size), padding, "reflect")] for size in shape[2:]]


def max_pool2d(x: Value, kernel: int, stride: int, padding: int = 0) -> Value:
    """The largest number of each window, the first of equals: (N, C, H, W) -> (N, C, h, w).

    Args:
        x: the images; not negative where there is padding, which is of zeros.
        kernel: side of a window.
        stride: pixels from one window to the next.
        padding: zeros on every side.
    """
    count, channels, height, width = x.shape
    h, w = (count_windows(size, kernel, stride, padding) for size in (height, width))
    windows = unfold(x, kernel, stride, padding).reshape(channels, kernel**2, -1)
    places = np.arange(kernel**2)[:, None]
    largest = windows.data.argmax(1, keepdims=True) == places
    picked = sum_to(windows * largest, (channels, 1, count * h * w))
    return picked.reshape(channels, count, h, w).transpose(1, 0, 2, 3)


# Convolutions as products of matrices.


def count_windows(size: int, kernel: int, stride: int, padding: int) -> int:
    """How many windows lie along a side."""
    return (size + 2 * padding - kernel) // stride + 1


def unfold(x: Value, kernel: int, stride: int, padding: int) -> Value:
    """Every window as a column: (N, C, H, W) -> (C * K * K, N * h * w)."""
    sides = (padding, padding)
    padded = np.pad(x.data, ((0, 0), (0, 0), sides, sides))
    views = sliding_window_view(padded, (kernel, kernel), axis=(2, 3))  # type: ignore[call-overload]
    columns = views[:, :, ::stride, ::stride].transpose(1, 4, 5, 0, 2, 3)  # (C, K, K, N, h, w)
    return Value(
        columns.reshape(x.shape[1] * kernel**2, -1),
        (x, lambda g: fold(g, x.shape, kernel, stride, padding)),
    )


def fold(columns: Value, shape: tuple[int, ...], kernel: int, stride: int, padding: int) -> Value:
    """The adjoint of `unfold`: every column is added to its window of images of `shape`."""
    count, channels, height, width = shape
    h, w = (count_windows(size, kernel, stride, padding) for size in (height, width))
    given = columns.data.reshape(channels, kernel, kernel, count, h, w)
    padded = np.zeros((channels, count, height + 2 * padding, width + 2 * padding))
    for i in range(kernel):
        for j in range(kernel):
            rows, places = slice(i, i + stride * h, stride), slice(j, j + stride * w, stride)
            padded[:, :, rows, places] += given[:, i, j]
    inner = padded[:, :, padding : padding + height, padding : padding + width]
    return Value(
        inner.transpose(1, 0, 2, 3), (columns, lambda g: unfold(g, kernel, stride, padding))
    )
