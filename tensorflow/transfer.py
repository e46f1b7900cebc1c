"""Transfer learning: a ResNet-18 that has learned elsewhere tells new classes apart, in TensorFlow.

Paper: He and others (2015), https://arxiv.org/abs/1512.03385
Run:   python tensorflow/transfer.py --dataset imori --steps 100
Page:  docs/models/transfer.md
Departures from the paper: 16 channels in the first stage, not 64, unless --width says so.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common.start import check_flags

if __name__ == "__main__":
    check_flags(__file__)  # before the framework, whose import takes seconds

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before the import: only errors
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # quick convolutions, without AVX-512 too

import tensorflow as tf

from common.bridges import tensorflow as bridge
from common.data import Classification
from common.pictures import Predictions
from common.run import Run, Settings, launch
from common.run.pretrained import adopt

import layers
from optimizers import SGD

# Of ImageNet's red, green and blue, in [0, 1].
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; each annotated line is a flag."""

    excludes = ("mode", "scratch", "weights")

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 200
    batch_size: Annotated[int, "images per step", 2] = 32
    learning_rate: Annotated[float, "step size of SGD in the first 70 % of the steps", 0] = 1e-3
    mode: Annotated[
        str,
        "what learns: all, from --weights; the head alone, on them; or all, from random weights",
        ("finetune", "frozen", "scratch"),
    ] = "finetune"
    weights: Annotated[
        str, "where a backbone begins: newts, imagenet (with --width 64) or FILE"
    ] = "newts"
    width: Annotated[int, "channels of the first stage; the others have multiples", 2] = 16
    input: Annotated[str | None, "picture or folder to classify with --generate", "PATH"] = None

    def make_task(self):
        """Images, cropped and mirrored at random, and their classes."""
        return Classification()


# N batch, C channels, H height, W width, f width of the backbone, K classes


def preprocess(images):
    """Pixels in [0, 255] to the networks' range: (N, H, W, C) -> (N, H, W, C), standardised."""
    dtype = bridge.default_dtype()
    return (tf.cast(images, dtype) / 255 - tf.constant(MEAN, dtype)) / tf.constant(DEVIATION, dtype)


def decay(config, step):
    """Learning rate of a step: constant for 70 % of all steps, then a tenth of it."""
    return config.learning_rate * (1 if (step - 1) / config.steps < 0.7 else 0.1)


class BasicBlock(tf.Module):
    """Two convolutions and a shortcut: (N, H, W, in) -> (N, H / stride, W / stride, out)."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        norm = {"epsilon": 1e-5, "momentum": 0.9}
        # Not "SAME", whose zeros lie elsewhere at a stride of 2: see `layers.pad`.
        valid = {"kernel_size": 3, "padding": "VALID", "use_bias": False}
        one = {"kernel_size": 1, "padding": "VALID", "use_bias": False}
        self.conv1 = layers.Conv2D(inputs, outputs, **valid, strides=stride)
        self.bn1 = layers.BatchNormalization(outputs, **norm)
        self.conv2 = layers.Conv2D(outputs, outputs, **valid, strides=1)
        self.bn2 = layers.BatchNormalization(outputs, **norm)
        around = []  # the identity where the shapes match
        if stride != 1:
            around += [layers.Conv2D(inputs, outputs, **one)]
            around += [layers.BatchNormalization(outputs, **norm)]
        self.downsample = around

    def __call__(self, x, training):
        y = tf.nn.relu(self.bn1(self.conv1(layers.pad(x, 1)), training))
        y = self.bn2(self.conv2(layers.pad(y, 1)), training)
        if self.downsample:
            conv, norm = self.downsample
            # Not the convolution's: with few channels oneDNN then writes beyond a block of memory.
            stride = self.conv1.strides
            x = norm(conv(x[:, ::stride, ::stride]), training)
        return tf.nn.relu(y + x)


class Backbone(tf.Module):
    """Image to features, ResNet-18 without its last layer: (N, H, W, C) -> (N, 8f)."""

    def __init__(self, image_shape, width):
        super().__init__()
        channels = image_shape[-1]
        norm = {"epsilon": 1e-5, "momentum": 0.9}
        half = {"kernel_size": 7, "strides": 2, "padding": "VALID", "use_bias": False}
        self.conv1 = layers.Conv2D(channels, width, **half)
        self.bn1 = layers.BatchNormalization(width, **norm)
        self.layer1 = make_stage(width, width, stride=1)
        self.layer2 = make_stage(width, 2 * width, stride=2)
        self.layer3 = make_stage(2 * width, 4 * width, stride=2)
        self.layer4 = make_stage(4 * width, 8 * width, stride=2)
        for layer in self.submodules:
            initialize(layer)

    def __call__(self, x, training):
        x = tf.nn.relu(self.bn1(self.conv1(layers.pad(x, 3)), training))  # (N, H / 2, W / 2, f)
        # After ReLU no number is below 0, so padding with zeros does not change the maximum.
        x = tf.nn.max_pool2d(layers.pad(x, 1), 3, 2, "VALID")  # (N, H / 4, W / 4, f)
        for block in (*self.layer1, *self.layer2, *self.layer3, *self.layer4):
            x = block(x, training)  # in the end (N, H / 32, W / 32, 8f)
        return tf.reduce_mean(x, (1, 2))  # (N, 8f)


class Head(tf.Module):
    """Features to logits: (N, 8f) -> (N, K)."""

    def __init__(self, width, classes):
        super().__init__()
        self.fc = layers.Dense(8 * width, classes)
        for layer in self.submodules:
            initialize(layer)

    def __call__(self, features):
        return self.fc(features)


def make_stage(inputs, outputs, stride):
    """Two blocks, the first of which may halve the image."""
    return [BasicBlock(inputs, outputs, stride), BasicBlock(outputs, outputs, 1)]


def initialize(layer):
    """He's normal initial weights by fan out; the head's are Glorot's uniform, its biases 0."""
    if isinstance(layer, layers.Conv2D):
        layer.kernel.assign(layers.variance_scaling(layer.kernel.shape, scale=2.0))
    elif isinstance(layer, layers.Dense):
        layer.kernel.assign(layers.glorot_uniform(layer.kernel.shape))


