"""ConvAE: convolutions learn to compress an image and to restore it, in PyTorch.

Paper: Masci and others (2011), https://doi.org/10.1007/978-3-642-21735-7_7
Run:   python pytorch/convae.py --dataset cifar10
Page:  docs/models/convae.md
Departures from the paper: ReLU in place of tanh, and the decoder has weights of its own.
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
from common.pictures import Reconstructions
from common.run import Run, Settings, launch


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; each annotated line is a flag."""

    size_multiple = 4  # the image is halved and doubled twice

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 1000
    batch_size: Annotated[int, "images per step", 1] = 64
    learning_rate: Annotated[float, "step size of Adam", 0] = 1e-3


# N batch, C channels, H height, W width


def preprocess(images, device):
    """Pixels in [0, 255] to the networks' range: (N, H, W, C) -> (N, C, H, W) in [-1, 1]."""
    x = bridge.send(images, device).movedim(-1, -3)  # channels last in memory: quicker here
    return x / 127.5 - 1


def postprocess(x):
    """The inverse: (N, C, H, W) in [-1, 1] -> (N, H, W, C) in [0, 255]."""
    images = ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return images.movedim(-3, -1).cpu().numpy()


class Encoder(nn.Module):
    """Image to code: (N, C, H, W) -> (N, 16, H / 4, W / 4)."""

    def __init__(self, image_shape):
        super().__init__()
        _, _, channels = image_shape
        self.conv1 = nn.Conv2d(channels, 32, kernel_size=3, stride=1, padding=1)
        self.conv2 = nn.Conv2d(32, 16, kernel_size=3, stride=1, padding=1)
        self.apply(initialize)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)  # (N, 32, H / 2, W / 2)
        return F.max_pool2d(F.relu(self.conv2(x)), 2)  # (N, 16, H / 4, W / 4)


class Decoder(nn.Module):
    """Code to image: (N, 16, H / 4, W / 4) -> (N, C, H, W), about [-1, 1]."""

    def __init__(self, image_shape):
        super().__init__()
        _, _, channels = image_shape
        self.deconv1 = nn.ConvTranspose2d(16, 32, kernel_size=2, stride=2)
        self.deconv2 = nn.ConvTranspose2d(32, channels, kernel_size=2, stride=2)
        self.apply(initialize)

    def forward(self, z):
        x = F.relu(self.deconv1(z))  # (N, 32, H / 2, W / 2)
        return self.deconv2(x)  # (N, C, H, W)


def initialize(layer):
    """Glorot's uniform initial weights, biases 0."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)


def reconstruction_loss(images, reconstructions):
    """Mean squared error."""
    return F.mse_loss(reconstructions, images)


def train_step(networks, optimizers, images):
    """Update both networks on a batch of images."""
    loss = reconstruction_loss(images, networks["decoder"](networks["encoder"](images)))
    optimizers["autoencoder"].zero_grad()
    loss.backward()
    optimizers["autoencoder"].step()
    return {"reconstruction_loss": loss.detach()}


@torch.no_grad()
def reconstruct(networks, images):
    """Compress images and restore them."""
    return networks["decoder"](networks["encoder"](images))


def evaluate(networks, images):
    """The loss on images, without an update."""
    loss = reconstruction_loss(images, reconstruct(networks, images))
    return {"reconstruction_loss": loss}


def build(config, image_shape, device):
    """Both networks and the optimiser of all their weights."""
    networks = {
        "encoder": Encoder(image_shape).to(device),
        "decoder": Decoder(image_shape).to(device),
    }
    parameters = [*networks["encoder"].parameters(), *networks["decoder"].parameters()]
    adam = {"lr": config.learning_rate, "betas": (0.9, 0.999), "eps": 1e-8, "fused": True}
    optimizers = {"autoencoder": torch.optim.Adam(parameters, **adam)}
    return networks, optimizers


def start(arguments=None):
    """Make a run ready, as the command line says or as `arguments` do."""
    run = Run(Config, __file__, __doc__, arguments)
    config = run.config
    device = run.device = bridge.prepare(config.seed, config.device, config.precision)
    networks, optimizers = build(config, run.image_shape, device)

    def restore(images):
        return postprocess(reconstruct(networks, preprocess(images, device)))

    def test(images, _):
        return evaluate(networks, preprocess(images, device))

    pictures = Reconstructions(run.data, config, restore, test)
    run.connect(bridge, networks, optimizers, pictures)
    return run


def learn(run, batch):
    """Train on a batch, and return the losses."""
    return train_step(run.networks, run.optimizers, preprocess(batch.images, run.device))


def main():
    """Train, or restore test images from a checkpoint, as the command line says."""
    run = start()
    if run.config.generate:
        run.generate()
        return
    for batch in run.batches():
        run.log(learn(run, batch))


if __name__ == "__main__":
    launch(main)
