"""DCGAN: a deep convolutional generator and discriminator learn to draw images, in TensorFlow.

Paper: Radford, Metz, Chintala (2015), https://arxiv.org/abs/1511.06434
Run:   python tensorflow/dcgan.py --dataset cifar10
Page:  docs/models/dcgan.md
Departures from the paper: the widths of the layers, and batches of 64. No convolution before a
batch norm has a bias, as in the authors' code: the norm takes it away again, so its gradient is
nothing but rounding, which Adam blows up to full steps.
"""

import copy
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

import layers as nn
from optimizers import Adam


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; every line is a flag."""

    size_multiple = 16  # both networks halve or double the image four times

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 1000
    batch_size: Annotated[int, "images per step", 2] = 64
    learning_rate: Annotated[float, "step size of Adam", 0] = 2e-4
    latent_dim: Annotated[int, "numbers that an image is drawn from", 1] = 100
    filters: Annotated[int, "channels of the first convolution; the others have multiples", 1] = 32
    generator_rate: Annotated[
        float | None, "step size of the generator's Adam (default: that of --learning-rate)", 0
    ] = None
    average: Annotated[float, "draw with an average of G that keeps this share a step", 0, 1] = 0.0


# N batch, Z latent, C channels, H height, W width, f filters, h = H / 16, w = W / 16


def preprocess(images):
    """Images of 0 to 255 as the networks see them: (N, H, W, C) -> (N, H, W, C) in [-1, 1]."""
    return tf.cast(images, bridge.default_dtype()) / 127.5 - 1


def postprocess(x):
    """The inverse: (N, H, W, C) in [-1, 1] -> (N, H, W, C) of 0 to 255."""
    images = tf.clip_by_value(tf.round((x + 1) * 127.5), 0, 255)
    return tf.cast(images, tf.uint8).numpy()


def draw_noise(random, config, *shape):
    """Latent vectors, uniform on [-1, 1): (*shape, Z)."""
    return random.uniform(-1, 1, (*shape, config.latent_dim)).astype(config.dtype)


class Generator(tf.Module):
    """Latent vector to image: (N, Z) -> (N, H, W, C) in [-1, 1]."""

    def __init__(self, image_shape, latent_dim, filters):
        super().__init__()
        height, width, channels = image_shape
        self.base = (8 * filters, height // 16, width // 16)
        upsample = {"kernel_size": 5, "stride": 2, "padding": 2, "output_padding": 1}
        norm = {"eps": 1e-5, "momentum": 0.1}  # the running average keeps 1 - 0.1
        self.dense = nn.Linear(latent_dim, 8 * filters * self.base[1] * self.base[2])
        self.norm1 = nn.BatchNorm2d(8 * filters, **norm)
        self.deconv1 = nn.ConvTranspose2d(8 * filters, 16 * filters, **upsample, bias=False)
        self.norm2 = nn.BatchNorm2d(16 * filters, **norm)
        self.deconv2 = nn.ConvTranspose2d(16 * filters, 8 * filters, **upsample, bias=False)
        self.norm3 = nn.BatchNorm2d(8 * filters, **norm)
        self.deconv3 = nn.ConvTranspose2d(8 * filters, 4 * filters, **upsample, bias=False)
        self.norm4 = nn.BatchNorm2d(4 * filters, **norm)
        self.deconv4 = nn.ConvTranspose2d(4 * filters, channels, **upsample)
        for layer in self.submodules:
            initialize(layer)

    def __call__(self, z, training):
        x = tf.reshape(self.dense(z), (-1, *self.base))  # (N, 8f, h, w)
        x = tf.transpose(x, (0, 2, 3, 1))  # (N, h, w, 8f)
        x = tf.nn.relu(self.norm1(x, training))
        x = tf.nn.relu(self.norm2(self.deconv1(x), training))  # (N, 2h, 2w, 16f)
        x = tf.nn.relu(self.norm3(self.deconv2(x), training))  # (N, 4h, 4w, 8f)
        x = tf.nn.relu(self.norm4(self.deconv3(x), training))  # (N, 8h, 8w, 4f)
        return tf.tanh(self.deconv4(x))  # (N, H, W, C)


class Discriminator(tf.Module):
    """Image to the logit of its being real: (N, H, W, C) -> (N, 1)."""

    def __init__(self, image_shape, filters):
        super().__init__()
        height, width, channels = image_shape
        # The same zeros on both sides, where "SAME" of TensorFlow and Keras has (1, 2).
        downsample = {"kernel_size": 5, "stride": 2, "padding": 2}
        norm = {"eps": 1e-5, "momentum": 0.1}
        self.conv1 = nn.Conv2d(channels, filters, **downsample)
        self.conv2 = nn.Conv2d(filters, 2 * filters, **downsample, bias=False)
        self.norm2 = nn.BatchNorm2d(2 * filters, **norm)
        self.conv3 = nn.Conv2d(2 * filters, 4 * filters, **downsample, bias=False)
        self.norm3 = nn.BatchNorm2d(4 * filters, **norm)
        self.conv4 = nn.Conv2d(4 * filters, 8 * filters, **downsample, bias=False)
        self.norm4 = nn.BatchNorm2d(8 * filters, **norm)
        self.dense = nn.Linear(8 * filters * (height // 16) * (width // 16), 1)
        for layer in self.submodules:
            initialize(layer)

    def __call__(self, x, training):
        x = nn.leaky_relu(self.conv1(x), 0.2)  # (N, 8h, 8w, f)
        x = nn.leaky_relu(self.norm2(self.conv2(x), training), 0.2)  # (N, 4h, 4w, 2f)
        x = nn.leaky_relu(self.norm3(self.conv3(x), training), 0.2)  # (N, 2h, 2w, 4f)
        x = nn.leaky_relu(self.norm4(self.conv4(x), training), 0.2)  # (N, h, w, 8f)
        x = tf.transpose(x, (0, 3, 1, 2))  # (N, 8f, h, w): the order that others flatten in
        return self.dense(tf.reshape(x, (tf.shape(x)[0], -1)))  # (N, 1)


def initialize(layer):
    """N(0, 0.02) as in the paper; scales of batch norm N(1, 0.02) as in its code; biases 0."""
    if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        nn.normal_(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.normal_(layer.weight, 1.0, 0.02)


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
        # Real and fake images pass separately, so that batch norm never mixes their statistics.
        real_logits = discriminator(images, training=True)
        d_loss = discriminator_loss(real_logits, discriminator(fakes, training=True))
    gradients = tape.gradient(d_loss, discriminator.trainable_variables)
    optimizers["discriminator"].apply(gradients)

    with tf.GradientTape() as tape:
        g_loss = generator_loss(discriminator(generator(noise[1], training=True), training=True))
    gradients = tape.gradient(g_loss, generator.trainable_variables)
    optimizers["generator"].apply(gradients)
    return {"discriminator_loss": d_loss, "generator_loss": g_loss}


def update_average(average, generator, keep):
    """Move the average of the generator's past weights: keep * average + (1 - keep) * weights."""
    # The running averages of batch norm are among the variables.
    for old, new in zip(average.variables, generator.variables, strict=True):
        old.assign(keep * old + (1 - keep) * new)


