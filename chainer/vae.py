"""VAE: an encoder gives a distribution of codes, a decoder images for them, in Chainer.

Paper: Kingma, Welling (2013), https://arxiv.org/abs/1312.6114
Run:   python chainer/vae.py --dataset mnist
Departures from the paper: two hidden layers with ReLU in place of one with tanh, and Adam.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common.bridges import chainer as bridge  # isort: skip  (it mends Chainer for NumPy 2)
import chainer
import chainer.functions as F
import chainer.links as L

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


class Encoder(chainer.Chain):
    """Image to mean and log variance of its code: (N, C, H, W) -> (N, Z), (N, Z)."""

    def __init__(self, image_shape, latent_dim):
        super().__init__()
        height, width, channels = image_shape
        glorot = {"initialW": chainer.initializers.GlorotUniform()}
        with self.init_scope():
            self.dense1 = L.Linear(channels * height * width, 256, **glorot)
            self.dense2 = L.Linear(256, 128, **glorot)
            self.mean = L.Linear(128, latent_dim, **glorot)
            self.logvar = L.Linear(128, latent_dim, **glorot)

    def forward(self, x):
        h = F.relu(self.dense1(x))  # (N, 256); L.Linear flattens
        h = F.relu(self.dense2(h))  # (N, 128)
        return self.mean(h), self.logvar(h)  # (N, Z), (N, Z)


class Decoder(chainer.Chain):
    """Code to the logits of an image: (N, Z) -> (N, C, H, W)."""

    def __init__(self, image_shape, latent_dim):
        super().__init__()
        height, width, channels = image_shape
        self.shape = (channels, height, width)
        glorot = {"initialW": chainer.initializers.GlorotUniform()}
        with self.init_scope():
            self.dense1 = L.Linear(latent_dim, 128, **glorot)
            self.dense2 = L.Linear(128, 256, **glorot)
            self.dense3 = L.Linear(256, channels * height * width, **glorot)

    def forward(self, z):
        h = F.relu(self.dense1(z))  # (N, 128)
        h = F.relu(self.dense2(h))  # (N, 256)
        return F.reshape(self.dense3(h), (-1, *self.shape))  # (N, C, H, W)


def reconstruction_loss(images, logits):
    """-log p(x | z): cross-entropy, summed over an image's pixels, averaged over the batch."""
    return F.bernoulli_nll(images, logits, reduce="sum") / len(images)


def kl_divergence(mean, logvar):
    """KL(N(mean, var) || N(0, 1)), summed over a code's numbers, averaged over the batch."""
    return F.gaussian_kl_divergence(mean, logvar, reduce="sum") / len(mean)


def negative_elbo(encoder, decoder, images, noise):
    """The loss, an upper bound of -log p(x), and the two parts that it is the sum of."""
    mean, logvar = encoder(images)
    z = mean + F.exp(logvar / 2) * noise  # a gradient passes through: noise is what is random
    reconstruction = reconstruction_loss(images, decoder(z))
    divergence = kl_divergence(mean, logvar)
    return {
        "reconstruction_loss": reconstruction,
        "kl_divergence": divergence,
        "negative_elbo": reconstruction + divergence,
    }


def train_step(encoder, decoder, optimizer, images, noise):
    """Update both networks on a batch of images; noise is (N, Z)."""
    losses = negative_elbo(encoder, decoder, images, noise)
    encoder.cleargrads()
    decoder.cleargrads()
    losses["negative_elbo"].backward()
    optimizer.update()
    return {name: loss.array for name, loss in losses.items()}


def evaluate(encoder, decoder, images, noise):
    """The losses of images, without an update."""
    with chainer.no_backprop_mode():
        losses = negative_elbo(encoder, decoder, images, noise)
    return {name: loss.array for name, loss in losses.items()}


def encode(encoder, images):
    """The mean of each image's code."""
    with chainer.no_backprop_mode():
        return encoder(images)[0]


def decode(decoder, z):
    """The image of each code, in [0, 1]."""
    with chainer.no_backprop_mode():
        return F.sigmoid(decoder(z))


def main():
    """Train, or draw from a checkpoint, as the command line says."""
    run = Run(Config, __file__, __doc__)
    config = run.config
    bridge.set_seed(config.seed)
    device = bridge.find_device(config.device)
    encoder = Encoder(run.image_shape, config.latent_dim)
    decoder = Decoder(run.image_shape, config.latent_dim)
    encoder.to_device(device)
    decoder.to_device(device)
    adam = {"alpha": config.learning_rate, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
    optimizer = Adam(**adam).setup(chainer.ChainList(encoder, decoder))

    def to_codes(images):
        return chainer.get_device("@numpy").send(encode(encoder, device.send(images)).array)

    def to_images(codes):
        return chainer.get_device("@numpy").send(decode(decoder, device.send(codes)).array)

    def test(images, random):
        noise = normal_noise(random, len(images), config.latent_dim)
        return evaluate(encoder, decoder, device.send(images), device.send(noise))

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
        images = device.send(batch.images)
        noise = normal_noise(run.random, config.batch_size, config.latent_dim)
        losses = train_step(encoder, decoder, optimizer, images, device.send(noise))
        run.log(step, losses)


if __name__ == "__main__":
    launch(main)
