"""GAN: a generator and a discriminator, fully connected, learn to draw images, in PyTorch.

Paper: Goodfellow and others (2014), https://arxiv.org/abs/1406.2661
Run:   python pytorch/gan.py --dataset mnist
Departures from the paper: leaky ReLU in place of maxout, no dropout, and Adam.
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
from common.pictures import Samples
from common.run import Run, uniform_noise


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; every line is a flag."""

    pixel_range = (0, 1)  # of a sigmoid

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 3000
    batch_size: Annotated[int, "images per step", 2] = 64
    learning_rate: Annotated[float, "step size of Adam", 0] = 2e-4
    latent_dim: Annotated[int, "numbers that an image is drawn from", 1] = 100


# N batch, Z latent, C channels, H height, W width


class Generator(nn.Module):
    """Latent vector to image: (N, Z) -> (N, C, H, W) in [0, 1]."""

    def __init__(self, image_shape, latent_dim):
        super().__init__()
        height, width, channels = image_shape
        self.shape = (channels, height, width)
        self.dense1 = nn.Linear(latent_dim, 128)
        self.dense2 = nn.Linear(128, 256)
        self.dense3 = nn.Linear(256, 512)
        self.dense4 = nn.Linear(512, channels * height * width)
        self.apply(initialize)

    def forward(self, z):
        x = F.leaky_relu(self.dense1(z), 0.2)  # (N, 128)
        x = F.leaky_relu(self.dense2(x), 0.2)  # (N, 256)
        x = F.leaky_relu(self.dense3(x), 0.2)  # (N, 512)
        x = torch.sigmoid(self.dense4(x))  # (N, C * H * W)
        return x.view(-1, *self.shape)  # (N, C, H, W)


class Discriminator(nn.Module):
    """Image to the logit of its being real: (N, C, H, W) -> (N, 1)."""

    def __init__(self, image_shape):
        super().__init__()
        height, width, channels = image_shape
        self.dense1 = nn.Linear(channels * height * width, 512)
        self.dense2 = nn.Linear(512, 256)
        self.dense3 = nn.Linear(256, 1)
        self.apply(initialize)

    def forward(self, x):
        x = F.leaky_relu(self.dense1(x.flatten(1)), 0.2)  # (N, 512)
        x = F.leaky_relu(self.dense2(x), 0.2)  # (N, 256)
        return self.dense3(x)  # (N, 1); no sigmoid, for the losses are from logits


def initialize(layer):
    """Glorot's uniform initial weights, biases 0."""
    if isinstance(layer, nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)


def discriminator_loss(real_logits, fake_logits):
    """-log D(x) - log(1 - D(G(z))): real is 1, fake is 0."""
    real = F.binary_cross_entropy_with_logits(real_logits, torch.ones_like(real_logits))
    fake = F.binary_cross_entropy_with_logits(fake_logits, torch.zeros_like(fake_logits))
    return real + fake


def generator_loss(fake_logits):
    """-log D(G(z)): the non-saturating loss."""
    return F.binary_cross_entropy_with_logits(fake_logits, torch.ones_like(fake_logits))


def train_step(
    generator, discriminator, generator_optimizer, discriminator_optimizer, images, noise
):
    """Update D on real and fake images, then G on fresh noise; noise is (2, N, Z)."""
    with torch.no_grad():
        fakes = generator(noise[0])
    d_loss = discriminator_loss(discriminator(images), discriminator(fakes))
    discriminator_optimizer.zero_grad()
    d_loss.backward()
    discriminator_optimizer.step()

    discriminator.requires_grad_(False)
    g_loss = generator_loss(discriminator(generator(noise[1])))
    generator_optimizer.zero_grad()
    g_loss.backward()
    generator_optimizer.step()
    discriminator.requires_grad_(True)
    return {"discriminator_loss": d_loss.detach(), "generator_loss": g_loss.detach()}


@torch.no_grad()
def sample(generator, noise):
    """Draw an image from each latent vector."""
    return generator(noise)


def main():
    """Train, or draw from a checkpoint, as the command line says."""
    run = Run(Config, __file__, __doc__)
    config = run.config
    bridge.set_seed(config.seed)
    device = bridge.find_device(config.device)
    generator = Generator(run.image_shape, config.latent_dim).to(device)
    discriminator = Discriminator(run.image_shape).to(device)
    adam = {"lr": config.learning_rate, "betas": (0.5, 0.999), "eps": 1e-8}
    generator_optimizer = torch.optim.Adam(generator.parameters(), **adam)
    discriminator_optimizer = torch.optim.Adam(discriminator.parameters(), **adam)

    def draw(count, random):
        noise = uniform_noise(random, count, config.latent_dim)
        return sample(generator, torch.from_numpy(noise).to(device)).cpu().numpy()

    run.connect(
        bridge,
        networks={"generator": generator, "discriminator": discriminator},
        optimizers={"generator": generator_optimizer, "discriminator": discriminator_optimizer},
        pictures=Samples(draw),
    )
    if config.generate:
        run.generate()
        return
    for step, batch in run.steps():
        images = torch.from_numpy(batch.images).to(device)
        noise = uniform_noise(run.random, 2, config.batch_size, config.latent_dim)
        losses = train_step(
            generator,
            discriminator,
            generator_optimizer,
            discriminator_optimizer,
            images,
            torch.from_numpy(noise).to(device),
        )
        run.log(step, losses)


if __name__ == "__main__":
    launch(main)
