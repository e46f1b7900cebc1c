"""Autoencoder: a linear encoder and decoder restore images from a few numbers, in TensorFlow.

Paper: Baldi, Hornik (1989), https://doi.org/10.1016/0893-6080(89)90014-2
Run:   python tensorflow/ae.py --dataset cifar10
Page:  docs/models/ae.md
Without activations the best that it can learn is known: principal component analysis. A finished
run sets its test error beside that of PCA with as many components.
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

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 1000
    batch_size: Annotated[int, "images per step", 1] = 64
    learning_rate: Annotated[float, "step size of Adam", 0] = 1e-3
    latent_dim: Annotated[int, "numbers that an image is compressed to", 1] = 64


# N batch, Z latent, C channels, H height, W width


def preprocess(images):
    """Pixels in [0, 255] to the networks' range: (N, H, W, C) -> (N, H, W, C) in [-1, 1]."""
    return tf.cast(images, bridge.default_dtype()) / 127.5 - 1


def postprocess(x):
    """The inverse: (N, H, W, C) in [-1, 1] -> (N, H, W, C) in [0, 255]."""
    images = tf.clip_by_value(tf.round((x + 1) * 127.5), 0, 255)
    return tf.cast(images, tf.uint8).numpy()


class Encoder(tf.Module):
    """Image to code: (N, H, W, C) -> (N, Z)."""

    def __init__(self, image_shape, latent_dim):
        super().__init__()
        height, width, channels = image_shape
        self.dense = layers.Dense(channels * height * width, latent_dim)
        for layer in self.submodules:
            initialize(layer)

    def __call__(self, x):
        x = tf.transpose(x, (0, 3, 1, 2))  # (N, C, H, W): the order that others flatten in
        return self.dense(tf.reshape(x, (tf.shape(x)[0], -1)))  # (N, Z)


class Decoder(tf.Module):
    """Code to image: (N, Z) -> (N, H, W, C), about [-1, 1]."""

    def __init__(self, image_shape, latent_dim):
        super().__init__()
        height, width, channels = image_shape
        self.shape = (channels, height, width)
        self.dense = layers.Dense(latent_dim, channels * height * width)
        for layer in self.submodules:
            initialize(layer)

    def __call__(self, z):
        x = tf.reshape(self.dense(z), (-1, *self.shape))  # (N, C, H, W)
        return tf.transpose(x, (0, 2, 3, 1))  # (N, H, W, C)


def initialize(layer):
    """Glorot's uniform initial weights, biases 0."""
    if isinstance(layer, layers.Dense):
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
        "encoder": Encoder(image_shape, config.latent_dim),
        "decoder": Decoder(image_shape, config.latent_dim),
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

    pictures = Reconstructions(run.data, config, restore, test, config.latent_dim)
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
