"""Keras' Adam, RMSProp and SGD, with epsilon and the learning rate where the others have them."""

import keras
from keras import ops

if keras.backend.backend() == "tensorflow":
    import tensorflow


class Adam(keras.optimizers.Adam):
    """Adam as in its paper (Kingma, Ba 2014, https://arxiv.org/abs/1412.6980, algorithm 1).

    Keras adds epsilon before the bias correction of the second moment; the paper and PyTorch add
    it after. On TensorFlow it also rounds the betas to float32, whatever the precision, and goes
    over the arrays once for each operation, where TensorFlow has a kernel for all of them.
    """

    def update_step(self, gradient, variable, learning_rate):
        step = ops.cast(self.iterations + 1, variable.dtype)
        index = self._get_variable_index(variable)
        m, v = self._momentums[index], self._velocities[index]
        power1, power2 = ops.power(self.beta_1, step), ops.power(self.beta_2, step)
        # Both moments are corrected, as in the paper, but by factors of numbers, not of arrays.
        root = ops.sqrt(1 - power2)
        if keras.backend.backend() == "tensorflow":
            tensorflow.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=m.value.handle,
                v=v.value.handle,
                beta1_power=power1,
                beta2_power=power2,
                lr=learning_rate,
                beta1=self.beta_1,
                beta2=self.beta_2,
                epsilon=root * self.epsilon,
                grad=gradient,
            )
            return
        self.assign_add(m, (1 - self.beta_1) * (gradient - m))
        self.assign_add(v, (1 - self.beta_2) * (ops.square(gradient) - v))
        rate = learning_rate * root / (1 - power1)
        self.assign_sub(variable, rate * m / (ops.sqrt(v) + root * self.epsilon))


class RMSProp(keras.optimizers.RMSprop):
    """RMSProp (Tieleman, Hinton 2012), with epsilon outside the root.

    Keras has it inside, which for small gradients makes much smaller steps.
    """

    def update_step(self, gradient, variable, learning_rate):
        square = self._velocities[self._get_variable_index(variable)]
        self.assign(square, self.rho * square + (1 - self.rho) * ops.square(gradient))
        step = learning_rate * gradient / (ops.sqrt(square) + self.epsilon)
        self.assign_sub(variable, step)


class SGD(keras.optimizers.SGD):
    """Gradient descent with momentum: v <- momentum v + g; variable <- variable - rate v.

    Keras has the rate inside v, where a change of it is felt only after a while. TensorFlow has a
    kernel for this too.
    """

    def update_step(self, gradient, variable, learning_rate):
        v = self.momentums[self._get_variable_index(variable)]
        if keras.backend.backend() == "tensorflow":
            tensorflow.raw_ops.ResourceApplyMomentum(
                var=variable.handle,
                accum=v.value.handle,
                lr=learning_rate,
                grad=gradient,
                momentum=self.momentum,
            )
            return
        self.assign(v, self.momentum * v + gradient)
        self.assign_sub(variable, learning_rate * v)
