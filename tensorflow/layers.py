"""Dense, convolution, transposed convolution and batch norm over `tf.Variable` and `tf.nn`.

TensorFlow has no layers without Keras, so the scripts of this folder share these. They are built
at once (no lazy shapes); biases start at 0.
"""

import math

import tensorflow as tf


def normal(shape):
    """Initial weights of the DCGAN family: N(0, 0.02)."""
    return tf.random.normal(shape, 0.0, 0.02)


def glorot_uniform(shape):
    """Initial weights uniform within sqrt(6 / (fan in + fan out)), Glorot and Bengio (2010)."""
    limit = math.sqrt(6 / (math.prod(shape[:-2]) * (shape[-2] + shape[-1])))
    return tf.random.uniform(shape, -limit, limit)


class Dense(tf.Module):
    """Fully connected, with bias: (N, inputs) -> (N, outputs)."""

    def __init__(self, inputs, outputs, initial):
        super().__init__()
        self.kernel = tf.Variable(initial((inputs, outputs)))
        self.bias = tf.Variable(tf.zeros(outputs))

    def __call__(self, x):
        return tf.nn.bias_add(tf.matmul(x, self.kernel), self.bias)


class Conv2D(tf.Module):
    """Convolution with the same zeros on every side: (N, H, W, inputs) -> (N, h, w, outputs).

    "SAME" would pad an even image by 1 before and 2 after, at a stride of 2 and a kernel of 5.
    `tf.nn.conv2d` takes explicit padding too, but is then many times slower on a CPU.
    """

    def __init__(self, inputs, outputs, kernel_size, stride, padding, initial, use_bias=True):
        super().__init__()
        self.kernel = tf.Variable(initial((kernel_size, kernel_size, inputs, outputs)))
        self.bias = tf.Variable(tf.zeros(outputs)) if use_bias else None
        self.stride = stride
        self.padding = [(0, 0), (padding, padding), (padding, padding), (0, 0)]

    def __call__(self, x):
        x = tf.nn.conv2d(tf.pad(x, self.padding), self.kernel, self.stride, "VALID")
        return x if self.bias is None else tf.nn.bias_add(x, self.bias)


class Conv2DTranspose(tf.Module):
    """Transposed convolution to s times the size: (N, h, w, inputs) -> (N, sh, sw, outputs).

    It is the gradient of the `Conv2D` of the same padding, hence the order of its kernel's axes.
    """

    def __init__(self, inputs, outputs, kernel_size, stride, padding, initial, use_bias=True):
        super().__init__()
        self.kernel = tf.Variable(initial((kernel_size, kernel_size, outputs, inputs)))
        self.bias = tf.Variable(tf.zeros(outputs)) if use_bias else None
        self.stride = stride
        self.outputs = outputs
        self.padding = padding

    def __call__(self, x):
        count, height, width = tf.unstack(tf.shape(x)[:3])
        height, width = height * self.stride, width * self.stride
        more = self.kernel.shape[0] - self.stride  # what "VALID" makes beyond s times the size
        shape = (count, height + more, width + more, self.outputs)
        x = tf.nn.conv2d_transpose(x, self.kernel, shape, self.stride, "VALID")
        crop = self.padding
        x = x[:, crop : crop + height, crop : crop + width]
        return x if self.bias is None else tf.nn.bias_add(x, self.bias)


class BatchNorm(tf.Module):
    """Batch normalisation over all axes but the last.

    Args:
        channels: size of the last axis.
        epsilon: added to the variance.
        momentum: share of the old value that a running average keeps.
    """

    def __init__(self, channels, epsilon, momentum):
        super().__init__()
        self.scale = tf.Variable(tf.random.normal((channels,), 1.0, 0.02))
        self.offset = tf.Variable(tf.zeros(channels))
        self.running_mean = tf.Variable(tf.zeros(channels), trainable=False)
        self.running_variance = tf.Variable(tf.ones(channels), trainable=False)
        self.epsilon = epsilon
        self.momentum = momentum

    def __call__(self, x, training):
        # The fused kernel gives the running variance unbiased: divided by n - 1.
        x, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=self.scale,
            offset=self.offset,
            mean=self.running_mean,
            variance=self.running_variance,
            epsilon=self.epsilon,
            exponential_avg_factor=1 - self.momentum,
            is_training=training,
        )
        if training:
            self.running_mean.assign(mean)
            self.running_variance.assign(variance)
        return x
