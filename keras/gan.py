"""GAN: a generator and a discriminator, fully connected, learn to draw images, in Keras.

Paper: Goodfellow and others (2014), https://arxiv.org/abs/1406.2661
Run:   python keras/gan.py --dataset mnist
Departures from the paper: leaky ReLU in place of maxout, no dropout, and Adam.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # torch and jax do as well
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
from keras import layers, ops

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common.bridges import keras as bridge
from common.flags import Settings, launch
from common.pictures import Samples
from common.run import Run, uniform_noise

from optimizers import Adam
from players import Player


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; every line is a flag."""

    pixel_range = (0, 1)  # of a sigmoid

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 3000
    batch_size: Annotated[int, "images per step", 2] = 64
    learning_rate: Annotated[float, "step size of Adam", 0] = 2e-4
    latent_dim: Annotated[int, "numbers that an image is drawn from", 1] = 100


# N batch, Z latent, C channels, H height, W width


class Generator(keras.Model):
    """Latent vector to image: (N, Z) -> (N, H, W, C) in [0, 1]."""

    def __init__(self, image_shape, latent_dim):
        height, width, channels = image_shape
        glorot = {"kernel_initializer": "glorot_uniform"}
        z = keras.Input((latent_dim,))
        x = layers.Dense(128, **glorot, name="dense1")(z)
        x = layers.LeakyReLU(negative_slope=0.2)(x)
        x = layers.Dense(256, **glorot, name="dense2")(x)
        x = layers.LeakyReLU(negative_slope=0.2)(x)
        x = layers.Dense(512, **glorot, name="dense3")(x)
        x = layers.LeakyReLU(negative_slope=0.2)(x)
        x = layers.Dense(channels * height * width, **glorot, name="dense4")(x)
        # (N, C * H * W), the order that others unfold
        x = layers.Reshape((channels, height, width))(layers.Activation("sigmoid")(x))
        super().__init__(z, layers.Permute((2, 3, 1))(x))  # (N, H, W, C)


class Discriminator(keras.Model):
    """Image to the logit of its being real: (N, H, W, C) -> (N, 1)."""

    def __init__(self, image_shape):
        glorot = {"kernel_initializer": "glorot_uniform"}
        image = keras.Input(image_shape)
        # (N, C, H, W): the order that others flatten in
        x = layers.Flatten()(layers.Permute((3, 1, 2))(image))
        x = layers.Dense(512, **glorot, name="dense1")(x)
        x = layers.LeakyReLU(negative_slope=0.2)(x)
        x = layers.Dense(256, **glorot, name="dense2")(x)
        x = layers.LeakyReLU(negative_slope=0.2)(x)
        # (N, 1); no sigmoid, for the losses are from logits
        super().__init__(image, layers.Dense(1, **glorot, name="dense3")(x))


def discriminator_loss(real_logits, fake_logits):
    """-log D(x) - log(1 - D(G(z))): real is 1, fake is 0."""
    cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    real = cross_entropy(ops.ones_like(real_logits), real_logits)
    fake = cross_entropy(ops.zeros_like(fake_logits), fake_logits)
    return real + fake


def generator_loss(fake_logits):
    """-log D(G(z)): the non-saturating loss."""
    cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    return cross_entropy(ops.ones_like(fake_logits), fake_logits)


def players(generator, discriminator, generator_optimizer, discriminator_optimizer):
    """Both players as compiled models: D sees (images, noise), G sees noise."""
    real, z = keras.Input(discriminator.input_shape[1:]), keras.Input(generator.input_shape[1:])
    fakes = generator(z)
    fake_logits = discriminator(ops.stop_gradient(fakes))
    logits = {"real_logits": discriminator(real), "fake_logits": fake_logits}
    discriminator_player = Player(discriminator, discriminator_loss, [real, z], logits)
    generator_player = Player(generator, generator_loss, z, {"fake_logits": discriminator(fakes)})
    # Built before compiled: with --resume the optimisers' state is set before the first step.
    discriminator_optimizer.build(discriminator.trainable_variables)
    generator_optimizer.build(generator.trainable_variables)
    discriminator_player.compile(discriminator_optimizer, jit_compile=bridge.JIT_COMPILE)
    generator_player.compile(generator_optimizer, jit_compile=bridge.JIT_COMPILE)
    return generator_player, discriminator_player


def train_step(generator_player, discriminator_player, images, noise):
    """Update D on real and fake images, then G on fresh noise; noise is (2, N, Z)."""
    d_loss = discriminator_player.train_on_batch([images, noise[0]])
    g_loss = generator_player.train_on_batch(noise[1])
    return {"discriminator_loss": d_loss, "generator_loss": g_loss}


def sample(generator, noise):
    """Draw an image from each latent vector."""
    return generator.predict_on_batch(noise)


def main():
    """Train, or draw from a checkpoint, as the command line says."""
    run = Run(Config, __file__, __doc__)
    config = run.config
    bridge.set_seed(config.seed)
    bridge.find_device(config.device)
    generator = Generator(run.image_shape, config.latent_dim)
    discriminator = Discriminator(run.image_shape)
    adam = {"learning_rate": config.learning_rate, "beta_1": 0.5, "beta_2": 0.999, "epsilon": 1e-8}
    generator_optimizer, discriminator_optimizer = Adam(**adam), Adam(**adam)
    generator_player, discriminator_player = players(
        generator, discriminator, generator_optimizer, discriminator_optimizer
    )

    def draw(count, random):
        return sample(generator, uniform_noise(random, count, config.latent_dim))

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
        noise = uniform_noise(run.random, 2, config.batch_size, config.latent_dim)
        losses = train_step(generator_player, discriminator_player, batch.images, noise)
        run.log(step, losses)


if __name__ == "__main__":
    launch(main)
