"""Peers in PyTorch: networks in `nn.Sequential`, activations in place, Adam as it comes."""

from __future__ import annotations

from typing import Any

import numpy as np

import torch
from torch import nn
from torch.nn import functional as F

from common.bridges import pytorch as bridge
from common.data import count_doublings
from workshop.peers.peer import Peer


def dcgan_networks(config: Any, image_shape: tuple[int, ...]) -> tuple[nn.Module, nn.Module]:
    """The networks of pytorch/dcgan.py; the discriminator gives a probability, as the peers' do."""
    side, _, channels = image_shape
    f, doublings = config.filters, count_doublings(side)
    start, widest = side >> doublings, f * 2**doublings
    half: dict[str, Any] = {"kernel_size": 4, "stride": 2, "padding": 1}

    def upsample(width: int) -> list[nn.Module]:
        deconvolution = nn.ConvTranspose2d(width, width // 2, **half, bias=False)
        return [deconvolution, nn.BatchNorm2d(width // 2), nn.ReLU(inplace=True)]

    def downsample(width: int) -> list[nn.Module]:
        convolution = nn.Conv2d(width, 2 * width, **half, bias=False)
        return [convolution, nn.BatchNorm2d(2 * width), nn.LeakyReLU(0.2, inplace=True)]

    ups = [layer for n in range(doublings, 1, -1) for layer in upsample(f * 2**n)]
    downs = [layer for n in range(doublings - 1) for layer in downsample(f * 2**n)]
    generator = nn.Sequential(
        nn.Linear(config.latent_dim, widest * start**2),
        nn.Unflatten(1, (widest, start, start)),
        nn.BatchNorm2d(widest),
        nn.ReLU(inplace=True),
        *ups,
        nn.ConvTranspose2d(2 * f, channels, **half),
        nn.Tanh(),
    )
    discriminator = nn.Sequential(
        nn.Conv2d(channels, f, **half),
        nn.LeakyReLU(0.2, inplace=True),
        *downs,
        nn.Conv2d(widest // 2, widest, kernel_size=4),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Flatten(),
        nn.Linear(widest * (start - 3) ** 2, 1),
        nn.Sigmoid(),
    )
    for network in (generator, discriminator):
        for name, weights in network.named_parameters():
            if name.endswith("weight"):
                nn.init.normal_(weights, 1.0 if weights.ndim == 1 else 0.0, 0.02)
    return generator, discriminator


def arrays_of(*networks: nn.Module) -> list[np.ndarray]:
    """Weights and running averages."""
    return [array for network in networks for array in bridge.get_arrays(network).values()]


def official_dcgan(config: Any, image_shape: tuple[int, ...], images: torch.Tensor) -> Peer:
    """DCGAN of pytorch/examples: D backwards twice, G on the fakes that D has just learned from."""
    generator, discriminator = dcgan_networks(config, image_shape)
    adam: dict[str, Any] = {"lr": config.learning_rate, "betas": (0.5, 0.999)}
    g_optimizer = torch.optim.Adam(generator.parameters(), **adam)
    d_optimizer = torch.optim.Adam(discriminator.parameters(), **adam)
    criterion = nn.BCELoss()

    def step() -> dict[str, float]:
        discriminator.zero_grad()
        labels = torch.full((len(images), 1), 1.0, dtype=images.dtype)
        scores = discriminator(images)
        real_loss = criterion(scores, labels)
        real_loss.backward()
        scores.mean().item()  # the peer prints these means, and so waits for them

        fakes = generator(torch.randn(len(images), config.latent_dim))
        labels.fill_(0.0)
        scores = discriminator(fakes.detach())
        fake_loss = criterion(scores, labels)
        fake_loss.backward()
        scores.mean().item()
        d_optimizer.step()

        # D's weights get a gradient here too, which nobody uses.
        generator.zero_grad()
        labels.fill_(1.0)
        scores = discriminator(fakes)
        g_loss = criterion(scores, labels)
        g_loss.backward()
        scores.mean().item()
        g_optimizer.step()
        d_loss = real_loss + fake_loss
        return {"discriminator": d_loss.item(), "generator": g_loss.item()}

    return Peer(step, lambda: arrays_of(generator, discriminator))


def pytorch_gan_dcgan(config: Any, image_shape: tuple[int, ...], images: torch.Tensor) -> Peer:
    """DCGAN of PyTorch-GAN: G first, then D on the same fakes, half of both losses at once."""
    generator, discriminator = dcgan_networks(config, image_shape)
    adam: dict[str, Any] = {"lr": config.learning_rate, "betas": (0.5, 0.999)}
    g_optimizer = torch.optim.Adam(generator.parameters(), **adam)
    d_optimizer = torch.optim.Adam(discriminator.parameters(), **adam)
    criterion = nn.BCELoss()

    def step() -> dict[str, float]:
        ones = torch.ones(len(images), 1, dtype=images.dtype)
        zeros = torch.zeros(len(images), 1, dtype=images.dtype)

        # D's weights get a gradient here too, which the next zero_grad throws away.
        g_optimizer.zero_grad()
        noise = np.random.normal(0, 1, (len(images), config.latent_dim))  # noqa: NPY002
        fakes = generator(torch.tensor(noise, dtype=images.dtype))
        g_loss = criterion(discriminator(fakes), ones)
        g_loss.backward()
        g_optimizer.step()

        d_optimizer.zero_grad()
        real_loss = criterion(discriminator(images), ones)
        fake_loss = criterion(discriminator(fakes.detach()), zeros)
        d_loss = (real_loss + fake_loss) / 2
        d_loss.backward()
        d_optimizer.step()
        return {"discriminator": d_loss.item(), "generator": g_loss.item()}

    return Peer(step, lambda: arrays_of(generator, discriminator))


class VAE(nn.Module):
    """The networks of pytorch/vae.py in one module; the decoder gives pixels, not logits."""

    def __init__(self, latent_dim: int, pixels: int) -> None:
        super().__init__()
        self.encoder = nn.ModuleList([nn.Linear(pixels, 256), nn.Linear(256, 128)])
        self.mean = nn.Linear(128, latent_dim)
        self.logvar = nn.Linear(128, latent_dim)
        self.decoder = nn.ModuleList([nn.Linear(latent_dim, 128), nn.Linear(128, 256)])
        self.pixels = nn.Linear(256, pixels)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Pixels, means and log variances of images as vectors."""
        h = x
        for layer in self.encoder:
            h = F.relu(layer(h))
        mean, logvar = self.mean(h), self.logvar(h)
        deviation = torch.exp(0.5 * logvar)
        h = mean + torch.randn_like(deviation) * deviation
        for layer in self.decoder:
            h = F.relu(layer(h))
        return torch.sigmoid(self.pixels(h)), mean, logvar


def official_vae(config: Any, image_shape: tuple[int, ...], images: torch.Tensor) -> Peer:
    """VAE of pytorch/examples: cross-entropy of pixels after a sigmoid, summed over the batch."""
    model = VAE(config.latent_dim, images[0].numel())
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)

    def step() -> dict[str, float]:
        optimizer.zero_grad()
        x = images.view(len(images), -1)
        pixels, mean, logvar = model(x)
        reconstruction = F.binary_cross_entropy(pixels, x, reduction="sum")
        divergence = -0.5 * torch.sum(1 + logvar - mean.pow(2) - logvar.exp())
        loss = reconstruction + divergence
        loss.backward()
        summed = loss.item()
        optimizer.step()
        return {"loss": summed}

    return Peer(step, lambda: arrays_of(model))
