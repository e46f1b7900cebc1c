"""Transfer learning: a ResNet-18 that has learned elsewhere tells new classes apart, in Keras.

Paper: He and others (2015), https://arxiv.org/abs/1512.03385
Run:   python keras/transfer.py --dataset imori --steps 100
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

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # torch and jax do as well
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # quick convolutions, without AVX-512 too

import numpy as np

import keras
from keras import layers, ops

from common.bridges import keras as bridge
from common.pictures import Predictions
from common.run import Run, Settings, launch
from common.run.pretrained import adopt

from optimizers import SGD
from own_layers import BatchNormalization
from trainers import Trainer

# Of ImageNet's red, green and blue, in [0, 1].
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; each annotated line is a flag."""

    task = "labels"  # images come with their classes, cropped and mirrored at random

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
    input: Annotated[str | None, "picture or folder to classify with --generate"] = None


# N batch, C channels, H height, W width, f width of the backbone, K classes


def preprocess(images):
    """Pixels in [0, 255] to the networks' range: (N, H, W, C) -> (N, H, W, C), standardised."""
    dtype = keras.config.floatx()
    return (images.astype(dtype) / 255 - np.array(MEAN, dtype)) / np.array(DEVIATION, dtype)


def decay(config, step):
    """Learning rate of a step: constant for 70 % of all steps, then a tenth of it."""
    return config.learning_rate * (1 if (step - 1) / config.steps < 0.7 else 0.1)


class BasicBlock(keras.Model):
    """Two convolutions and a shortcut: (N, H, W, in) -> (N, H / stride, W / stride, out)."""

    def __init__(self, inputs, outputs, stride, **named):
        he, norm = initial_settings()
        # Not "same", which at an odd kernel and a stride of 2 pads less in front than behind.
        valid = {"kernel_size": 3, "padding": "valid", "use_bias": False, **he}
        x = keras.Input((None, None, inputs))
        y = layers.ZeroPadding2D(1)(x)
        y = layers.Conv2D(outputs, **valid, strides=stride, name="conv1")(y)
        y = layers.ReLU()(BatchNormalization(**norm, name="bn1")(y))
        y = layers.ZeroPadding2D(1)(y)
        y = layers.Conv2D(outputs, **valid, strides=1, name="conv2")(y)
        y = BatchNormalization(**norm, name="bn2")(y)
        around = x  # the identity where the shapes match
        if stride != 1:
            inner = keras.Input((None, None, inputs))
            one = {"kernel_size": 1, "use_bias": False, **he}
            # Not a stride: with it and few channels oneDNN writes beyond a block of memory.
            z = layers.Conv2D(outputs, **one, name="0")(inner[:, ::stride, ::stride])
            z = BatchNormalization(**norm, name="1")(z)
            around = keras.Model(inner, z, name="downsample")(x)
        super().__init__(x, layers.ReLU()(layers.Add()([y, around])), **named)


class Backbone(keras.Model):
    """Image to features, ResNet-18 without its last layer: (N, H, W, C) -> (N, 8f)."""

    def __init__(self, image_shape, width):
        he, norm = initial_settings()
        half = {"kernel_size": 7, "strides": 2, "padding": "valid", "use_bias": False, **he}
        image = keras.Input(image_shape)
        x = layers.Conv2D(width, **half, name="conv1")(layers.ZeroPadding2D(3)(image))
        x = layers.ReLU()(BatchNormalization(**norm, name="bn1")(x))  # (N, H / 2, W / 2, f)
        # After ReLU no number is below 0, so padding with zeros does not change the maximum.
        x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))  # (N, H / 4, W / 4, f)
        x = make_stage(width, width, stride=1, name="layer1")(x)
        x = make_stage(width, 2 * width, stride=2, name="layer2")(x)  # (N, H / 8, W / 8, 2f)
        x = make_stage(2 * width, 4 * width, stride=2, name="layer3")(x)
        x = make_stage(4 * width, 8 * width, stride=2, name="layer4")(x)  # (N, H / 32, W / 32, 8f)
        super().__init__(image, layers.GlobalAveragePooling2D()(x))  # (N, 8f)


class Head(keras.Model):
    """Features to logits: (N, 8f) -> (N, K)."""

    def __init__(self, width, classes):
        features = keras.Input((8 * width,))
        glorot = {"kernel_initializer": "glorot_uniform"}
        super().__init__(features, layers.Dense(classes, **glorot, name="fc")(features))


def make_stage(inputs, outputs, stride, name):
    """Two blocks, the first of which may halve the image."""
    x = keras.Input((None, None, inputs))
    y = BasicBlock(inputs, outputs, stride, name="0")(x)
    y = BasicBlock(outputs, outputs, 1, name="1")(y)
    return keras.Model(x, y, name=name)


def initial_settings():
    """He's normal initial weights by fan out; the settings of batch norm."""
    # Without a SeedGenerator, an initialiser would return the same numbers at each use.
    seed = keras.random.SeedGenerator()
    he = keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal", seed)
    return {"kernel_initializer": he}, {"epsilon": 1e-5, "momentum": 0.9}


def classification_loss(logits, labels):
    """-log softmax(logits) at the label, averaged over images."""
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, logits)


class ClassifierTrainer(Trainer):
    """Images and labels to the loss: (N, H, W, C), (N,) -> ()."""

    def __init__(self, networks, trained):
        super().__init__(networks, trained)
        self.frozen = "backbone" not in trained

    def call(self, inputs):
        images, labels = inputs
        # In training mode, batch norm of a frozen backbone would keep updating its averages.
        features = self.backbone(images, training=not self.frozen)
        loss = classification_loss(self.head(features, training=True), labels)
        self.add_loss(loss)
        return {"classification_loss": loss}


def train_step(trainers, images, labels, learning_rate):
    """Update both networks, or the head alone, on a batch of images and their labels."""
    trainers["classifier"].optimizer.learning_rate = learning_rate
    return trainers["classifier"].train_on_batch([images, labels], return_dict=True)


def predict(networks, images):
    """The probability of each class, with the running averages of batch norm: (N, K)."""
    logits = networks["head"].predict_on_batch(networks["backbone"].predict_on_batch(images))
    return ops.convert_to_numpy(ops.softmax(logits))


def build(config, image_shape, classes):
    """Both networks, and the optimiser of those that are trained."""
    networks = {
        "backbone": Backbone(image_shape, config.width),
        "head": Head(config.width, classes),
    }
    learning = ["head"] if config.mode == "frozen" else ["backbone", "head"]
    trainers = {"classifier": ClassifierTrainer(networks, learning)}
    trainers["classifier"].compile(SGD(config.learning_rate, momentum=0.9))
    return networks, trainers


def start(arguments=None):
    """Make a run ready, as the command line says or as `arguments` do."""
    run = Run(Config, __file__, __doc__, arguments)
    config = run.config
    bridge.prepare(config.seed, config.device, config.precision)
    networks, run.trainers = build(config, run.image_shape, len(run.class_names))

    def classify(images):
        return predict(networks, preprocess(images))

    pictures = Predictions(run.data, classify, config.input)
    run.connect(bridge, networks, run.trainers, pictures)
    if config.mode != "scratch" and not run.loaded:
        adopt(bridge, networks["backbone"], config.weights, config.data_dir)
    return run


def learn(run, batch):
    """Train on a batch, and return the losses."""
    images = preprocess(batch.images)
    rate = decay(run.config, run.step + 1)
    return train_step(run.trainers, images, batch.labels, rate)


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
