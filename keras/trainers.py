"""How networks are trained by `train_on_batch`: all that take part, or some of them."""

import contextlib

import keras


class Trainer(keras.Model):
    """Updates some networks by losses that may pass through others.

    A subclass's `call` makes the passes, in the order in which it states them, gives `add_loss`
    what is to be minimised, and returns the losses by name: what `train_on_batch` logs.

    Args:
        networks: all that `call` needs, by name; each becomes an attribute.
        trained: the names of those that are updated.
    """

    def __init__(self, networks, trained):
        super().__init__()
        for name, network in networks.items():
            setattr(self, name, network)
        self.others = [network for name, network in networks.items() if name not in trained]
        self.built = True  # all weights are there

    @contextlib.contextmanager
    def others_frozen(self):
        """Make the weights of the other networks not trainable for a while.

        The usual `network.trainable = False` would do more: it also puts the network's batch norm
        in inference mode, the best-known trap of GANs in Keras.
        """
        weights = [weight for network in self.others for weight in network.trainable_weights]
        try:
            for weight in weights:
                weight.trainable = False
            yield
        finally:
            for weight in weights:
                weight.trainable = True

    def compile(self, optimizer):
        """Keras' own, but the optimiser is built at once: `--resume` sets its state."""
        super().compile(optimizer)
        with self.others_frozen():
            optimizer.build(self.trainable_variables)

    def train_on_batch(self, *args, **kwargs):
        with self.others_frozen():
            return super().train_on_batch(*args, **kwargs)

    def zero_grad(self, set_to_none=True):
        """Clear all gradients: PyTorch's own, which Keras calls on that backend alone.

        It would look up weights by their paths, and miss all but one of those that share a path,
        such as conv1/kernel of two networks or of two blocks.
        """
        for weight in self.weights:
            weight.value.grad = None

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return y_pred
