"""DCGAN: a deep convolutional generator and discriminator learn to draw images, in PyTorch.

Paper: Radford, Metz, Chintala (2015), https://arxiv.org/abs/1511.06434
Run:   python pytorch/dcgan.py --dataset cifar10
Page:  docs/models/dcgan.md
Departures from the paper: the widths of the layers, and batches of 64. No convolution before a
batch norm has a bias, as in the authors' code: the norm takes it away again, so its gradient is
nothing but rounding, which Adam blows up to full steps.
"""

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common.start import check_flags

if __name__ == "__main__":
    check_flags(__file__)  # before the framework, whose import takes seconds

import torch
from torch import nn
from torch.nn import functional as F

from common.bridges import pytorch as bridge
from common.data import count_doublings
from common.pictures import Samples
from common.run import Run, Settings, launch


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; each annotated line is a flag."""

    size_multiple = None  # sides are 4 to 7 pixels, doubled d times

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 10_000
    batch_size: Annotated[int, "images per step", 2] = 64
    learning_rate: Annotated[float, "step size of Adam", 0] = 2e-4
    latent_dim: Annotated[int, "numbers that an image is drawn from", 1] = 100
    filters: Annotated[int, "channels of the first convolution; the others have multiples", 1] = 32


# N batch, Z latent, C channels, H height, W width, f filters, d doublings, h = H / 2^d, w = W / 2^d


def preprocess(images, device):
    """Pixels in [0, 255] to the networks' range: (N, H, W, C) -> (N, C, H, W) in [-1, 1]."""
    x = bridge.send(images, device).movedim(-1, -3).contiguous()
    return x / 127.5 - 1


def postprocess(x):
    """The inverse: (N, C, H, W) in [-1, 1] -> (N, H, W, C) in [0, 255]."""
    images = ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return images.movedim(-3, -1).cpu().numpy()


def draw_noise(random, config, *shape):
    """Latent vectors, uniform on [-1, 1): (*shape, Z)."""
    return random.uniform(-1, 1, (*shape, config.latent_dim)).astype(config.dtype)


