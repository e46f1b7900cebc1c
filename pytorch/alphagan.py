"""Alpha-GAN: an autoencoder, with discriminators of its images and of its codes, in PyTorch.

Paper: Rosca, Lakshminarayanan, Warde-Farley, Mohamed (2017), https://arxiv.org/abs/1706.04987
Run:   python pytorch/alphagan.py --dataset cifar10
Page:  docs/models/alphagan.md
Departures from the paper: the widths of the layers, batches of 64, and Adam's settings, which are
DCGAN's, as the networks are. The two discriminators share an optimiser, which updates each of them
as its own would.
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
from common.pictures import SamplesAndReconstructions
from common.run import Run, Settings, launch

RECONSTRUCTION_WEIGHT = 10  # the paper's lambda; the value is ours
CODE_UNITS = 750  # width of the code discriminator's hidden layers


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; each annotated line is a flag."""

    size_multiple = None  # sides are 4 to 7 pixels, doubled d times

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 1000
    batch_size: Annotated[int, "images per step", 2] = 64
    learning_rate: Annotated[float, "step size of Adam", 0] = 2e-4
    latent_dim: Annotated[int, "numbers in a code", 1] = 100
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
    """Codes from the prior, standard normal: (*shape, Z)."""
    return random.standard_normal((*shape, config.latent_dim)).astype(config.dtype)


class DownBlock(nn.Module):
    """Half the side, twice the channels: (N, C, H, W) -> (N, 2C, H / 2, W / 2)."""

    def __init__(self, channels):
        super().__init__()
        half = {"kernel_size": 4, "stride": 2, "padding": 1}
        self.conv = nn.Conv2d(channels, 2 * channels, **half, bias=False)
        self.norm = nn.BatchNorm2d(2 * channels, eps=1e-5, momentum=0.1)

    def forward(self, x):
        return F.leaky_relu(self.norm(self.conv(x)), 0.2)


class Encoder(nn.Module):
    """Image to code: (N, C, H, W) -> (N, Z)."""

    def __init__(self, image_shape, latent_dim, filters):
        super().__init__()
        side, _, channels = image_shape
        halvings = count_doublings(side)
        left = (side >> halvings) - 3  # the last convolution is not padded
        width = filters * 2 ** (halvings - 1)
        self.conv1 = nn.Conv2d(channels, filters, kernel_size=4, stride=2, padding=1)
        self.blocks = nn.Sequential(*(DownBlock(filters * 2**n) for n in range(halvings - 1)))
        self.conv2 = nn.Conv2d(width, 2 * width, kernel_size=4, bias=False)
        self.norm2 = nn.BatchNorm2d(2 * width, eps=1e-5, momentum=0.1)
        self.dense = nn.Linear(2 * width * left * left, latent_dim)
        self.apply(initialize)

    def forward(self, x):
        x = F.leaky_relu(self.conv1(x), 0.2)  # (N, f, H / 2, W / 2)
        x = self.blocks(x)  # (N, f * 2^(d - 1), h, w)
        x = F.leaky_relu(self.norm2(self.conv2(x)), 0.2)  # (N, f * 2^d, h - 3, w - 3)
        return self.dense(x.flatten(1))  # (N, Z)


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
    """Code to image: (N, Z) -> (N, C, H, W) in [-1, 1]."""

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
        self.conv2 = nn.Conv2d(width, 2 * width, kernel_size=4, bias=False)
        self.norm2 = nn.BatchNorm2d(2 * width, eps=1e-5, momentum=0.1)
        self.dense = nn.Linear(2 * width * left * left, 1)
        self.apply(initialize)

    def forward(self, x):
        x = F.leaky_relu(self.conv1(x), 0.2)  # (N, f, H / 2, W / 2)
        x = self.blocks(x)  # (N, f * 2^(d - 1), h, w)
        x = F.leaky_relu(self.norm2(self.conv2(x)), 0.2)  # (N, f * 2^d, h - 3, w - 3)
        return self.dense(x.flatten(1))  # (N, 1)


class CodeDiscriminator(nn.Module):
    """Code to logit, high if it looks drawn from the prior: (N, Z) -> (N, 1)."""

    def __init__(self, latent_dim):
        super().__init__()
        self.dense1 = nn.Linear(latent_dim, CODE_UNITS)
        self.dense2 = nn.Linear(CODE_UNITS, CODE_UNITS)
        self.dense3 = nn.Linear(CODE_UNITS, 1)
        self.apply(initialize)

    def forward(self, z):
        h = F.leaky_relu(self.dense1(z), 0.2)  # (N, 750)
        h = F.leaky_relu(self.dense2(h), 0.2)  # (N, 750)
        return self.dense3(h)  # (N, 1)


def initialize(layer):
    """N(0, 0.02) as in DCGAN; scales of batch norm N(1, 0.02); biases 0."""
    if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, 0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)


