"""DCGAN: a deep convolutional generator and discriminator learn to draw images, in PyTorch.

Paper: Radford, Metz, Chintala (2015), https://arxiv.org/abs/1511.06434
Run:   python pytorch/dcgan.py --dataset cifar10
Page:  docs/models/dcgan.md
Departures from the paper: the widths of the layers, and batches of 64. No convolution before a
batch norm has a bias, as in the authors' code: the norm takes it away again, so its gradient is
nothing but rounding, which Adam blows up to full steps.
"""

import copy
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
    """The settings of this model; every line is a flag."""

    size_multiple = 16  # both networks halve or double the image four times

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 1000
    batch_size: Annotated[int, "images per step", 2] = 64
    learning_rate: Annotated[float, "step size of Adam", 0] = 2e-4
    latent_dim: Annotated[int, "numbers that an image is drawn from", 1] = 100
    filters: Annotated[int, "channels of the first convolution; the others have multiples", 1] = 32
    generator_rate: Annotated[
        float | None, "step size of the generator's Adam (default: that of --learning-rate)", 0
    ] = None
    average: Annotated[float, "draw with an average of G that keeps this share a step", 0, 1] = 0.0


# N batch, Z latent, C channels, H height, W width, f filters, h = H / 16, w = W / 16


def preprocess(images, device):
    """Images of 0 to 255 as the networks see them: (N, H, W, C) -> (N, C, H, W) in [-1, 1]."""
    x = bridge.send(images, device).movedim(-1, -3).contiguous()
    return x / 127.5 - 1


def postprocess(x):
    """The inverse: (N, C, H, W) in [-1, 1] -> (N, H, W, C) of 0 to 255."""
    images = ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return images.movedim(-3, -1).cpu().numpy()


def draw_noise(random, config, *shape):
    """Latent vectors, uniform on [-1, 1): (*shape, Z)."""
    return random.uniform(-1, 1, (*shape, config.latent_dim)).astype(config.dtype)


