"""Autoencoder: a linear encoder and decoder restore images from a few numbers, in Chainer.

Paper: Baldi, Hornik (1989), https://doi.org/10.1016/0893-6080(89)90014-2
Run:   python chainer/ae.py --dataset cifar10
Without activations the best that it can learn is known: principal component analysis. A finished
run sets its test error beside that of PCA with as many components.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common.bridges import chainer as bridge  # isort: skip  (it mends Chainer for NumPy 2)
import chainer
import chainer.functions as F
import chainer.links as L

from common.flags import Settings, launch
from common.pictures import Reconstructions
from common.run import Run

from optimizers import Adam


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; every line is a flag."""

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 1000
    batch_size: Annotated[int, "images per step", 1] = 64
    learning_rate: Annotated[float, "step size of Adam", 0] = 1e-3
    latent_dim: Annotated[int, "numbers that an image is compressed to", 1] = 64


# N batch, Z latent, C channels, H height, W width


class Encoder(chainer.Chain):
    """Image to code: (N, C, H, W) -> (N, Z)."""

    def __init__(self, image_shape, latent_dim):
        super().__init__()
        height, width, channels = image_shape
        glorot = chainer.initializers.GlorotUniform()
        with self.init_scope():
            self.dense = L.Linear(channels * height * width, latent_dim, initialW=glorot)

    def forward(self, x):
        return self.dense(x)  # (N, Z); L.Linear flattens


class Decoder(chainer.Chain):
    """Code to image: (N, Z) -> (N, C, H, W), about [-1, 1]."""

    def __init__(self, image_shape, latent_dim):
        super().__init__()
        height, width, channels = image_shape
        self.shape = (channels, height, width)
        glorot = chainer.initializers.GlorotUniform()
        with self.init_scope():
            self.dense = L.Linear(latent_dim, channels * height * width, initialW=glorot)

    def forward(self, z):
        return F.reshape(self.dense(z), (-1, *self.shape))  # (N, C, H, W)


def reconstruction_loss(images, reconstructions):
    """Mean squared error."""
    return F.mean_squared_error(reconstructions, images)


def train_step(encoder, decoder, optimizer, images):
    """Update both networks on a batch of images."""
    loss = reconstruction_loss(images, decoder(encoder(images)))
    encoder.cleargrads()
    decoder.cleargrads()
    loss.backward()
    optimizer.update()
    return {"reconstruction_loss": loss.array}


def evaluate(encoder, decoder, images):
    """The loss of images, without an update."""
    with chainer.no_backprop_mode():
        loss = reconstruction_loss(images, decoder(encoder(images)))
    return {"reconstruction_loss": loss.array}


def reconstruct(encoder, decoder, images):
    """Compress images and restore them."""
    with chainer.no_backprop_mode():
        return decoder(encoder(images))


def main():
    """Train, or restore test images from a checkpoint, as the command line says."""
    run = Run(Config, __file__, __doc__)
    config = run.config
    bridge.set_seed(config.seed)
    device = bridge.find_device(config.device)
    encoder = Encoder(run.image_shape, config.latent_dim)
    decoder = Decoder(run.image_shape, config.latent_dim)
    encoder.to_device(device)
    decoder.to_device(device)
    adam = {"alpha": config.learning_rate, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
    optimizer = Adam(**adam).setup(chainer.ChainList(encoder, decoder))

    def restore(images):
        images = reconstruct(encoder, decoder, device.send(images))
        return chainer.get_device("@numpy").send(images.array)

    def test(images, _):
        return evaluate(encoder, decoder, device.send(images))

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
        losses = train_step(encoder, decoder, optimizer, device.send(batch.images))
        run.log(step, losses)


if __name__ == "__main__":
    launch(main)
