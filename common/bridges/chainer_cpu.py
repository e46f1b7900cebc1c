"""Faster CPU functions for Chainer: convolutions, max pooling, activations, sums and Adam.

Results agree with Chainer's up to rounding. Chainer copies every window of an image channel by
channel, and copies it again for the matrix product. Here channels come last, in outputs as well, so
that a window is a few long rows. Images are processed in groups that fit in the processor's cache,
and weights have the memory layout that matrix products need.

`install` replaces Chainer's functions by these and by those of `chainer_batch_norm`. GPUs, grouped
convolutions and pooling in other than two dimensions keep Chainer's functions.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import chainer
import chainer.links as L
from chainer import backend
from chainer.functions.activation.leaky_relu import LeakyReLU, _LeakyReLUGrad
from chainer.functions.activation.softplus import Softplus
from chainer.functions.connection.convolution_2d import Convolution2DFunction, Convolution2DGradW
from chainer.functions.connection.deconvolution_2d import Deconvolution2DFunction
from chainer.functions.math.sum import Sum
from chainer.functions.pooling.max_pooling_nd import MaxPoolingND, MaxPoolingNDGrad
from chainer.optimizers.adam import AdamRule

from common.bridges import chainer_batch_norm as norm

CACHE = 1 << 22  # bytes processed at a time in layers with few weights
PIECE = 1 << 16  # weights updated at a time
FEW = 8  # with fewer channels than this, rows of pixels are longer than rows of channels

Arrays = tuple[np.ndarray]

OWN_WEIGHTS = L.Convolution2D._initialize_params
OWN_DECONVOLUTION_WEIGHTS = L.Deconvolution2D._initialize_params
OWN_DECONVOLUTION = Deconvolution2DFunction._forward_cpu_core
OWN_POOLING = MaxPoolingND.forward_cpu
OWN_POOLING_GRADIENT = MaxPoolingNDGrad.forward_cpu
OWN_LEAKY_RELU = LeakyReLU.forward_cpu
OWN_LEAKY_RELU_GRADIENT = _LeakyReLUGrad.forward_cpu
OWN_SOFTPLUS = Softplus.forward_cpu
OWN_SUM = Sum.forward
OWN_ADAM = AdamRule.update_core_cpu
OWN_CHECK = chainer.is_arrays_compatible
OWN_DEVICE = backend.get_device_from_array
CPU = chainer.get_device("@numpy")


def install() -> None:
    """Replace Chainer's functions by those below."""
    for (kind, name), function in replacements().items():
        setattr(kind, name, function)


@contextlib.contextmanager
def without() -> Iterator[None]:
    """Restore Chainer's own functions within the block, for comparisons."""
    ours = {(kind, name): vars(kind)[name] for kind, name in OWN}
    try:
        for (kind, name), function in OWN.items():
            setattr(kind, name, function)
        yield
    finally:
        for (kind, name), function in ours.items():
            setattr(kind, name, function)


def laid_out(initialize: Callable[..., None]) -> Callable[..., None]:
    """Replaces `_initialize_params` of L.Convolution2D or L.Deconvolution2D.

    W keeps its shape. In memory, the kernel's rows and columns come first and W's first axis last,
    as `convolve` and `deconvolve` need it. Gradients and Adam's moments follow this layout. CuPy
    copies arrays back to the order of their shape.
    """

    def initialize_and_lay_out(self: Any, *arguments: Any) -> None:
        initialize(self, *arguments)
        self.W.array = np.ascontiguousarray(_places_first(self.W.array)).transpose(3, 2, 0, 1)

    return initialize_and_lay_out


def _places_first(W: np.ndarray) -> np.ndarray:
    return W.transpose(2, 3, 1, 0)


def _channels_last(x: np.ndarray) -> np.ndarray:
    return x.transpose(0, 2, 3, 1)