class UpBlock(nn.Module):
    """Twice the side, half the channels: (N, C, H, W) -> (N, C / 2, 2H, 2W)."""

    def __init__(self, channels):
        super().__init__()
        double = {"kernel_size": 4, "stride": 2, "padding": 1}
        self.deconv = nn.ConvTranspose2d(channels, channels // 2, **double, bias=False)
        self.norm = nn.BatchNorm2d(channels // 2, eps=1e-5, momentum=0.1)

    def forward(self, x):
        return F.relu(self.norm(self.deconv(x)))


class Generator(nn.Module):
    """Latent vector to image: (N, Z) -> (N, C, H, W) in [-1, 1]."""

    def __init__(self, image_shape, latent_dim, filters):
        super().__init__()
        side, _, channels = image_shape
        doublings = count_doublings(side)  # 2 for 28 pixels, which are 7 * 2 * 2
        self.base = (filters * 2**doublings, side >> doublings, side >> doublings)
        self.dense = nn.Linear(latent_dim, math.prod(self.base))
        self.norm = nn.BatchNorm2d(self.base[0], eps=1e-5, momentum=0.1)
        self.blocks = nn.Sequential(*(UpBlock(self.base[0] // 2**n) for n in range(doublings - 1)))
        self.deconv = nn.ConvTranspose2d(2 * filters, channels, kernel_size=4, stride=2, padding=1)
        self.apply(initialize)

    def forward(self, z):
        x = self.dense(z).view(-1, *self.base)
        x = F.relu(self.norm(x))  # (N, f * 2^d, h, w)
        x = self.blocks(x)  # (N, 2f, H / 2, W / 2)
        return torch.tanh(self.deconv(x))  # (N, C, H, W)


class DownBlock(nn.Module):
    """Half the side, twice the channels: (N, C, H, W) -> (N, 2C, H / 2, W / 2)."""

    def __init__(self, channels):
        super().__init__()
        half = {"kernel_size": 4, "stride": 2, "padding": 1}
        self.conv = nn.Conv2d(channels, 2 * channels, **half, bias=False)
        self.norm = nn.BatchNorm2d(2 * channels, eps=1e-5, momentum=0.1)

    def forward(self, x):
        return F.leaky_relu(self.norm(self.conv(x)), 0.2)


class Discriminator(nn.Module):
    """Image to logit, high if it looks real: (N, C, H, W) -> (N, 1)."""

    def __init__(self, image_shape, filters):
        super().__init__()
        side, _, channels = image_shape
        halvings = count_doublings(side)
        left = (side >> halvings) - 3  # the last convolution is not padded
        width = filters * 2 ** (halvings - 1)
        self.conv1 = nn.Conv2d(channels, filters, kernel_size=4, stride=2, padding=1)
        self.blocks = nn.Sequential(*(DownBlock(filters * 2**n) for n in range(halvings - 1)))
        self.conv2 = nn.Conv2d(width, 2 * width, kernel_size=4)
        self.dense = nn.Linear(2 * width * left * left, 1)
        self.apply(initialize)

    def forward(self, x):
        x = F.leaky_relu(self.conv1(x), 0.2)  # (N, f, H / 2, W / 2)
        x = self.blocks(x)  # (N, f * 2^(d - 1), h, w)
        x = F.leaky_relu(self.conv2(x), 0.2)  # (N, f * 2^d, h - 3, w - 3)
        return self.dense(x.flatten(1))  # (N, 1)


def initialize(layer):
    """N(0, 0.02) as in the paper; scales of batch norm N(1, 0.02) as in its code; biases 0."""
    if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, 0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)


def discriminator_loss(real_logits, fake_logits):
    """-log D(x) - log(1 - D(G(z))): real is 1, fake is 0."""
    real = F.binary_cross_entropy_with_logits(real_logits, torch.ones_like(real_logits))
    fake = F.binary_cross_entropy_with_logits(fake_logits, torch.zeros_like(fake_logits))
    return real + fake


def generator_loss(fake_logits):
    """-log D(G(z)): the non-saturating loss."""
    return F.binary_cross_entropy_with_logits(fake_logits, torch.ones_like(fake_logits))


def train_step(networks, optimizers, images, noise):
    """Update D on real images and on fakes, then G on what D now says of these; noise is (N, Z)."""
    generator, discriminator = networks["generator"], networks["discriminator"]
    fakes = generator(noise)
    # Real and fake images pass separately, so that batch norm never mixes their statistics.
    d_loss = discriminator_loss(discriminator(images), discriminator(fakes.detach()))
    optimizers["discriminator"].zero_grad()
    d_loss.backward()
    optimizers["discriminator"].step()

    discriminator.requires_grad_(False)
    g_loss = generator_loss(discriminator(fakes))
    optimizers["generator"].zero_grad()
    g_loss.backward()
    optimizers["generator"].step()
    discriminator.requires_grad_(True)
    return {"discriminator_loss": d_loss.detach(), "generator_loss": g_loss.detach()}


@torch.no_grad()
def sample(generator, noise):
    """Draw an image from each latent vector, with the running averages of batch norm."""
    generator.eval()
    images = generator(noise)
    generator.train()
    return images


def build(config, image_shape, device):
    """Both networks and their optimisers."""
    networks = {
        "generator": Generator(image_shape, config.latent_dim, config.filters).to(device),
        "discriminator": Discriminator(image_shape, config.filters).to(device),
    }
    adam = {"lr": config.learning_rate, "betas": (0.5, 0.999), "eps": 1e-8, "fused": True}
    optimizers = {
        name: torch.optim.Adam(network.parameters(), **adam) for name, network in networks.items()
    }
    return networks, optimizers


def start(arguments=None):
    """Make a run ready, as the command line says or as `arguments` do."""
    run = Run(Config, __file__, __doc__, arguments)
    config = run.config
    device = run.device = bridge.prepare(config.seed, config.device, config.precision)
    networks, optimizers = build(config, run.image_shape, device)

    def draw(noise):
        return postprocess(sample(networks["generator"], bridge.send(noise, device)))

    pictures = Samples(run.data, config, draw_noise, draw)
    run.connect(bridge, networks, optimizers, pictures)
    return run


def learn(run, batch):
    """Train on a batch, and return the losses."""
    images = preprocess(batch.images, run.device)
    noise = run.draw(draw_noise)
    return train_step(run.networks, run.optimizers, images, bridge.send(noise, run.device))


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
