"""The one layer of Keras that counts otherwise than the other frameworks."""

import keras
from keras import ops


class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' own, but with an unbiased running variance: divided by n - 1, as all others have it.

    n is the number of values per channel in a batch. What a batch is normalised by stays biased,
    as everywhere.
    """

    def call(self, inputs, training=None, mask=None):
        kept = self.momentum * ops.convert_to_tensor(self.moving_variance)
        outputs = super().call(inputs, training=training, mask=mask)
        if training and self.trainable:
            count = ops.cast(ops.size(inputs) / inputs.shape[self.axis], "float32")
            added = self.moving_variance - kept
            self.moving_variance.assign(kept + added * (count / (count - 1)))
        return outputs
