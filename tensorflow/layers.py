"""Layers over `tf.Variable` and `tf.nn`, in the words of TensorFlow.

TensorFlow has no layers without Keras, so the scripts of this folder share these. They are built
at once (no lazy shapes), in the precision of the run; kernels and biases start at 0, for the
scripts to initialise. `LAYOUTS` says what a variable is called in a checkpoint, and how its axes
become those that it has there.
"""

import math
from typing import ClassVar

import tensorflow as tf

from common.bridges.tensorflow import default_dtype, operand_dtype


def zeros(*shape):
    """A variable of the run's precision."""
    return tf.Variable(tf.zeros(shape, default_dtype()))


def random_normal(shape, mean, stddev):
    """Normal numbers, of the run's precision."""
    return tf.random.normal(shape, mean, stddev, default_dtype())


def glorot_uniform(shape):
    """Uniform numbers within sqrt(6 / (fan in + fan out)): Glorot, Bengio (2010)."""
    *receptive, inputs, outputs = shape
    limit = math.sqrt(6 / (math.prod(receptive) * (inputs + outputs)))
    return tf.random.uniform(shape, -limit, limit, default_dtype())


def variance_scaling(shape, scale):
    """Normal numbers of variance scale / fan out; He and others (2015) have a scale of 2."""
    *receptive, _, outputs = shape
    return random_normal(shape, 0.0, math.sqrt(scale / (math.prod(receptive) * outputs)))


def leaky_relu(x, alpha):
    """As `tf.nn.leaky_relu`, which rounds alpha to float32, whatever the precision."""
    return tf.maximum(x, alpha * x)


def pad(x, size, mode="CONSTANT"):
    """Images with zeros on every side, or mirrored at their edges by "REFLECT": (N, H, W, C).

    For convolutions whose zeros lie elsewhere than those of "SAME", which then take "VALID". At a
    stride of 2, "SAME" pads an even image by 1 less in front than behind if the kernel is odd;
    PyTorch and Chainer pad both sides alike, and leave the last row out.
    """
    return tf.pad(x, ((0, 0), (size, size), (size, size), (0, 0)), mode)


def multiply(product, x, weight, *more):
    """`product(x, weight, *more)`, of factors in bfloat16 if `--precision` says so."""
    dtype = operand_dtype()
    return tf.cast(product(tf.cast(x, dtype), tf.cast(weight, dtype), *more), default_dtype())


class Dense(tf.Module):
    """Fully connected: (N, inputs) -> (N, units)."""

    LAYOUTS: ClassVar = {"kernel": ("weight", (1, 0)), "bias": ("bias", (0,))}

    def __init__(self, inputs, units, use_bias=True):
        super().__init__()
        self.kernel = zeros(inputs, units)
        self.bias = zeros(units) if use_bias else None

    def __call__(self, x):
        x = multiply(tf.matmul, x, self.kernel)
        return x if self.bias is None else tf.nn.bias_add(x, self.bias)


class Conv2D(tf.Module):
    """Convolution, padded as "SAME" or "VALID": (N, H, W, inputs) -> (N, h, w, filters)."""

    # From H W I O to O I H W.
    LAYOUTS: ClassVar = {"kernel": ("weight", (3, 2, 0, 1)), "bias": ("bias", (0,))}

    def __init__(self, inputs, filters, kernel_size, strides=1, *, padding, use_bias=True):
        super().__init__()
        self.kernel = zeros(kernel_size, kernel_size, inputs, filters)
        self.bias = zeros(filters) if use_bias else None
        self.strides = strides
        self.padding = padding

    def __call__(self, x):
        x = multiply(tf.nn.conv2d, x, self.kernel, self.strides, self.padding)
        return x if self.bias is None else tf.nn.bias_add(x, self.bias)