def classification_loss(logits, labels):
    """-log softmax(logits) at the label, averaged over images."""
    cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits
    return tf.reduce_mean(cross_entropy(labels, logits))


@tf.function
def train_step(networks, optimizers, images, labels, learning_rate, frozen):
    """Update both networks, or the head alone, on a batch of images and their labels."""
    optimizer = optimizers["classifier"]
    optimizer.learning_rate.assign(learning_rate)
    with tf.GradientTape() as tape:
        # In training mode, batch norm of a frozen backbone would keep updating its averages.
        features = networks["backbone"](images, training=not frozen)
        loss = classification_loss(networks["head"](features), labels)
    optimizer.apply(tape.gradient(loss, optimizer.targets))
    return {"classification_loss": loss}


@tf.function
def predict(networks, images):
    """The probability of each class, with the running averages of batch norm: (N, K)."""
    return tf.nn.softmax(networks["head"](networks["backbone"](images, training=False)))


def build(config, image_shape, classes):
    """Both networks, and the optimiser of those that are trained."""
    networks = {
        "backbone": Backbone(image_shape, config.width),
        "head": Head(config.width, classes),
    }
    learning = ["head"] if config.mode == "frozen" else ["backbone", "head"]
    variables = [v for name in learning for v in networks[name].trainable_variables]
    # A variable: a Python number would become a constant of the graph.
    rate = tf.Variable(config.learning_rate, trainable=False, dtype=bridge.default_dtype())
    optimizers = {"classifier": SGD(variables, learning_rate=rate, momentum=0.9)}
    return networks, optimizers


def start(arguments=None):
    """Make a run ready, as the command line says or as `arguments` do."""
    run = Run(Config, __file__, __doc__, arguments)
    config = run.config
    run.strategy = bridge.prepare(config.seed, config.device, config.precision)
    networks, optimizers = build(config, run.image_shape, len(run.class_names))

    def classify(images):
        return predict(networks, preprocess(images)).numpy()

    pictures = Predictions(run.data, classify, config.input)
    run.connect(bridge, networks, optimizers, pictures)
    if config.mode != "scratch" and not run.loaded:
        adopt(bridge, networks["backbone"], config.weights, config.data_dir)
    return run


def learn(run, batch):
    """Train on a batch, and return the losses."""
    images = preprocess(batch.images)
    labels = tf.constant(batch.labels)
    rate = tf.constant(decay(run.config, run.step + 1), bridge.default_dtype())
    frozen = run.config.mode == "frozen"
    inputs = (images, labels, rate, frozen)
    return run.strategy.run(train_step, (run.networks, run.optimizers, *inputs))


def main():
    """Train, or classify with a checkpoint, as the command line says."""
    run = start()
    if run.config.generate:
        run.generate()
        return
    for batch in run.batches():
        run.log(learn(run, batch))


if __name__ == "__main__":
    launch(main)
