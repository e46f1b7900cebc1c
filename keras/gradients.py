"""A gradient inside a model, which Keras leaves to each backend."""

import keras


def differentiate(function, x):
    """The gradient of each of a batch's scores with respect to its own input; shaped as x.

    It can be differentiated again. Keras has no function for it, so this is the one place where a
    backend has a name.

    Args:
        function: takes a batch to scores, (N, ...) -> (N, 1), one for each input alone.
        x: the batch.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            scores = function(x)
        return tape.gradient(scores, x)
    if backend == "torch":
        import torch

        x = x.detach().requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(function(x).sum(), x, create_graph=True)
        return gradient
    import jax

    return jax.grad(lambda x: function(x).sum())(x)
