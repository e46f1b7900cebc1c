"""Autoencoder: a linear encoder and decoder restore images from a few numbers, in TensorFlow.

Paper: Baldi, Hornik (1989), https://doi.org/10.1016/0893-6080(89)90014-2
Run:   python tensorflow/ae.py --dataset cifar10
Without activations the best that it can learn is known: principal component analysis. A finished
run sets its test error beside that of PCA with as many components.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before the import: only errors

import tensorflow as tf

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common.bridges import tensorflow as bridge
from common.flags import Settings, launch
from common.pictures import Reconstructions
from common.run import Run

from layers import Dense, glorot_uniform
from optimizers import Adam


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; every line is a flag."""

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 1000
    batch_size: Annotated[int, "images per step", 1] = 64
    learning_rate: Annotated[float, "step size of Adam", 0] = 1e-3
    latent_dim: Annotated[int, "numbers that an image is compressed to", 1] = 64


# N batch, Z latent, C channels, H height, W width


class Encoder(tf.Module):
    """Image to code: (N, H, W, C) -> (N, Z)."""

    def __init__(self, image_shape, latent_dim):
        super().__init__()
        height, width, channels = image_shape
        self.dense = Dense(channels * height * width, latent_dim, initial=glorot_uniform)

    def __call__(self, x):
        x = tf.transpose(x, (0, 3, 1, 2))  # (N, C, H, W): the order that others flatten in
        return self.dense(tf.reshape(x, (tf.shape(x)[0], -1)))  # (N, Z)


class Decoder(tf.Module):
    """Code to image: (N, Z) -> (N, H, W, C), about [-1, 1]."""

    def __init__(self, image_shape, latent_dim):
        super().__init__()
        height, width, channels = image_shape
        self.shape = (channels, height, width)
        self.dense = Dense(latent_dim, channels * height * width, initial=glorot_uniform)

    def __call__(self, z):
        x = tf.reshape(self.dense(z), (-1, *self.shape))  # (N, C, H, W)
        return tf.transpose(x, (0, 2, 3, 1))  # (N, H, W, C)


def reconstruction_loss(images, reconstructions):
    """Mean squared error."""
    return tf.reduce_mean(tf.square(reconstructions - images))


@tf.function
def train_step(encoder, decoder, optimizer, images):
    """Update both networks on a batch of images."""
    with tf.GradientTape() as tape:
        loss = reconstruction_loss(images, decoder(encoder(images)))
    variables = [*encoder.trainable_variables, *decoder.trainable_variables]
    optimizer.apply(tape.gradient(loss, variables))
    return {"reconstruction_loss": loss}


@tf.function
def evaluate(encoder, decoder, images):
    """The loss of images, without an update."""
    return {"reconstruction_loss": reconstruction_loss(images, decoder(encoder(images)))}


@tf.function
def reconstruct(encoder, decoder, images):
    """Compress images and restore them."""
    return decoder(encoder(images))


def main():
    """Train, or restore test images from a checkpoint, as the command line says."""
    run = Run(Config, __file__, __doc__)
    config = run.config
    bridge.set_seed(config.seed)
    bridge.find_device(config.device)
    encoder = Encoder(run.image_shape, config.latent_dim)
    decoder = Decoder(run.image_shape, config.latent_dim)
    adam = {"learning_rate": config.learning_rate, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    variables = [*encoder.trainable_variables, *decoder.trainable_variables]
    optimizer = Adam(variables, **adam)

    def restore(images):
        return reconstruct(encoder, decoder, tf.constant(images)).numpy()

    def test(images, _):
        return evaluate(encoder, decoder, tf.constant(images))

    run.connect(
        bridge,
        networks={"encoder": encoder, "decoder": decoder},
        optimizers={"autoencoder": optimizer},
        pictures=Reconstructions(restore),
        evaluate=test,
        pca_components=config.latent_dim,
    )
    if config.generate:
        run.generate()
        return
    for step, batch in run.steps():
        losses = train_step(encoder, decoder, optimizer, tf.constant(batch.images))
        run.log(step, losses)


if __name__ == "__main__":
    launch(main)
