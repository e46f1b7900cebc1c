"""Adam and RMSProp over `tf.Variable`: TensorFlow has no optimisers of its own without Keras."""

import tensorflow as tf


class Adam(tf.Module):
    """Adam as in its paper (Kingma, Ba 2014, https://arxiv.org/abs/1412.6980, algorithm 1).

    TensorFlow's kernel adds epsilon before the bias correction of the second moment; the paper
    and PyTorch add it after. Scaled by the correction it comes to the same.
    """

    def __init__(self, variables, learning_rate, beta1, beta2, epsilon):
        super().__init__()
        self.targets = list(variables)
        self.learning_rate = learning_rate
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.moments = [
            (
                tf.Variable(tf.zeros_like(v), trainable=False),
                tf.Variable(tf.zeros_like(v), trainable=False),
            )
            for v in self.targets
        ]

    def apply(self, gradients):
        """Update every variable by its gradient, given in the same order."""
        step = tf.cast(self.step.assign_add(1), tf.float32)
        beta1_power = self.beta1**step
        beta2_power = self.beta2**step
        for variable, (m, v), gradient in zip(self.targets, self.moments, gradients, strict=True):
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=m.handle,
                v=v.handle,
                beta1_power=beta1_power,
                beta2_power=beta2_power,
                lr=self.learning_rate,
                beta1=self.beta1,
                beta2=self.beta2,
                epsilon=self.epsilon * tf.sqrt(1 - beta2_power),
                grad=gradient,
            )


class RMSProp(tf.Module):
    """RMSProp (Tieleman, Hinton 2012), with epsilon outside the root.

    TensorFlow's kernel has it inside, which for small gradients makes much smaller steps.
    """

    def __init__(self, variables, learning_rate, smoothing, epsilon):
        super().__init__()
        self.targets = list(variables)
        self.learning_rate = learning_rate
        self.smoothing = smoothing
        self.epsilon = epsilon
        self.squares = [tf.Variable(tf.zeros_like(v), trainable=False) for v in self.targets]

    def apply(self, gradients):
        """Update every variable by its gradient, given in the same order."""
        for variable, square, gradient in zip(self.targets, self.squares, gradients, strict=True):
            square.assign(self.smoothing * square + (1 - self.smoothing) * tf.square(gradient))
            step = self.learning_rate * gradient / (tf.sqrt(square) + self.epsilon)
            variable.assign_sub(step)
