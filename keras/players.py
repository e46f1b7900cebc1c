"""How two networks that play against each other are trained by `train_on_batch`."""

import keras


class Player(keras.Model):
    """Inputs to named outputs, through both networks, of which only `network` is trained.

    The usual `discriminator.trainable = False` would do more: it also puts the batch norm of D in
    inference mode.

    Args:
        network: the one that is trained.
        loss: the loss, a function of the outputs by their names.
        inputs: of both networks.
        outputs: by name.
        parts: where the loss comes as several numbers by name, their names: each becomes a metric,
            and the last is what is minimised.
    """

    def __init__(self, network, loss, inputs, outputs, parts=()):
        super().__init__(inputs, outputs)
        self.network = network
        self.loss_of_outputs = loss
        self.parts = {name: keras.metrics.Mean(name) for name in parts}

    @property
    def trainable_weights(self):
        return self.network.trainable_weights

    @property
    def non_trainable_variables(self):
        trained = {id(variable) for variable in self.trainable_weights}
        return [variable for variable in self.variables if id(variable) not in trained]

    trainable_variables = trainable_weights

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = self.loss_of_outputs(**y_pred)
        for name, part in self.parts.items():
            part.update_state(loss[name])
        return loss[name] if self.parts else loss
