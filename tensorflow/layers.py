"""Layers over `tf.Variable` and `tf.nn`, named and called as those of PyTorch.

TensorFlow has no layers without Keras, so the scripts of this folder share these. They are built
at once (no lazy shapes), in the precision of the run; weights and biases start at 0, for the
scripts to initialise. `LAYOUTS` says how a parameter's axes become those of a checkpoint.
"""

import math
from typing import ClassVar

import tensorflow as tf

from common.bridges.tensorflow import default_dtype, operand_dtype


def zeros(*shape):
    """A variable of the run's precision."""
    return tf.Variable(tf.zeros(shape, default_dtype()))


def normal_(variable, mean, std):
    """Fill a variable with normal numbers."""
    variable.assign(tf.random.normal(variable.shape, mean, std, variable.dtype))


def xavier_uniform_(variable):
    """Fill a weight uniformly within sqrt(6 / (fan in + fan out)): Glorot, Bengio (2010)."""
    *receptive, inputs, outputs = variable.shape
    limit = math.sqrt(6 / (math.prod(receptive) * (inputs + outputs)))
    variable.assign(tf.random.uniform(variable.shape, -limit, limit, variable.dtype))


def kaiming_normal_(variable):
    """Fill a kernel with normal numbers of deviation sqrt(2 / fan out): He and others (2015)."""
    *receptive, _, outputs = variable.shape
    normal_(variable, 0.0, math.sqrt(2 / (math.prod(receptive) * outputs)))


def leaky_relu(x, negative_slope):
    """As `tf.nn.leaky_relu`, which rounds the slope to float32, whatever the precision."""
    return tf.maximum(x, negative_slope * x)


def multiply(product, x, weight, *more):
    """`product(x, weight, *more)`, of factors in bfloat16 if `--precision` says so."""
    dtype = operand_dtype()
    return tf.cast(product(tf.cast(x, dtype), tf.cast(weight, dtype), *more), default_dtype())


class Linear(tf.Module):
    """Fully connected: (N, in_features) -> (N, out_features)."""

    LAYOUTS: ClassVar = {"weight": (1, 0), "bias": (0,)}

    def __init__(self, in_features, out_features, bias=True):
        super().__init__()
        self.weight = zeros(in_features, out_features)
        self.bias = zeros(out_features) if bias else None

    def __call__(self, x):
        x = multiply(tf.matmul, x, self.weight)
        return x if self.bias is None else tf.nn.bias_add(x, self.bias)


def find_padding(sides, kernel_size, stride, padding):
    """How a convolution of images with these sides is padded alike on each of them, and quickly.

    "SAME" pads an even image by 1 before and 2 after, at a stride of 2 and a kernel of 5. Where 2
    before and 1 after are meant, that is "SAME" of the mirrored image with the mirrored kernel:
    "MIRRORED". All else is "VALID", after the zeros that are meant. TensorFlow takes explicit
    padding too, but is then many times slower on a CPU.
    """
    ways = set()
    for size in sides:
        outputs = (size + 2 * padding - kernel_size) // stride + 1
        zeros = max((outputs - 1) * stride + kernel_size - size, 0)  # that are met, on both sides
        if outputs != math.ceil(size / stride) or padding not in (zeros // 2, zeros - zeros // 2):
            return "VALID"
        ways.add("SAME" if padding == zeros // 2 else "MIRRORED")
    return ways.pop() if len(ways) == 1 else "VALID"


def mirror(x):
    """Flip images vertically and horizontally: (N, H, W, C)."""
    return tf.reverse(x, (1, 2))


class Conv2d(tf.Module):
    """Convolution with the same padding on every side: (N, H, W, in) -> (N, h, w, out).

    The padding is zeros, or with a `padding_mode` of "reflect" the image mirrored at its edge.
    """

    LAYOUTS: ClassVar = {"weight": (3, 2, 0, 1), "bias": (0,)}  # from H W I O to O I H W

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        bias=True,
        padding_mode="zeros",
    ):
        super().__init__()
        self.weight = zeros(kernel_size, kernel_size, in_channels, out_channels)
        self.bias = zeros(out_channels) if bias else None
        self.stride = stride
        self.padding = padding
        self.padding_mode = {"zeros": "CONSTANT", "reflect": "REFLECT"}[padding_mode]

    def __call__(self, x):
        size, stride = self.weight.shape[0], self.stride
        if size == 1 and self.padding == 0:
            # Not a stride: with it and few channels oneDNN writes beyond a block of memory.
            x, stride = x[:, ::stride, ::stride], 1
        way = "VALID"
        if self.padding_mode == "CONSTANT":
            way = find_padding(x.shape[1:3], size, stride, self.padding)
        if way == "MIRRORED":
            kernel = tf.reverse(self.weight, (0, 1))
            x = mirror(multiply(tf.nn.conv2d, mirror(x), kernel, stride, "SAME"))
        else:
            if way == "VALID":
                both = (self.padding, self.padding)
                x = tf.pad(x, ((0, 0), both, both, (0, 0)), self.padding_mode)
            x = multiply(tf.nn.conv2d, x, self.weight, stride, way)
        return x if self.bias is None else tf.nn.bias_add(x, self.bias)


class ConvTranspose2d(tf.Module):
    """Transposed convolution: (N, h, w, in) -> (N, H, W, out).

    It is the gradient of the `Conv2d` of the same padding, hence the order of its weight's axes.
    H is (h - 1) * stride - 2 * padding + kernel_size + output_padding.
    """

    LAYOUTS: ClassVar = {"weight": (3, 2, 0, 1), "bias": (0,)}  # from H W O I to I O H W

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        output_padding=0,
        bias=True,
    ):
        super().__init__()
        self.weight = zeros(kernel_size, kernel_size, out_channels, in_channels)
        self.bias = zeros(out_channels) if bias else None
        self.stride = stride
        self.padding = padding
        self.output_padding = output_padding

    def __call__(self, x):
        size, _, channels, _ = self.weight.shape
        full = [(side - 1) * self.stride + size for side in x.shape[1:3]]
        height, width = (side - 2 * self.padding + self.output_padding for side in full)
        way = find_padding((height, width), size, self.stride, self.padding)
        if way == "VALID":
            shape = (tf.shape(x)[0], *full, channels)
            x = multiply(tf.nn.conv2d_transpose, x, self.weight, shape, self.stride, "VALID")
            first = self.padding
            x = x[:, first : first + height, first : first + width]
        else:
            shape = (tf.shape(x)[0], height, width, channels)
            more = (shape, self.stride, "SAME")
            if way == "MIRRORED":
                kernel = tf.reverse(self.weight, (0, 1))
                x = mirror(multiply(tf.nn.conv2d_transpose, mirror(x), kernel, *more))
            else:
                x = multiply(tf.nn.conv2d_transpose, x, self.weight, *more)
        return x if self.bias is None else tf.nn.bias_add(x, self.bias)