class Grid(NamedTuple):
    """A kernel's stride, padding and dilation, each vertical and horizontal."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]

    @classmethod
    def of(cls, f: Any) -> Grid:
        """The grid of one of Chainer's functions."""
        return cls((f.sy, f.sx), (f.ph, f.pw), (f.dy, f.dx))


def _windows(
    grid: Grid, x: np.ndarray, kernel: tuple[int, ...], size: tuple[int, ...]
) -> np.ndarray:
    """All windows of images, as a view: (N, *size, kernel's height, kernel's width, C).

    Args:
        grid: stride, padding and dilation.
        x: images (N, C, H, W).
        kernel: height and width of the kernel.
        size: height and width of the output.
    """
    count, channels, height, width = x.shape
    (down, across), (top, left), (tall, wide) = grid
    full_height = max(height + top, (size[0] - 1) * down + (kernel[0] - 1) * tall + 1)
    full_width = max(width + left, (size[1] - 1) * across + (kernel[1] - 1) * wide + 1)
    few = channels < FEW
    padded = x if few else _channels_last(x)
    if x.shape[2:] != (full_height, full_width) or not padded.flags.c_contiguous:
        full = full_height, full_width
        padded = np.zeros((count, channels, *full) if few else (count, *full, channels), x.dtype)
        place = padded if few else padded.transpose(0, 3, 1, 2)
        place[:, :, top : top + height, left : left + width] = x
    image, row, pixel, channel = (_channels_last(padded) if few else padded).strides
    strides = (image, row * down, pixel * across, row * tall, pixel * wide, channel)
    return np.ndarray((count, *size, *kernel, channels), x.dtype, padded, strides=strides)


def _rows(windows: np.ndarray) -> np.ndarray:
    """Windows as the rows of a matrix, copied in the order with the longest contiguous rows."""
    *_, tall, wide, channels = windows.shape
    if channels < FEW:
        return windows.transpose(3, 4, 5, 0, 1, 2).reshape(tall * wide * channels, -1).T
    return windows.reshape(-1, tall * wide * channels)


