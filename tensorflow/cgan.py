"""Conditional GAN: a generator learns to draw images of a given class, in TensorFlow.

Paper: Mirza, Osindero (2014), https://arxiv.org/abs/1411.1784
Run:   python tensorflow/cgan.py --dataset cifar10
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

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before the import: only errors
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # quick convolutions, without AVX-512 too

import tensorflow as tf

from common.bridges import tensorflow as bridge
from common.data import count_doublings
from common.pictures import ClassSamples
from common.run import Run, Settings, launch

import layers
from optimizers import Adam


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
    return tf.cast(images, bridge.default_dtype()) / 127.5 - 1


def postprocess(x):
    """The inverse: (N, H, W, C) in [-1, 1] -> (N, H, W, C) in [0, 255]."""
    images = tf.clip_by_value(tf.round((x + 1) * 127.5), 0, 255)
    return tf.cast(images, tf.uint8).numpy()


def draw_noise(random, config, *shape):
    """Latent vectors, uniform on [-1, 1): (*shape, Z)."""
    return random.uniform(-1, 1, (*shape, config.latent_dim)).astype(config.dtype)


class UpBlock(tf.Module):
    """Twice the side, half the channels: (N, H, W, C) -> (N, 2H, 2W, C / 2)."""

    def __init__(self, channels):
        super().__init__()
        double = {"kernel_size": 4, "strides": 2, "padding": "SAME"}
        self.deconv = layers.Conv2DTranspose(channels, channels // 2, **double, use_bias=False)
        self.norm = layers.BatchNormalization(channels // 2, epsilon=1e-5, momentum=0.9)

    def __call__(self, x, training):
        return tf.nn.relu(self.norm(self.deconv(x), training))


class Generator(tf.Module):
    """Latent vector and class to image: (N, Z), (N,) -> (N, H, W, C) in [-1, 1]."""

    def __init__(self, image_shape, latent_dim, classes, filters):
        super().__init__()
        side, _, channels = image_shape
        doublings = count_doublings(side)  # 2 for 28 pixels, which are 7 * 2 * 2
        self.base = (filters * 2**doublings, side >> doublings, side >> doublings)
        self.classes = classes
        double = {"kernel_size": 4, "strides": 2, "padding": "SAME"}
        self.dense = layers.Dense(latent_dim + classes, math.prod(self.base))
        self.norm = layers.BatchNormalization(self.base[0], epsilon=1e-5, momentum=0.9)
        self.blocks = [UpBlock(self.base[0] // 2**n) for n in range(doublings - 1)]
        self.deconv = layers.Conv2DTranspose(2 * filters, channels, **double)
        for layer in self.submodules:
            initialize(layer)

    def __call__(self, z, labels, training):
        z = tf.concat([z, tf.one_hot(labels, self.classes, dtype=z.dtype)], 1)  # (N, Z + K)
        x = tf.reshape(self.dense(z), (-1, *self.base))
        x = tf.transpose(x, (0, 2, 3, 1))  # channels last
        x = tf.nn.relu(self.norm(x, training))  # (N, h, w, f * 2^d)
        for block in self.blocks:
            x = block(x, training)  # (N, H / 2, W / 2, 2f)
        return tf.tanh(self.deconv(x))  # (N, H, W, C)


class DownBlock(tf.Module):
    """Half the side, twice the channels: (N, H, W, C) -> (N, H / 2, W / 2, 2C)."""

    def __init__(self, channels):
        super().__init__()
        half = {"kernel_size": 4, "strides": 2, "padding": "SAME"}
        self.conv = layers.Conv2D(channels, 2 * channels, **half, use_bias=False)
        self.norm = layers.BatchNormalization(2 * channels, epsilon=1e-5, momentum=0.9)

    def __call__(self, x, training):
        return layers.leaky_relu(self.norm(self.conv(x), training), 0.2)


class Discriminator(tf.Module):
    """Image and class to logit, high if it looks real: (N, H, W, C), (N,) -> (N, 1)."""

    def __init__(self, image_shape, classes, filters):
        super().__init__()
        side, _, channels = image_shape
        halvings = count_doublings(side)
        left = (side >> halvings) - 3  # the last convolution is not padded
        width = filters * 2 ** (halvings - 1)
        self.classes = classes
        half = {"kernel_size": 4, "strides": 2, "padding": "SAME"}
        self.conv1 = layers.Conv2D(channels + classes, filters, **half)
        self.blocks = [DownBlock(filters * 2**n) for n in range(halvings - 1)]
        self.conv2 = layers.Conv2D(width, 2 * width, kernel_size=4, padding="VALID")
        self.dense = layers.Dense(2 * width * left * left, 1)
        for layer in self.submodules:
            initialize(layer)

    def __call__(self, x, labels, training):
        planes = tf.one_hot(labels, self.classes, dtype=x.dtype)[:, tf.newaxis, tf.newaxis]
        planes = tf.ones_like(x[..., :1]) * planes  # (N, H, W, K)
        x = tf.concat([x, planes], 3)  # (N, H, W, C + K)
        x = layers.leaky_relu(self.conv1(x), 0.2)  # (N, H / 2, W / 2, f)
        for block in self.blocks:
            x = block(x, training)  # (N, h, w, f * 2^(d - 1))
        x = layers.leaky_relu(self.conv2(x), 0.2)  # (N, h - 3, w - 3, f * 2^d)
        x = tf.transpose(x, (0, 3, 1, 2))  # channels first: the order that others flatten in
        return self.dense(tf.reshape(x, (tf.shape(x)[0], -1)))  # (N, 1)


def initialize(layer):
    """N(0, 0.02) as in the paper; scales of batch norm N(1, 0.02) as in DCGAN's code; biases 0."""
    if isinstance(layer, layers.Dense | layers.Conv2D | layers.Conv2DTranspose):
        layer.kernel.assign(layers.random_normal(layer.kernel.shape, 0.0, 0.02))
    elif isinstance(layer, layers.BatchNormalization):
        layer.gamma.assign(layers.random_normal(layer.gamma.shape, 1.0, 0.02))


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
def train_step(networks, optimizers, images, labels, noise):
    """Update D on real images and on fakes, then G on what D now says of these; noise is (N, Z)."""
    generator, discriminator = networks["generator"], networks["discriminator"]
    with tf.GradientTape() as generator_tape:
        fakes = generator(noise, labels, training=True)
    with tf.GradientTape() as tape:
        # Real and fake images pass separately, so that batch norm never mixes their statistics.
        real_logits = discriminator(images, labels, training=True)
        d_loss = discriminator_loss(real_logits, discriminator(fakes, labels, training=True))
    gradients = tape.gradient(d_loss, discriminator.trainable_variables)
    optimizers["discriminator"].apply(gradients)

    with generator_tape:  # the tape resumes recording
        g_loss = generator_loss(discriminator(fakes, labels, training=True))
    gradients = generator_tape.gradient(g_loss, generator.trainable_variables)
    optimizers["generator"].apply(gradients)
    return {"discriminator_loss": d_loss, "generator_loss": g_loss}


