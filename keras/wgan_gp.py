"""WGAN-GP: a penalty on its gradient bounds the slope of a Wasserstein GAN's critic, in Keras.

Paper: Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville (2017), https://arxiv.org/abs/1704.00028
Run:   python keras/wgan_gp.py --dataset cifar10
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

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # torch and jax do as well
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # quick convolutions, without AVX-512 too

import numpy as np

import keras
from keras import layers, ops

from common.bridges import keras as bridge
from common.data import count_doublings
from common.pictures import Samples
from common.run import Run, Settings, launch

from gradients import differentiate
from optimizers import Adam
from own_layers import BatchNormalization, GroupNormalization, LeakyReLU
from trainers import Trainer

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
    return images.astype(keras.config.floatx()) / 127.5 - 1


def postprocess(x):
    """The inverse: (N, H, W, C) in [-1, 1] -> (N, H, W, C) in [0, 255]."""
    return np.rint((x + 1) * 127.5).clip(0, 255).astype(np.uint8)


def draw_noise(random, config, *shape):
    """Latent vectors, uniform on [-1, 1): (*shape, Z)."""
    return random.uniform(-1, 1, (*shape, config.latent_dim)).astype(config.dtype)


def draw_shares(random, config, *shape):
    """Weights of the real image in a mixture, uniform on [0, 1): (*shape, 1, 1, 1)."""
    return random.random((*shape, 1, 1, 1)).astype(config.dtype)


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
    """Latent vector to image: (N, Z) -> (N, H, W, C) in [-1, 1]."""

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


class DownBlock(keras.Model):
    """Half the side, twice the channels: (N, H, W, C) -> (N, H / 2, W / 2, 2C)."""

    def __init__(self, channels, **named):
        normal, _ = initial_settings()
        # No batch norm: it would make an image's score and gradient depend on the other images.
        # One group normalises all channels together, so convolutions keep their biases.
        norm = {"groups": 1, "epsilon": 1e-5}
        half = {"kernel_size": 4, "strides": 2, "padding": "same", **normal}
        x = keras.Input((None, None, channels))
        y = layers.Conv2D(2 * channels, **half, name="conv")(x)
        y = GroupNormalization(**norm, name="norm")(y)
        super().__init__(x, LeakyReLU(negative_slope=0.2)(y), **named)


class Critic(keras.Model):
    """Image to score, not a probability: (N, H, W, C) -> (N, 1)."""

    def __init__(self, image_shape, filters):
        side, _, _ = image_shape
        halvings = count_doublings(side)
        width = filters * 2 ** (halvings - 1)
        normal, _ = initial_settings()
        norm = {"groups": 1, "epsilon": 1e-5}
        half = {"kernel_size": 4, "strides": 2, "padding": "same", **normal}
        image = keras.Input(image_shape)
        x = layers.Conv2D(filters, **half, name="conv1")(image)
        x = LeakyReLU(negative_slope=0.2)(x)  # (N, H / 2, W / 2, f)
        inner = y = keras.Input(x.shape[1:])
        for n in range(halvings - 1):
            y = DownBlock(filters * 2**n, name=str(n))(y)
        x = keras.Model(inner, y, name="blocks")(x)  # (N, h, w, f * 2^(d - 1))
        whole = {"kernel_size": 4, "padding": "valid", **normal}
        x = layers.Conv2D(2 * width, **whole, name="conv2")(x)
        x = GroupNormalization(**norm, name="norm2")(x)
        x = LeakyReLU(negative_slope=0.2)(x)  # (N, h - 3, w - 3, f * 2^d)
        # channels first: the order that others flatten in
        x = layers.Flatten()(layers.Permute((3, 1, 2))(x))
        super().__init__(image, layers.Dense(1, **normal, name="dense")(x))  # (N, 1)


def initial_settings():
    """DCGAN's: N(0, 0.02), scales of batch norm N(1, 0.02), biases 0."""
    # Without a SeedGenerator, an initialiser would return the same numbers at each use.
    seed = keras.random.SeedGenerator()
    normal = {"kernel_initializer": keras.initializers.RandomNormal(0.0, 0.02, seed)}
    scales = {"gamma_initializer": keras.initializers.RandomNormal(1.0, 0.02, seed)}
    return normal, {"epsilon": 1e-5, "momentum": 0.9, **scales}


