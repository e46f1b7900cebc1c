"""Autoencoder: a linear encoder and decoder restore images from a few numbers, in PyTorch.

Paper: Baldi, Hornik (1989), https://doi.org/10.1016/0893-6080(89)90014-2
Run:   python pytorch/ae.py --dataset cifar10
Page:  docs/models/ae.md
Without activations the best that it can learn is known: principal component analysis. A finished
run sets its test error beside that of PCA with as many components.
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

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 1000
    batch_size: Annotated[int, "images per step", 1] = 64
    learning_rate: Annotated[float, "step size of Adam", 0] = 1e-3
    latent_dim: Annotated[int, "numbers that an image is compressed to", 1] = 64


# N batch, Z latent, C channels, H height, W width


def preprocess(images, device):
    """Pixels in [0, 255] to the networks' range: (N, H, W, C) -> (N, C, H, W) in [-1, 1]."""
    x = bridge.send(images, device).movedim(-1, -3).contiguous()
    return x / 127.5 - 1


def postprocess(x):
    """The inverse: (N, C, H, W) in [-1, 1] -> (N, H, W, C) in [0, 255]."""
    images = ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return images.movedim(-3, -1).cpu().numpy()


class Encoder(nn.Module):
    """Image to code: (N, C, H, W) -> (N, Z)."""

    def __init__(self, image_shape, latent_dim):
        super().__init__()
        height, width, channels = image_shape
        self.dense = nn.Linear(channels * height * width, latent_dim)
        self.apply(initialize)

    def forward(self, x):
        return self.dense(x.flatten(1))  # (N, Z)


class Decoder(nn.Module):
    """Code to image: (N, Z) -> (N, C, H, W), about [-1, 1]."""

    def __init__(self, image_shape, latent_dim):
        super().__init__()
        height, width, channels = image_shape
        self.shape = (channels, height, width)
        self.dense = nn.Linear(latent_dim, channels * height * width)
        self.apply(initialize)

    def forward(self, z):
        return self.dense(z).view(-1, *self.shape)  # (N, C, H, W)


def initialize(layer):
    """Glorot's uniform initial weights, biases 0."""
    if isinstance(layer, nn.Linear):
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
        "encoder": Encoder(image_shape, config.latent_dim).to(device),
        "decoder": Decoder(image_shape, config.latent_dim).to(device),
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

    pictures = Reconstructions(run.data, config, restore, test, config.latent_dim)
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
