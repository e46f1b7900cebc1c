"""Alpha-GAN: an autoencoder, with discriminators of its images and of its codes, in TensorFlow.

Paper: Rosca, Lakshminarayanan, Warde-Farley, Mohamed (2017), https://arxiv.org/abs/1706.04987
Run:   python tensorflow/alphagan.py --dataset cifar10
Page:  docs/models/alphagan.md
Departures from the paper: the widths of the layers, batches of 64, and Adam's settings, which are
DCGAN's, as the networks are. The two discriminators share an optimiser, which updates each of them
as its own would.
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
from common.pictures import SamplesAndReconstructions
from common.run import Run, Settings, launch

import layers
from optimizers import Adam

RECONSTRUCTION_WEIGHT = 10  # the paper's lambda; the value is ours
CODE_UNITS = 750  # width of the code discriminator's hidden layers


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; each annotated line is a flag."""

    size_multiple = None  # sides are 4 to 7 pixels, doubled d times

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 1000
    batch_size: Annotated[int, "images per step", 2] = 64
    learning_rate: Annotated[float, "step size of Adam", 0] = 2e-4
    latent_dim: Annotated[int, "numbers in a code", 1] = 100
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
    """Codes from the prior, standard normal: (*shape, Z)."""
    return random.standard_normal((*shape, config.latent_dim)).astype(config.dtype)


class DownBlock(tf.Module):
    """Half the side, twice the channels: (N, H, W, C) -> (N, H / 2, W / 2, 2C)."""

    def __init__(self, channels):
        super().__init__()
        half = {"kernel_size": 4, "strides": 2, "padding": "SAME"}
        self.conv = layers.Conv2D(channels, 2 * channels, **half, use_bias=False)
        self.norm = layers.BatchNormalization(2 * channels, epsilon=1e-5, momentum=0.9)

    def __call__(self, x, training):
        return layers.leaky_relu(self.norm(self.conv(x), training), 0.2)


class Encoder(tf.Module):
    """Image to code: (N, H, W, C) -> (N, Z)."""

    def __init__(self, image_shape, latent_dim, filters):
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
        self.dense = layers.Dense(2 * width * left * left, latent_dim)
        for layer in self.submodules:
            initialize(layer)

    def __call__(self, x, training):
        x = layers.leaky_relu(self.conv1(x), 0.2)  # (N, H / 2, W / 2, f)
        for block in self.blocks:
            x = block(x, training)  # (N, h, w, f * 2^(d - 1))
        x = self.norm2(self.conv2(x), training)  # (N, h - 3, w - 3, f * 2^d)
        x = layers.leaky_relu(x, 0.2)
        x = tf.transpose(x, (0, 3, 1, 2))  # channels first: the order that others flatten in
        return self.dense(tf.reshape(x, (tf.shape(x)[0], -1)))  # (N, Z)


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
    """Code to image: (N, Z) -> (N, H, W, C) in [-1, 1]."""

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


class Discriminator(tf.Module):
    """Image to logit, high if it looks real: (N, H, W, C) -> (N, 1)."""

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


class CodeDiscriminator(tf.Module):
    """Code to logit, high if it looks drawn from the prior: (N, Z) -> (N, 1)."""

    def __init__(self, latent_dim):
        super().__init__()
        self.dense1 = layers.Dense(latent_dim, CODE_UNITS)
        self.dense2 = layers.Dense(CODE_UNITS, CODE_UNITS)
        self.dense3 = layers.Dense(CODE_UNITS, 1)
        for layer in self.submodules:
            initialize(layer)

    def __call__(self, z):
        h = layers.leaky_relu(self.dense1(z), 0.2)  # (N, 750)
        h = layers.leaky_relu(self.dense2(h), 0.2)  # (N, 750)
        return self.dense3(h)  # (N, 1)


def initialize(layer):
    """N(0, 0.02) as in DCGAN; scales of batch norm N(1, 0.02); biases 0."""
    if isinstance(layer, layers.Dense | layers.Conv2D | layers.Conv2DTranspose):
        layer.kernel.assign(layers.random_normal(layer.kernel.shape, 0.0, 0.02))
    elif isinstance(layer, layers.BatchNormalization):
        layer.gamma.assign(layers.random_normal(layer.gamma.shape, 1.0, 0.02))


def reconstruction_loss(images, reconstructions):
    """Mean absolute difference between images and reconstructions."""
    return tf.reduce_mean(tf.abs(images - reconstructions))


def ratio_loss(logits):
    """-log D(x) + log(1 - D(x)), which equals minus the logit of D(x)."""
    return -tf.reduce_mean(logits)


def encoder_loss(reconstruction, code_logits):
    """Codes should reconstruct their images, and look drawn from the prior."""
    return RECONSTRUCTION_WEIGHT * reconstruction + ratio_loss(code_logits)


