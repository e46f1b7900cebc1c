"""PyTorch's peers with their own networks and settings: pytorch/examples and PyTorch-GAN.

https://github.com/pytorch/examples and https://github.com/eriklindernoren/PyTorch-GAN
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import torch
from torch import nn
from torch.nn import functional as F

from workshop.peers.learner import Learner, drawing_from

Shape = tuple[int, int, int]


def seed(number: int) -> None:
    """Seed initial weights, noise and dropout."""
    torch.manual_seed(number)


def to_pixels(images: np.ndarray) -> torch.Tensor:
    """`uint8` (N, H, W, C) to (N, C, H, W) in [-1, 1]."""
    return torch.from_numpy(images).movedim(-1, 1).float() / 127.5 - 1


def renderer(generator: nn.Module, *, classes: bool = False) -> Callable[..., np.ndarray]:
    """What `drawing_from` takes, of a generator that ends in tanh."""

    @torch.no_grad()
    def render(noise: np.ndarray, labels: np.ndarray) -> np.ndarray:
        generator.eval()
        given = (torch.from_numpy(noise), torch.from_numpy(labels))
        images = generator(*given) if classes else generator(given[0])
        generator.train()
        return ((images + 1) * 127.5).movedim(1, -1).numpy()

    return render


def weights_of(**networks: nn.Module) -> Callable[[], dict[str, list[np.ndarray]]]:
    """A `Learner.weights`."""

    def weights() -> dict[str, list[np.ndarray]]:
        return {
            name: [weight.detach().numpy().copy() for weight in network.parameters()]
            for name, network in networks.items()
        }

    return weights


def initialize(layer: nn.Module) -> None:
    """DCGAN's initial weights; dense layers are left as PyTorch has them."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)


def adams(rate: float, *networks: nn.Module) -> list[torch.optim.Adam]:
    """An optimiser for each network."""
    return [torch.optim.Adam(one.parameters(), lr=rate, betas=(0.5, 0.999)) for one in networks]