def reconstruction_loss(images, reconstructions):
    """Mean absolute difference between images and reconstructions."""
    return F.l1_loss(reconstructions, images)


def ratio_loss(logits):
    """-log D(x) + log(1 - D(x)), which equals minus the logit of D(x)."""
    return -logits.mean()


def encoder_loss(reconstruction, code_logits):
    """Codes should reconstruct their images, and look drawn from the prior."""
    return RECONSTRUCTION_WEIGHT * reconstruction + ratio_loss(code_logits)


def generator_loss(reconstruction, reconstruction_logits, sample_logits):
    """Reconstructions should match their images; they and samples should look real."""
    realism = ratio_loss(reconstruction_logits) + ratio_loss(sample_logits)
    return RECONSTRUCTION_WEIGHT * reconstruction + realism


def discriminator_loss(real_logits, fake_logits):
    """-log D(x) - log(1 - D(y)): real is 1, fake is 0."""
    real = F.binary_cross_entropy_with_logits(real_logits, torch.ones_like(real_logits))
    fake = F.binary_cross_entropy_with_logits(fake_logits, torch.zeros_like(fake_logits))
    return real + fake


def train_step(networks, optimizers, images, noise):
    """Update the encoder, then the generator, then both discriminators; noise is (N, Z)."""
    encoder, generator = networks["encoder"], networks["generator"]
    discriminator, code_discriminator = networks["discriminator"], networks["code_discriminator"]
    for network in (generator, code_discriminator):
        network.requires_grad_(False)
    codes = encoder(images)
    e_loss = encoder_loss(reconstruction_loss(images, generator(codes)), code_discriminator(codes))
    optimizers["encoder"].zero_grad()
    e_loss.backward()
    optimizers["encoder"].step()
    for network in (generator, code_discriminator):
        network.requires_grad_(True)

    discriminator.requires_grad_(False)
    with torch.no_grad():
        codes = encoder(images)
    reconstructions, samples = generator(codes), generator(noise)
    reconstruction = reconstruction_loss(images, reconstructions)
    g_loss = generator_loss(reconstruction, discriminator(reconstructions), discriminator(samples))
    optimizers["generator"].zero_grad()
    g_loss.backward()
    optimizers["generator"].step()
    discriminator.requires_grad_(True)

    with torch.no_grad():
        codes = encoder(images)
        reconstructions, samples = generator(codes), generator(noise)
    # All kinds of images pass separately, so that batch norm never mixes their statistics.
    real_logits = discriminator(images)
    d_loss = discriminator_loss(real_logits, discriminator(reconstructions))
    d_loss = d_loss + discriminator_loss(real_logits, discriminator(samples))
    c_loss = discriminator_loss(code_discriminator(noise), code_discriminator(codes))
    optimizers["discriminators"].zero_grad()
    (d_loss + c_loss).backward()
    optimizers["discriminators"].step()
    return {
        "reconstruction_loss": reconstruction.detach(),
        "encoder_loss": e_loss.detach(),
        "generator_loss": g_loss.detach(),
        "discriminator_loss": d_loss.detach(),
        "code_loss": c_loss.detach(),
    }


@torch.no_grad()
def encode(encoder, images):
    """The code of each image, with the running averages of batch norm."""
    encoder.eval()
    codes = encoder(images)
    encoder.train()
    return codes


@torch.no_grad()
def sample(generator, noise):
    """The image of each code, with the running averages of batch norm."""
    generator.eval()
    images = generator(noise)
    generator.train()
    return images


def build(config, image_shape, device):
    """The four networks and their optimisers."""
    networks = {
        "encoder": Encoder(image_shape, config.latent_dim, config.filters).to(device),
        "generator": Generator(image_shape, config.latent_dim, config.filters).to(device),
        "discriminator": Discriminator(image_shape, config.filters).to(device),
        "code_discriminator": CodeDiscriminator(config.latent_dim).to(device),
    }
    adam = {"lr": config.learning_rate, "betas": (0.5, 0.999), "eps": 1e-8, "fused": True}
    trained = {
        "encoder": ["encoder"],
        "generator": ["generator"],
        "discriminators": ["discriminator", "code_discriminator"],
    }
    optimizers = {}
    for optimizer, names in trained.items():
        parameters = [weight for name in names for weight in networks[name].parameters()]
        optimizers[optimizer] = torch.optim.Adam(parameters, **adam)
    return networks, optimizers


def start(arguments=None):
    """Make a run ready, as the command line says or as `arguments` do."""
    run = Run(Config, __file__, __doc__, arguments)
    config = run.config
    device = run.device = bridge.prepare(config.seed, config.device, config.precision)
    networks, optimizers = build(config, run.image_shape, device)

    def encode_images(images):
        return encode(networks["encoder"], preprocess(images, device)).cpu().numpy()

    def draw(noise):
        return postprocess(sample(networks["generator"], bridge.send(noise, device)))

    pictures = SamplesAndReconstructions(run.data, config, draw_noise, encode_images, draw)
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
