"""VAE: an encoder gives a distribution of codes, a decoder images for them, in TensorFlow.

Paper: Kingma, Welling (2013), https://arxiv.org/abs/1312.6114
Run:   python tensorflow/vae.py --dataset mnist
Departures from the paper: two hidden layers with ReLU in place of one with tanh, and Adam.
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
from common.pictures import LatentSpace
from common.run import Run, normal_noise

from layers import Dense, glorot_uniform
from optimizers import Adam


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; every line is a flag."""

    pixel_range = (0, 1)  # a pixel's grey is the probability of its being white

    dataset: Annotated[
        str, "digits, newts, cifar10, mnist, fashion_mnist, imori or folder:PATH"
    ] = "digits"
    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 10_000
    batch_size: Annotated[int, "images per step", 1] = 128
    learning_rate: Annotated[float, "step size of Adam", 0] = 1e-3
    log_every: Annotated[int, "steps between two rows of metrics.csv", 1] = 100
    sample_every: Annotated[int, "steps between two pictures in samples/", 1] = 1000
    checkpoint_every: Annotated[int, "steps between two checkpoints", 1] = 1000
    latent_dim: Annotated[int, "numbers in a code; the latent pictures need 2", 1] = 2


# N batch, Z latent, C channels, H height, W width


class Encoder(tf.Module):
    """Image to mean and log variance of its code: (N, H, W, C) -> (N, Z), (N, Z)."""

    def __init__(self, image_shape, latent_dim):
        super().__init__()
        height, width, channels = image_shape
        self.dense1 = Dense(channels * height * width, 256, initial=glorot_uniform)
        self.dense2 = Dense(256, 128, initial=glorot_uniform)
        self.mean = Dense(128, latent_dim, initial=glorot_uniform)
        self.logvar = Dense(128, latent_dim, initial=glorot_uniform)

    def __call__(self, x):
        x = tf.transpose(x, (0, 3, 1, 2))  # (N, C, H, W): the order that others flatten in
        h = tf.nn.relu(self.dense1(tf.reshape(x, (tf.shape(x)[0], -1))))  # (N, 256)
        h = tf.nn.relu(self.dense2(h))  # (N, 128)
        return self.mean(h), self.logvar(h)  # (N, Z), (N, Z)


class Decoder(tf.Module):
    """Code to the logits of an image: (N, Z) -> (N, H, W, C)."""

    def __init__(self, image_shape, latent_dim):
        super().__init__()
        height, width, channels = image_shape
        self.shape = (channels, height, width)
        self.dense1 = Dense(latent_dim, 128, initial=glorot_uniform)
        self.dense2 = Dense(128, 256, initial=glorot_uniform)
        self.dense3 = Dense(256, channels * height * width, initial=glorot_uniform)

    def __call__(self, z):
        h = tf.nn.relu(self.dense1(z))  # (N, 128)
        h = tf.nn.relu(self.dense2(h))  # (N, 256)
        x = tf.reshape(self.dense3(h), (-1, *self.shape))  # (N, C, H, W)
        return tf.transpose(x, (0, 2, 3, 1))  # (N, H, W, C)


def reconstruction_loss(images, logits):
    """-log p(x | z): cross-entropy, summed over an image's pixels, averaged over the batch."""
    loss = tf.nn.sigmoid_cross_entropy_with_logits(images, logits)
    return tf.reduce_mean(tf.reduce_sum(loss, (1, 2, 3)))


def kl_divergence(mean, logvar):
    """KL(N(mean, var) || N(0, 1)), summed over a code's numbers, averaged over the batch."""
    divergence = 0.5 * (tf.square(mean) + tf.exp(logvar) - 1 - logvar)
    return tf.reduce_mean(tf.reduce_sum(divergence, 1))


def negative_elbo(encoder, decoder, images, noise):
    """The loss, an upper bound of -log p(x), and the two parts that it is the sum of."""
    mean, logvar = encoder(images)
    z = mean + tf.exp(logvar / 2) * noise  # a gradient passes through: noise is what is random
    reconstruction = reconstruction_loss(images, decoder(z))
    divergence = kl_divergence(mean, logvar)
    return {
        "reconstruction_loss": reconstruction,
        "kl_divergence": divergence,
        "negative_elbo": reconstruction + divergence,
    }


@tf.function
def train_step(encoder, decoder, optimizer, images, noise):
    """Update both networks on a batch of images; noise is (N, Z)."""
    with tf.GradientTape() as tape:
        losses = negative_elbo(encoder, decoder, images, noise)
    variables = [*encoder.trainable_variables, *decoder.trainable_variables]
    optimizer.apply(tape.gradient(losses["negative_elbo"], variables))
    return losses


@tf.function
def evaluate(encoder, decoder, images, noise):
    """The losses of images, without an update."""
    return negative_elbo(encoder, decoder, images, noise)


@tf.function
def encode(encoder, images):
    """The mean of each image's code."""
    return encoder(images)[0]


@tf.function
def decode(decoder, z):
    """The image of each code, in [0, 1]."""
    return tf.sigmoid(decoder(z))


def main():
    """Train, or draw from a checkpoint, as the command line says."""
    run = Run(Config, __file__, __doc__)
    config = run.config
    bridge.set_seed(config.seed)
    bridge.find_device(config.device)
    encoder = Encoder(run.image_shape, config.latent_dim)
    decoder = Decoder(run.image_shape, config.latent_dim)
    adam = {"learning_rate": config.learning_rate, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    variables = [*encoder.trainable_variables, *decoder.trainable_variables]
    optimizer = Adam(variables, **adam)

    def to_codes(images):
        return encode(encoder, tf.constant(images)).numpy()

    def to_images(codes):
        return decode(decoder, tf.constant(codes)).numpy()

    def test(images, random):
        noise = normal_noise(random, len(images), config.latent_dim)
        return evaluate(encoder, decoder, tf.constant(images), tf.constant(noise))

    run.connect(
        bridge,
        networks={"encoder": encoder, "decoder": decoder},
        optimizers={"autoencoder": optimizer},
        pictures=LatentSpace(to_codes, to_images),
        evaluate=test,
    )
    if config.generate:
        run.generate()
        return
    for step, batch in run.steps():
        images = tf.constant(batch.images)
        noise = normal_noise(run.random, config.batch_size, config.latent_dim)
        losses = train_step(encoder, decoder, optimizer, images, tf.constant(noise))
        run.log(step, losses)


if __name__ == "__main__":
    launch(main)