def gradient_norms(critic, x):
    """Length of the critic's gradient at each image: (N, H, W, C) -> (N,)."""
    squares = ops.sum(ops.square(differentiate(critic, x)), (1, 2, 3))
    return ops.sqrt(squares + TINY)


def gradient_penalty(norms):
    """Mean (|gradient| - 1)^2, weighted: too small a gradient costs as much as too large a one."""
    return PENALTY_WEIGHT * ops.mean(ops.square(norms - 1))


def critic_loss(real_scores, fake_scores, penalty):
    """Mean f(G(z)) - mean f(x), minus the estimated distance, and the penalty."""
    return ops.mean(fake_scores) - ops.mean(real_scores) + penalty


def generator_loss(fake_scores):
    """-mean f(G(z))."""
    return -ops.mean(fake_scores)


class CriticTrainer(Trainer):
    """Images, noise and shares to losses: (N, H, W, C), (N, Z), (N, 1, 1, 1) -> ()."""

    def call(self, inputs):
        images, noise, shares = inputs
        fakes = ops.stop_gradient(self.generator(noise, training=True))
        norms = gradient_norms(self.critic, shares * images + (1 - shares) * fakes)
        penalty = gradient_penalty(norms)
        loss = critic_loss(self.critic(images), self.critic(fakes), penalty)
        self.add_loss(loss)
        return {
            "critic_loss": loss,
            "wasserstein": penalty - loss,
            "gradient_penalty": penalty,
            "gradient_norm": ops.mean(norms),
        }


class GeneratorTrainer(Trainer):
    """Noise to the generator's loss: (N, Z) -> ()."""

    def call(self, noise):
        fakes = self.generator(noise, training=True)
        loss = generator_loss(self.critic(fakes))
        self.add_loss(loss)
        return {"generator_loss": loss}


def train_step(trainers, images, noise, shares):
    """Update the critic on each batch, then the generator; noise is (batches + 1, N, Z)."""
    for batch, z, share in zip(images, noise[:-1], shares, strict=True):
        losses = trainers["critic"].train_on_batch([batch, z, share], return_dict=True)
    g_loss = trainers["generator"].train_on_batch(noise[-1], return_dict=True)
    return losses | g_loss


def sample(generator, noise):
    """Draw an image from each latent vector, with the running averages of batch norm."""
    return generator.predict_on_batch(noise)


def build(config, image_shape):
    """Both networks and their optimisers."""
    networks = {
        "generator": Generator(image_shape, config.latent_dim, config.filters),
        "critic": Critic(image_shape, config.filters),
    }
    trainers = {
        "generator": GeneratorTrainer(networks, trained=["generator"]),
        "critic": CriticTrainer(networks, trained=["critic"]),
    }
    adam = {"beta_1": 0.0, "beta_2": 0.9, "epsilon": 1e-8}
    for trainer in trainers.values():
        trainer.compile(Adam(config.learning_rate, **adam))
    return networks, trainers


def start(arguments=None):
    """Make a run ready, as the command line says or as `arguments` do."""
    run = Run(Config, __file__, __doc__, arguments)
    config = run.config
    bridge.prepare(config.seed, config.device, config.precision)
    networks, run.trainers = build(config, run.image_shape)

    def draw(noise):
        return postprocess(sample(networks["generator"], noise))

    pictures = Samples(run.data, config, draw_noise, draw)
    run.connect(bridge, networks, run.trainers, pictures)
    return run


def learn(run, batch):
    """Train on a batch, and return the losses."""
    images = preprocess(batch.images)
    noise = run.draw(draw_noise, CRITIC_UPDATES + 1)
    shares = run.draw(draw_shares, CRITIC_UPDATES)
    return train_step(run.trainers, images, noise, shares)


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
