"""pix2pix: a U-Net translates one image into another and is judged patch by patch, in TensorFlow.

Paper: Isola, Zhu, Zhou, Efros (2016), https://arxiv.org/abs/1611.07004
Run:   python tensorflow/pix2pix.py --task edges
Page:  docs/models/pix2pix.md
Departures from the paper: five levels instead of eight, for images of 64 pixels; dropout in two
levels instead of three; no jitter of size and place; patches of 70 pixels, wider than such images;
batches of 4, with batch norm in the innermost level too. No convolution before a batch norm has a
bias: the norm takes it away again, so its gradient is nothing but rounding, which Adam blows up to
full steps. The paper keeps dropout and the batch's own statistics when it translates. Here
translations have no dropout and use the running averages, so that the same source always gives the
same picture.
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
from common.pictures import Translations
from common.run import Run, Settings, launch

import layers
from optimizers import Adam

L1_WEIGHT = 100  # weight of the reconstruction loss in the generator's loss


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; each annotated line is a flag."""

    size_multiple = 32  # the U-Net halves the image five times

    dataset: Annotated[
        str,
        "newts, imori, cifar10, hymenoptera or folder:PATH; with --task pairs facades, maps, "
        "cityscapes, edges2shoes, edges2handbags or folder:PATH",
    ] = "newts"
    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 1000
    batch_size: Annotated[int, "images per step", 2] = 4
    learning_rate: Annotated[float, "step size of Adam", 0] = 2e-4
    filters: Annotated[int, "channels of the first convolution; the others have multiples", 1] = 64
    dropout: Annotated[float, "share of features dropped, in two levels", 0, 1] = 0.5
    task: Annotated[
        str, "what the source is", ("segmentation", "colorization", "edges", "pairs")
    ] = "segmentation"
    direction: Annotated[
        str, "of --task pairs: into which the other is translated", ("a2b", "b2a")
    ] = "a2b"
    input: Annotated[str | None, "picture or folder to translate with --generate"] = None


# N batch, C channels, H height, W width, f filters, h = H / 32, w = W / 32


def preprocess(images):
    """Pixels in [0, 255] to the networks' range: (N, H, W, C) -> (N, H, W, C) in [-1, 1]."""
    return tf.cast(images, bridge.default_dtype()) / 127.5 - 1


def postprocess(x):
    """The inverse: (N, H, W, C) in [-1, 1] -> (N, H, W, C) in [0, 255]."""
    images = tf.clip_by_value(tf.round((x + 1) * 127.5), 0, 255)
    return tf.cast(images, tf.uint8).numpy()


