"""GAN: a generator and a discriminator, fully connected, learn to draw images, in PyTorch.

Paper: Goodfellow and others (2014), https://arxiv.org/abs/1406.2661
Run:   python pytorch/gan.py --dataset mnist
Page:  docs/models/gan.md
Departures from the paper: leaky ReLU in place of maxout, no dropout, Adam, and batch norm in the
generator, without which its samples all look alike.
"""

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
from common.pictures import Samples
from common.run import Run, Settings, launch


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; each annotated line is a flag."""

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 3000
    batch_size: Annotated[int, "images per step", 2] = 64
    learning_rate: Annotated[float, "step size of Adam", 0] = 2e-4
    latent_dim: Annotated[int, "numbers that an image is drawn from", 1] = 100


# N batch, Z latent, C channels, H height, W width


def preprocess(images, device):
    """Pixels in [0, 255] to the networks' range: (N, H, W, C) -> (N, C, H, W) in [0, 1]."""
    x = bridge.send(images, device).movedim(-1, -3).contiguous()
    return x / 255


def postprocess(x):
    """The inverse: (N, C, H, W) in [0, 1] -> (N, H, W, C) in [0, 255]."""
    images = (x * 255).round().clamp(0, 255).to(torch.uint8)
    return images.movedim(-3, -1).cpu().numpy()


def draw_noise(random, config, *shape):
    """Latent vectors, uniform on [-1, 1): (*shape, Z)."""
    return random.uniform(-1, 1, (*shape, config.latent_dim)).astype(config.dtype)


class Generator(nn.Module):
    """Latent vector to image: (N, Z) -> (N, C, H, W) in [0, 1]."""

    def __init__(self, image_shape, latent_dim):
        super().__init__()
        height, width, channels = image_shape
        self.shape = (channels, height, width)
        norm = {"eps": 1e-5, "momentum": 0.1}  # the running average keeps 1 - 0.1
        self.dense1 = nn.Linear(latent_dim, 128)
        self.dense2 = nn.Linear(128, 256, bias=False)
        self.norm2 = nn.BatchNorm1d(256, **norm)
        self.dense3 = nn.Linear(256, 512, bias=False)
        self.norm3 = nn.BatchNorm1d(512, **norm)
        self.dense4 = nn.Linear(512, channels * height * width)
        self.apply(initialize)

    def forward(self, z):
        x = F.leaky_relu(self.dense1(z), 0.2)  # (N, 128)
        x = F.leaky_relu(self.norm2(self.dense2(x)), 0.2)  # (N, 256)
        x = F.leaky_relu(self.norm3(self.dense3(x)), 0.2)  # (N, 512)
        x = torch.sigmoid(self.dense4(x))  # (N, C * H * W)
        return x.view(-1, *self.shape)  # (N, C, H, W)


class Discriminator(nn.Module):
    """Image to logit, high if it looks real: (N, C, H, W) -> (N, 1)."""

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
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def discriminator_loss(real_logits, fake_logits):
    """-log D(x) - log(1 - D(G(z))): real is 1, fake is 0."""
    real = F.binary_cross_entropy_with_logits(real_logits, torch.ones_like(real_logits))
    fake = F.binary_cross_entropy_with_logits(fake_logits, torch.zeros_like(fake_logits))
    return real + fake


def generator_loss(fake_logits):
    """-log D(G(z)): the non-saturating loss."""
    return F.binary_cross_entropy_with_logits(fake_logits, torch.ones_like(fake_logits))


def train_step(networks, optimizers, images, noise):
    """Update D on real and fake images, then G on fresh noise; noise is (2, N, Z)."""
    generator, discriminator = networks["generator"], networks["discriminator"]
    with torch.no_grad():
        fakes = generator(noise[0])
    d_loss = discriminator_loss(discriminator(images), discriminator(fakes))
    optimizers["discriminator"].zero_grad()
    d_loss.backward()
    optimizers["discriminator"].step()

    discriminator.requires_grad_(False)
    g_loss = generator_loss(discriminator(generator(noise[1])))
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
        "generator": Generator(image_shape, config.latent_dim).to(device),
        "discriminator": Discriminator(image_shape).to(device),
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
    noise = run.draw(draw_noise, 2)
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
