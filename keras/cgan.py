"""Conditional GAN: a generator learns to draw images of a given class, in Keras.

Paper: Mirza, Osindero (2014), https://arxiv.org/abs/1411.1784
Run:   python keras/cgan.py --dataset cifar10
Page:  docs/models/cgan.md
Departures from the paper: the networks are DCGAN's (see dcgan.py). The generator sees the
class as a one-hot vector beside its noise, the discriminator as a plane of ones among planes of
zeros, a plane per class, beside the image's channels.
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
from common.pictures import ClassSamples
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
    class_: Annotated[str | None, "with --generate: the one class to draw"] = None


# N batch, Z latent, K classes, C channels, H height, W width, f filters, d doublings,
# h = H / 2^d, w = W / 2^d


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
    """Latent vector and class to image: (N, Z), (N,) -> (N, H, W, C) in [-1, 1]."""

    def __init__(self, image_shape, latent_dim, classes, filters):
        side, _, channels = image_shape
        doublings = count_doublings(side)  # 2 for 28 pixels, which are 7 * 2 * 2
        base = (filters * 2**doublings, side >> doublings, side >> doublings)
        normal, norm = initial_settings()
        double = {"kernel_size": 4, "strides": 2, "padding": "same", **normal}
        z, label = keras.Input((latent_dim,)), keras.Input((), dtype="int32")
        one_hot = ops.one_hot(label, classes, dtype=keras.config.floatx())
        x = layers.Concatenate()([z, one_hot])  # (N, Z + K)
        x = layers.Dense(math.prod(base), **normal, name="dense")(x)
        x = layers.Permute((2, 3, 1))(layers.Reshape(base)(x))  # channels last
        x = layers.ReLU()(BatchNormalization(**norm, name="norm")(x))  # (N, h, w, f * 2^d)
        inner = y = keras.Input(x.shape[1:])
        for n in range(doublings - 1):
            y = UpBlock(base[0] // 2**n, name=str(n))(y)
        x = keras.Model(inner, y, name="blocks")(x)  # (N, H / 2, W / 2, 2f)
        x = layers.Conv2DTranspose(channels, **double, name="deconv")(x)  # (N, H, W, C)
        super().__init__([z, label], layers.Activation("tanh")(x))


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
    """Image and class to logit, high if it looks real: (N, H, W, C), (N,) -> (N, 1)."""

    def __init__(self, image_shape, classes, filters):
        side, _, _ = image_shape
        halvings = count_doublings(side)
        width = filters * 2 ** (halvings - 1)
        normal, _ = initial_settings()
        half = {"kernel_size": 4, "strides": 2, "padding": "same", **normal}
        image, label = keras.Input(image_shape), keras.Input((), dtype="int32")
        one_hot = ops.one_hot(label, classes, dtype=keras.config.floatx())
        planes = layers.Reshape((side, side, classes))(layers.RepeatVector(side * side)(one_hot))
        x = layers.Concatenate()([image, planes])  # (N, H, W, C + K)
        x = layers.Conv2D(filters, **half, name="conv1")(x)
        x = LeakyReLU(negative_slope=0.2)(x)  # (N, H / 2, W / 2, f)
        inner = y = keras.Input(x.shape[1:])
        for n in range(halvings - 1):
            y = DownBlock(filters * 2**n, name=str(n))(y)
        x = keras.Model(inner, y, name="blocks")(x)  # (N, h, w, f * 2^(d - 1))
        x = layers.Conv2D(2 * width, kernel_size=4, padding="valid", **normal, name="conv2")(x)
        x = LeakyReLU(negative_slope=0.2)(x)  # (N, h - 3, w - 3, f * 2^d)
        # channels first: the order that others flatten in
        x = layers.Flatten()(layers.Permute((3, 1, 2))(x))
        super().__init__([image, label], layers.Dense(1, **normal, name="dense")(x))  # (N, 1)


def initial_settings():
    """N(0, 0.02) as in the paper; scales of batch norm N(1, 0.02) as in DCGAN's code; biases 0."""
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
    """Images, labels and noise to the discriminator's loss, (): (N, H, W, C), (N,), (N, Z)."""

    def call(self, inputs):
        images, labels, noise = inputs
        fakes = draw_fakes(self.generator, [noise, labels])
        # Real and fake images pass separately, so that batch norm never mixes their statistics.
        real_logits = self.discriminator([images, labels], training=True)
        fake_logits = self.discriminator([fakes, labels], training=True)
        loss = discriminator_loss(real_logits, fake_logits)
        self.add_loss(loss)
        return {"discriminator_loss": loss}


class GeneratorTrainer(Trainer):
    """Labels and noise to the generator's loss: (N,), (N, Z) -> ()."""

    def call(self, inputs):
        labels, noise = inputs
        fakes = self.generator([noise, labels], training=True)
        loss = generator_loss(self.discriminator([fakes, labels], training=True))
        self.add_loss(loss)
        return {"generator_loss": loss}


def train_step(trainers, images, labels, noise):
    """Update D on real images and on fakes, then G on what D now says of these; noise is (N, Z)."""
    inputs = [images, labels, noise]
    d_loss = trainers["discriminator"].train_on_batch(inputs, return_dict=True)
    # G draws the same fakes again: it has not changed yet.
    g_loss = trainers["generator"].train_on_batch([labels, noise], return_dict=True)
    return d_loss | g_loss


def sample(generator, noise, labels):
    """Draw an image of each class, with the running averages of batch norm."""
    return generator.predict_on_batch([noise, labels])


def build(config, image_shape, classes):
    """Both networks and their optimisers."""
    networks = {
        "generator": Generator(image_shape, config.latent_dim, classes, config.filters),
        "discriminator": Discriminator(image_shape, classes, config.filters),
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
    networks, run.trainers = build(config, run.image_shape, len(run.class_names))

    def draw(noise, labels):
        return postprocess(sample(networks["generator"], noise, labels))

    pictures = ClassSamples(run.data, config, draw_noise, draw, config.class_)
    run.connect(bridge, networks, run.trainers, pictures)
    return run


def learn(run, batch):
    """Train on a batch, and return the losses."""
    images = preprocess(batch.images)
    noise = run.draw(draw_noise)
    return train_step(run.trainers, images, batch.labels, noise)


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
