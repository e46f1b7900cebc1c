"""Keras' Adam and RMSProp, with epsilon where the others have it."""

import keras
from keras import ops


class Adam(keras.optimizers.Adam):
    """Adam as in its paper (Kingma, Ba 2014, https://arxiv.org/abs/1412.6980, algorithm 1).

    Keras adds epsilon before the bias correction of the second moment; the paper and PyTorch add
    it after. Scaled by the correction it comes to the same.
    """

    def update_step(self, gradient, variable, learning_rate):
        step = ops.cast(self.iterations + 1, variable.dtype)
        epsilon = self.epsilon
        self.epsilon = epsilon * ops.sqrt(1 - ops.power(self.beta_2, step))
        super().update_step(gradient, variable, learning_rate)
        self.epsilon = epsilon


class RMSProp(keras.optimizers.RMSprop):
    """RMSProp (Tieleman, Hinton 2012), with epsilon outside the root.

    Keras has it inside, which for small gradients makes much smaller steps.
    """

    def update_step(self, gradient, variable, learning_rate):
        square = self._velocities[self._get_variable_index(variable)]
        self.assign(square, self.rho * square + (1 - self.rho) * ops.square(gradient))
        step = learning_rate * gradient / (ops.sqrt(square) + self.epsilon)
        self.assign_sub(variable, step)