@tf.function
def sample(generator, noise):
    """Draw an image from each latent vector, with the running averages of batch norm."""
    return generator(noise, training=False)


def build(config, image_shape):
    """Both networks and their optimisers; the average begins with the generator's weights."""
    networks = {
        "generator": Generator(image_shape, config.latent_dim, config.filters),
        "discriminator": Discriminator(image_shape, config.filters),
    }
    rates = {
        "generator": config.generator_rate or config.learning_rate,
        "discriminator": config.learning_rate,
    }
    adam = {"betas": (0.5, 0.999), "eps": 1e-8}
    optimizers = {
        name: Adam(network.trainable_variables, rates[name], **adam)
        for name, network in networks.items()
    }
    if config.average:
        networks["average"] = copy.deepcopy(networks["generator"])
    return networks, optimizers


def main():
    """Train, or draw from a checkpoint, as the command line says."""
    run = Run(Config, __file__, __doc__)
    config = run.config
    strategy = bridge.prepare(config.seed, config.device, config.precision)
    networks, optimizers = build(config, run.image_shape)
    run.connect(bridge, networks, optimizers)
    drawing = networks["average" if config.average else "generator"]

    def make_noise(random, count):
        return draw_noise(random, config, count)

    def draw(noise):
        return postprocess(sample(drawing, tf.constant(noise)))

    samples = Samples(run.data, config.seed, make_noise, draw)
    if config.generate:
        run.generate(samples)
        return
    run.begin(samples)
    for step, batch in run.steps():
        images = preprocess(batch.images)
        noise = run.share(draw_noise(run.random, config, 2, config.batch_size), axis=1)
        losses = strategy.run(train_step, (networks, optimizers, images, tf.constant(noise)))
        if config.average:
            update_average(networks["average"], networks["generator"], config.average)
        run.log(step, losses)
        if run.samples_due(step):
            run.save_samples(step, samples)
        if run.checkpoint_due(step):
            run.save_checkpoint(step)


if __name__ == "__main__":
    launch(main)
