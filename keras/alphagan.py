"""Alpha-GAN: an autoencoder, with discriminators of its images and of its codes, in Keras.

Paper: Rosca, Lakshminarayanan, Warde-Farley, Mohamed (2017), https://arxiv.org/abs/1706.04987
Run:   python keras/alphagan.py --dataset cifar10
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

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # torch and jax do as well
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # quick convolutions, without AVX-512 too

import numpy as np

import keras
from keras import layers, ops

from common.bridges import keras as bridge
from common.data import count_doublings
from common.pictures import SamplesAndReconstructions
from common.run import Run, Settings, launch

from optimizers import Adam
from own_layers import BatchNormalization, LeakyReLU
from trainers import Trainer

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
    return images.astype(keras.config.floatx()) / 127.5 - 1


def postprocess(x):
    """The inverse: (N, H, W, C) in [-1, 1] -> (N, H, W, C) in [0, 255]."""
    return np.rint((x + 1) * 127.5).clip(0, 255).astype(np.uint8)


def draw_noise(random, config, *shape):
    """Codes from the prior, standard normal: (*shape, Z)."""
    return random.standard_normal((*shape, config.latent_dim)).astype(config.dtype)


class DownBlock(keras.Model):
    """Half the side, twice the channels: (N, H, W, C) -> (N, H / 2, W / 2, 2C)."""

    def __init__(self, channels, **named):
        normal, norm = initial_settings()
        half = {"kernel_size": 4, "strides": 2, "padding": "same", "use_bias": False, **normal}
        x = keras.Input((None, None, channels))
        y = layers.Conv2D(2 * channels, **half, name="conv")(x)
        y = BatchNormalization(**norm, name="norm")(y)
        super().__init__(x, LeakyReLU(negative_slope=0.2)(y), **named)


class Encoder(keras.Model):
    """Image to code: (N, H, W, C) -> (N, Z)."""

    def __init__(self, image_shape, latent_dim, filters):
        side, _, _ = image_shape
        halvings = count_doublings(side)
        width = filters * 2 ** (halvings - 1)
        normal, norm = initial_settings()
        half = {"kernel_size": 4, "strides": 2, "padding": "same", **normal}
        image = keras.Input(image_shape)
        x = layers.Conv2D(filters, **half, name="conv1")(image)
        x = LeakyReLU(negative_slope=0.2)(x)  # (N, H / 2, W / 2, f)
        inner = y = keras.Input(x.shape[1:])
        for n in range(halvings - 1):
            y = DownBlock(filters * 2**n, name=str(n))(y)
        x = keras.Model(inner, y, name="blocks")(x)  # (N, h, w, f * 2^(d - 1))
        whole = {"kernel_size": 4, "padding": "valid", "use_bias": False, **normal}
        x = layers.Conv2D(2 * width, **whole, name="conv2")(x)
        x = BatchNormalization(**norm, name="norm2")(x)
        x = LeakyReLU(negative_slope=0.2)(x)  # (N, h - 3, w - 3, f * 2^d)
        # channels first: the order that others flatten in
        x = layers.Flatten()(layers.Permute((3, 1, 2))(x))
        super().__init__(image, layers.Dense(latent_dim, **normal, name="dense")(x))  # (N, Z)


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
    """Code to image: (N, Z) -> (N, H, W, C) in [-1, 1]."""

    def __init__(self, image_shape, latent_dim, filters):
        side, _, channels = image_shape
        doublings = count_doublings(side)  # 2 for 28 pixels, which are 7 * 2 * 2
        base = (filters * 2**doublings, side >> doublings, side >> doublings)
        normal, norm = initial_settings()
        double = {"kernel_size": 4, "strides": 2, "padding": "same", **normal}
        z = keras.Input((latent_dim,))
        x = layers.Dense(math.prod(base), **normal, name="dense")(z)
        x = layers.Permute((2, 3, 1))(layers.Reshape(base)(x))  # channels last
        x = layers.ReLU()(BatchNormalization(**norm, name="norm")(x))  # (N, h, w, f * 2^d)
        inner = y = keras.Input(x.shape[1:])
        for n in range(doublings - 1):
            y = UpBlock(base[0] // 2**n, name=str(n))(y)
        x = keras.Model(inner, y, name="blocks")(x)  # (N, H / 2, W / 2, 2f)
        x = layers.Conv2DTranspose(channels, **double, name="deconv")(x)  # (N, H, W, C)
        super().__init__(z, layers.Activation("tanh")(x))


class Discriminator(keras.Model):
    """Image to logit, high if it looks real: (N, H, W, C) -> (N, 1)."""

    def __init__(self, image_shape, filters):
        side, _, _ = image_shape
        halvings = count_doublings(side)
        width = filters * 2 ** (halvings - 1)
        normal, norm = initial_settings()
        half = {"kernel_size": 4, "strides": 2, "padding": "same", **normal}
        image = keras.Input(image_shape)
        x = layers.Conv2D(filters, **half, name="conv1")(image)
        x = LeakyReLU(negative_slope=0.2)(x)  # (N, H / 2, W / 2, f)
        inner = y = keras.Input(x.shape[1:])
        for n in range(halvings - 1):
            y = DownBlock(filters * 2**n, name=str(n))(y)
        x = keras.Model(inner, y, name="blocks")(x)  # (N, h, w, f * 2^(d - 1))
        whole = {"kernel_size": 4, "padding": "valid", "use_bias": False, **normal}
        x = layers.Conv2D(2 * width, **whole, name="conv2")(x)
        x = BatchNormalization(**norm, name="norm2")(x)
        x = LeakyReLU(negative_slope=0.2)(x)  # (N, h - 3, w - 3, f * 2^d)
        # channels first: the order that others flatten in
        x = layers.Flatten()(layers.Permute((3, 1, 2))(x))
        super().__init__(image, layers.Dense(1, **normal, name="dense")(x))  # (N, 1)


class CodeDiscriminator(keras.Model):
    """Code to logit, high if it looks drawn from the prior: (N, Z) -> (N, 1)."""

    def __init__(self, latent_dim):
        normal, _ = initial_settings()
        z = keras.Input((latent_dim,))
        h = layers.Dense(CODE_UNITS, **normal, name="dense1")(z)  # (N, 750)
        h = LeakyReLU(negative_slope=0.2)(h)
        h = layers.Dense(CODE_UNITS, **normal, name="dense2")(h)  # (N, 750)
        h = LeakyReLU(negative_slope=0.2)(h)
        super().__init__(z, layers.Dense(1, **normal, name="dense3")(h))  # (N, 1)


def initial_settings():
    """N(0, 0.02) as in DCGAN; scales of batch norm N(1, 0.02); biases 0."""
    # Without a SeedGenerator, an initialiser would return the same numbers at each use.
    seed = keras.random.SeedGenerator()
    normal = {"kernel_initializer": keras.initializers.RandomNormal(0.0, 0.02, seed)}
    scales = {"gamma_initializer": keras.initializers.RandomNormal(1.0, 0.02, seed)}
    return normal, {"epsilon": 1e-5, "momentum": 0.9, **scales}


def reconstruction_loss(images, reconstructions):
    """Mean absolute difference between images and reconstructions."""
    return ops.mean(ops.abs(images - reconstructions))


def ratio_loss(logits):
    """-log D(x) + log(1 - D(x)), which equals minus the logit of D(x)."""
    return -ops.mean(logits)


def encoder_loss(reconstruction, code_logits):
    """Codes should reconstruct their images, and look drawn from the prior."""
    return RECONSTRUCTION_WEIGHT * reconstruction + ratio_loss(code_logits)


def generator_loss(reconstruction, reconstruction_logits, sample_logits):
    """Reconstructions should match their images; they and samples should look real."""
    realism = ratio_loss(reconstruction_logits) + ratio_loss(sample_logits)
    return RECONSTRUCTION_WEIGHT * reconstruction + realism


def discriminator_loss(real_logits, fake_logits):
    """-log D(x) - log(1 - D(y)): real is 1, fake is 0."""
    cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    real = cross_entropy(ops.ones_like(real_logits), real_logits)
    fake = cross_entropy(ops.zeros_like(fake_logits), fake_logits)
    return real + fake


class EncoderTrainer(Trainer):
    """Images to the encoder's loss: (N, H, W, C) -> ()."""

    def call(self, images):
        codes = self.encoder(images, training=True)
        reconstruction = reconstruction_loss(images, self.generator(codes, training=True))
        loss = encoder_loss(reconstruction, self.code_discriminator(codes))
        self.add_loss(loss)
        return {"encoder_loss": loss}


