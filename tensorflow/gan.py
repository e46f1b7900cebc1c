"""GAN: a generator and a discriminator, fully connected, learn to draw images, in TensorFlow.

Paper: Goodfellow and others (2014), https://arxiv.org/abs/1406.2661
Run:   python tensorflow/gan.py --dataset mnist
Departures from the paper: leaky ReLU in place of maxout, no dropout, and Adam.
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
from common.pictures import Samples
from common.run import Run, uniform_noise

from layers import Dense, glorot_uniform
from optimizers import Adam


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; every line is a flag."""

    pixel_range = (0, 1)  # of a sigmoid

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 3000
    batch_size: Annotated[int, "images per step", 2] = 64
    learning_rate: Annotated[float, "step size of Adam", 0] = 2e-4
    latent_dim: Annotated[int, "numbers that an image is drawn from", 1] = 100


# N batch, Z latent, C channels, H height, W width


class Generator(tf.Module):
    """Latent vector to image: (N, Z) -> (N, H, W, C) in [0, 1]."""

    def __init__(self, image_shape, latent_dim):
        super().__init__()
        height, width, channels = image_shape
        self.shape = (channels, height, width)
        self.dense1 = Dense(latent_dim, 128, initial=glorot_uniform)
        self.dense2 = Dense(128, 256, initial=glorot_uniform)
        self.dense3 = Dense(256, 512, initial=glorot_uniform)
        self.dense4 = Dense(512, channels * height * width, initial=glorot_uniform)

    def __call__(self, z):
        x = tf.nn.leaky_relu(self.dense1(z), 0.2)  # (N, 128)
        x = tf.nn.leaky_relu(self.dense2(x), 0.2)  # (N, 256)
        x = tf.nn.leaky_relu(self.dense3(x), 0.2)  # (N, 512)
        x = tf.sigmoid(self.dense4(x))  # (N, C * H * W), the order that others unfold
        return tf.transpose(tf.reshape(x, (-1, *self.shape)), (0, 2, 3, 1))  # (N, H, W, C)


class Discriminator(tf.Module):
    """Image to the logit of its being real: (N, H, W, C) -> (N, 1)."""

    def __init__(self, image_shape):
        super().__init__()
        height, width, channels = image_shape
        self.dense1 = Dense(channels * height * width, 512, initial=glorot_uniform)
        self.dense2 = Dense(512, 256, initial=glorot_uniform)
        self.dense3 = Dense(256, 1, initial=glorot_uniform)

    def __call__(self, x):
        x = tf.transpose(x, (0, 3, 1, 2))  # (N, C, H, W): the order that others flatten in
        x = tf.reshape(x, (tf.shape(x)[0], -1))
        x = tf.nn.leaky_relu(self.dense1(x), 0.2)  # (N, 512)
        x = tf.nn.leaky_relu(self.dense2(x), 0.2)  # (N, 256)
        return self.dense3(x)  # (N, 1); no sigmoid, for the losses are from logits


def discriminator_loss(real_logits, fake_logits):
    """-log D(x) - log(1 - D(G(z))): real is 1, fake is 0."""
    cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits
    real = tf.reduce_mean(cross_entropy(tf.ones_like(real_logits), real_logits))
    fake = tf.reduce_mean(cross_entropy(tf.zeros_like(fake_logits), fake_logits))
    return real + fake


def generator_loss(fake_logits):
    """-log D(G(z)): the non-saturating loss."""
    cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits
    return tf.reduce_mean(cross_entropy(tf.ones_like(fake_logits), fake_logits))


@tf.function
def train_step(
    generator, discriminator, generator_optimizer, discriminator_optimizer, images, noise
):
    """Update D on real and fake images, then G on fresh noise; noise is (2, N, Z)."""
    fakes = generator(noise[0])
    with tf.GradientTape() as tape:
        d_loss = discriminator_loss(discriminator(images), discriminator(fakes))
    gradients = tape.gradient(d_loss, discriminator.trainable_variables)
    discriminator_optimizer.apply(gradients)

    with tf.GradientTape() as tape:
        g_loss = generator_loss(discriminator(generator(noise[1])))
    gradients = tape.gradient(g_loss, generator.trainable_variables)
    generator_optimizer.apply(gradients)
    return {"discriminator_loss": d_loss, "generator_loss": g_loss}


@tf.function
def sample(generator, noise):
    """Draw an image from each latent vector."""
    return generator(noise)


def main():
    """Train, or draw from a checkpoint, as the command line says."""
    run = Run(Config, __file__, __doc__)
    config = run.config
    bridge.set_seed(config.seed)
    bridge.find_device(config.device)
    generator = Generator(run.image_shape, config.latent_dim)
    discriminator = Discriminator(run.image_shape)
    adam = {"learning_rate": config.learning_rate, "beta1": 0.5, "beta2": 0.999, "epsilon": 1e-8}
    generator_optimizer = Adam(generator.trainable_variables, **adam)
    discriminator_optimizer = Adam(discriminator.trainable_variables, **adam)

    def draw(count, random):
        noise = uniform_noise(random, count, config.latent_dim)
        return sample(generator, tf.constant(noise)).numpy()

    run.connect(
        bridge,
        networks={"generator": generator, "discriminator": discriminator},
        optimizers={"generator": generator_optimizer, "discriminator": discriminator_optimizer},
        pictures=Samples(draw),
    )
    if config.generate:
        run.generate()
        return
    for step, batch in run.steps():
        images = tf.constant(batch.images)
        noise = uniform_noise(run.random, 2, config.batch_size, config.latent_dim)
        losses = train_step(
            generator,
            discriminator,
            generator_optimizer,
            discriminator_optimizer,
            images,
            tf.constant(noise),
        )
        run.log(step, losses)


if __name__ == "__main__":
    launch(main)
