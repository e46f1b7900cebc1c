"""GAN: a generator and a discriminator, fully connected, learn to draw images, in Keras.

Paper: Goodfellow and others (2014), https://arxiv.org/abs/1406.2661
Run:   python keras/gan.py --dataset mnist
Page:  docs/models/gan.md
Departures from the paper: leaky ReLU in place of maxout, no dropout, Adam, and batch norm in the
generator, without which its samples all look alike.
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
from common.pictures import Samples
from common.run import Run, Settings, launch

from optimizers import Adam
from own_layers import BatchNormalization, LeakyReLU
from trainers import Trainer


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; each annotated line is a flag."""

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 3000
    batch_size: Annotated[int, "images per step", 2] = 64
    learning_rate: Annotated[float, "step size of Adam", 0] = 2e-4
    latent_dim: Annotated[int, "numbers that an image is drawn from", 1] = 100


# N batch, Z latent, C channels, H height, W width


def preprocess(images):
    """Pixels in [0, 255] to the networks' range: (N, H, W, C) -> (N, H, W, C) in [0, 1]."""
    return images.astype(keras.config.floatx()) / 255


def postprocess(x):
    """The inverse: (N, H, W, C) in [0, 1] -> (N, H, W, C) in [0, 255]."""
    return np.rint(x * 255).clip(0, 255).astype(np.uint8)


def draw_noise(random, config, *shape):
    """Latent vectors, uniform on [-1, 1): (*shape, Z)."""
    return random.uniform(-1, 1, (*shape, config.latent_dim)).astype(config.dtype)


class Generator(keras.Model):
    """Latent vector to image: (N, Z) -> (N, H, W, C) in [0, 1]."""

    def __init__(self, image_shape, latent_dim):
        height, width, channels = image_shape
        glorot = {"kernel_initializer": "glorot_uniform"}
        norm = {"epsilon": 1e-5, "momentum": 0.9}
        z = keras.Input((latent_dim,))
        x = layers.Dense(128, **glorot, name="dense1")(z)
        x = LeakyReLU(negative_slope=0.2)(x)
        x = layers.Dense(256, **glorot, use_bias=False, name="dense2")(x)
        x = BatchNormalization(**norm, name="norm2")(x)
        x = LeakyReLU(negative_slope=0.2)(x)
        x = layers.Dense(512, **glorot, use_bias=False, name="dense3")(x)
        x = BatchNormalization(**norm, name="norm3")(x)
        x = LeakyReLU(negative_slope=0.2)(x)
        x = layers.Dense(channels * height * width, **glorot, name="dense4")(x)
        # (N, C * H * W), the order that others unfold
        x = layers.Reshape((channels, height, width))(layers.Activation("sigmoid")(x))
        super().__init__(z, layers.Permute((2, 3, 1))(x))  # (N, H, W, C)


class Discriminator(keras.Model):
    """Image to logit, high if it looks real: (N, H, W, C) -> (N, 1)."""

    def __init__(self, image_shape):
        glorot = {"kernel_initializer": "glorot_uniform"}
        image = keras.Input(image_shape)
        # (N, C, H, W): the order that others flatten in
        x = layers.Flatten()(layers.Permute((3, 1, 2))(image))
        x = layers.Dense(512, **glorot, name="dense1")(x)
        x = LeakyReLU(negative_slope=0.2)(x)
        x = layers.Dense(256, **glorot, name="dense2")(x)
        x = LeakyReLU(negative_slope=0.2)(x)
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


class DiscriminatorTrainer(Trainer):
    """Images and noise to the discriminator's loss: (N, H, W, C), (N, Z) -> ()."""

    def call(self, inputs):
        images, noise = inputs
        fakes = ops.stop_gradient(self.generator(noise, training=True))
        real_logits = self.discriminator(images, training=True)
        fake_logits = self.discriminator(fakes, training=True)
        loss = discriminator_loss(real_logits, fake_logits)
        self.add_loss(loss)
        return {"discriminator_loss": loss}


class GeneratorTrainer(Trainer):
    """Noise to the generator's loss: (N, Z) -> ()."""

    def call(self, noise):
        fakes = self.generator(noise, training=True)
        loss = generator_loss(self.discriminator(fakes, training=True))
        self.add_loss(loss)
        return {"generator_loss": loss}


def train_step(trainers, images, noise):
    """Update D on real and fake images, then G on fresh noise; noise is (2, N, Z)."""
    d_loss = trainers["discriminator"].train_on_batch([images, noise[0]], return_dict=True)
    g_loss = trainers["generator"].train_on_batch(noise[1], return_dict=True)
    return d_loss | g_loss


def sample(generator, noise):
    """Draw an image from each latent vector, with the running averages of batch norm."""
    return generator.predict_on_batch(noise)


def build(config, image_shape):
    """Both networks and their optimisers."""
    networks = {
        "generator": Generator(image_shape, config.latent_dim),
        "discriminator": Discriminator(image_shape),
    }
    trainers = {
        "generator": GeneratorTrainer(networks, trained=["generator"]),
        "discriminator": DiscriminatorTrainer(networks, trained=["discriminator"]),
    }
    adam = {"learning_rate": config.learning_rate, "beta_1": 0.5, "beta_2": 0.999, "epsilon": 1e-8}
    for trainer in trainers.values():
        trainer.compile(Adam(**adam))
    return networks, trainers


def start(arguments=None):
    """Make a run ready, as the command line says or as `arguments` do."""
    run = Run(Config, __file__, __doc__, arguments)
    config = run.config
    bridge.prepare(config.seed, config.device, config.precision)
    networks, run.trainers = build(config, run.image_shape)

    def draw(noise):
        return postprocess(sample(networks["generator"], noise))

    pictures = Samples(run.data, config, draw_noise, draw)
    run.connect(bridge, networks, run.trainers, pictures)
    return run


def learn(run, batch):
    """Train on a batch, and return the losses."""
    images = preprocess(batch.images)
    noise = run.draw(draw_noise, 2)
    return train_step(run.trainers, images, noise)


def main():
    """Train, or draw from a checkpoint, as the command line says."""
    run = start()
    if run.config.generate:
        run.generate()
        return
    for batch in run.batches():
        run.log(learn(run, batch))


if __name__ == "__main__":
    launch(main)