class GeneratorTrainer(Trainer):
    """Images and noise to the generator's losses: (N, H, W, C), (N, Z) -> (), ()."""

    def call(self, inputs):
        images, noise = inputs
        codes = ops.stop_gradient(self.encoder(images, training=True))
        reconstructions = self.generator(codes, training=True)
        samples = self.generator(noise, training=True)
        reconstruction = reconstruction_loss(images, reconstructions)
        reconstruction_logits = self.discriminator(reconstructions, training=True)
        sample_logits = self.discriminator(samples, training=True)
        loss = generator_loss(reconstruction, reconstruction_logits, sample_logits)
        self.add_loss(loss)
        return {"reconstruction_loss": reconstruction, "generator_loss": loss}


class DiscriminatorsTrainer(Trainer):
    """Images and noise to the discriminators' losses: (N, H, W, C), (N, Z) -> (), ()."""

    def call(self, inputs):
        images, noise = inputs
        codes = ops.stop_gradient(self.encoder(images, training=True))
        reconstructions = ops.stop_gradient(self.generator(codes, training=True))
        samples = ops.stop_gradient(self.generator(noise, training=True))
        # All kinds of images pass separately, so that batch norm never mixes their statistics.
        real_logits = self.discriminator(images, training=True)
        d_loss = discriminator_loss(real_logits, self.discriminator(reconstructions, training=True))
        d_loss += discriminator_loss(real_logits, self.discriminator(samples, training=True))
        c_loss = discriminator_loss(self.code_discriminator(noise), self.code_discriminator(codes))
        self.add_loss(d_loss + c_loss)
        return {"discriminator_loss": d_loss, "code_loss": c_loss}