class Generator(tf.Module):
    """Source to image: (N, H, W, C) -> (N, H, W, C) in [-1, 1]."""

    def __init__(self, image_shape, dropout, filters):
        super().__init__()
        channels = image_shape[-1]
        self.dropout = layers.Dropout(dropout)
        by_two = {"kernel_size": 4, "strides": 2, "padding": "SAME"}  # half the size, or double
        norm = {"epsilon": 1e-5, "momentum": 0.9}
        self.conv1 = layers.Conv2D(channels, filters, **by_two)
        self.conv2 = layers.Conv2D(filters, 2 * filters, **by_two, use_bias=False)
        self.norm2 = layers.BatchNormalization(2 * filters, **norm)
        self.conv3 = layers.Conv2D(2 * filters, 4 * filters, **by_two, use_bias=False)
        self.norm3 = layers.BatchNormalization(4 * filters, **norm)
        self.conv4 = layers.Conv2D(4 * filters, 8 * filters, **by_two, use_bias=False)
        self.norm4 = layers.BatchNormalization(8 * filters, **norm)
        self.conv5 = layers.Conv2D(8 * filters, 8 * filters, **by_two, use_bias=False)
        self.norm5 = layers.BatchNormalization(8 * filters, **norm)
        self.deconv1 = layers.Conv2DTranspose(8 * filters, 8 * filters, **by_two, use_bias=False)
        self.norm6 = layers.BatchNormalization(8 * filters, **norm)
        # From here on a skip connection joins the encoder's features to the input.
        self.deconv2 = layers.Conv2DTranspose(16 * filters, 4 * filters, **by_two, use_bias=False)
        self.norm7 = layers.BatchNormalization(4 * filters, **norm)
        self.deconv3 = layers.Conv2DTranspose(8 * filters, 2 * filters, **by_two, use_bias=False)
        self.norm8 = layers.BatchNormalization(2 * filters, **norm)
        self.deconv4 = layers.Conv2DTranspose(4 * filters, filters, **by_two, use_bias=False)
        self.norm9 = layers.BatchNormalization(filters, **norm)
        self.deconv5 = layers.Conv2DTranspose(2 * filters, channels, **by_two)
        for layer in self.submodules:
            initialize(layer)

    def __call__(self, sources, training):
        down1 = self.conv1(sources)  # (N, 16h, 16w, f)
        down2 = self.norm2(self.conv2(layers.leaky_relu(down1, 0.2)), training)  # (N, 8h, 8w, 2f)
        down3 = self.norm3(self.conv3(layers.leaky_relu(down2, 0.2)), training)  # (N, 4h, 4w, 4f)
        down4 = self.norm4(self.conv4(layers.leaky_relu(down3, 0.2)), training)  # (N, 2h, 2w, 8f)
        down5 = self.norm5(self.conv5(layers.leaky_relu(down4, 0.2)), training)  # (N, h, w, 8f)
        x = self.dropout(self.norm6(self.deconv1(tf.nn.relu(down5)), training), training)
        x = tf.concat((x, down4), axis=-1)  # (N, 2h, 2w, 8f + 8f)
        x = self.dropout(self.norm7(self.deconv2(tf.nn.relu(x)), training), training)
        x = tf.concat((x, down3), axis=-1)  # (N, 4h, 4w, 4f + 4f)
        x = self.norm8(self.deconv3(tf.nn.relu(x)), training)
        x = tf.concat((x, down2), axis=-1)  # (N, 8h, 8w, 2f + 2f)
        x = self.norm9(self.deconv4(tf.nn.relu(x)), training)
        x = tf.concat((x, down1), axis=-1)  # (N, 16h, 16w, f + f)
        return tf.tanh(self.deconv5(tf.nn.relu(x)))  # (N, H, W, C)


class Discriminator(tf.Module):
    """Source and image to logits, each high if a patch of 70 x 70 pixels looks real."""

    def __init__(self, image_shape, filters):
        super().__init__()
        channels = image_shape[-1]
        by_two = {"kernel_size": 4, "strides": 2, "padding": "SAME"}
        # Of an image padded by 1 on every side: a row and a column less.
        by_one = {"kernel_size": 4, "strides": 1, "padding": "VALID"}
        norm = {"epsilon": 1e-5, "momentum": 0.9}
        self.conv1 = layers.Conv2D(2 * channels, filters, **by_two)
        self.conv2 = layers.Conv2D(filters, 2 * filters, **by_two, use_bias=False)
        self.norm2 = layers.BatchNormalization(2 * filters, **norm)
        self.conv3 = layers.Conv2D(2 * filters, 4 * filters, **by_two, use_bias=False)
        self.norm3 = layers.BatchNormalization(4 * filters, **norm)
        self.conv4 = layers.Conv2D(4 * filters, 8 * filters, **by_one, use_bias=False)
        self.norm4 = layers.BatchNormalization(8 * filters, **norm)
        self.conv5 = layers.Conv2D(8 * filters, 1, **by_one)
        for layer in self.submodules:
            initialize(layer)

    def __call__(self, sources, images, training):
        x = tf.concat((sources, images), axis=-1)  # (N, H, W, 2C)
        x = layers.leaky_relu(self.conv1(x), 0.2)  # (N, 16h, 16w, f)
        x = layers.leaky_relu(self.norm2(self.conv2(x), training), 0.2)  # (N, 8h, 8w, 2f)
        x = layers.leaky_relu(self.norm3(self.conv3(x), training), 0.2)  # (N, 4h, 4w, 4f)
        x = self.norm4(self.conv4(layers.pad(x, 1)), training)  # (N, 4h - 1, 4w - 1, 8f)
        x = layers.leaky_relu(x, 0.2)
        return self.conv5(layers.pad(x, 1))  # (N, 4h - 2, 4w - 2, 1)


