"""ConvAE: convolutions learn to compress an image and to restore it, in TensorFlow.

Paper: Masci and others (2011), https://doi.org/10.1007/978-3-642-21735-7_7
Run:   python tensorflow/convae.py --dataset cifar10
Page:  docs/models/convae.md
Departures from the paper: ReLU in place of tanh, and the decoder has weights of its own.
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
from common.pictures import Reconstructions
from common.run import Run, Settings, launch

import layers
from optimizers import Adam


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; each annotated line is a flag."""

    size_multiple = 4  # the image is halved and doubled twice

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 1000
    batch_size: Annotated[int, "images per step", 1] = 64
    learning_rate: Annotated[float, "step size of Adam", 0] = 1e-3


# N batch, C channels, H height, W width


def preprocess(images):
    """Pixels in [0, 255] to the networks' range: (N, H, W, C) -> (N, H, W, C) in [-1, 1]."""
    return tf.cast(images, bridge.default_dtype()) / 127.5 - 1


def postprocess(x):
    """The inverse: (N, H, W, C) in [-1, 1] -> (N, H, W, C) in [0, 255]."""
    images = tf.clip_by_value(tf.round((x + 1) * 127.5), 0, 255)
    return tf.cast(images, tf.uint8).numpy()


class Encoder(tf.Module):
    """Image to code: (N, H, W, C) -> (N, H / 4, W / 4, 16)."""

    def __init__(self, image_shape):
        super().__init__()
        _, _, channels = image_shape
        same = {"kernel_size": 3, "strides": 1, "padding": "SAME"}
        self.conv1 = layers.Conv2D(channels, 32, **same)
        self.conv2 = layers.Conv2D(32, 16, **same)
        for layer in self.submodules:
            initialize(layer)

    def __call__(self, x):
        x = tf.nn.relu(self.conv1(x))
        x = tf.nn.max_pool2d(x, 2, 2, "VALID")  # (N, H / 2, W / 2, 32)
        x = tf.nn.relu(self.conv2(x))
        return tf.nn.max_pool2d(x, 2, 2, "VALID")  # (N, H / 4, W / 4, 16)


class Decoder(tf.Module):
    """Code to image: (N, H / 4, W / 4, 16) -> (N, H, W, C), about [-1, 1]."""

    def __init__(self, image_shape):
        super().__init__()
        _, _, channels = image_shape
        double = {"kernel_size": 2, "strides": 2, "padding": "SAME"}
        self.deconv1 = layers.Conv2DTranspose(16, 32, **double)
        self.deconv2 = layers.Conv2DTranspose(32, channels, **double)
        for layer in self.submodules:
            initialize(layer)

    def __call__(self, z):
        x = tf.nn.relu(self.deconv1(z))  # (N, H / 2, W / 2, 32)
        return self.deconv2(x)  # (N, H, W, C)


def initialize(layer):
    """Glorot's uniform initial weights, biases 0."""
    if isinstance(layer, layers.Conv2D | layers.Conv2DTranspose):
        layer.kernel.assign(layers.glorot_uniform(layer.kernel.shape))


def reconstruction_loss(images, reconstructions):
    """Mean squared error."""
    return tf.reduce_mean(tf.square(reconstructions - images))


@tf.function
def train_step(networks, optimizers, images):
    """Update both networks on a batch of images."""
    with tf.GradientTape() as tape:
        loss = reconstruction_loss(images, networks["decoder"](networks["encoder"](images)))
    optimizer = optimizers["autoencoder"]
    optimizer.apply(tape.gradient(loss, optimizer.targets))
    return {"reconstruction_loss": loss}


@tf.function
def reconstruct(networks, images):
    """Compress images and restore them."""
    return networks["decoder"](networks["encoder"](images))


def evaluate(networks, images):
    """The loss on images, without an update."""
    loss = reconstruction_loss(images, reconstruct(networks, images))
    return {"reconstruction_loss": loss}


def build(config, image_shape):
    """Both networks and the optimiser of all their weights."""
    networks = {
        "encoder": Encoder(image_shape),
        "decoder": Decoder(image_shape),
    }
    variables = [
        *networks["encoder"].trainable_variables,
        *networks["decoder"].trainable_variables,
    ]
    adam = {"learning_rate": config.learning_rate, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}
    optimizers = {"autoencoder": Adam(variables, **adam)}
    return networks, optimizers


def start(arguments=None):
    """Make a run ready, as the command line says or as `arguments` do."""
    run = Run(Config, __file__, __doc__, arguments)
    config = run.config
    run.strategy = bridge.prepare(config.seed, config.device, config.precision)
    networks, optimizers = build(config, run.image_shape)

    def restore(images):
        return postprocess(reconstruct(networks, preprocess(images)))

    def test(images, _):
        return evaluate(networks, preprocess(images))

    pictures = Reconstructions(run.data, config, restore, test)
    run.connect(bridge, networks, optimizers, pictures)
    return run


def learn(run, batch):
    """Train on a batch, and return the losses."""
    return run.strategy.run(train_step, (run.networks, run.optimizers, preprocess(batch.images)))


def main():
    """Train, or restore test images from a checkpoint, as the command line says."""
    run = start()
    if run.config.generate:
        run.generate()
        return
    for batch in run.batches():
        run.log(learn(run, batch))


if __name__ == "__main__":
    launch(main)
