"""How networks are trained by `train_on_batch`: all that take part, or some of them."""

import contextlib

import keras
from keras import ops


def draw_fakes(generator, inputs):
    """Draw images in training mode, as constants.

    The running averages of batch norm stay as they are: training the generator moves them.
    """
    variables = generator.trainable_variables, generator.non_trainable_variables
    values = ([variable.value for variable in part] for part in variables)
    images, _ = generator.stateless_call(*values, inputs, training=True)
    return ops.stop_gradient(images)


class Trainer(keras.Model):
    """Updates some networks by losses that may pass through others.

    A subclass's `call` makes the passes, in the order in which it states them, gives `add_loss`
    what is to be minimised, and returns the losses by name: what `train_on_batch` logs.

    Args:
        networks: all that `call` needs, by name; each becomes an attribute.
        trained: the names of those that are updated.
    """

    def __init__(self, networks, trained):
        super().__init__(dtype=keras.config.floatx())  # losses are never of mixed precision
        for name, network in networks.items():
            setattr(self, name, network)  # by which Keras finds its weights
        self.others = [network for name, network in networks.items() if name not in trained]
        self.built = True  # all weights are there: Keras need not call it to make them

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
        """Keras' own, but the optimiser is built at once: `--resume` sets its state.

        And dense networks are compiled by XLA on a CPU too, where TensorFlow is slower without it;
        with convolutions it is many times slower with it.
        """
        dense = all(len(weight.shape) < 3 for weight in self.weights)
        on_tensorflow = keras.backend.backend() == "tensorflow"  # on JAX it always is
        super().compile(optimizer, jit_compile=True if dense and on_tensorflow else "auto")
        with self.others_frozen():
            optimizer.build(self.trainable_variables)

    def train_on_batch(self, x, return_dict=True):
        """Keras' own, but the losses stay where they are: to read them is to wait for the step."""
        with self.others_frozen():
            if keras.distribution.distribution():  # JAX, several processes: Keras shares x out
                return super().train_on_batch(x, return_dict=return_dict)
            self.make_train_function()  # unless it is there
            if keras.backend.backend() != "jax":
                return self.train_function([(x,)])  # as Keras' own calls it: batches, here one
            # JAX's functions change nothing: they are given all that changes, and give it back.
            state = (
                self.trainable_variables,
                self.non_trainable_variables,
                self.optimizer.variables,
                self.metrics_variables,
            )
            values = tuple([variable.value for variable in part] for part in state)
            losses, values = self.train_function(values, iter([(x,)]))
            for variables, changed in zip(state, values, strict=True):
                for variable, value in zip(variables, changed, strict=True):
                    variable.assign(value)
            return losses

    def zero_grad(self, set_to_none=True):
        """Clear all gradients: PyTorch's own, which Keras calls on that backend alone.

        It would look up weights by their paths, and miss all but one of those that share a path,
        such as conv1/kernel of two networks or of two blocks.
        """
        for weight in self.weights:
            weight.value.grad = None

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """What is logged: each loss of this step, where Keras would have means over all steps."""
        return {name: ops.stop_gradient(loss) for name, loss in y_pred.items()}
