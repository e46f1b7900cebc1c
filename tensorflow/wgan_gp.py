"""WGAN-GP: a penalty on its gradient bounds the slope of a Wasserstein GAN's critic, in TensorFlow.

Paper: Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville (2017), https://arxiv.org/abs/1704.00028
Run:   python tensorflow/wgan_gp.py --dataset cifar10
Page:  docs/models/wgan_gp.md
Departures from the paper: DCGAN's layers and initial weights (see dcgan.py) in place of residual
blocks.
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
from common.pictures import Samples
from common.run import Run, Settings, launch

import layers
from optimizers import Adam

CRITIC_UPDATES = 5  # per update of the generator
PENALTY_WEIGHT = 10  # weight of the gradient penalty in the critic's loss
TINY = 1e-12  # added under the root to keep its gradient finite at 0


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; each annotated line is a flag."""

    size_multiple = None  # sides are 4 to 7 pixels, doubled d times
    batches_per_step = CRITIC_UPDATES

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 1000
    batch_size: Annotated[int, "images per step", 2] = 64
    learning_rate: Annotated[float, "step size of Adam", 0] = 1e-4
    latent_dim: Annotated[int, "numbers that an image is drawn from", 1] = 100
    filters: Annotated[int, "channels of the first convolution; the others have multiples", 1] = 32


# N batch, Z latent, C channels, H height, W width, f filters, d doublings, h = H / 2^d, w = W / 2^d


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


