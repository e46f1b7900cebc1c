"""GAN: a generator and a discriminator, fully connected, learn to draw images, in TensorFlow.

Paper: Goodfellow and others (2014), https://arxiv.org/abs/1406.2661
Run:   python tensorflow/gan.py --dataset mnist
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

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before the import: only errors
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # quick convolutions, without AVX-512 too

import tensorflow as tf

from common.bridges import tensorflow as bridge
from common.pictures import Samples
from common.run import Run, Settings, launch

import layers
from optimizers import Adam


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
    return tf.cast(images, bridge.default_dtype()) / 255


def postprocess(x):
    """The inverse: (N, H, W, C) in [0, 1] -> (N, H, W, C) in [0, 255]."""
    images = tf.clip_by_value(tf.round(x * 255), 0, 255)
    return tf.cast(images, tf.uint8).numpy()


def draw_noise(random, config, *shape):
    """Latent vectors, uniform on [-1, 1): (*shape, Z)."""
    return random.uniform(-1, 1, (*shape, config.latent_dim)).astype(config.dtype)


class Generator(tf.Module):
    """Latent vector to image: (N, Z) -> (N, H, W, C) in [0, 1]."""

    def __init__(self, image_shape, latent_dim):
        super().__init__()
        height, width, channels = image_shape
        self.shape = (channels, height, width)
        norm = {"epsilon": 1e-5, "momentum": 0.9}
        self.dense1 = layers.Dense(latent_dim, 128)
        self.dense2 = layers.Dense(128, 256, use_bias=False)
        self.norm2 = layers.BatchNormalization(256, **norm)
        self.dense3 = layers.Dense(256, 512, use_bias=False)
        self.norm3 = layers.BatchNormalization(512, **norm)
        self.dense4 = layers.Dense(512, channels * height * width)
        for layer in self.submodules:
            initialize(layer)

    def __call__(self, z, training):
        x = layers.leaky_relu(self.dense1(z), 0.2)  # (N, 128)
        x = layers.leaky_relu(self.norm2(self.dense2(x), training), 0.2)  # (N, 256)
        x = layers.leaky_relu(self.norm3(self.dense3(x), training), 0.2)  # (N, 512)
        x = tf.sigmoid(self.dense4(x))  # (N, C * H * W), the order that others unfold
        return tf.transpose(tf.reshape(x, (-1, *self.shape)), (0, 2, 3, 1))  # (N, H, W, C)


class Discriminator(tf.Module):
    """Image to logit, high if it looks real: (N, H, W, C) -> (N, 1)."""

    def __init__(self, image_shape):
        super().__init__()
        height, width, channels = image_shape
        self.dense1 = layers.Dense(channels * height * width, 512)
        self.dense2 = layers.Dense(512, 256)
        self.dense3 = layers.Dense(256, 1)
        for layer in self.submodules:
            initialize(layer)

    def __call__(self, x):
        x = tf.transpose(x, (0, 3, 1, 2))  # (N, C, H, W): the order that others flatten in
        x = tf.reshape(x, (tf.shape(x)[0], -1))
        x = layers.leaky_relu(self.dense1(x), 0.2)  # (N, 512)
        x = layers.leaky_relu(self.dense2(x), 0.2)  # (N, 256)
        return self.dense3(x)  # (N, 1); no sigmoid, for the losses are from logits


def initialize(layer):
    """Glorot's uniform initial weights, biases 0."""
    if isinstance(layer, layers.Dense):
        layer.kernel.assign(layers.glorot_uniform(layer.kernel.shape))


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
def train_step(networks, optimizers, images, noise):
    """Update D on real and fake images, then G on fresh noise; noise is (2, N, Z)."""
    generator, discriminator = networks["generator"], networks["discriminator"]
    fakes = generator(noise[0], training=True)
    with tf.GradientTape() as tape:
        d_loss = discriminator_loss(discriminator(images), discriminator(fakes))
    gradients = tape.gradient(d_loss, discriminator.trainable_variables)
    optimizers["discriminator"].apply(gradients)

    with tf.GradientTape() as tape:
        g_loss = generator_loss(discriminator(generator(noise[1], training=True)))
    gradients = tape.gradient(g_loss, generator.trainable_variables)
    optimizers["generator"].apply(gradients)
    return {"discriminator_loss": d_loss, "generator_loss": g_loss}


@tf.function
def sample(generator, noise):
    """Draw an image from each latent vector, with the running averages of batch norm."""
    return generator(noise, training=False)


def build(config, image_shape):
    """Both networks and their optimisers."""
    networks = {
        "generator": Generator(image_shape, config.latent_dim),
        "discriminator": Discriminator(image_shape),
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
    networks, optimizers = build(config, run.image_shape)

    def draw(noise):
        return postprocess(sample(networks["generator"], tf.constant(noise)))

    pictures = Samples(run.data, config, draw_noise, draw)
    run.connect(bridge, networks, optimizers, pictures)
    return run


def learn(run, batch):
    """Train on a batch, and return the losses."""
    images = preprocess(batch.images)
    noise = run.draw(draw_noise, 2)
    return run.strategy.run(train_step, (run.networks, run.optimizers, images, tf.constant(noise)))


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