def _at_a_time(W: np.ndarray, made: np.ndarray) -> int:
    """How many images to process at a time.

    Their part of `made` fits in the cache, or is as large as W, which is read once for each group.
    """
    return max(1, max(CACHE, W.nbytes) // (math.prod(made.shape[1:]) * made.itemsize))


def convolve(self: Any, x: np.ndarray, W: np.ndarray, b: np.ndarray | None) -> Arrays:
    """Replaces `Convolution2DFunction._forward_cpu_core`."""
    return _convolve(Grid.of(self), x, W, b, self._get_out_size(x.shape, W.shape))


def _convolve(
    grid: Grid, x: np.ndarray, W: np.ndarray, b: np.ndarray | None, size: tuple[int, ...]
) -> Arrays:
    outputs, kernel = len(W), W.shape[2:]
    operand = _places_first(W).reshape(-1, outputs)
    windows = _windows(grid, x, kernel, size)
    y = np.empty((len(x), *size, outputs), x.dtype)
    images = _at_a_time(W, windows)
    for first in range(0, len(x), images):
        some = slice(first, first + images)
        np.matmul(_rows(windows[some]), operand, out=y[some].reshape(-1, outputs))
        if b is not None:
            lines = y[some].reshape(-1, size[1] * outputs)
            lines += np.tile(b, size[1])
    return (y.transpose(0, 3, 1, 2),)


def convolve_for_weights(self: Any, x: np.ndarray, gy: np.ndarray) -> Arrays:
    """Replaces `Convolution2DGradW._forward_cpu_core`: the gradient of a convolution's W."""
    kernel = self.kh, self.kw
    inputs, outputs = x.shape[1], gy.shape[1]
    gy = _channels_last(gy)
    windows = _windows(Grid.of(self), x, kernel, gy.shape[1:3])
    gy = np.ascontiguousarray(gy).reshape(-1, outputs)
    gradient = np.empty((*kernel, inputs, outputs), self.W_dtype)
    lines = kernel[0] if inputs < FEW else 1  # rows of the kernel processed at a time
    for first in range(0, kernel[0], lines):
        some = slice(first, first + lines)
        seen = _rows(windows[:, :, :, some])
        np.matmul(seen.T, gy, out=gradient[some].reshape(-1, outputs), casting="same_kind")
    return (gradient.transpose(3, 2, 0, 1),)


def deconvolve(self: Any, x: np.ndarray, W: np.ndarray, b: np.ndarray | None) -> Arrays:
    """Replaces `Deconvolution2DFunction._forward_cpu_core`.

    With stride 1 it is a convolution with the kernel rotated by 180 degrees. With stride 2, every
    other row and column of the output uses the same elements of the kernel. Each such phase is
    summed separately, in long rows; then the phases are interleaved.
    """
    inputs, outputs, kernel = *W.shape[:2], W.shape[2:]
    grid = Grid.of(self)
    padding = [
        (side - 1) * dilation - pad
        for side, dilation, pad in zip(kernel, grid.dilation, grid.padding, strict=True)
    ]
    if grid.stride == (1, 1) and min(padding) >= 0:
        grid = Grid((1, 1), (padding[0], padding[1]), grid.dilation)
        turned = W[:, :, ::-1, ::-1].swapaxes(0, 1)
        return _convolve(grid, x, turned, b, (self.outh, self.outw))
    if outputs < FEW:
        return OWN_DECONVOLUTION(self, x, W, b)
    count, _, height, width = x.shape
    # The size of a phase: all that the kernel reaches, or that the output needs.
    rows = max(
        height + (kernel[0] - 1) * self.dy // self.sy, math.ceil((self.outh + self.ph) / self.sy)
    )
    columns = max(
        width + (kernel[1] - 1) * self.dx // self.sx, math.ceil((self.outw + self.pw) / self.sx)
    )
    pixels = np.ascontiguousarray(_channels_last(x))
    operands = np.ascontiguousarray(_places_first(W)).swapaxes(2, 3)
    y = np.empty((count, rows, self.sy, columns, self.sx, outputs), x.dtype)
    images = max(1, min(count, _at_a_time(W, y)))
    phases = np.empty((self.sy, self.sx, images, rows, columns, outputs), x.dtype)
    room = np.empty((images * height * width, outputs), x.dtype)
    for first in range(0, count, images):
        some = slice(first, first + images)
        flat = pixels[some].reshape(-1, inputs)
        product = room[: len(flat)]
        phases = phases[:, :, : len(pixels[some])]
        phases.fill(0)
        for row, column in np.ndindex(*kernel):
            top, vertical = divmod(row * self.dy, self.sy)
            left, horizontal = divmod(column * self.dx, self.sx)
            place = phases[vertical, horizontal, :, top : top + height, left : left + width]
            np.matmul(flat, operands[row, column], out=product)
            place += product.reshape(-1, height, width, outputs)
        y[some] = phases.transpose(2, 3, 0, 4, 1, 5)
    y = y.reshape(count, rows * self.sy, columns * self.sx, outputs)
    y = y[:, self.ph : self.ph + self.outh, self.pw : self.pw + self.outw]
    if b is not None:
        y += b
    return (y.transpose(0, 3, 1, 2),)


def _places(function: Any, x: np.ndarray, size: tuple[int, ...]) -> Iterator[np.ndarray]:
    """The pixels under each element of a pooling's kernel, (N, C, *size), in padded images."""
    (sy, sx), (rows, columns) = function.stride, size
    for row, column in np.ndindex(*function.ksize):
        yield x[:, :, row : row + rows * sy : sy, column : column + columns * sx : sx]


def _padded(function: Any, shape: tuple[int, ...], size: tuple[int, ...]) -> list[int]:
    """Height and width of images padded so that every window fits."""
    return [
        max(length + pad, (outputs - 1) * stride + kernel)
        for length, pad, outputs, stride, kernel in zip(
            shape[2:], function.pad, size, function.stride, function.ksize, strict=True
        )
    ]


def max_pool(self: Any, x: Any) -> Arrays:
    """Replaces `MaxPoolingND.forward_cpu`."""
    if self.ndim != 2 or self.return_indices or math.prod(self.ksize) > 255:
        return OWN_POOLING(self, x)
    (x,) = x
    self._in_shape, self._in_dtype = x.shape, x.dtype
    size = tuple(
        (length + 2 * pad - kernel + (stride - 1 if self.cover_all else 0)) // stride + 1
        for length, pad, kernel, stride in zip(
            x.shape[2:], self.pad, self.ksize, self.stride, strict=True
        )
    )
    full = _padded(self, x.shape, size)
    if list(x.shape[2:]) != full:
        top, left = self.pad
        height, width = x.shape[2:]
        padded = np.full((len(x), *full, x.shape[1]), -np.inf, x.dtype)
        padded[:, top : top + height, left : left + width] = _channels_last(x)
        x = padded.transpose(0, 3, 1, 2)
    first, *others = _places(self, x, size)
    y = first.copy(order="K")
    self.indexes = np.zeros_like(y, np.uint8)  # the first of equal pixels
    for place, seen in enumerate(others, 1):
        np.maximum(self.indexes, (seen > y).view(np.uint8) * np.uint8(place), out=self.indexes)
        np.maximum(y, seen, out=y)
    return (y,)


def max_pool_gradient(self: Any, gy: Any) -> Arrays:
    """Replaces `MaxPoolingNDGrad.forward_cpu`."""
    pooling = self.func
    if pooling.indexes.dtype != np.uint8:
        return OWN_POOLING_GRADIENT(self, gy)
    (gy,) = gy
    count, channels, height, width = pooling._in_shape
    size = gy.shape[2:]
    full = _padded(pooling, pooling._in_shape, size)
    padded = np.zeros((count, *full, channels), pooling._in_dtype).transpose(0, 3, 1, 2)
    apart = all(s >= k for s, k in zip(pooling.stride, pooling.ksize, strict=True))
    for place, met in enumerate(_places(pooling, padded, size)):
        chosen = pooling.indexes == place
        if apart:  # windows do not overlap
            np.multiply(gy, chosen, out=met)
        else:
            met += gy * chosen
    top, left = pooling.pad
    return (padded[:, :, top : top + height, left : left + width],)


def leaky_relu(self: Any, inputs: Arrays) -> Arrays:
    """Replaces `LeakyReLU.forward_cpu`."""
    if not 0 < self.slope <= 1:
        return OWN_LEAKY_RELU(self, inputs)
    (x,) = inputs
    self.retain_outputs((0,))
    y = x * self.slope
    return (np.maximum(x, y, out=y),)


def leaky_relu_gradient(self: Any, inputs: Arrays) -> Arrays:
    """Replaces `_LeakyReLUGrad.forward_cpu`."""
    if not 0 < self.slope <= 1:
        return OWN_LEAKY_RELU_GRADIENT(self, inputs)
    (gy,) = inputs
    slopes = (self.cond > 0).astype(gy.dtype)
    np.maximum(slopes, self.slope, out=slopes)
    return (np.multiply(slopes, gy, out=slopes),)


def softplus(self: Any, inputs: Arrays) -> Arrays:
    """Replaces `Softplus.forward_cpu`: without `log1p`, which is many times slower than `log`."""
    (x,) = inputs
    if self.beta != 1 or not x.ndim:  # NumPy returns scalars, not arrays of no dimension
        return OWN_SOFTPLUS(self, inputs)
    self.retain_inputs((0,))
    small = np.abs(x)
    np.exp(np.negative(small, out=small), out=small)
    y = 1 + small
    small -= y - 1  # the rounding error of the sum
    np.log(y, out=y)
    y += small
    y += np.maximum(x, 0)
    return (y,)


def add_up(self: Any, inputs: Arrays) -> Arrays:
    """Replaces `Sum.forward`: faster for a bias's gradient where channels come last in memory."""
    (x,) = inputs
    if isinstance(x, np.ndarray) and x.ndim == 4 and self.axis == (0, 2, 3) and not self.keepdims:
        last = _channels_last(x)
        if last.flags.c_contiguous and last.size >= norm.FEW:
            return (norm.total(last, x.shape[1]),)
    return OWN_SUM(self, inputs)


def update_adam(self: Any, param: Any) -> None:
    """Replaces `AdamRule.update_core_cpu`: piece by piece, in one buffer."""
    hyper = self.hyperparam
    if param.grad is None or hyper.amsgrad or hyper.adabound or hyper.weight_decay_rate:
        OWN_ADAM(self, param)
        return
    arrays = [np.atleast_1d(a) for a in (param.array, param.grad, self.state["m"], self.state["v"])]
    axes = np.argsort([-stride for stride in arrays[0].strides], kind="stable")
    arrays = [array.transpose(axes) for array in arrays]
    if all(array.flags.c_contiguous for array in arrays):
        arrays = [array.reshape(-1) for array in arrays]
    rows = max(1, PIECE * len(arrays[0]) // arrays[0].size)
    buffer = np.empty_like(arrays[0][:rows])
    for first in range(0, len(arrays[0]), rows):
        weights, gradient, m, v = (array[first : first + rows] for array in arrays)
        t = buffer[: len(weights)]
        np.subtract(gradient, m, out=t)
        t *= 1 - hyper.beta1
        m += t
        np.multiply(gradient, gradient, out=t)
        t -= v
        t *= 1 - hyper.beta2
        v += t
        np.sqrt(v, out=t)
        t += hyper.eps
        np.divide(m, t, out=t)
        t *= hyper.eta * self.alpha_t
        weights -= t


def check_arrays(arrays: Any) -> bool:
    """Replaces `chainer.is_arrays_compatible`, which every call uses several times."""
    return all(type(array) is np.ndarray for array in arrays) or OWN_CHECK(arrays)


def find_device(*arrays: Any) -> Any:
    """Replaces `chainer.backend.get_device_from_array`, likewise."""
    numpy = all(type(array) is np.ndarray for array in arrays)
    return CPU if numpy else OWN_DEVICE(*arrays)


def replacements() -> dict[tuple[Any, str], Callable[..., Any]]:
    """The functions above, by the class or module and the name of what they replace."""
    return {
        (chainer, "is_arrays_compatible"): check_arrays,
        (backend, "get_device_from_array"): find_device,
        (L.Convolution2D, "_initialize_params"): laid_out(OWN_WEIGHTS),
        (L.Deconvolution2D, "_initialize_params"): laid_out(OWN_DECONVOLUTION_WEIGHTS),
        (Convolution2DFunction, "_forward_cpu_core"): convolve,
        (Convolution2DGradW, "_forward_cpu_core"): convolve_for_weights,
        (Deconvolution2DFunction, "_forward_cpu_core"): deconvolve,
        (norm.IMPLEMENTATION, "get_mean_and_var"): norm.mean_and_variance,
        (norm.MODULE, "_apply_bn_fwd"): norm.normalize,
        (norm.IMPLEMENTATION, "backward"): norm.gradients,
        (MaxPoolingND, "forward_cpu"): max_pool,
        (MaxPoolingNDGrad, "forward_cpu"): max_pool_gradient,
        (LeakyReLU, "forward_cpu"): leaky_relu,
        (_LeakyReLUGrad, "forward_cpu"): leaky_relu_gradient,
        (Softplus, "forward_cpu"): softplus,
        (Sum, "forward"): add_up,
        (AdamRule, "update_core_cpu"): update_adam,
    }


OWN = {(kind, name): vars(kind)[name] for kind, name in replacements()}  # before `install`