class Conv2DTranspose(tf.Module):
    """Transposed convolution: (N, h, w, inputs) -> (N, H, W, filters).

    It is the gradient of the `Conv2D` of the same padding, hence the order of its kernel's axes.
    H is h * strides with "SAME", and kernel_size - strides more with "VALID".
    """

    # From H W O I to I O H W.
    LAYOUTS: ClassVar = {"kernel": ("weight", (3, 2, 0, 1)), "bias": ("bias", (0,))}

    def __init__(self, inputs, filters, kernel_size, strides=1, *, padding, use_bias=True):
        super().__init__()
        self.kernel = zeros(kernel_size, kernel_size, filters, inputs)
        self.bias = zeros(filters) if use_bias else None
        self.strides = strides
        self.padding = padding

    def __call__(self, x):
        size, _, filters, _ = self.kernel.shape
        more = size - self.strides if self.padding == "VALID" else 0
        height, width = (side * self.strides + more for side in x.shape[1:3])
        shape = (tf.shape(x)[0], height, width, filters)
        x = multiply(tf.nn.conv2d_transpose, x, self.kernel, shape, self.strides, self.padding)
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


class BatchNormalization(tf.Module):
    """Batch normalisation per channel: (N, ..., C) -> (N, ..., C).

    Args:
        channels: C.
        epsilon: added to the variance.
        momentum: the share of a running average that is kept.
    """

    LAYOUTS: ClassVar = {
        "gamma": ("weight", (0,)),
        "beta": ("bias", (0,)),
        "moving_mean": ("running_mean", (0,)),
        "moving_variance": ("running_var", (0,)),
    }

    def __init__(self, channels, epsilon, momentum):
        super().__init__()
        dtype = default_dtype()
        self.gamma = tf.Variable(tf.ones(channels, dtype))
        self.beta = zeros(channels)
        self.moving_mean = tf.Variable(tf.zeros(channels, dtype), trainable=False)
        self.moving_variance = tf.Variable(tf.ones(channels, dtype), trainable=False)
        self.epsilon = epsilon
        self.momentum = momentum

    def __call__(self, x, training):
        mean, variance = self.moving_mean, self.moving_variance
        if training:
            # Not the fused kernel, which has no float64.
            mean, variance = whole_moments(x, list(range(x.shape.rank - 1)))
            # The moving variance is unbiased, as in PyTorch and Chainer; Keras' is not.
            n = tf.cast(replicas() * tf.size(x[..., 0]), x.dtype)
            unbiased = variance * (n / (n - 1))
            for average, new in ((self.moving_mean, mean), (self.moving_variance, unbiased)):
                average.assign(self.momentum * average + (1 - self.momentum) * new)
        return tf.nn.batch_normalization(x, mean, variance, self.beta, self.gamma, self.epsilon)


class GroupNormalization(tf.Module):
    """Normalisation of each image's groups of channels, scaled per channel: (N, H, W, C).

    Not with `tf.nn.moments`, which takes the mean in the variance for a constant: its first
    gradient is right all the same, its second is not, and a gradient penalty needs that.

    Args:
        groups: how many groups of consecutive channels.
        channels: C.
        epsilon: added to the variance.
    """

    LAYOUTS: ClassVar = {"gamma": ("weight", (0,)), "beta": ("bias", (0,))}

    def __init__(self, groups, channels, epsilon):
        super().__init__()
        self.gamma = tf.Variable(tf.ones(channels, default_dtype()))
        self.beta = zeros(channels)
        self.groups = groups
        self.epsilon = epsilon

    def __call__(self, x):
        count, height, width, channels = tf.unstack(tf.shape(x))
        shape = (count, height, width, self.groups, channels // self.groups)
        groups = tf.reshape(x, shape)
        mean = tf.reduce_mean(groups, (1, 2, 4), keepdims=True)
        variance = tf.math.reduce_variance(groups, (1, 2, 4), keepdims=True)
        normal = (groups - mean) * tf.math.rsqrt(variance + self.epsilon)
        return tf.reshape(normal, tf.shape(x)) * self.gamma + self.beta


def instance_norm(x, epsilon):
    """Normalise each channel of each image, without scale and shift: (N, H, W, C)."""
    mean, variance = tf.nn.moments(x, (1, 2), keepdims=True)
    return tf.nn.batch_normalization(x, mean, variance, None, None, epsilon)


class Dropout(tf.Module):
    """Drop a share of all numbers, `rate`, and scale the others up; only in training.

    The chance comes from TensorFlow's global generator, whose state `--resume` keeps.
    """

    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def __call__(self, x, training):
        if not training:
            return x
        uniform = tf.random.get_global_generator().uniform
        return tf.nn.experimental.general_dropout(x, self.rate, uniform_sampler=uniform)
