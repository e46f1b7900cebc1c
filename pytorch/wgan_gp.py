"""WGAN-GP: a penalty on its gradient bounds the slope of a Wasserstein GAN's critic, in PyTorch.

Paper: Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville (2017), https://arxiv.org/abs/1704.00028
Run:   python pytorch/wgan_gp.py --dataset cifar10
Page:  docs/models/wgan_gp.md
Departures from the paper: DCGAN's layers and initial weights (see dcgan.py) in place of residual
blocks.
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

CRITIC_UPDATES = 5  # per update of the generator
PENALTY_WEIGHT = 10  # weight of the gradient penalty in the critic's loss
TINY = 1e-12  # added under the root to keep its gradient finite at 0


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; each annotated line is a flag."""

    size_multiple = None  # sides are 4 to 7 pixels, doubled d times
    batches_per_step = CRITIC_UPDATES

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 1000
    batch_size: Annotated[int, "images per step", 2] = 64
    learning_rate: Annotated[float, "step size of Adam", 0] = 1e-4
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


def draw_shares(random, config, *shape):
    """Weights of the real image in a mixture, uniform on [0, 1): (*shape, 1, 1, 1)."""
    return random.random((*shape, 1, 1, 1)).astype(config.dtype)


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
        # No batch norm: it would make an image's score and gradient depend on the other images.
        # One group normalises all channels together, so convolutions keep their biases.
        half = {"kernel_size": 4, "stride": 2, "padding": 1}
        self.conv = nn.Conv2d(channels, 2 * channels, **half)
        self.norm = nn.GroupNorm(1, 2 * channels, eps=1e-5)

    def forward(self, x):
        return F.leaky_relu(self.norm(self.conv(x)), 0.2)


class Critic(nn.Module):
    """Image to score, not a probability: (N, C, H, W) -> (N, 1)."""

    def __init__(self, image_shape, filters):
        super().__init__()
        side, _, channels = image_shape
        halvings = count_doublings(side)
        left = (side >> halvings) - 3  # the last convolution is not padded
        width = filters * 2 ** (halvings - 1)
        self.conv1 = nn.Conv2d(channels, filters, kernel_size=4, stride=2, padding=1)
        self.blocks = nn.Sequential(*(DownBlock(filters * 2**n) for n in range(halvings - 1)))
        self.conv2 = nn.Conv2d(width, 2 * width, kernel_size=4)
        self.norm2 = nn.GroupNorm(1, 2 * width, eps=1e-5)
        self.dense = nn.Linear(2 * width * left * left, 1)
        self.apply(initialize)

    def forward(self, x):
        x = F.leaky_relu(self.conv1(x), 0.2)  # (N, f, H / 2, W / 2)
        x = self.blocks(x)  # (N, f * 2^(d - 1), h, w)
        x = F.leaky_relu(self.norm2(self.conv2(x)), 0.2)  # (N, f * 2^d, h - 3, w - 3)
        return self.dense(x.flatten(1))  # (N, 1)


def initialize(layer):
    """DCGAN's: N(0, 0.02), scales of batch norm N(1, 0.02), biases 0."""
    if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, 0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)


def gradient_norms(critic, x):
    """Length of the critic's gradient at each image: (N, C, H, W) -> (N,)."""
    x.requires_grad_()
    # create_graph: the penalty is differentiated again.
    (gradient,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    return (gradient.square().sum((1, 2, 3)) + TINY).sqrt()


def gradient_penalty(norms):
    """Mean (|gradient| - 1)^2, weighted: too small a gradient costs as much as too large a one."""
    return PENALTY_WEIGHT * (norms - 1).square().mean()


def critic_loss(real_scores, fake_scores, penalty):
    """Mean f(G(z)) - mean f(x), minus the estimated distance, and the penalty."""
    return fake_scores.mean() - real_scores.mean() + penalty


def generator_loss(fake_scores):
    """-mean f(G(z))."""
    return -fake_scores.mean()


def critic_step(networks, optimizers, images, noise, shares):
    """Update the critic on real and fake images; noise is (N, Z), shares (N, 1, 1, 1)."""
    generator, critic = networks["generator"], networks["critic"]
    with torch.no_grad():
        fakes = generator(noise)
    norms = gradient_norms(critic, shares * images + (1 - shares) * fakes)
    penalty = gradient_penalty(norms)
    loss = critic_loss(critic(images), critic(fakes), penalty)
    optimizers["critic"].zero_grad()
    loss.backward()
    optimizers["critic"].step()
    return {
        "critic_loss": loss.detach(),
        "wasserstein": (penalty - loss).detach(),
        "gradient_penalty": penalty.detach(),
        "gradient_norm": norms.detach().mean(),
    }


def generator_step(networks, optimizers, noise):
    """Update the generator on what the critic says of it; noise is (N, Z)."""
    generator, critic = networks["generator"], networks["critic"]
    critic.requires_grad_(False)
    loss = generator_loss(critic(generator(noise)))
    optimizers["generator"].zero_grad()
    loss.backward()
    optimizers["generator"].step()
    critic.requires_grad_(True)
    return loss.detach()


def train_step(networks, optimizers, images, noise, shares):
    """Update the critic on each batch, then the generator; noise is (batches + 1, N, Z)."""
    for batch, z, share in zip(images, noise[:-1], shares, strict=True):
        losses = critic_step(networks, optimizers, batch, z, share)
    g_loss = generator_step(networks, optimizers, noise[-1])
    return losses | {"generator_loss": g_loss}


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
        "critic": Critic(image_shape, config.filters).to(device),
    }
    adam = {"lr": config.learning_rate, "betas": (0.0, 0.9), "eps": 1e-8, "fused": True}
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
    noise = run.draw(draw_noise, CRITIC_UPDATES + 1)
    shares = run.draw(draw_shares, CRITIC_UPDATES)
    noise, shares = (bridge.send(array, run.device) for array in (noise, shares))
    return train_step(run.networks, run.optimizers, images, noise, shares)


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
