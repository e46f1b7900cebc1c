"""Conditional GAN: a generator learns to draw images of the class that it is told, in TensorFlow.

Paper: Mirza, Osindero (2014), https://arxiv.org/abs/1411.1784
Run:   python tensorflow/cgan.py --dataset cifar10
Departures from the paper: the networks are DCGAN's (see dcgan.py). The generator is told the class
as a one-hot vector beside its noise, the discriminator as a plane of ones among planes of zeros, a
plane per class, beside the image's channels.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before the import: only errors

import tensorflow as tf

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common.bridges import tensorflow as bridge
from common.flags import Settings, launch
from common.pictures import ClassSamples
from common.run import Run, uniform_noise

from layers import BatchNorm, Conv2D, Conv2DTranspose, Dense, normal
from optimizers import Adam


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; every line is a flag."""

    size_multiple = 16  # both networks halve or double the image four times

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 1000
    batch_size: Annotated[int, "images per step", 2] = 64
    learning_rate: Annotated[float, "step size of Adam", 0] = 2e-4
    latent_dim: Annotated[int, "numbers that an image is drawn from", 1] = 100
    class_: Annotated[str | None, "with --generate: the one class to draw"] = None


# N batch, Z latent, K classes, C channels, H height, W width, h = H / 16, w = W / 16


