"""VAE: an encoder gives a distribution of codes, a decoder images for them, in PyTorch.

Paper: Kingma, Welling (2013), https://arxiv.org/abs/1312.6114
Run:   python pytorch/vae.py --dataset mnist
Departures from the paper: two hidden layers with ReLU in place of one with tanh, and Adam.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common.bridges import pytorch as bridge
from common.flags import Settings, launch
from common.pictures import LatentSpace
from common.run import Run, normal_noise


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


class Encoder(nn.Module):
    """Image to mean and log variance of its code: (N, C, H, W) -> (N, Z), (N, Z)."""

    def __init__(self, image_shape, latent_dim):
        super().__init__()
        height, width, channels = image_shape
        self.dense1 = nn.Linear(channels * height * width, 256)
        self.dense2 = nn.Linear(256, 128)
        self.mean = nn.Linear(128, latent_dim)
        self.logvar = nn.Linear(128, latent_dim)
        self.apply(initialize)

    def forward(self, x):
        h = F.relu(self.dense1(x.flatten(1)))  # (N, 256)
        h = F.relu(self.dense2(h))  # (N, 128)
        return self.mean(h), self.logvar(h)  # (N, Z), (N, Z)


class Decoder(nn.Module):
    """Code to the logits of an image: (N, Z) -> (N, C, H, W)."""

    def __init__(self, image_shape, latent_dim):
        super().__init__()
        height, width, channels = image_shape
        self.shape = (channels, height, width)
        self.dense1 = nn.Linear(latent_dim, 128)
        self.dense2 = nn.Linear(128, 256)
        self.dense3 = nn.Linear(256, channels * height * width)
        self.apply(initialize)

    def forward(self, z):
        h = F.relu(self.dense1(z))  # (N, 128)
        h = F.relu(self.dense2(h))  # (N, 256)
        return self.dense3(h).view(-1, *self.shape)  # (N, C, H, W)


def initialize(layer):
    """Glorot's uniform initial weights, biases 0."""
    if isinstance(layer, nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)


def reconstruction_loss(images, logits):
    """-log p(x | z): cross-entropy, summed over an image's pixels, averaged over the batch."""
    loss = F.binary_cross_entropy_with_logits(logits, images, reduction="sum")
    return loss / len(images)


def kl_divergence(mean, logvar):
    """KL(N(mean, var) || N(0, 1)), summed over a code's numbers, averaged over the batch."""
    return 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum() / len(mean)


def negative_elbo(encoder, decoder, images, noise):
    """The loss, an upper bound of -log p(x), and the two parts that it is the sum of."""
    mean, logvar = encoder(images)
    z = mean + (logvar / 2).exp() * noise  # a gradient passes through: noise is what is random
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
    optimizer.zero_grad()
    losses["negative_elbo"].backward()
    optimizer.step()
    return {name: loss.detach() for name, loss in losses.items()}


@torch.no_grad()
def evaluate(encoder, decoder, images, noise):
    """The losses of images, without an update."""
    return negative_elbo(encoder, decoder, images, noise)


@torch.no_grad()
def encode(encoder, images):
    """The mean of each image's code."""
    return encoder(images)[0]


@torch.no_grad()
def decode(decoder, z):
    """The image of each code, in [0, 1]."""
    return torch.sigmoid(decoder(z))


def main():
    """Train, or draw from a checkpoint, as the command line says."""
    run = Run(Config, __file__, __doc__)
    config = run.config
    bridge.set_seed(config.seed)
    device = bridge.find_device(config.device)
    encoder = Encoder(run.image_shape, config.latent_dim).to(device)
    decoder = Decoder(run.image_shape, config.latent_dim).to(device)
    adam = {"lr": config.learning_rate, "betas": (0.9, 0.999), "eps": 1e-8}
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], **adam)

    def to_codes(images):
        return encode(encoder, torch.from_numpy(images).to(device)).cpu().numpy()

    def to_images(codes):
        return decode(decoder, torch.from_numpy(codes).to(device)).cpu().numpy()

    def test(images, random):
        noise = normal_noise(random, len(images), config.latent_dim)
        images = torch.from_numpy(images).to(device)
        return evaluate(encoder, decoder, images, torch.from_numpy(noise).to(device))

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
        images = torch.from_numpy(batch.images).to(device)
        noise = normal_noise(run.random, config.batch_size, config.latent_dim)
        noise = torch.from_numpy(noise).to(device)
        losses = train_step(encoder, decoder, optimizer, images, noise)
        run.log(step, losses)


if __name__ == "__main__":
    launch(main)
