"""Layers of Keras that compute something else than the other frameworks' do, or are lacking."""

import keras
from keras import ops


class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' own, but with an unbiased running variance: divided by n - 1, as in PyTorch.

    n is the number of values per channel in a batch. The variance that a batch is normalised by
    stays biased, as it is everywhere.
    """

    processes = 1  # that train together, each on its share of a batch

    def call(self, inputs, training=None, mask=None):
        kept = self.momentum * ops.convert_to_tensor(self.moving_variance)
        outputs = super().call(inputs, training=training, mask=mask)
        if training and self.trainable:
            n = ops.cast(self.processes * ops.size(inputs[..., 0]), self.moving_variance.dtype)
            added = self.moving_variance - kept
            self.moving_variance.assign(kept + added * (n / (n - 1)))
        return outputs


class GroupNormalization(keras.layers.GroupNormalization):
    """Keras' own, for one group, with a variance that can be differentiated twice.

    On TensorFlow, Keras' is that of `tf.nn.moments`, which takes the mean in it for a constant: the
    first gradient is right all the same, the second is not.
    """

    def call(self, inputs):
        axes = tuple(range(1, len(inputs.shape)))
        inputs = ops.cast(inputs, self.variable_dtype)  # from bfloat16, as Keras' own does
        mean = ops.mean(inputs, axes, keepdims=True)
        variance = ops.var(inputs, axes, keepdims=True)
        return (inputs - mean) / ops.sqrt(variance + self.epsilon) * self.gamma + self.beta


class LeakyReLU(keras.layers.LeakyReLU):
    """Keras' own, which on TensorFlow rounds the slope to float32, whatever the precision."""

    def call(self, inputs):
        return ops.where(inputs > 0, inputs, self.negative_slope * inputs)


class ReflectionPadding2D(keras.layers.Layer):
    """Mirrors an image at its edges, which are not repeated; Keras' own can pad with zeros only."""

    def __init__(self, padding):
        super().__init__()
        self.padding = [(0, 0), (padding, padding), (padding, padding), (0, 0)]

    def call(self, inputs):
        return ops.pad(inputs, self.padding, "reflect")