class Generator(nn.Module):
    """Latent vector to image: (N, Z) -> (N, C, H, W) in [-1, 1]."""

    def __init__(self, image_shape, latent_dim, filters):
        super().__init__()
        height, width, channels = image_shape
        self.base = (8 * filters, height // 16, width // 16)
        upsample = {"kernel_size": 5, "stride": 2, "padding": 2, "output_padding": 1}
        norm = {"eps": 1e-5, "momentum": 0.1}  # the running average keeps 1 - 0.1
        self.dense = nn.Linear(latent_dim, 8 * filters * self.base[1] * self.base[2])
        self.norm1 = nn.BatchNorm2d(8 * filters, **norm)
        self.deconv1 = nn.ConvTranspose2d(8 * filters, 16 * filters, **upsample, bias=False)
        self.norm2 = nn.BatchNorm2d(16 * filters, **norm)
        self.deconv2 = nn.ConvTranspose2d(16 * filters, 8 * filters, **upsample, bias=False)
        self.norm3 = nn.BatchNorm2d(8 * filters, **norm)
        self.deconv3 = nn.ConvTranspose2d(8 * filters, 4 * filters, **upsample, bias=False)
        self.norm4 = nn.BatchNorm2d(4 * filters, **norm)
        self.deconv4 = nn.ConvTranspose2d(4 * filters, channels, **upsample)
        self.apply(initialize)

    def forward(self, z):
        x = self.dense(z).view(-1, *self.base)  # (N, 8f, h, w)
        x = F.relu(self.norm1(x))
        x = F.relu(self.norm2(self.deconv1(x)))  # (N, 16f, 2h, 2w)
        x = F.relu(self.norm3(self.deconv2(x)))  # (N, 8f, 4h, 4w)
        x = F.relu(self.norm4(self.deconv3(x)))  # (N, 4f, 8h, 8w)
        return torch.tanh(self.deconv4(x))  # (N, C, H, W)


class Discriminator(nn.Module):
    """Image to the logit of its being real: (N, C, H, W) -> (N, 1)."""

    def __init__(self, image_shape, filters):
        super().__init__()
        height, width, channels = image_shape
        # The same zeros on both sides, where "SAME" of TensorFlow and Keras has (1, 2).
        downsample = {"kernel_size": 5, "stride": 2, "padding": 2}
        norm = {"eps": 1e-5, "momentum": 0.1}
        self.conv1 = nn.Conv2d(channels, filters, **downsample)
        self.conv2 = nn.Conv2d(filters, 2 * filters, **downsample, bias=False)
        self.norm2 = nn.BatchNorm2d(2 * filters, **norm)
        self.conv3 = nn.Conv2d(2 * filters, 4 * filters, **downsample, bias=False)
        self.norm3 = nn.BatchNorm2d(4 * filters, **norm)
        self.conv4 = nn.Conv2d(4 * filters, 8 * filters, **downsample, bias=False)
        self.norm4 = nn.BatchNorm2d(8 * filters, **norm)
        self.dense = nn.Linear(8 * filters * (height // 16) * (width // 16), 1)
        self.apply(initialize)

    def forward(self, x):
        x = F.leaky_relu(self.conv1(x), 0.2)  # (N, f, 8h, 8w)
        x = F.leaky_relu(self.norm2(self.conv2(x)), 0.2)  # (N, 2f, 4h, 4w)
        x = F.leaky_relu(self.norm3(self.conv3(x)), 0.2)  # (N, 4f, 2h, 2w)
        x = F.leaky_relu(self.norm4(self.conv4(x)), 0.2)  # (N, 8f, h, w)
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
    """Update D on real and fake images, then G on fresh noise; noise is (2, N, Z)."""
    generator, discriminator = networks["generator"], networks["discriminator"]
    with torch.no_grad():
        fakes = generator(noise[0])
    # Real and fake images pass separately, so that batch norm never mixes their statistics.
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
def update_average(average, generator, keep):
    """Move the average of the generator's past weights: keep * average + (1 - keep) * weights."""
    weights = generator.state_dict()  # the running averages of batch norm among them
    for name, array in average.state_dict().items():
        if array.is_floating_point():  # the count of batches is not
            array.lerp_(weights[name], 1 - keep)


@torch.no_grad()
def sample(generator, noise):
    """Draw an image from each latent vector, with the running averages of batch norm."""
    generator.eval()
    images = generator(noise)
    generator.train()
    return images


def build(config, image_shape, device):
    """Both networks and their optimisers; the average begins with the generator's weights."""
    networks = {
        "generator": Generator(image_shape, config.latent_dim, config.filters).to(device),
        "discriminator": Discriminator(image_shape, config.filters).to(device),
    }
    rates = {
        "generator": config.generator_rate or config.learning_rate,
        "discriminator": config.learning_rate,
    }
    adam = {"betas": (0.5, 0.999), "eps": 1e-8, "fused": True}
    optimizers = {
        name: torch.optim.Adam(network.parameters(), rates[name], **adam)
        for name, network in networks.items()
    }
    if config.average:
        networks["average"] = copy.deepcopy(networks["generator"])
    return networks, optimizers


def main():
    """Train, or draw from a checkpoint, as the command line says."""
    run = Run(Config, __file__, __doc__)
    config = run.config
    device = bridge.prepare(config.seed, config.device, config.precision)
    networks, optimizers = build(config, run.image_shape, device)
    run.connect(bridge, networks, optimizers)
    drawing = networks["average" if config.average else "generator"]

    def make_noise(random, count):
        return draw_noise(random, config, count)

    def draw(noise):
        return postprocess(sample(drawing, bridge.send(noise, device)))

    samples = Samples(run.data, config.seed, make_noise, draw)
    if config.generate:
        run.generate(samples)
        return
    run.begin(samples)
    for step, batch in run.steps():
        images = preprocess(batch.images, device)
        noise = run.share(draw_noise(run.random, config, 2, config.batch_size), axis=1)
        losses = train_step(networks, optimizers, images, bridge.send(noise, device))
        if config.average:
            update_average(networks["average"], networks["generator"], config.average)
        run.log(step, losses)
        if run.samples_due(step):
            run.save_samples(step, samples)
        if run.checkpoint_due(step):
            run.save_checkpoint(step)


if __name__ == "__main__":
    launch(main)
