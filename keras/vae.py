"""VAE: an encoder gives a distribution of codes, a decoder images for them, in Keras.

Paper: Kingma, Welling (2013), https://arxiv.org/abs/1312.6114
Run:   python keras/vae.py --dataset mnist
Page:  docs/models/vae.md
Departures from the paper: two hidden layers with ReLU in place of one with tanh, and Adam.
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
from common.pictures import LatentSpace
from common.run import Run, Settings, launch

from optimizers import Adam
from trainers import Trainer


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; each annotated line is a flag."""

    dataset: Annotated[
        str, "digits, newts, cifar10, mnist, fashion_mnist, kmnist, imori or folder:PATH"
    ] = "digits"
    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 10_000
    batch_size: Annotated[int, "images per step", 1] = 128
    learning_rate: Annotated[float, "step size of Adam", 0] = 1e-3
    log_every: Annotated[int, "steps between two rows of metrics.csv", 1] = 100
    sample_every: Annotated[int, "steps between two pictures in samples/", 1] = 1000
    checkpoint_every: Annotated[int, "steps between two checkpoints", 1] = 1000
    latent_dim: Annotated[int, "numbers in a code; the latent pictures need 2", 1] = 2


# N batch, Z latent, C channels, H height, W width


def preprocess(images):
    """Pixels in [0, 255] to the networks' range: (N, H, W, C) -> (N, H, W, C) in [0, 1]."""
    return images.astype(keras.config.floatx()) / 255


def postprocess(x):
    """The inverse: (N, H, W, C) in [0, 1] -> (N, H, W, C) in [0, 255]."""
    return np.rint(x * 255).clip(0, 255).astype(np.uint8)


def draw_noise(random, config, *shape):
    """Latent vectors, standard normal: (*shape, Z)."""
    return random.standard_normal((*shape, config.latent_dim)).astype(config.dtype)


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
    """The loss, a bound on -log p(x) if pixels are 0 or 1, and its two terms."""
    reconstruction = reconstruction_loss(images, logits)
    divergence = kl_divergence(mean, logvar)
    return {
        "reconstruction_loss": reconstruction,
        "kl_divergence": divergence,
        "negative_elbo": reconstruction + divergence,
    }


class AutoencoderTrainer(Trainer):
    """Images and noise to the losses: (N, H, W, C), (N, Z) -> (), (), ()."""

    def call(self, inputs):
        images, noise = inputs
        mean, logvar = self.encoder(images)
        z = mean + ops.exp(logvar / 2) * noise  # differentiable: only the noise is random
        losses = negative_elbo(images, self.decoder(z), mean, logvar)
        self.add_loss(losses["negative_elbo"])
        return losses


def train_step(trainers, images, noise):
    """Update both networks on a batch of images; noise is (N, Z)."""
    return trainers["autoencoder"].train_on_batch([images, noise], return_dict=True)


def evaluate(trainers, images, noise):
    """The losses on images, without an update."""
    return trainers["autoencoder"].test_on_batch([images, noise], return_dict=True)


def encode(encoder, images):
    """The mean of each image's code."""
    return encoder.predict_on_batch(images)[0]


def decode(decoder, z):
    """The image of each code, in [0, 1]."""
    return ops.convert_to_numpy(ops.sigmoid(decoder.predict_on_batch(z)))


def build(config, image_shape):
    """Both networks and the optimiser of all their weights."""
    networks = {
        "encoder": Encoder(image_shape, config.latent_dim),
        "decoder": Decoder(image_shape, config.latent_dim),
    }
    trainers = {"autoencoder": AutoencoderTrainer(networks, trained=["encoder", "decoder"])}
    adam = {"learning_rate": config.learning_rate, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}
    trainers["autoencoder"].compile(Adam(**adam))
    return networks, trainers


def start(arguments=None):
    """Make a run ready, as the command line says or as `arguments` do."""
    run = Run(Config, __file__, __doc__, arguments)
    config = run.config
    bridge.prepare(config.seed, config.device, config.precision)
    networks, run.trainers = build(config, run.image_shape)

    def to_codes(images):
        return encode(networks["encoder"], preprocess(images))

    def to_images(codes):
        return postprocess(decode(networks["decoder"], codes))

    def test(images, random):
        noise = draw_noise(random, config, len(images))
        return evaluate(run.trainers, preprocess(images), noise)

    pictures = LatentSpace(run.data, config, draw_noise, to_codes, to_images, test)
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
