"""VAE: an encoder gives a distribution of codes, a decoder images for them, in Keras.

Paper: Kingma, Welling (2013), https://arxiv.org/abs/1312.6114
Run:   python keras/vae.py --dataset mnist
Departures from the paper: two hidden layers with ReLU in place of one with tanh, and Adam.
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
from common.pictures import LatentSpace
from common.run import Run, normal_noise

from optimizers import Adam


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; every line is a flag."""

    pixel_range = (0, 1)  # a pixel's grey is the probability of its being white

    dataset: Annotated[
        str, "digits, newts, cifar10, mnist, fashion_mnist, imori or folder:PATH"
    ] = "digits"
    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 10_000
    batch_size: Annotated[int, "images per step", 1] = 128
    learning_rate: Annotated[float, "step size of Adam", 0] = 1e-3
    log_every: Annotated[int, "steps between two rows of metrics.csv", 1] = 100
    sample_every: Annotated[int, "steps between two pictures in samples/", 1] = 1000
    checkpoint_every: Annotated[int, "steps between two checkpoints", 1] = 1000
    latent_dim: Annotated[int, "numbers in a code; the latent pictures need 2", 1] = 2


# N batch, Z latent, C channels, H height, W width


class Encoder(keras.Model):
    """Image to mean and log variance of its code: (N, H, W, C) -> (N, Z), (N, Z)."""

    def __init__(self, image_shape, latent_dim):
        glorot = {"kernel_initializer": "glorot_uniform"}
        image = keras.Input(image_shape)
        # (N, C, H, W): the order that others flatten in
        h = layers.Flatten()(layers.Permute((3, 1, 2))(image))
        h = layers.ReLU()(layers.Dense(256, **glorot, name="dense1")(h))
        h = layers.ReLU()(layers.Dense(128, **glorot, name="dense2")(h))
        mean = layers.Dense(latent_dim, **glorot, name="mean")(h)
        logvar = layers.Dense(latent_dim, **glorot, name="logvar")(h)
        super().__init__(image, [mean, logvar])  # (N, Z), (N, Z)


class Decoder(keras.Model):
    """Code to the logits of an image: (N, Z) -> (N, H, W, C)."""

    def __init__(self, image_shape, latent_dim):
        height, width, channels = image_shape
        glorot = {"kernel_initializer": "glorot_uniform"}
        z = keras.Input((latent_dim,))
        h = layers.ReLU()(layers.Dense(128, **glorot, name="dense1")(z))
        h = layers.ReLU()(layers.Dense(256, **glorot, name="dense2")(h))
        x = layers.Dense(channels * height * width, **glorot, name="dense3")(h)
        x = layers.Reshape((channels, height, width))(x)  # (N, C, H, W)
        super().__init__(z, layers.Permute((2, 3, 1))(x))  # (N, H, W, C)


def reconstruction_loss(images, logits):
    """-log p(x | z): cross-entropy, summed over an image's pixels, averaged over the batch."""
    loss = ops.binary_crossentropy(images, logits, from_logits=True)
    return ops.mean(ops.sum(loss, axis=(1, 2, 3)))


def kl_divergence(mean, logvar):
    """KL(N(mean, var) || N(0, 1)), summed over a code's numbers, averaged over the batch."""
    divergence = 0.5 * (ops.square(mean) + ops.exp(logvar) - 1 - logvar)
    return ops.mean(ops.sum(divergence, axis=1))


def negative_elbo(images, logits, mean, logvar):
    """The loss, an upper bound of -log p(x), and the two parts that it is the sum of."""
    reconstruction = reconstruction_loss(images, logits)
    divergence = kl_divergence(mean, logvar)
    return {
        "reconstruction_loss": reconstruction,
        "kl_divergence": divergence,
        "negative_elbo": reconstruction + divergence,
    }


class Joint(keras.Model):
    """Image and noise through both networks; each part of the loss is a metric of its own."""

    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs)
        names = ("reconstruction_loss", "kl_divergence", "negative_elbo")
        self.parts = {name: keras.metrics.Mean(name) for name in names}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        losses = negative_elbo(x[0], **y_pred)
        for name, part in self.parts.items():
            part.update_state(losses[name])
        return losses["negative_elbo"]


def join(encoder, decoder, optimizer):
    """Both networks as one compiled model, which sees (images, noise)."""
    image, noise = keras.Input(encoder.input_shape[1:]), keras.Input(decoder.input_shape[1:])
    mean, logvar = encoder(image)
    z = mean + ops.exp(logvar / 2) * noise  # a gradient passes through: noise is what is random
    autoencoder = Joint([image, noise], {"logits": decoder(z), "mean": mean, "logvar": logvar})
    # On PyTorch, Keras clears gradients by the paths of weights, such as dense1/kernel, which two
    # networks may share. As attributes both are cleared; else one's would add up over the steps.
    autoencoder.encoder, autoencoder.decoder = encoder, decoder
    # Built before compiled: with --resume the optimiser's state is set before the first step.
    optimizer.build(autoencoder.trainable_variables)
    autoencoder.compile(optimizer, jit_compile=bridge.JIT_COMPILE)
    return autoencoder


def train_step(autoencoder, images, noise):
    """Update both networks on a batch of images; noise is (N, Z)."""
    losses = autoencoder.train_on_batch([images, noise], return_dict=True)
    return {name: losses[name] for name in autoencoder.parts}


def evaluate(autoencoder, images, noise):
    """The losses of images, without an update."""
    losses = autoencoder.test_on_batch([images, noise], return_dict=True)
    return {name: losses[name] for name in autoencoder.parts}


def encode(encoder, images):
    """The mean of each image's code."""
    return encoder.predict_on_batch(images)[0]


def decode(decoder, z):
    """The image of each code, in [0, 1]."""
    return ops.convert_to_numpy(ops.sigmoid(decoder.predict_on_batch(z)))


def main():
    """Train, or draw from a checkpoint, as the command line says."""
    run = Run(Config, __file__, __doc__)
    config = run.config
    bridge.set_seed(config.seed)
    bridge.find_device(config.device)
    encoder = Encoder(run.image_shape, config.latent_dim)
    decoder = Decoder(run.image_shape, config.latent_dim)
    adam = {"learning_rate": config.learning_rate, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}
    optimizer = Adam(**adam)
    autoencoder = join(encoder, decoder, optimizer)

    def to_codes(images):
        return encode(encoder, images)

    def to_images(codes):
        return decode(decoder, codes)

    def test(images, random):
        noise = normal_noise(random, len(images), config.latent_dim)
        return evaluate(autoencoder, images, noise)

    run.connect(
        bridge,
        networks={"encoder": encoder, "decoder": decoder},
        optimizers={"autoencoder": optimizer},
        pictures=LatentSpace(to_codes, to_images),
        evaluate=test,
    )
    if config.generate:
        run.generate()
        return
    for step, batch in run.steps():
        noise = normal_noise(run.random, config.batch_size, config.latent_dim)
        losses = train_step(autoencoder, batch.images, noise)
        run.log(step, losses)


if __name__ == "__main__":
    launch(main)
