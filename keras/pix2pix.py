"""pix2pix: a U-Net translates one image into another and is judged patch by patch, in Keras.

Paper: Isola, Zhu, Zhou, Efros (2016), https://arxiv.org/abs/1611.07004
Run:   python keras/pix2pix.py --task edges
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

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # torch and jax do as well
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # quick convolutions, without AVX-512 too

import numpy as np

import keras
from keras import layers, ops

from common.bridges import keras as bridge
from common.pictures import Translations
from common.run import Run, Settings, launch

from optimizers import Adam
from own_layers import BatchNormalization, LeakyReLU
from trainers import Trainer

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
    return images.astype(keras.config.floatx()) / 127.5 - 1


def postprocess(x):
    """The inverse: (N, H, W, C) in [-1, 1] -> (N, H, W, C) in [0, 255]."""
    return np.rint((x + 1) * 127.5).clip(0, 255).astype(np.uint8)


class Generator(keras.Model):
    """Source to image: (N, H, W, C) -> (N, H, W, C) in [-1, 1]."""

    def __init__(self, image_shape, dropout, filters):
        channels = image_shape[-1]
        normal, norm = initial_settings()
        # With a kernel of 4 and a stride of 2, "same" pads (and crops) by 1 on every side.
        by_two = {"kernel_size": 4, "strides": 2, "padding": "same", **normal}
        source = keras.Input(image_shape)
        down1 = layers.Conv2D(filters, **by_two, name="conv1")(source)  # (N, 16h, 16w, f)
        x = LeakyReLU(negative_slope=0.2)(down1)
        x = layers.Conv2D(2 * filters, **by_two, use_bias=False, name="conv2")(x)
        down2 = BatchNormalization(**norm, name="norm2")(x)  # (N, 8h, 8w, 2f)
        x = LeakyReLU(negative_slope=0.2)(down2)
        x = layers.Conv2D(4 * filters, **by_two, use_bias=False, name="conv3")(x)
        down3 = BatchNormalization(**norm, name="norm3")(x)  # (N, 4h, 4w, 4f)
        x = LeakyReLU(negative_slope=0.2)(down3)
        x = layers.Conv2D(8 * filters, **by_two, use_bias=False, name="conv4")(x)
        down4 = BatchNormalization(**norm, name="norm4")(x)  # (N, 2h, 2w, 8f)
        x = LeakyReLU(negative_slope=0.2)(down4)
        x = layers.Conv2D(8 * filters, **by_two, use_bias=False, name="conv5")(x)
        x = BatchNormalization(**norm, name="norm5")(x)  # (N, h, w, 8f)
        x = layers.ReLU()(x)
        x = layers.Conv2DTranspose(8 * filters, **by_two, use_bias=False, name="deconv1")(x)
        x = layers.Dropout(dropout)(BatchNormalization(**norm, name="norm6")(x))
        # From here on a skip connection joins the encoder's features to the input.
        x = layers.ReLU()(layers.Concatenate()([x, down4]))  # (N, 2h, 2w, 8f + 8f)
        x = layers.Conv2DTranspose(4 * filters, **by_two, use_bias=False, name="deconv2")(x)
        x = layers.Dropout(dropout)(BatchNormalization(**norm, name="norm7")(x))
        x = layers.ReLU()(layers.Concatenate()([x, down3]))  # (N, 4h, 4w, 4f + 4f)
        x = layers.Conv2DTranspose(2 * filters, **by_two, use_bias=False, name="deconv3")(x)
        x = BatchNormalization(**norm, name="norm8")(x)
        x = layers.ReLU()(layers.Concatenate()([x, down2]))  # (N, 8h, 8w, 2f + 2f)
        x = layers.Conv2DTranspose(filters, **by_two, use_bias=False, name="deconv4")(x)
        x = BatchNormalization(**norm, name="norm9")(x)
        x = layers.ReLU()(layers.Concatenate()([x, down1]))  # (N, 16h, 16w, f + f)
        x = layers.Conv2DTranspose(channels, **by_two, name="deconv5")(x)  # (N, H, W, C)
        super().__init__(source, layers.Activation("tanh")(x))


class Discriminator(keras.Model):
    """Source and image to logits, each high if a patch of 70 x 70 pixels looks real."""

    def __init__(self, image_shape, filters):
        normal, norm = initial_settings()
        by_two = {"kernel_size": 4, "strides": 2, "padding": "same", **normal}
        # At a stride of 1, "same" would pad by 1 before and 2 after: padded by 1 on every side
        # instead, the image loses a row and a column.
        by_one = {"kernel_size": 4, "strides": 1, "padding": "valid", **normal}
        source, image = keras.Input(image_shape), keras.Input(image_shape)
        x = layers.Concatenate()([source, image])  # (N, H, W, 2C)
        x = layers.Conv2D(filters, **by_two, name="conv1")(x)  # (N, 16h, 16w, f)
        x = LeakyReLU(negative_slope=0.2)(x)
        x = layers.Conv2D(2 * filters, **by_two, use_bias=False, name="conv2")(x)  # (N, 8h, 8w, 2f)
        x = LeakyReLU(negative_slope=0.2)(BatchNormalization(**norm, name="norm2")(x))
        x = layers.Conv2D(4 * filters, **by_two, use_bias=False, name="conv3")(x)  # (N, 4h, 4w, 4f)
        x = LeakyReLU(negative_slope=0.2)(BatchNormalization(**norm, name="norm3")(x))
        x = layers.ZeroPadding2D(1)(x)
        x = layers.Conv2D(8 * filters, **by_one, use_bias=False, name="conv4")(x)
        x = BatchNormalization(**norm, name="norm4")(x)  # (N, 4h - 1, 4w - 1, 8f)
        x = LeakyReLU(negative_slope=0.2)(x)
        x = layers.ZeroPadding2D(1)(x)
        x = layers.Conv2D(1, **by_one, name="conv5")(x)  # (N, 4h - 2, 4w - 2, 1)
        super().__init__([source, image], x)


def initial_settings():
    """N(0, 0.02) as in the paper; scales of batch norm N(1, 0.02) as in DCGAN's code; biases 0."""
    # Without a SeedGenerator, an initialiser would return the same numbers at each use.
    seed = keras.random.SeedGenerator()
    normal = {"kernel_initializer": keras.initializers.RandomNormal(0.0, 0.02, seed)}
    scales = {"gamma_initializer": keras.initializers.RandomNormal(1.0, 0.02, seed)}
    return normal, {"epsilon": 1e-5, "momentum": 0.9, **scales}