def replicas():
    """How many processes train together, each on its share of a batch: 1 as a rule."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def whole_moments(x, axes):
    """Mean and variance of the whole batch, as `tf.nn.moments` has them of a process's share."""
    mean, variance = tf.nn.moments(x, axes)
    if replicas() > 1:
        all_reduce = tf.distribute.get_replica_context().all_reduce
        whole = all_reduce("MEAN", mean)
        variance = all_reduce("MEAN", variance + tf.square(mean - whole))
        mean = whole
    return mean, variance


class BatchNorm2d(tf.Module):
    """Batch normalisation per channel: (N, H, W, C) -> (N, H, W, C).

    Args:
        num_features: C.
        eps: added to the variance.
        momentum: share of the new value in a running average.
    """

    LAYOUTS: ClassVar = {"weight": (0,), "bias": (0,), "running_mean": (0,), "running_var": (0,)}

    def __init__(self, num_features, eps, momentum):
        super().__init__()
        dtype = default_dtype()
        self.weight = tf.Variable(tf.ones(num_features, dtype))
        self.bias = zeros(num_features)
        self.running_mean = tf.Variable(tf.zeros(num_features, dtype), trainable=False)
        self.running_var = tf.Variable(tf.ones(num_features, dtype), trainable=False)
        self.eps = eps
        self.momentum = momentum

    def __call__(self, x, training):
        mean, variance = self.running_mean, self.running_var
        if training:
            # Not the fused kernel, which has no float64.
            mean, variance = whole_moments(x, list(range(x.shape.rank - 1)))
            n = tf.cast(replicas() * tf.size(x[..., 0]), x.dtype)
            unbiased = variance * (n / (n - 1))
            for average, new in ((self.running_mean, mean), (self.running_var, unbiased)):
                average.assign((1 - self.momentum) * average + self.momentum * new)
        return tf.nn.batch_normalization(x, mean, variance, self.bias, self.weight, self.eps)


class BatchNorm1d(BatchNorm2d):
    """Batch normalisation per feature: (N, C) -> (N, C)."""


class GroupNorm(tf.Module):
    """Normalisation of each image's groups of channels, scaled per channel: (N, H, W, C).

    Not with `tf.nn.moments`, which takes the mean in the variance for a constant: its first
    gradient is right all the same, its second is not, and a gradient penalty needs that.

    Args:
        num_groups: how many groups of consecutive channels.
        num_channels: C.
        eps: added to the variance.
    """

    LAYOUTS: ClassVar = {"weight": (0,), "bias": (0,)}

    def __init__(self, num_groups, num_channels, eps):
        super().__init__()
        self.weight = tf.Variable(tf.ones(num_channels, default_dtype()))
        self.bias = zeros(num_channels)
        self.groups = num_groups
        self.eps = eps

    def __call__(self, x):
        count, height, width, channels = tf.unstack(tf.shape(x))
        shape = (count, height, width, self.groups, channels // self.groups)
        groups = tf.reshape(x, shape)
        mean = tf.reduce_mean(groups, (1, 2, 4), keepdims=True)
        variance = tf.math.reduce_variance(groups, (1, 2, 4), keepdims=True)
        normal = (groups - mean) * tf.math.rsqrt(variance + self.eps)
        return tf.reshape(normal, tf.shape(x)) * self.weight + self.bias


def instance_norm(x, eps):
    """Normalise each channel of each image, without scale and shift: (N, H, W, C)."""
    mean, variance = tf.nn.moments(x, (1, 2), keepdims=True)
    return tf.nn.batch_normalization(x, mean, variance, None, None, eps)


class Dropout(tf.Module):
    """Drop a share p of all numbers, and scale the others up; only in training.

    The chance comes from TensorFlow's global generator, whose state `--resume` keeps.
    """

    def __init__(self, p):
        super().__init__()
        self.p = p

    def __call__(self, x, training):
        if not training:
            return x
        sample = tf.random.get_global_generator().uniform
        return tf.nn.experimental.general_dropout(x, self.p, uniform_sampler=sample)