def draw_shares(random, config, *shape):
    """Weights of the real image in a mixture, uniform on [0, 1): (*shape, 1, 1, 1)."""
    return random.random((*shape, 1, 1, 1)).astype(config.dtype)


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
    """Latent vector to image: (N, Z) -> (N, H, W, C) in [-1, 1]."""

    def __init__(self, image_shape, latent_dim, filters):
        super().__init__()
        side, _, channels = image_shape
        doublings = count_doublings(side)  # 2 for 28 pixels, which are 7 * 2 * 2
        self.base = (filters * 2**doublings, side >> doublings, side >> doublings)
        double = {"kernel_size": 4, "strides": 2, "padding": "SAME"}
        self.dense = layers.Dense(latent_dim, math.prod(self.base))
        self.norm = layers.BatchNormalization(self.base[0], epsilon=1e-5, momentum=0.9)
        self.blocks = [UpBlock(self.base[0] // 2**n) for n in range(doublings - 1)]
        self.deconv = layers.Conv2DTranspose(2 * filters, channels, **double)
        for layer in self.submodules:
            initialize(layer)

    def __call__(self, z, training):
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
        # No batch norm: it would make an image's score and gradient depend on the other images.
        # One group normalises all channels together, so convolutions keep their biases.
        half = {"kernel_size": 4, "strides": 2, "padding": "SAME"}
        self.conv = layers.Conv2D(channels, 2 * channels, **half)
        self.norm = layers.GroupNormalization(1, 2 * channels, epsilon=1e-5)

    def __call__(self, x):
        return layers.leaky_relu(self.norm(self.conv(x)), 0.2)


class Critic(tf.Module):
    """Image to score, not a probability: (N, H, W, C) -> (N, 1)."""

    def __init__(self, image_shape, filters):
        super().__init__()
        side, _, channels = image_shape
        halvings = count_doublings(side)
        left = (side >> halvings) - 3  # the last convolution is not padded
        width = filters * 2 ** (halvings - 1)
        half = {"kernel_size": 4, "strides": 2, "padding": "SAME"}
        self.conv1 = layers.Conv2D(channels, filters, **half)
        self.blocks = [DownBlock(filters * 2**n) for n in range(halvings - 1)]
        self.conv2 = layers.Conv2D(width, 2 * width, kernel_size=4, padding="VALID")
        self.norm2 = layers.GroupNormalization(1, 2 * width, epsilon=1e-5)
        self.dense = layers.Dense(2 * width * left * left, 1)
        for layer in self.submodules:
            initialize(layer)

    def __call__(self, x):
        x = layers.leaky_relu(self.conv1(x), 0.2)  # (N, H / 2, W / 2, f)
        for block in self.blocks:
            x = block(x)  # (N, h, w, f * 2^(d - 1))
        x = layers.leaky_relu(self.norm2(self.conv2(x)), 0.2)  # (N, h - 3, w - 3, f * 2^d)
        x = tf.transpose(x, (0, 3, 1, 2))  # channels first: the order that others flatten in
        return self.dense(tf.reshape(x, (tf.shape(x)[0], -1)))  # (N, 1)


def initialize(layer):
    """DCGAN's: N(0, 0.02), scales of batch norm N(1, 0.02), biases 0."""
    if isinstance(layer, layers.Dense | layers.Conv2D | layers.Conv2DTranspose):
        layer.kernel.assign(layers.random_normal(layer.kernel.shape, 0.0, 0.02))
    elif isinstance(layer, layers.BatchNormalization):
        layer.gamma.assign(layers.random_normal(layer.gamma.shape, 1.0, 0.02))


def gradient_norms(critic, x):
    """Length of the critic's gradient at each image: (N, H, W, C) -> (N,)."""
    with tf.GradientTape() as tape:  # inside another tape: the penalty is differentiated again
        tape.watch(x)
        scores = critic(x)
    gradient = tape.gradient(scores, x)
    return tf.sqrt(tf.reduce_sum(tf.square(gradient), (1, 2, 3)) + TINY)


def gradient_penalty(norms):
    """Mean (|gradient| - 1)^2, weighted: too small a gradient costs as much as too large a one."""
    return PENALTY_WEIGHT * tf.reduce_mean(tf.square(norms - 1))


def critic_loss(real_scores, fake_scores, penalty):
    """Mean f(G(z)) - mean f(x), minus the estimated distance, and the penalty."""
    return tf.reduce_mean(fake_scores) - tf.reduce_mean(real_scores) + penalty


def generator_loss(fake_scores):
    """-mean f(G(z))."""
    return -tf.reduce_mean(fake_scores)


def critic_step(networks, optimizers, images, noise, shares):
    """Update the critic on real and fake images; noise is (N, Z), shares (N, 1, 1, 1)."""
    generator, critic = networks["generator"], networks["critic"]
    fakes = generator(noise, training=True)
    with tf.GradientTape() as tape:
        norms = gradient_norms(critic, shares * images + (1 - shares) * fakes)
        penalty = gradient_penalty(norms)
        loss = critic_loss(critic(images), critic(fakes), penalty)
    optimizers["critic"].apply(tape.gradient(loss, critic.trainable_variables))
    return {
        "critic_loss": loss,
        "wasserstein": penalty - loss,
        "gradient_penalty": penalty,
        "gradient_norm": tf.reduce_mean(norms),
    }


def generator_step(networks, optimizers, noise):
    """Update the generator on what the critic says of it; noise is (N, Z)."""
    generator, critic = networks["generator"], networks["critic"]
    with tf.GradientTape() as tape:
        loss = generator_loss(critic(generator(noise, training=True)))
    optimizers["generator"].apply(tape.gradient(loss, generator.trainable_variables))
    return loss


@tf.function
def train_step(networks, optimizers, images, noise, shares):
    """Update the critic on each batch, then the generator; noise is (batches + 1, N, Z)."""
    for n in range(CRITIC_UPDATES):
        losses = critic_step(networks, optimizers, images[n], noise[n], shares[n])
    g_loss = generator_step(networks, optimizers, noise[-1])
    return losses | {"generator_loss": g_loss}


@tf.function
def sample(generator, noise):
    """Draw an image from each latent vector, with the running averages of batch norm."""
    return generator(noise, training=False)


def build(config, image_shape):
    """Both networks and their optimisers."""
    networks = {
        "generator": Generator(image_shape, config.latent_dim, config.filters),
        "critic": Critic(image_shape, config.filters),
    }
    adam = {"learning_rate": config.learning_rate, "beta_1": 0.0, "beta_2": 0.9, "epsilon": 1e-8}
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
    noise = run.draw(draw_noise, CRITIC_UPDATES + 1)
    shares = run.draw(draw_shares, CRITIC_UPDATES)
    inputs = (images, tf.constant(noise), tf.constant(shares))
    return run.strategy.run(train_step, (run.networks, run.optimizers, *inputs))


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