def train_step(trainers, images, noise):
    """Update the encoder, then the generator, then both discriminators; noise is (N, Z)."""
    e_loss = trainers["encoder"].train_on_batch(images, return_dict=True)
    g_losses = trainers["generator"].train_on_batch([images, noise], return_dict=True)
    d_losses = trainers["discriminators"].train_on_batch([images, noise], return_dict=True)
    return e_loss | g_losses | d_losses


def encode(encoder, images):
    """The code of each image, with the running averages of batch norm."""
    return encoder.predict_on_batch(images)


def sample(generator, noise):
    """The image of each code, with the running averages of batch norm."""
    return generator.predict_on_batch(noise)


def build(config, image_shape):
    """The four networks and their optimisers."""
    networks = {
        "encoder": Encoder(image_shape, config.latent_dim, config.filters),
        "generator": Generator(image_shape, config.latent_dim, config.filters),
        "discriminator": Discriminator(image_shape, config.filters),
        "code_discriminator": CodeDiscriminator(config.latent_dim),
    }
    trainers = {
        "encoder": EncoderTrainer(networks, trained=["encoder"]),
        "generator": GeneratorTrainer(networks, trained=["generator"]),
        "discriminators": DiscriminatorsTrainer(
            networks, trained=["discriminator", "code_discriminator"]
        ),
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

    def encode_images(images):
        return encode(networks["encoder"], preprocess(images))

    def draw(noise):
        return postprocess(sample(networks["generator"], noise))

    pictures = SamplesAndReconstructions(run.data, config, draw_noise, encode_images, draw)
    run.connect(bridge, networks, run.trainers, pictures)
    return run


def learn(run, batch):
    """Train on a batch, and return the losses."""
    images = preprocess(batch.images)
    noise = run.draw(draw_noise)
    return train_step(run.trainers, images, noise)


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