def initialize(layer):
    """N(0, 0.02) as in the paper; scales of batch norm N(1, 0.02) as in DCGAN's code; biases 0."""
    if isinstance(layer, layers.Conv2D | layers.Conv2DTranspose):
        layer.kernel.assign(layers.random_normal(layer.kernel.shape, 0.0, 0.02))
    elif isinstance(layer, layers.BatchNormalization):
        layer.gamma.assign(layers.random_normal(layer.gamma.shape, 1.0, 0.02))


def discriminator_loss(real_logits, fake_logits):
    """Half of -log D(x, y) - log(1 - D(x, G(x))): real is 1, fake is 0."""
    cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits
    real = tf.reduce_mean(cross_entropy(tf.ones_like(real_logits), real_logits))
    fake = tf.reduce_mean(cross_entropy(tf.zeros_like(fake_logits), fake_logits))
    return (real + fake) / 2


def adversarial_loss(fake_logits):
    """-log D(x, G(x)): the non-saturating loss."""
    cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits
    return tf.reduce_mean(cross_entropy(tf.ones_like(fake_logits), fake_logits))


def reconstruction_loss(fakes, images):
    """|y - G(x)|, averaged over all pixels."""
    return tf.reduce_mean(tf.abs(images - fakes))


def generator_loss(fake_logits, fakes, images):
    """-log D(x, G(x)) + 100 |y - G(x)|, and its two parts."""
    adversarial = adversarial_loss(fake_logits)
    reconstruction = reconstruction_loss(fakes, images)
    return {
        "adversarial_loss": adversarial,
        "reconstruction_loss": reconstruction,
        "generator_loss": adversarial + L1_WEIGHT * reconstruction,
    }


@tf.function
def train_step(networks, optimizers, sources, images):
    """Update D on real and translated images beside their sources, then G."""
    generator, discriminator = networks["generator"], networks["discriminator"]
    # G translates once per update, so that each update has its own dropout.
    fakes = generator(sources, training=True)
    with tf.GradientTape() as tape:
        # Real and fake images pass separately, so that batch norm never mixes their statistics.
        real_logits = discriminator(sources, images, training=True)
        d_loss = discriminator_loss(real_logits, discriminator(sources, fakes, training=True))
    gradients = tape.gradient(d_loss, discriminator.trainable_variables)
    optimizers["discriminator"].apply(gradients)

    with tf.GradientTape() as tape:
        fakes = generator(sources, training=True)
        fake_logits = discriminator(sources, fakes, training=True)
        g_losses = generator_loss(fake_logits, fakes, images)
    gradients = tape.gradient(g_losses["generator_loss"], generator.trainable_variables)
    optimizers["generator"].apply(gradients)
    return {"discriminator_loss": d_loss, **g_losses}


@tf.function
def translate(generator, sources):
    """Translate sources without dropout, with the running averages of batch norm."""
    return generator(sources, training=False)


def build(config, image_shape):
    """Both networks and their optimisers."""
    networks = {
        "generator": Generator(image_shape, config.dropout, config.filters),
        "discriminator": Discriminator(image_shape, config.filters),
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

    def draw(sources):
        return postprocess(translate(networks["generator"], preprocess(sources)))

    pictures = Translations(run.data, config.task, draw, config.input, run.folder.path)
    run.connect(bridge, networks, optimizers, pictures)
    return run


def learn(run, batch):
    """Train on a batch, and return the losses."""
    sources = preprocess(batch.sources)
    images = preprocess(batch.images)
    return run.strategy.run(train_step, (run.networks, run.optimizers, sources, images))


def main():
    """Train, or translate with a checkpoint, as the command line says."""
    run = start()
    if run.config.generate:
        run.generate()
        return
    for batch in run.batches():
        run.log(learn(run, batch))


if __name__ == "__main__":
    launch(main)