def generator_loss(reconstruction, reconstruction_logits, sample_logits):
    """Reconstructions should match their images; they and samples should look real."""
    realism = ratio_loss(reconstruction_logits) + ratio_loss(sample_logits)
    return RECONSTRUCTION_WEIGHT * reconstruction + realism


def discriminator_loss(real_logits, fake_logits):
    """-log D(x) - log(1 - D(y)): real is 1, fake is 0."""
    cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits
    real = tf.reduce_mean(cross_entropy(tf.ones_like(real_logits), real_logits))
    fake = tf.reduce_mean(cross_entropy(tf.zeros_like(fake_logits), fake_logits))
    return real + fake


@tf.function
def train_step(networks, optimizers, images, noise):
    """Update the encoder, then the generator, then both discriminators; noise is (N, Z)."""
    encoder, generator = networks["encoder"], networks["generator"]
    discriminator, code_discriminator = networks["discriminator"], networks["code_discriminator"]
    with tf.GradientTape() as tape:
        codes = encoder(images, training=True)
        reconstruction = reconstruction_loss(images, generator(codes, training=True))
        e_loss = encoder_loss(reconstruction, code_discriminator(codes))
    gradients = tape.gradient(e_loss, encoder.trainable_variables)
    optimizers["encoder"].apply(gradients)

    codes = encoder(images, training=True)
    with tf.GradientTape() as tape:
        reconstructions = generator(codes, training=True)
        samples = generator(noise, training=True)
        reconstruction = reconstruction_loss(images, reconstructions)
        reconstruction_logits = discriminator(reconstructions, training=True)
        sample_logits = discriminator(samples, training=True)
        g_loss = generator_loss(reconstruction, reconstruction_logits, sample_logits)
    gradients = tape.gradient(g_loss, generator.trainable_variables)
    optimizers["generator"].apply(gradients)

    codes = encoder(images, training=True)
    reconstructions = generator(codes, training=True)
    samples = generator(noise, training=True)
    with tf.GradientTape() as tape:
        # All kinds of images pass separately, so that batch norm never mixes their statistics.
        real_logits = discriminator(images, training=True)
        d_loss = discriminator_loss(real_logits, discriminator(reconstructions, training=True))
        d_loss += discriminator_loss(real_logits, discriminator(samples, training=True))
        c_loss = discriminator_loss(code_discriminator(noise), code_discriminator(codes))
        both = d_loss + c_loss
    variables = [*discriminator.trainable_variables, *code_discriminator.trainable_variables]
    optimizers["discriminators"].apply(tape.gradient(both, variables))
    return {
        "reconstruction_loss": reconstruction,
        "encoder_loss": e_loss,
        "generator_loss": g_loss,
        "discriminator_loss": d_loss,
        "code_loss": c_loss,
    }


@tf.function
def encode(encoder, images):
    """The code of each image, with the running averages of batch norm."""
    return encoder(images, training=False)


@tf.function
def sample(generator, noise):
    """The image of each code, with the running averages of batch norm."""
    return generator(noise, training=False)


def build(config, image_shape):
    """The four networks and their optimisers."""
    networks = {
        "encoder": Encoder(image_shape, config.latent_dim, config.filters),
        "generator": Generator(image_shape, config.latent_dim, config.filters),
        "discriminator": Discriminator(image_shape, config.filters),
        "code_discriminator": CodeDiscriminator(config.latent_dim),
    }
    adam = {"learning_rate": config.learning_rate, "beta_1": 0.5, "beta_2": 0.999, "epsilon": 1e-8}
    trained = {
        "encoder": ["encoder"],
        "generator": ["generator"],
        "discriminators": ["discriminator", "code_discriminator"],
    }
    optimizers = {}
    for optimizer, names in trained.items():
        variables = [weight for name in names for weight in networks[name].trainable_variables]
        optimizers[optimizer] = Adam(variables, **adam)
    return networks, optimizers


def start(arguments=None):
    """Make a run ready, as the command line says or as `arguments` do."""
    run = Run(Config, __file__, __doc__, arguments)
    config = run.config
    run.strategy = bridge.prepare(config.seed, config.device, config.precision)
    networks, optimizers = build(config, run.image_shape)

    def encode_images(images):
        return encode(networks["encoder"], preprocess(images)).numpy()

    def draw(noise):
        return postprocess(sample(networks["generator"], tf.constant(noise)))

    pictures = SamplesAndReconstructions(run.data, config, draw_noise, encode_images, draw)
    run.connect(bridge, networks, optimizers, pictures)
    return run


def learn(run, batch):
    """Train on a batch, and return the losses."""
    images = preprocess(batch.images)
    noise = run.draw(draw_noise)
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
