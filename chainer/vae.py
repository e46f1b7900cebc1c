"""VAE: an encoder gives a distribution of codes, a decoder images for them, in Chainer.

Paper: Kingma, Welling (2013), https://arxiv.org/abs/1312.6114
Run:   python chainer/vae.py --dataset mnist
Page:  docs/models/vae.md
Departures from the paper: two hidden layers with ReLU in place of one with tanh, and Adam.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common.start import check_flags

if __name__ == "__main__":
    check_flags(__file__)  # before the framework, whose import takes seconds

# The bridge mends Chainer for NumPy 2; on a CPU it replaces what is slow: see chainer_cpu.py.
from common.bridges import chainer as bridge  # isort: skip
import chainer
import chainer.functions as F
import chainer.links as L

from common.pictures import LatentSpace
from common.run import Run, Settings, launch

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


def preprocess(images, device):
    """Pixels in [0, 255] to the networks' range: (N, H, W, C) -> (N, C, H, W) in [0, 1]."""
    x = device.xp.moveaxis(device.send(images), -1, -3)
    return x.astype(chainer.config.dtype, order="C") / 255


def postprocess(x):
    """The inverse: (N, C, H, W) in [0, 1] -> (N, H, W, C) in [0, 255]."""
    images = (x.array * 255).round().clip(0, 255).astype("uint8")
    return chainer.get_device("@numpy").send(images.transpose(0, 2, 3, 1))


def draw_noise(random, config, *shape):
    """Latent vectors, standard normal: (*shape, Z)."""
    return random.standard_normal((*shape, config.latent_dim)).astype(config.dtype)


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


def autoencode(networks, images, noise):
    """Encode images, draw from each code's distribution, decode: logits, mean, log variance."""
    mean, logvar = networks["encoder"](images)
    z = mean + F.exp(logvar / 2) * noise  # differentiable: only the noise is random
    return networks["decoder"](z), mean, logvar


def reconstruction_loss(images, logits):
    """-log p(x | z): cross-entropy, summed over an image's pixels, averaged over the batch."""
    loss = F.bernoulli_nll(images, logits, reduce="no")
    return F.mean(F.sum(loss, axis=(1, 2, 3)))


def kl_divergence(mean, logvar):
    """KL(N(mean, var) || N(0, 1)), summed over a code's numbers, averaged over the batch."""
    divergence = F.gaussian_kl_divergence(mean, logvar, reduce="no")
    return F.mean(F.sum(divergence, axis=1))


def negative_elbo(images, logits, mean, logvar):
    """The loss, a bound on -log p(x) if pixels are 0 or 1, and its two terms."""
    reconstruction = reconstruction_loss(images, logits)
    divergence = kl_divergence(mean, logvar)
    return {
        "reconstruction_loss": reconstruction,
        "kl_divergence": divergence,
        "negative_elbo": reconstruction + divergence,
    }


def train_step(networks, optimizers, images, noise):
    """Update both networks on a batch of images; noise is (N, Z)."""
    losses = negative_elbo(images, *autoencode(networks, images, noise))
    for network in networks.values():
        network.cleargrads()
    losses["negative_elbo"].backward()
    optimizers["autoencoder"].update()
    return {name: loss.array for name, loss in losses.items()}


def evaluate(networks, images, noise):
    """The losses on images, without an update."""
    with chainer.no_backprop_mode():
        losses = negative_elbo(images, *autoencode(networks, images, noise))
    return {name: loss.array for name, loss in losses.items()}


def encode(encoder, images):
    """The mean of each image's code."""
    with chainer.no_backprop_mode():
        return encoder(images)[0]


def decode(decoder, z):
    """The image of each code, in [0, 1]."""
    with chainer.no_backprop_mode():
        return F.sigmoid(decoder(z))


def build(config, image_shape, device):
    """Both networks and the optimiser of all their weights."""
    networks = {
        "encoder": Encoder(image_shape, config.latent_dim),
        "decoder": Decoder(image_shape, config.latent_dim),
    }
    both = chainer.ChainList(networks["encoder"], networks["decoder"])
    both.to_device(device)
    adam = {"alpha": config.learning_rate, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
    optimizers = {"autoencoder": Adam(**adam).setup(both)}
    return networks, optimizers


def start(arguments=None):
    """Make a run ready, as the command line says or as `arguments` do."""
    run = Run(Config, __file__, __doc__, arguments)
    config = run.config
    device = run.device = bridge.prepare(config.seed, config.device, config.precision)
    networks, optimizers = build(config, run.image_shape, device)

    def to_codes(images):
        codes = encode(networks["encoder"], preprocess(images, device))
        return chainer.get_device("@numpy").send(codes.array)

    def to_images(codes):
        return postprocess(decode(networks["decoder"], device.send(codes)))

    def test(images, random):
        noise = draw_noise(random, config, len(images))
        return evaluate(networks, preprocess(images, device), device.send(noise))

    pictures = LatentSpace(run.data, config, draw_noise, to_codes, to_images, test)
    run.connect(bridge, networks, optimizers, pictures)
    return run


def learn(run, batch):
    """Train on a batch, and return the losses."""
    images = preprocess(batch.images, run.device)
    noise = run.draw(draw_noise)
    return train_step(run.networks, run.optimizers, images, run.device.send(noise))


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
