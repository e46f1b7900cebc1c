"""VAE: an encoder gives a distribution of codes, a decoder images for them, in TensorFlow.

Paper: Kingma, Welling (2013), https://arxiv.org/abs/1312.6114
Run:   python tensorflow/vae.py --dataset mnist
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

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before the import: only errors
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # quick convolutions, without AVX-512 too

import tensorflow as tf

from common.bridges import tensorflow as bridge
from common.pictures import LatentSpace
from common.run import Run, Settings, launch

import layers
from optimizers import Adam


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
    return tf.cast(images, bridge.default_dtype()) / 255


def postprocess(x):
    """The inverse: (N, H, W, C) in [0, 1] -> (N, H, W, C) in [0, 255]."""
    images = tf.clip_by_value(tf.round(x * 255), 0, 255)
    return tf.cast(images, tf.uint8).numpy()


def draw_noise(random, config, *shape):
    """Latent vectors, standard normal: (*shape, Z)."""
    return random.standard_normal((*shape, config.latent_dim)).astype(config.dtype)


class Encoder(tf.Module):
    """Image to mean and log variance of its code: (N, H, W, C) -> (N, Z), (N, Z)."""

    def __init__(self, image_shape, latent_dim):
        super().__init__()
        height, width, channels = image_shape
        self.dense1 = layers.Dense(channels * height * width, 256)
        self.dense2 = layers.Dense(256, 128)
        self.mean = layers.Dense(128, latent_dim)
        self.logvar = layers.Dense(128, latent_dim)
        for layer in self.submodules:
            initialize(layer)

    def __call__(self, x):
        x = tf.transpose(x, (0, 3, 1, 2))  # (N, C, H, W): the order that others flatten in
        h = tf.nn.relu(self.dense1(tf.reshape(x, (tf.shape(x)[0], -1))))  # (N, 256)
        h = tf.nn.relu(self.dense2(h))  # (N, 128)
        return self.mean(h), self.logvar(h)  # (N, Z), (N, Z)


class Decoder(tf.Module):
    """Code to the logits of an image: (N, Z) -> (N, H, W, C)."""

    def __init__(self, image_shape, latent_dim):
        super().__init__()
        height, width, channels = image_shape
        self.shape = (channels, height, width)
        self.dense1 = layers.Dense(latent_dim, 128)
        self.dense2 = layers.Dense(128, 256)
        self.dense3 = layers.Dense(256, channels * height * width)
        for layer in self.submodules:
            initialize(layer)

    def __call__(self, z):
        h = tf.nn.relu(self.dense1(z))  # (N, 128)
        h = tf.nn.relu(self.dense2(h))  # (N, 256)
        x = tf.reshape(self.dense3(h), (-1, *self.shape))  # (N, C, H, W)
        return tf.transpose(x, (0, 2, 3, 1))  # (N, H, W, C)


def initialize(layer):
    """Glorot's uniform initial weights, biases 0."""
    if isinstance(layer, layers.Dense):
        layer.kernel.assign(layers.glorot_uniform(layer.kernel.shape))


def autoencode(networks, images, noise):
    """Encode images, draw from each code's distribution, decode: logits, mean, log variance."""
    mean, logvar = networks["encoder"](images)
    z = mean + tf.exp(logvar / 2) * noise  # differentiable: only the noise is random
    return networks["decoder"](z), mean, logvar


def reconstruction_loss(images, logits):
    """-log p(x | z): cross-entropy, summed over an image's pixels, averaged over the batch."""
    loss = tf.nn.sigmoid_cross_entropy_with_logits(images, logits)
    return tf.reduce_mean(tf.reduce_sum(loss, (1, 2, 3)))


def kl_divergence(mean, logvar):
    """KL(N(mean, var) || N(0, 1)), summed over a code's numbers, averaged over the batch."""
    divergence = 0.5 * (mean**2 + tf.exp(logvar) - 1 - logvar)
    return tf.reduce_mean(tf.reduce_sum(divergence, 1))


def negative_elbo(images, logits, mean, logvar):
    """The loss, a bound on -log p(x) if pixels are 0 or 1, and its two terms."""
    reconstruction = reconstruction_loss(images, logits)
    divergence = kl_divergence(mean, logvar)
    return {
        "reconstruction_loss": reconstruction,
        "kl_divergence": divergence,
        "negative_elbo": reconstruction + divergence,
    }


@tf.function
def train_step(networks, optimizers, images, noise):
    """Update both networks on a batch of images; noise is (N, Z)."""
    with tf.GradientTape() as tape:
        losses = negative_elbo(images, *autoencode(networks, images, noise))
    optimizer = optimizers["autoencoder"]
    optimizer.apply(tape.gradient(losses["negative_elbo"], optimizer.targets))
    return losses


@tf.function
def evaluate(networks, images, noise):
    """The losses on images, without an update."""
    return negative_elbo(images, *autoencode(networks, images, noise))


@tf.function
def encode(encoder, images):
    """The mean of each image's code."""
    return encoder(images)[0]


@tf.function
def decode(decoder, z):
    """The image of each code, in [0, 1]."""
    return tf.sigmoid(decoder(z))


def build(config, image_shape):
    """Both networks and the optimiser of all their weights."""
    networks = {
        "encoder": Encoder(image_shape, config.latent_dim),
        "decoder": Decoder(image_shape, config.latent_dim),
    }
    variables = [
        *networks["encoder"].trainable_variables,
        *networks["decoder"].trainable_variables,
    ]
    adam = {"learning_rate": config.learning_rate, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}
    optimizers = {"autoencoder": Adam(variables, **adam)}
    return networks, optimizers


def start(arguments=None):
    """Make a run ready, as the command line says or as `arguments` do."""
    run = Run(Config, __file__, __doc__, arguments)
    config = run.config
    run.strategy = bridge.prepare(config.seed, config.device, config.precision)
    networks, optimizers = build(config, run.image_shape)

    def to_codes(images):
        codes = encode(networks["encoder"], preprocess(images))
        return codes.numpy()

    def to_images(codes):
        return postprocess(decode(networks["decoder"], tf.constant(codes)))

    def test(images, random):
        noise = draw_noise(random, config, len(images))
        return evaluate(networks, preprocess(images), tf.constant(noise))

    pictures = LatentSpace(run.data, config, draw_noise, to_codes, to_images, test)
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
