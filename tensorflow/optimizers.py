"""Adam, RMSprop and SGD over `tf.Variable`, named and set as those of PyTorch.

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

    def __init__(self, variables, lr, betas, eps):
        super().__init__()
        self.targets = list(variables)
        self.lr = lr
        self.betas = betas
        self.eps = eps
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.first_moments = zeros_like(self.targets)
        self.second_moments = zeros_like(self.targets)

    def apply(self, gradients):
        """Update every variable by its gradient, given in the same order."""
        gradients = average(gradients)
        step = tf.cast(self.step.assign_add(1), self.targets[0].dtype)
        beta1, beta2 = self.betas
        correction = 1 - beta2**step
        moments = zip(self.first_moments, self.second_moments, strict=True)
        for variable, (m, v), gradient in zip(self.targets, moments, gradients, strict=True):
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=m.handle,
                v=v.handle,
                beta1_power=beta1**step,
                beta2_power=beta2**step,
                lr=self.lr,
                beta1=beta1,
                beta2=beta2,
                epsilon=self.eps * tf.sqrt(correction),
                grad=gradient,
            )


class RMSprop(tf.Module):
    """RMSProp (Tieleman, Hinton 2012), with epsilon outside the root.

    TensorFlow's kernel has it inside, which for small gradients makes much smaller steps.
    """

    def __init__(self, variables, lr, alpha, eps):
        super().__init__()
        self.targets = list(variables)
        self.lr = lr
        self.alpha = alpha
        self.eps = eps
        self.squares = zeros_like(self.targets)

    def apply(self, gradients):
        """Update every variable by its gradient, given in the same order."""
        gradients = average(gradients)
        for variable, square, gradient in zip(self.targets, self.squares, gradients, strict=True):
            square.assign(self.alpha * square + (1 - self.alpha) * tf.square(gradient))
            variable.assign_sub(self.lr * gradient / (tf.sqrt(square) + self.eps))


class SGD(tf.Module):
    """Gradient descent with momentum: v <- momentum v + g; variable <- variable - lr v."""

    def __init__(self, variables, lr, momentum):
        super().__init__()
        self.targets = list(variables)
        self.lr = lr
        self.momentum = momentum
        self.velocities = zeros_like(self.targets)

    def apply(self, gradients):
        """Update every variable by its gradient, given in the same order."""
        gradients = average(gradients)
        for variable, v, gradient in zip(self.targets, self.velocities, gradients, strict=True):
            tf.raw_ops.ResourceApplyMomentum(
                var=variable.handle,
                accum=v.handle,
                lr=self.lr,
                grad=gradient,
                momentum=self.momentum,
            )
