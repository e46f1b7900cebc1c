"""How the four frameworks spell what operators put in."""

from __future__ import annotations

# How the four frameworks spell what an operator puts in.
ACTIVATIONS = {
    "pytorch": {"relu": "F.relu", "tanh": "torch.tanh", "sigmoid": "torch.sigmoid"},
    "tensorflow": {"relu": "tf.nn.relu", "tanh": "tf.tanh", "sigmoid": "tf.sigmoid"},
    "keras": {
        "relu": "layers.ReLU()",
        "tanh": 'layers.Activation("tanh")',
        "sigmoid": 'layers.Activation("sigmoid")',
    },
    "chainer": {"relu": "F.relu", "tanh": "F.tanh", "sigmoid": "F.sigmoid"},
}

LEAKY = {  # what stands around its operand
    "pytorch": ("F.leaky_relu(", ", 0.2)"),
    "tensorflow": ("layers.leaky_relu(", ", 0.2)"),
    "keras": ("LeakyReLU(negative_slope=0.2)(", ")"),
    "chainer": ("F.leaky_relu(", ", 0.2)"),
}

CUT = {  # a gradient is not passed on
    "pytorch": ("", ".detach()"),
    "tensorflow": ("tf.stop_gradient(", ")"),
    "keras": ("ops.stop_gradient(", ")"),
    "chainer": ("", ".array"),
}

LOGITS = {  # losses that take logits: which argument these are, and what makes a probability
    "binary_cross_entropy_with_logits": (0, "sigmoid"),
    "sigmoid_cross_entropy_with_logits": (1, "sigmoid"),
    "BinaryCrossentropy": (1, "sigmoid"),
    "binary_crossentropy": (1, "sigmoid"),
    "sigmoid_cross_entropy": (0, "sigmoid"),
    "bernoulli_nll": (1, "sigmoid"),
    "cross_entropy": (0, "softmax"),
    "sparse_softmax_cross_entropy_with_logits": (1, "softmax"),
    "SparseCategoricalCrossentropy": (1, "softmax"),
    "softmax_cross_entropy": (0, "softmax"),
}

PROBABILITY = {
    "pytorch": {"sigmoid": ("torch.sigmoid(", ")"), "softmax": ("torch.softmax(", ", 1)")},
    "tensorflow": {"sigmoid": ("tf.sigmoid(", ")"), "softmax": ("tf.nn.softmax(", ")")},
    # Written out: Keras sees what a sigmoid or a softmax has made, and puts it right.
    "keras": {"sigmoid": ("1 / (1 + ops.exp(-", "))"), "softmax": ("1 * ops.softmax(", ")")},
    "chainer": {"sigmoid": ("F.sigmoid(", ")"), "softmax": ("F.softmax(", ")")},
}

SQUARED = {  # and the absolute error of the same kind
    "mse_loss": "l1_loss",
    "mean_squared_error": "mean_absolute_error",
    "MeanSquaredError": "MeanAbsoluteError",
    "square": "abs",
}

DEFAULTS = {  # settings of norms and optimisers that a framework has by itself
    "pytorch": {"slope": "0.01"},
    "tensorflow": {},
    "keras": {"eps": "1e-3", "momentum": "0.99", "slope": "0.3"},
    "chainer": {"eps": "2e-5"},
}
SAID = {"relu": "ReLU", "leaky": "leaky ReLU", "tanh": "tanh", "sigmoid": "sigmoid"}
