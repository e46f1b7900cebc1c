"""WGAN: a critic that estimates the Wasserstein distance teaches a generator, in TensorFlow.

Paper: Arjovsky, Chintala, Bottou (2017), https://arxiv.org/abs/1701.07875
Run:   python tensorflow/wgan.py --dataset cifar10
Page:  docs/models/wgan.md
Departures from the paper: the widths of the layers, DCGAN's (see dcgan.py), and five critic updates
from the first step on.
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
from optimizers import RMSprop

CRITIC_UPDATES = 5  # per update of the generator
CLIP = 0.01  # the critic's weights stay within [-CLIP, CLIP]: that bounds its slope


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; each annotated line is a flag."""

    size_multiple = None  # sides are 4 to 7 pixels, doubled d times
    batches_per_step = CRITIC_UPDATES

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 1000
    batch_size: Annotated[int, "images per step", 2] = 64
    learning_rate: Annotated[float, "step size of RMSProp", 0] = 5e-5
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
        half = {"kernel_size": 4, "strides": 2, "padding": "SAME"}
        self.conv = layers.Conv2D(channels, 2 * channels, **half, use_bias=False)
        self.norm = layers.BatchNormalization(2 * channels, epsilon=1e-5, momentum=0.9)

    def __call__(self, x, training):
        return layers.leaky_relu(self.norm(self.conv(x), training), 0.2)


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
        self.conv2 = layers.Conv2D(width, 2 * width, kernel_size=4, padding="VALID", use_bias=False)
        self.norm2 = layers.BatchNormalization(2 * width, epsilon=1e-5, momentum=0.9)
        self.dense = layers.Dense(2 * width * left * left, 1)
        for layer in self.submodules:
            initialize(layer)

    def __call__(self, x, training):
        x = layers.leaky_relu(self.conv1(x), 0.2)  # (N, H / 2, W / 2, f)
        for block in self.blocks:
            x = block(x, training)  # (N, h, w, f * 2^(d - 1))
        x = self.norm2(self.conv2(x), training)  # (N, h - 3, w - 3, f * 2^d)
        x = layers.leaky_relu(x, 0.2)
        x = tf.transpose(x, (0, 3, 1, 2))  # channels first: the order that others flatten in
        return self.dense(tf.reshape(x, (tf.shape(x)[0], -1)))  # (N, 1)


def initialize(layer):
    """N(0, 0.02) as in the paper; scales of batch norm N(1, 0.02) as in DCGAN's code; biases 0."""
    if isinstance(layer, layers.Dense | layers.Conv2D | layers.Conv2DTranspose):
        layer.kernel.assign(layers.random_normal(layer.kernel.shape, 0.0, 0.02))
    elif isinstance(layer, layers.BatchNormalization):
        layer.gamma.assign(layers.random_normal(layer.gamma.shape, 1.0, 0.02))


def critic_loss(real_scores, fake_scores):
    """Mean f(G(z)) - mean f(x): minus the estimated distance, which the critic maximises."""
    return tf.reduce_mean(fake_scores) - tf.reduce_mean(real_scores)


def generator_loss(fake_scores):
    """-mean f(G(z))."""
    return -tf.reduce_mean(fake_scores)


def critic_step(networks, optimizers, images, noise):
    """Update the critic on real and fake images, then clip its weights; noise is (N, Z)."""
    generator, critic = networks["generator"], networks["critic"]
    fakes = generator(noise, training=True)
    with tf.GradientTape() as tape:
        # Real and fake images pass separately, so that batch norm never mixes their statistics.
        real_scores = critic(images, training=True)
        loss = critic_loss(real_scores, critic(fakes, training=True))
    optimizers["critic"].apply(tape.gradient(loss, critic.trainable_variables))
    for variable in critic.trainable_variables:  # not the running averages of batch norm
        variable.assign(tf.clip_by_value(variable, -CLIP, CLIP))
    return loss


def generator_step(networks, optimizers, noise):
    """Update the generator on what the critic says of it; noise is (N, Z)."""
    generator, critic = networks["generator"], networks["critic"]
    with tf.GradientTape() as tape:
        loss = generator_loss(critic(generator(noise, training=True), training=True))
    optimizers["generator"].apply(tape.gradient(loss, generator.trainable_variables))
    return loss


@tf.function
def train_step(networks, optimizers, images, noise):
    """Update the critic on each batch, then the generator; noise is (batches + 1, N, Z)."""
    for n in range(CRITIC_UPDATES):
        c_loss = critic_step(networks, optimizers, images[n], noise[n])
    g_loss = generator_step(networks, optimizers, noise[-1])
    return {"critic_loss": c_loss, "generator_loss": g_loss, "wasserstein": -c_loss}


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
    rmsprop = {"learning_rate": config.learning_rate, "rho": 0.99, "epsilon": 1e-8}
    optimizers = {
        name: RMSprop(network.trainable_variables, **rmsprop) for name, network in networks.items()
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