class Generator(tf.Module):
    """Latent vector and class to image: (N, Z), (N,) -> (N, H, W, C) in [-1, 1]."""

    def __init__(self, image_shape, latent_dim, classes):
        super().__init__()
        height, width, channels = image_shape
        self.base = (256, height // 16, width // 16)
        upsample = {"kernel_size": 5, "stride": 2, "padding": 2, "initial": normal}
        norm = {"epsilon": 1e-5, "momentum": 0.9}
        self.classes = classes
        self.dense = Dense(latent_dim + classes, 256 * self.base[1] * self.base[2], initial=normal)
        self.norm1 = BatchNorm(256, **norm)
        self.deconv1 = Conv2DTranspose(256, 512, **upsample, use_bias=False)
        self.norm2 = BatchNorm(512, **norm)
        self.deconv2 = Conv2DTranspose(512, 256, **upsample, use_bias=False)
        self.norm3 = BatchNorm(256, **norm)
        self.deconv3 = Conv2DTranspose(256, 128, **upsample, use_bias=False)
        self.norm4 = BatchNorm(128, **norm)
        self.deconv4 = Conv2DTranspose(128, channels, **upsample)

    def __call__(self, z, labels, training):
        z = tf.concat([z, tf.one_hot(labels, self.classes)], 1)  # (N, Z + K)
        x = tf.reshape(self.dense(z), (-1, *self.base))  # (N, 256, h, w)
        x = tf.transpose(x, (0, 2, 3, 1))  # (N, h, w, 256)
        x = tf.nn.relu(self.norm1(x, training))
        x = tf.nn.relu(self.norm2(self.deconv1(x), training))  # (N, 2h, 2w, 512)
        x = tf.nn.relu(self.norm3(self.deconv2(x), training))  # (N, 4h, 4w, 256)
        x = tf.nn.relu(self.norm4(self.deconv3(x), training))  # (N, 8h, 8w, 128)
        return tf.tanh(self.deconv4(x))  # (N, H, W, C)


class Discriminator(tf.Module):
    """Image and class to the logit of its being real: (N, H, W, C), (N,) -> (N, 1)."""

    def __init__(self, image_shape, classes):
        super().__init__()
        height, width, channels = image_shape
        # The same zeros on both sides, where "SAME" of TensorFlow and Keras has (1, 2).
        downsample = {"kernel_size": 5, "stride": 2, "padding": 2, "initial": normal}
        norm = {"epsilon": 1e-5, "momentum": 0.9}
        self.classes = classes
        self.conv1 = Conv2D(channels + classes, 32, **downsample)
        self.conv2 = Conv2D(32, 64, **downsample, use_bias=False)
        self.norm2 = BatchNorm(64, **norm)
        self.conv3 = Conv2D(64, 128, **downsample, use_bias=False)
        self.norm3 = BatchNorm(128, **norm)
        self.conv4 = Conv2D(128, 256, **downsample, use_bias=False)
        self.norm4 = BatchNorm(256, **norm)
        self.dense = Dense(256 * (height // 16) * (width // 16), 1, initial=normal)

    def __call__(self, x, labels, training):
        planes = tf.one_hot(labels, self.classes)[:, tf.newaxis, tf.newaxis]  # (N, 1, 1, K)
        planes = tf.ones_like(x[..., :1]) * planes  # (N, H, W, K)
        x = tf.concat([x, planes], 3)  # (N, H, W, C + K)
        x = tf.nn.leaky_relu(self.conv1(x), 0.2)  # (N, 8h, 8w, 32)
        x = tf.nn.leaky_relu(self.norm2(self.conv2(x), training), 0.2)  # (N, 4h, 4w, 64)
        x = tf.nn.leaky_relu(self.norm3(self.conv3(x), training), 0.2)  # (N, 2h, 2w, 128)
        x = tf.nn.leaky_relu(self.norm4(self.conv4(x), training), 0.2)  # (N, h, w, 256)
        x = tf.transpose(x, (0, 3, 1, 2))  # (N, 256, h, w): the order that others flatten in
        return self.dense(tf.reshape(x, (tf.shape(x)[0], -1)))  # (N, 1)


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
def train_step(
    generator, discriminator, generator_optimizer, discriminator_optimizer, images, labels, noise
):
    """Update D on real and fake images of the same classes, then G; noise is (2, N, Z)."""
    fakes = generator(noise[0], labels, training=True)
    with tf.GradientTape() as tape:
        # Real and fake images pass apart, so that batch norm never mixes their statistics.
        real_logits = discriminator(images, labels, training=True)
        d_loss = discriminator_loss(real_logits, discriminator(fakes, labels, training=True))
    gradients = tape.gradient(d_loss, discriminator.trainable_variables)
    discriminator_optimizer.apply(gradients)

    with tf.GradientTape() as tape:
        fakes = generator(noise[1], labels, training=True)
        g_loss = generator_loss(discriminator(fakes, labels, training=True))
    gradients = tape.gradient(g_loss, generator.trainable_variables)
    generator_optimizer.apply(gradients)
    return {"discriminator_loss": d_loss, "generator_loss": g_loss}


@tf.function
def sample(generator, noise, labels):
    """Draw an image of each class, with the running averages of batch norm."""
    return generator(noise, labels, training=False)


def main():
    """Train, or draw from a checkpoint, as the command line says."""
    run = Run(Config, __file__, __doc__)
    config = run.config
    bridge.set_seed(config.seed)
    bridge.find_device(config.device)
    classes = len(run.class_names)
    generator = Generator(run.image_shape, config.latent_dim, classes)
    discriminator = Discriminator(run.image_shape, classes)
    adam = {"learning_rate": config.learning_rate, "beta1": 0.5, "beta2": 0.999, "epsilon": 1e-8}
    generator_optimizer = Adam(generator.trainable_variables, **adam)
    discriminator_optimizer = Adam(discriminator.trainable_variables, **adam)

    def draw(labels, noise):
        return sample(generator, tf.constant(noise), tf.constant(labels)).numpy()

    def make_noise(random, count):
        return uniform_noise(random, count, config.latent_dim)

    run.connect(
        bridge,
        networks={"generator": generator, "discriminator": discriminator},
        optimizers={"generator": generator_optimizer, "discriminator": discriminator_optimizer},
        pictures=ClassSamples(draw, make_noise),
    )
    if config.generate:
        run.generate()
        return
    for step, batch in run.steps():
        images = tf.constant(batch.images)
        noise = uniform_noise(run.random, 2, config.batch_size, config.latent_dim)
        losses = train_step(
            generator,
            discriminator,
            generator_optimizer,
            discriminator_optimizer,
            images,
            tf.constant(batch.labels),
            tf.constant(noise),
        )
        run.log(step, losses)


if __name__ == "__main__":
    launch(main)
