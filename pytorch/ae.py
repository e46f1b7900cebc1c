"""Autoencoder: a linear encoder and decoder restore images from a few numbers, in PyTorch.

Paper: Baldi, Hornik (1989), https://doi.org/10.1016/0893-6080(89)90014-2
Run:   python pytorch/ae.py --dataset cifar10
Without activations the best that it can learn is known: principal component analysis. A finished
run sets its test error beside that of PCA with as many components.
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
from common.pictures import Reconstructions
from common.run import Run


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; every line is a flag."""

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 1000
    batch_size: Annotated[int, "images per step", 1] = 64
    learning_rate: Annotated[float, "step size of Adam", 0] = 1e-3
    latent_dim: Annotated[int, "numbers that an image is compressed to", 1] = 64


# N batch, Z latent, C channels, H height, W width


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


def train_step(encoder, decoder, optimizer, images):
    """Update both networks on a batch of images."""
    loss = reconstruction_loss(images, decoder(encoder(images)))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return {"reconstruction_loss": loss.detach()}


@torch.no_grad()
def evaluate(encoder, decoder, images):
    """The loss of images, without an update."""
    return {"reconstruction_loss": reconstruction_loss(images, decoder(encoder(images)))}


@torch.no_grad()
def reconstruct(encoder, decoder, images):
    """Compress images and restore them."""
    return decoder(encoder(images))


def main():
    """Train, or restore test images from a checkpoint, as the command line says."""
    run = Run(Config, __file__, __doc__)
    config = run.config
    bridge.set_seed(config.seed)
    device = bridge.find_device(config.device)
    encoder = Encoder(run.image_shape, config.latent_dim).to(device)
    decoder = Decoder(run.image_shape, config.latent_dim).to(device)
    adam = {"lr": config.learning_rate, "betas": (0.9, 0.999), "eps": 1e-8}
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], **adam)

    def restore(images):
        return reconstruct(encoder, decoder, torch.from_numpy(images).to(device)).cpu().numpy()

    def test(images, _):
        return evaluate(encoder, decoder, torch.from_numpy(images).to(device))

    run.connect(
        bridge,
        networks={"encoder": encoder, "decoder": decoder},
        optimizers={"autoencoder": optimizer},
        pictures=Reconstructions(restore),
        evaluate=test,
        pca_components=config.latent_dim,
    )
    if config.generate:
        run.generate()
        return
    for step, batch in run.steps():
        images = torch.from_numpy(batch.images).to(device)
        losses = train_step(encoder, decoder, optimizer, images)
        run.log(step, losses)


if __name__ == "__main__":
    launch(main)