@tf.function
def sample(generator, noise, labels):
    """Draw an image of each class, with the running averages of batch norm."""
    return generator(noise, labels, training=False)


def build(config, image_shape, classes):
    """Both networks and their optimisers."""
    networks = {
        "generator": Generator(image_shape, config.latent_dim, classes, config.filters),
        "discriminator": Discriminator(image_shape, classes, config.filters),
    }
    adam = {"learning_rate": config.learning_rate, "beta_1": 0.5, "beta_2": 0.999, "epsilon": 1e-8}
    optimizers = {
        name: Adam(network.trainable_variables, **adam) for name, network in networks.items()
    }
    return networks, optimizers


def start(arguments=None):
    """Make a run ready, as the command line says or as `arguments` do."""
    run = Run(Config, __file__, __doc__, arguments)
    config = run.config
    run.strategy = bridge.prepare(config.seed, config.device, config.precision)
    networks, optimizers = build(config, run.image_shape, len(run.class_names))

    def draw(noise, labels):
        noise, labels = tf.constant(noise), tf.constant(labels)
        return postprocess(sample(networks["generator"], noise, labels))

    pictures = ClassSamples(run.data, config, draw_noise, draw, config.class_)
    run.connect(bridge, networks, optimizers, pictures)
    return run


def learn(run, batch):
    """Train on a batch, and return the losses."""
    images = preprocess(batch.images)
    labels = tf.constant(batch.labels)
    noise = tf.constant(run.draw(draw_noise))
    return run.strategy.run(train_step, (run.networks, run.optimizers, images, labels, noise))


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