def official_dcgan(shape: Shape, classes: int) -> Learner:
    """DCGAN of pytorch/examples, for 64 pixels: D goes backward twice, then G."""
    width, channels, latent_dim = 64, shape[-1], 100

    def up(inputs: int, outputs: int, stride: int = 2, padding: int = 1) -> list[nn.Module]:
        deconv = nn.ConvTranspose2d(inputs, outputs, 4, stride, padding, bias=False)
        return [deconv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]

    def down(inputs: int, outputs: int) -> list[nn.Module]:
        conv = nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False)
        return [conv, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2, inplace=True)]

    generator = nn.Sequential(
        nn.Unflatten(1, (latent_dim, 1, 1)),
        *up(latent_dim, 8 * width, 1, 0),
        *up(8 * width, 4 * width),
        *up(4 * width, 2 * width),
        *up(2 * width, width),
        nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False),
        nn.Tanh(),
    )
    discriminator = nn.Sequential(
        nn.Conv2d(channels, width, 4, 2, 1, bias=False),
        nn.LeakyReLU(0.2, inplace=True),
        *down(width, 2 * width),
        *down(2 * width, 4 * width),
        *down(4 * width, 8 * width),
        nn.Conv2d(8 * width, 1, 4, bias=False),
        nn.Sigmoid(),
        nn.Flatten(),
    )
    for network in (generator, discriminator):
        network.apply(initialize)
    g_adam, d_adam = adams(2e-4, generator, discriminator)

    def step(images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        real = to_pixels(images)
        ones, zeros = torch.ones(len(real), 1), torch.zeros(len(real), 1)
        discriminator.zero_grad()
        real_loss = F.binary_cross_entropy(discriminator(real), ones)
        real_loss.backward()
        fakes = generator(torch.randn(len(real), latent_dim))
        fake_loss = F.binary_cross_entropy(discriminator(fakes.detach()), zeros)
        fake_loss.backward()
        d_adam.step()
        generator.zero_grad()
        g_loss = F.binary_cross_entropy(discriminator(fakes), ones)
        g_loss.backward()
        g_adam.step()
        return {"discriminator": (real_loss + fake_loss).item(), "generator": g_loss.item()}

    draw = drawing_from(renderer(generator), latent_dim)
    weights = weights_of(generator=generator, discriminator=discriminator)
    return Learner(64, 64, step, draw, weights)


def pytorch_gan_dcgan(shape: Shape, classes: int) -> Learner:
    """DCGAN of PyTorch-GAN, for 32 pixels: each pixel twice, then a convolution; G first."""
    channels, latent_dim, side = shape[-1], 100, 32
    # The second number that the peer gives its norms is epsilon, not the momentum.
    generator = nn.Sequential(
        nn.Linear(latent_dim, 128 * (side // 4) ** 2),
        nn.Unflatten(1, (128, side // 4, side // 4)),
        nn.BatchNorm2d(128),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(128, 128, 3, padding=1),
        nn.BatchNorm2d(128, eps=0.8),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(128, 64, 3, padding=1),
        nn.BatchNorm2d(64, eps=0.8),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(64, channels, 3, padding=1),
        nn.Tanh(),
    )

    def down(inputs: int, outputs: int) -> list[nn.Module]:
        conv = nn.Conv2d(inputs, outputs, 3, 2, 1)
        return [conv, nn.LeakyReLU(0.2, inplace=True), nn.Dropout2d(0.25)]

    discriminator = nn.Sequential(
        *down(channels, 16),
        *(*down(16, 32), nn.BatchNorm2d(32, eps=0.8)),
        *(*down(32, 64), nn.BatchNorm2d(64, eps=0.8)),
        *(*down(64, 128), nn.BatchNorm2d(128, eps=0.8)),
        nn.Flatten(),
        nn.Linear(128 * (side // 16) ** 2, 1),
        nn.Sigmoid(),
    )
    for network in (generator, discriminator):
        network.apply(initialize)
    g_adam, d_adam = adams(2e-4, generator, discriminator)

    def step(images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        real = to_pixels(images)
        ones, zeros = torch.ones(len(real), 1), torch.zeros(len(real), 1)
        g_adam.zero_grad()
        fakes = generator(torch.randn(len(real), latent_dim))
        g_loss = F.binary_cross_entropy(discriminator(fakes), ones)
        g_loss.backward()
        g_adam.step()
        d_adam.zero_grad()
        real_loss = F.binary_cross_entropy(discriminator(real), ones)
        fake_loss = F.binary_cross_entropy(discriminator(fakes.detach()), zeros)
        d_loss = (real_loss + fake_loss) / 2
        d_loss.backward()
        d_adam.step()
        return {"discriminator": d_loss.item(), "generator": g_loss.item()}

    draw = drawing_from(renderer(generator), latent_dim)
    weights = weights_of(generator=generator, discriminator=discriminator)
    return Learner(side, 64, step, draw, weights)


def dense_generator(inputs: int, shape: Shape) -> nn.Sequential:
    """The generator of PyTorch-GAN's dense models: (N, inputs) to (N, C, H, W) in [-1, 1]."""
    height, width, channels = shape
    layers: list[nn.Module] = [nn.Linear(inputs, 128), nn.LeakyReLU(0.2, inplace=True)]
    for size in (128, 256, 512):
        layers += [nn.Linear(size, 2 * size), nn.BatchNorm1d(2 * size, eps=0.8)]
        layers += [nn.LeakyReLU(0.2, inplace=True)]
    layers += [nn.Linear(1024, channels * height * width), nn.Tanh()]
    return nn.Sequential(*layers, nn.Unflatten(1, (channels, height, width)))


class Labelled(nn.Module):
    """A network of vectors that an embedding of the class is joined to."""

    def __init__(self, network: nn.Module, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, classes)
        self.network = network

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Vectors, or images as such, and labels to what the network gives."""
        return self.network(torch.cat([self.embedding(labels), x.flatten(1)], 1))


def pytorch_gan_cgan(shape: Shape, classes: int) -> Learner:
    """Conditional GAN of PyTorch-GAN, for 32 pixels: dense layers, squared errors."""
    channels, latent_dim, side = shape[-1], 100, 32
    generator = Labelled(dense_generator(latent_dim + classes, (side, side, channels)), classes)
    layers: list[nn.Module] = [nn.Linear(classes + channels * side**2, 512)]
    for _ in range(2):
        layers += [nn.LeakyReLU(0.2, inplace=True), nn.Linear(512, 512), nn.Dropout(0.4)]
    layers += [nn.LeakyReLU(0.2, inplace=True), nn.Linear(512, 1)]
    discriminator = Labelled(nn.Sequential(*layers), classes)
    g_adam, d_adam = adams(2e-4, generator, discriminator)

    def step(images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        real = to_pixels(images)
        ones, zeros = torch.ones(len(real), 1), torch.zeros(len(real), 1)
        g_adam.zero_grad()
        asked = torch.randint(0, classes, (len(real),))
        fakes = generator(torch.randn(len(real), latent_dim), asked)
        g_loss = F.mse_loss(discriminator(fakes, asked), ones)
        g_loss.backward()
        g_adam.step()
        d_adam.zero_grad()
        real_loss = F.mse_loss(discriminator(real, torch.from_numpy(labels)), ones)
        fake_loss = F.mse_loss(discriminator(fakes.detach(), asked), zeros)
        d_loss = (real_loss + fake_loss) / 2
        d_loss.backward()
        d_adam.step()
        return {"discriminator": d_loss.item(), "generator": g_loss.item()}

    draw = drawing_from(renderer(generator, classes=True), latent_dim)
    weights = weights_of(generator=generator, discriminator=discriminator)
    return Learner(side, 64, step, draw, weights)


def pytorch_gan_wgan_gp(shape: Shape, classes: int) -> Learner:
    """WGAN-GP of PyTorch-GAN, for 28 pixels: dense layers; G learns at each fifth batch."""
    channels, latent_dim, side, updates, weight = shape[-1], 100, 28, 5, 10
    generator = dense_generator(latent_dim, (side, side, channels))
    critic = nn.Sequential(
        nn.Flatten(),
        nn.Linear(channels * side**2, 512),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Linear(512, 256),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Linear(256, 1),
    )
    g_adam, c_adam = adams(2e-4, generator, critic)

    def penalty(real: torch.Tensor, fakes: torch.Tensor) -> torch.Tensor:
        share = torch.rand(len(real), 1, 1, 1)
        mixed = (share * real + (1 - share) * fakes).requires_grad_()
        (gradient,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
        return ((gradient.flatten(1).norm(2, dim=1) - 1) ** 2).mean()

    def step(images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        losses: dict[str, Any] = {}
        for number, real in enumerate(to_pixels(images).chunk(updates)):
            c_adam.zero_grad()
            noise = torch.randn(len(real), latent_dim)
            fakes = generator(noise)
            c_loss = critic(fakes).mean() - critic(real).mean()
            c_loss = c_loss + weight * penalty(real, fakes.detach())
            c_loss.backward()  # through G too, whose gradients are thrown away
            c_adam.step()
            g_adam.zero_grad()
            losses["critic"] = c_loss.item()
            if number == 0:
                g_loss = -critic(generator(noise)).mean()
                g_loss.backward()
                g_adam.step()
                losses["generator"] = g_loss.item()
        return losses

    draw = drawing_from(renderer(generator), latent_dim)
    weights = weights_of(generator=generator, critic=critic)
    return Learner(side, updates * 64, step, draw, weights)


class VAE(nn.Module):
    """784-400-20 for digits: one hidden layer on each side."""

    def __init__(self, pixels: int, hidden: int, latent_dim: int) -> None:
        super().__init__()
        self.encoder = nn.Linear(pixels, hidden)
        self.mean = nn.Linear(hidden, latent_dim)
        self.logvar = nn.Linear(hidden, latent_dim)
        self.decoder = nn.Linear(latent_dim, hidden)
        self.logits = nn.Linear(hidden, pixels)

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Images as vectors to mean and log variance."""
        h = F.relu(self.encoder(x))
        return self.mean(h), self.logvar(h)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Codes to logits."""
        return self.logits(F.relu(self.decoder(z)))


def official_vae(shape: Shape, classes: int) -> Learner:
    """VAE of pytorch/examples: cross-entropy after a sigmoid, summed over the batch."""
    latent_dim = 20
    model = VAE(int(np.prod(shape)), 400, latent_dim)
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step(images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        x = torch.from_numpy(images).flatten(1).float() / 255
        adam.zero_grad()
        mean, logvar = model.encode(x)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * logvar)
        pixels = torch.sigmoid(model.decode(z))
        loss = F.binary_cross_entropy(pixels, x, reduction="sum")
        loss = loss - 0.5 * torch.sum(1 + logvar - mean.pow(2) - logvar.exp())
        loss.backward()
        adam.step()
        return {"loss": loss.item()}

    @torch.no_grad()
    def encode(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean, logvar = model.encode(torch.from_numpy(x).flatten(1))
        return mean.numpy(), logvar.numpy()

    @torch.no_grad()
    def decode(z: np.ndarray) -> np.ndarray:
        return model.decode(torch.from_numpy(z)).view(-1, *shape).numpy()

    def render(noise: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return 255 / (1 + np.exp(-decode(noise)))

    draw = drawing_from(render, latent_dim)
    return Learner(shape[0], 128, step, draw, weights_of(autoencoder=model), encode, decode)