def discriminator_loss(real_logits, fake_logits):
    """Half of -log D(x, y) - log(1 - D(x, G(x))): real is 1, fake is 0."""
    cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    real = cross_entropy(ops.ones_like(real_logits), real_logits)
    fake = cross_entropy(ops.zeros_like(fake_logits), fake_logits)
    return (real + fake) / 2


def adversarial_loss(fake_logits):
    """-log D(x, G(x)): the non-saturating loss."""
    cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    return cross_entropy(ops.ones_like(fake_logits), fake_logits)


def reconstruction_loss(fakes, images):
    """|y - G(x)|, averaged over all pixels."""
    return keras.losses.MeanAbsoluteError()(images, fakes)


def generator_loss(fake_logits, fakes, images):
    """-log D(x, G(x)) + 100 |y - G(x)|, and its two parts."""
    adversarial = adversarial_loss(fake_logits)
    reconstruction = reconstruction_loss(fakes, images)
    return {
        "adversarial_loss": adversarial,
        "reconstruction_loss": reconstruction,
        "generator_loss": adversarial + L1_WEIGHT * reconstruction,
    }


class DiscriminatorTrainer(Trainer):
    """Sources and images to the discriminator's loss: (N, H, W, C), (N, H, W, C) -> ()."""

    def call(self, inputs):
        sources, images = inputs
        fakes = ops.stop_gradient(self.generator(sources, training=True))
        # Real and fake images pass separately, so that batch norm never mixes their statistics.
        real_logits = self.discriminator([sources, images], training=True)
        fake_logits = self.discriminator([sources, fakes], training=True)
        loss = discriminator_loss(real_logits, fake_logits)
        self.add_loss(loss)
        return {"discriminator_loss": loss}


class GeneratorTrainer(Trainer):
    """Sources and images to the generator's losses: (N, H, W, C), (N, H, W, C) -> ()."""

    def call(self, inputs):
        sources, images = inputs
        fakes = self.generator(sources, training=True)
        fake_logits = self.discriminator([sources, fakes], training=True)
        losses = generator_loss(fake_logits, fakes, images)
        self.add_loss(losses["generator_loss"])
        return losses


def train_step(trainers, sources, images):
    """Update D on real and translated images beside their sources, then G."""
    # G translates once per update, so that each update has its own dropout.
    d_loss = trainers["discriminator"].train_on_batch([sources, images], return_dict=True)
    g_losses = trainers["generator"].train_on_batch([sources, images], return_dict=True)
    return d_loss | g_losses


def translate(generator, sources):
    """Translate sources without dropout, with the running averages of batch norm."""
    return generator.predict_on_batch(sources)


def build(config, image_shape):
    """Both networks and their optimisers."""
    networks = {
        "generator": Generator(image_shape, config.dropout, config.filters),
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

    def draw(sources):
        return postprocess(translate(networks["generator"], preprocess(sources)))

    pictures = Translations(run.data, config.task, draw, config.input, run.folder.path)
    run.connect(bridge, networks, run.trainers, pictures)
    return run


def learn(run, batch):
    """Train on a batch, and return the losses."""
    sources = preprocess(batch.sources)
    images = preprocess(batch.images)
    return train_step(run.trainers, sources, images)


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
