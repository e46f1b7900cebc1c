"""WGAN: a critic that estimates the Wasserstein distance teaches a generator, in Keras.

Paper: Arjovsky, Chintala, Bottou (2017), https://arxiv.org/abs/1701.07875
Run:   python keras/wgan.py --dataset cifar10
Departures from the paper: kernels of 5 padded alike on all sides, and the widths of the layers. No
convolution before a batch norm has a bias, which the norm would take away again.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # torch and jax do as well
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
from keras import layers, ops

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common.bridges import keras as bridge
from common.flags import Settings, launch
from common.pictures import Samples
from common.run import Run, uniform_noise

from layers import BatchNormalization
from optimizers import RMSProp
from players import Player


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; every line is a flag."""

    size_multiple = 16  # both networks halve or double the image four times

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 1000
    batch_size: Annotated[int, "images per step", 2] = 64
    learning_rate: Annotated[float, "step size of RMSProp", 0] = 5e-5
    latent_dim: Annotated[int, "numbers that an image is drawn from", 1] = 100


CRITIC_UPDATES = 5  # per update of the generator
CLIP = 0.01  # the critic's weights stay within [-CLIP, CLIP]: that bounds its slope

# N batch, Z latent, C channels, H height, W width, h = H / 16, w = W / 16


class Generator(keras.Model):
    """Latent vector to image: (N, Z) -> (N, H, W, C) in [-1, 1]."""

    def __init__(self, image_shape, latent_dim):
        height, width, channels = image_shape
        base = (256, height // 16, width // 16)
        normal, norm = initial_settings()
        upsample = {"kernel_size": 5, "strides": 2, "padding": "valid", **normal}
        crop = ((2, 1), (2, 1))  # "valid" makes three rows and columns more than twice the size
        z = keras.Input((latent_dim,))
        x = layers.Dense(256 * base[1] * base[2], **normal, name="dense")(z)
        x = layers.Permute((2, 3, 1))(layers.Reshape(base)(x))  # (N, h, w, 256)
        x = layers.ReLU()(BatchNormalization(**norm, name="norm1")(x))
        x = layers.Conv2DTranspose(512, **upsample, use_bias=False, name="deconv1")(x)
        x = layers.Cropping2D(crop)(x)  # (N, 2h, 2w, 512)
        x = layers.ReLU()(BatchNormalization(**norm, name="norm2")(x))
        x = layers.Conv2DTranspose(256, **upsample, use_bias=False, name="deconv2")(x)
        x = layers.Cropping2D(crop)(x)  # (N, 4h, 4w, 256)
        x = layers.ReLU()(BatchNormalization(**norm, name="norm3")(x))
        x = layers.Conv2DTranspose(128, **upsample, use_bias=False, name="deconv3")(x)
        x = layers.Cropping2D(crop)(x)  # (N, 8h, 8w, 128)
        x = layers.ReLU()(BatchNormalization(**norm, name="norm4")(x))
        x = layers.Conv2DTranspose(channels, **upsample, name="deconv4")(x)
        x = layers.Cropping2D(crop)(x)  # (N, H, W, C)
        super().__init__(z, layers.Activation("tanh")(x))


class Critic(keras.Model):
    """Image to its score, no probability: (N, H, W, C) -> (N, 1)."""

    def __init__(self, image_shape):
        normal, norm = initial_settings()
        # Every weight is clipped after each update; running averages are no weights.
        clip = Clip(CLIP)
        normal |= {"kernel_constraint": clip, "bias_constraint": clip}
        norm |= {"gamma_constraint": clip, "beta_constraint": clip}
        downsample = {"kernel_size": 5, "strides": 2, "padding": "valid", **normal}
        pad = ((2, 1), (2, 1))  # as padding by 2; "same" would pad by 1 before and 2 after
        image = keras.Input(image_shape)
        x = layers.ZeroPadding2D(pad)(image)
        x = layers.Conv2D(32, **downsample, name="conv1")(x)  # (N, 8h, 8w, 32)
        x = layers.ZeroPadding2D(pad)(layers.LeakyReLU(negative_slope=0.2)(x))
        x = layers.Conv2D(64, **downsample, use_bias=False, name="conv2")(x)  # (N, 4h, 4w, 64)
        x = BatchNormalization(**norm, name="norm2")(x)
        x = layers.ZeroPadding2D(pad)(layers.LeakyReLU(negative_slope=0.2)(x))
        x = layers.Conv2D(128, **downsample, use_bias=False, name="conv3")(x)  # (N, 2h, 2w, 128)
        x = BatchNormalization(**norm, name="norm3")(x)
        x = layers.ZeroPadding2D(pad)(layers.LeakyReLU(negative_slope=0.2)(x))
        x = layers.Conv2D(256, **downsample, use_bias=False, name="conv4")(x)  # (N, h, w, 256)
        x = BatchNormalization(**norm, name="norm4")(x)
        x = layers.LeakyReLU(negative_slope=0.2)(x)
        # (N, 256, h, w): the order that others flatten in
        x = layers.Flatten()(layers.Permute((3, 1, 2))(x))
        super().__init__(image, layers.Dense(1, **normal, name="dense")(x))  # (N, 1)


class Clip(keras.constraints.Constraint):
    """Weights cut off at -limit and limit."""

    def __init__(self, limit):
        self.limit = limit

    def __call__(self, weights):
        return ops.clip(weights, -self.limit, self.limit)


def initial_settings():
    """The paper's initial weights: N(0, 0.02); scales of batch norm N(1, 0.02); biases 0."""
    # Without a generator of seeds, each use of an initialiser would give the same numbers again.
    seed = keras.random.SeedGenerator()
    normal = {"kernel_initializer": keras.initializers.RandomNormal(0.0, 0.02, seed)}
    scales = {"gamma_initializer": keras.initializers.RandomNormal(1.0, 0.02, seed)}
    return normal, {"epsilon": 1e-5, "momentum": 0.9, **scales}


def critic_loss(real_scores, fake_scores):
    """Mean f(G(z)) - mean f(x): minus the estimated distance, which the critic maximises."""
    return ops.mean(fake_scores) - ops.mean(real_scores)


def generator_loss(fake_scores):
    """-mean f(G(z))."""
    return -ops.mean(fake_scores)


def players(generator, critic, generator_optimizer, critic_optimizer):
    """Both players as compiled models: the critic sees (images, noise), G sees noise."""
    real, z = keras.Input(critic.input_shape[1:]), keras.Input(generator.input_shape[1:])
    fakes = generator(z)
    # Real and fake images pass apart, so that batch norm never mixes their statistics. Keras plays
    # outputs from the last name to the first: real before fake, as the running averages need it.
    fake_scores = critic(ops.stop_gradient(fakes))
    scores = {"fake_scores": fake_scores, "real_scores": critic(real)}
    critic_player = Player(critic, critic_loss, [real, z], scores)
    generator_player = Player(generator, generator_loss, z, {"fake_scores": critic(fakes)})
    # Built before compiled: with --resume the optimisers' state is set before the first step.
    critic_optimizer.build(critic.trainable_variables)
    generator_optimizer.build(generator.trainable_variables)
    critic_player.compile(critic_optimizer, jit_compile=bridge.JIT_COMPILE)
    generator_player.compile(generator_optimizer, jit_compile=bridge.JIT_COMPILE)
    return generator_player, critic_player


def critic_step(critic_player, images, noise):
    """Update the critic on real and fake images, then clip its weights; noise is (N, Z)."""
    return critic_player.train_on_batch([images, noise])  # the weights' constraints clip them


def generator_step(generator_player, noise):
    """Update the generator on what the critic says of it; noise is (N, Z)."""
    return generator_player.train_on_batch(noise)


def train_step(generator_player, critic_player, images, noise):
    """Update the critic on each batch, then the generator; noise is (batches + 1, N, Z)."""
    for batch, z in zip(images, noise[:-1], strict=True):
        c_loss = critic_step(critic_player, batch, z)
    g_loss = generator_step(generator_player, noise[-1])
    return {"critic_loss": c_loss, "generator_loss": g_loss, "wasserstein": -c_loss}


def sample(generator, noise):
    """Draw an image from each latent vector, with the running averages of batch norm."""
    return generator.predict_on_batch(noise)


def main():
    """Train, or draw from a checkpoint, as the command line says."""
    run = Run(Config, __file__, __doc__)
    config = run.config
    bridge.set_seed(config.seed)
    bridge.find_device(config.device)
    generator = Generator(run.image_shape, config.latent_dim)
    critic = Critic(run.image_shape)
    rmsprop = {"learning_rate": config.learning_rate, "rho": 0.99, "epsilon": 1e-8}
    generator_optimizer, critic_optimizer = RMSProp(**rmsprop), RMSProp(**rmsprop)
    generator_player, critic_player = players(
        generator, critic, generator_optimizer, critic_optimizer
    )

    def draw(count, random):
        return sample(generator, uniform_noise(random, count, config.latent_dim))

    run.connect(
        bridge,
        networks={"generator": generator, "critic": critic},
        optimizers={"generator": generator_optimizer, "critic": critic_optimizer},
        pictures=Samples(draw),
    )
    if config.generate:
        run.generate()
        return
    for step, batch in run.steps(batches=CRITIC_UPDATES):
        noise = uniform_noise(run.random, CRITIC_UPDATES + 1, config.batch_size, config.latent_dim)
        losses = train_step(generator_player, critic_player, batch.images, noise)
        run.log(step, losses)


if __name__ == "__main__":
    launch(main)
