"""Adam, RMSprop and SGD over `tf.Variable`, in the words of TensorFlow.

TensorFlow has no optimisers of its own without Keras.
"""

import tensorflow as tf


def zeros_like(variables):
    """A variable of zeros for each, for an optimiser's state."""
    return [tf.Variable(tf.zeros_like(variable), trainable=False) for variable in variables]


def average(gradients):
    """The means over the processes that train together, each on its share of a batch."""
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return gradients
    return tf.distribute.get_replica_context().all_reduce("MEAN", gradients)


class Adam(tf.Module):
    """Adam as in its paper (Kingma, Ba 2014, https://arxiv.org/abs/1412.6980, algorithm 1).

    TensorFlow's kernel adds epsilon before the bias correction of the second moment; the paper
    and PyTorch add it after. Scaled by the correction it comes to the same.
    """

    def __init__(self, variables, learning_rate, beta_1, beta_2, epsilon):
        super().__init__()
        self.targets = list(variables)
        self.learning_rate = learning_rate
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.first_moments = zeros_like(self.targets)
        self.second_moments = zeros_like(self.targets)

    def apply(self, gradients):
        """Update every variable by its gradient, given in the same order."""
        gradients = average(gradients)
        step = tf.cast(self.step.assign_add(1), self.targets[0].dtype)
        correction = 1 - self.beta_2**step
        moments = zip(self.first_moments, self.second_moments, strict=True)
        for variable, (m, v), gradient in zip(self.targets, moments, gradients, strict=True):
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=m.handle,
                v=v.handle,
                beta1_power=self.beta_1**step,
                beta2_power=self.beta_2**step,
                lr=self.learning_rate,
                beta1=self.beta_1,
                beta2=self.beta_2,
                epsilon=self.epsilon * tf.sqrt(correction),
                grad=gradient,
            )


class RMSprop(tf.Module):
    """RMSProp (Tieleman, Hinton 2012), with epsilon outside the root.

    TensorFlow's kernel has it inside, which for small gradients makes much smaller steps.
    """

    def __init__(self, variables, learning_rate, rho, epsilon):
        super().__init__()
        self.targets = list(variables)
        self.learning_rate = learning_rate
        self.rho = rho
        self.epsilon = epsilon
        self.squares = zeros_like(self.targets)

    def apply(self, gradients):
        """Update every variable by its gradient, given in the same order."""
        gradients = average(gradients)
        for variable, square, gradient in zip(self.targets, self.squares, gradients, strict=True):
            square.assign(self.rho * square + (1 - self.rho) * tf.square(gradient))
            variable.assign_sub(self.learning_rate * gradient / (tf.sqrt(square) + self.epsilon))


class SGD(tf.Module):
    """Gradient descent with momentum: v <- momentum v + g; variable <- variable - rate v."""

    def __init__(self, variables, learning_rate, momentum):
        super().__init__()
        self.targets = list(variables)
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.velocities = zeros_like(self.targets)

    def apply(self, gradients):
        """Update every variable by its gradient, given in the same order."""
        gradients = average(gradients)
        for variable, v, gradient in zip(self.targets, self.velocities, gradients, strict=True):
            tf.raw_ops.ResourceApplyMomentum(
                var=variable.handle,
                accum=v.handle,
                lr=self.learning_rate,
                grad=gradient,
                momentum=self.momentum,
            )
