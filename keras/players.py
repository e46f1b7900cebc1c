"""How two networks that play against each other are trained by `train_on_batch`."""

import keras


class Player(keras.Model):
    """Inputs to named logits, through both networks, of which only `network` is trained.

    The usual `discriminator.trainable = False` would do more: it also puts the batch norm of D in
    inference mode.
    """

    def __init__(self, network, loss, inputs, outputs):
        super().__init__(inputs, outputs)
        self.network = network
        self.loss_of_logits = loss

    @property
    def trainable_weights(self):
        return self.network.trainable_weights

    @property
    def non_trainable_variables(self):
        trained = {id(variable) for variable in self.trainable_weights}
        return [variable for variable in self.variables if id(variable) not in trained]

    trainable_variables = trainable_weights

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return self.loss_of_logits(**y_pred)
