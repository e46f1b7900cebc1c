"""DCGAN: a deep convolutional generator and discriminator learn to draw images, in Keras.

Paper: Radford, Metz, Chintala (2015), https://arxiv.org/abs/1511.06434
Run:   python keras/dcgan.py --dataset cifar10
Page:  docs/models/dcgan.md
Departures from the paper: the widths of the layers, and batches of 64. No convolution before a
batch norm has a bias, as in the authors' code: the norm takes it away again, so its gradient is
nothing but rounding, which Adam blows up to full steps.
"""

import math
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
from common.data import count_doublings
from common.pictures import Samples
from common.run import Run, Settings, launch

from optimizers import Adam
from own_layers import BatchNormalization, LeakyReLU
from trainers import Trainer, draw_fakes


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; each annotated line is a flag."""

    size_multiple = None  # sides are 4 to 7 pixels, doubled d times

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 10_000
    batch_size: Annotated[int, "images per step", 2] = 64
    learning_rate: Annotated[float, "step size of Adam", 0] = 2e-4
    latent_dim: Annotated[int, "numbers that an image is drawn from", 1] = 100
    filters: Annotated[int, "channels of the first convolution; the others have multiples", 1] = 32


# N batch, Z latent, C channels, H height, W width, f filters, d doublings, h = H / 2^d, w = W / 2^d


def preprocess(images):
    """Pixels in [0, 255] to the networks' range: (N, H, W, C) -> (N, H, W, C) in [-1, 1]."""
    return images.astype(keras.config.floatx()) / 127.5 - 1


def postprocess(x):
    """The inverse: (N, H, W, C) in [-1, 1] -> (N, H, W, C) in [0, 255]."""
    return np.rint((x + 1) * 127.5).clip(0, 255).astype(np.uint8)


def draw_noise(random, config, *shape):
    """Latent vectors, uniform on [-1, 1): (*shape, Z)."""
    return random.uniform(-1, 1, (*shape, config.latent_dim)).astype(config.dtype)


class UpBlock(keras.Model):
    """Twice the side, half the channels: (N, H, W, C) -> (N, 2H, 2W, C / 2)."""

    def __init__(self, channels, **named):
        normal, norm = initial_settings()
        double = {"kernel_size": 4, "strides": 2, "padding": "same", "use_bias": False, **normal}
        x = keras.Input((None, None, channels))
        y = layers.Conv2DTranspose(channels // 2, **double, name="deconv")(x)
        y = BatchNormalization(**norm, name="norm")(y)
        super().__init__(x, layers.ReLU()(y), **named)


class Generator(keras.Model):
    """Latent vector to image: (N, Z) -> (N, H, W, C) in [-1, 1]."""

    def __init__(self, image_shape, latent_dim, filters):
        side, _, channels = image_shape
        doublings = count_doublings(side)  # 2 for 28 pixels, which are 7 * 2 * 2
        base = (filters * 2**doublings, side >> doublings, side >> doublings)
        normal, norm = initial_settings()
        double = {"kernel_size": 4, "strides": 2, "padding": "same", **normal}
        z = keras.Input((latent_dim,))
        x = layers.Dense(math.prod(base), **normal, name="dense")(z)
        x = layers.Permute((2, 3, 1))(layers.Reshape(base)(x))  # channels last
        x = layers.ReLU()(BatchNormalization(**norm, name="norm")(x))  # (N, h, w, f * 2^d)
        inner = y = keras.Input(x.shape[1:])
        for n in range(doublings - 1):
            y = UpBlock(base[0] // 2**n, name=str(n))(y)
        x = keras.Model(inner, y, name="blocks")(x)  # (N, H / 2, W / 2, 2f)
        x = layers.Conv2DTranspose(channels, **double, name="deconv")(x)  # (N, H, W, C)
        super().__init__(z, layers.Activation("tanh")(x))


class DownBlock(keras.Model):
    """Half the side, twice the channels: (N, H, W, C) -> (N, H / 2, W / 2, 2C)."""

    def __init__(self, channels, **named):
        normal, norm = initial_settings()
        half = {"kernel_size": 4, "strides": 2, "padding": "same", "use_bias": False, **normal}
        x = keras.Input((None, None, channels))
        y = layers.Conv2D(2 * channels, **half, name="conv")(x)
        y = BatchNormalization(**norm, name="norm")(y)
        super().__init__(x, LeakyReLU(negative_slope=0.2)(y), **named)


class Discriminator(keras.Model):
    """Image to logit, high if it looks real: (N, H, W, C) -> (N, 1)."""

    def __init__(self, image_shape, filters):
        side, _, _ = image_shape
        halvings = count_doublings(side)
        width = filters * 2 ** (halvings - 1)
        normal, _ = initial_settings()
        half = {"kernel_size": 4, "strides": 2, "padding": "same", **normal}
        image = keras.Input(image_shape)
        x = layers.Conv2D(filters, **half, name="conv1")(image)
        x = LeakyReLU(negative_slope=0.2)(x)  # (N, H / 2, W / 2, f)
        inner = y = keras.Input(x.shape[1:])
        for n in range(halvings - 1):
            y = DownBlock(filters * 2**n, name=str(n))(y)
        x = keras.Model(inner, y, name="blocks")(x)  # (N, h, w, f * 2^(d - 1))
        x = layers.Conv2D(2 * width, kernel_size=4, padding="valid", **normal, name="conv2")(x)
        x = LeakyReLU(negative_slope=0.2)(x)  # (N, h - 3, w - 3, f * 2^d)
        # channels first: the order that others flatten in
        x = layers.Flatten()(layers.Permute((3, 1, 2))(x))
        super().__init__(image, layers.Dense(1, **normal, name="dense")(x))  # (N, 1)


def initial_settings():
    """N(0, 0.02) as in the paper; scales of batch norm N(1, 0.02) as in its code; biases 0."""
    # Without a SeedGenerator, an initialiser would return the same numbers at each use.
    seed = keras.random.SeedGenerator()
    normal = {"kernel_initializer": keras.initializers.RandomNormal(0.0, 0.02, seed)}
    scales = {"gamma_initializer": keras.initializers.RandomNormal(1.0, 0.02, seed)}
    return normal, {"epsilon": 1e-5, "momentum": 0.9, **scales}


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
        fakes = draw_fakes(self.generator, noise)
        # Real and fake images pass separately, so that batch norm never mixes their statistics.
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
    """Update D on real images and on fakes, then G on what D now says of these; noise is (N, Z)."""
    inputs = [images, noise]
    d_loss = trainers["discriminator"].train_on_batch(inputs, return_dict=True)
    # G draws the same fakes again: it has not changed yet.
    g_loss = trainers["generator"].train_on_batch(noise, return_dict=True)
    return d_loss | g_loss


def sample(generator, noise):
    """Draw an image from each latent vector, with the running averages of batch norm."""
    return generator.predict_on_batch(noise)


def build(config, image_shape):
    """Both networks and their optimisers."""
    networks = {
        "generator": Generator(image_shape, config.latent_dim, config.filters),
        "discriminator": Discriminator(image_shape, config.filters),
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
    noise = run.draw(draw_noise)
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
