"""Autoencoder: a linear encoder and decoder restore images from a few numbers, in Chainer.

Paper: Baldi, Hornik (1989), https://doi.org/10.1016/0893-6080(89)90014-2
Run:   python chainer/ae.py --dataset cifar10
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

# The bridge mends Chainer for NumPy 2; on a CPU it replaces what is slow: see chainer_cpu.py.
from common.bridges import chainer as bridge  # isort: skip
import chainer
import chainer.functions as F
import chainer.links as L

from common.pictures import Reconstructions
from common.run import Run, Settings, launch

from optimizers import Adam


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
    x = device.xp.moveaxis(device.send(images), -1, -3)
    return x.astype(chainer.config.dtype, order="C") / 127.5 - 1


def postprocess(x):
    """The inverse: (N, C, H, W) in [-1, 1] -> (N, H, W, C) in [0, 255]."""
    images = ((x.array + 1) * 127.5).round().clip(0, 255).astype("uint8")
    return chainer.get_device("@numpy").send(images.transpose(0, 2, 3, 1))


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


def train_step(networks, optimizers, images):
    """Update both networks on a batch of images."""
    loss = reconstruction_loss(images, networks["decoder"](networks["encoder"](images)))
    for network in networks.values():
        network.cleargrads()
    loss.backward()
    optimizers["autoencoder"].update()
    return {"reconstruction_loss": loss.array}


def reconstruct(networks, images):
    """Compress images and restore them."""
    with chainer.no_backprop_mode():
        return networks["decoder"](networks["encoder"](images))


def evaluate(networks, images):
    """The loss on images, without an update."""
    loss = reconstruction_loss(images, reconstruct(networks, images))
    return {"reconstruction_loss": loss.array}


def build(config, image_shape, device):
    """Both networks and the optimiser of all their weights."""
    networks = {
        "encoder": Encoder(image_shape, config.latent_dim),
        "decoder": Decoder(image_shape, config.latent_dim),
    }
    both = chainer.ChainList(networks["encoder"], networks["decoder"])
    both.to_device(device)
    adam = {"alpha": config.learning_rate, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
    optimizers = {"autoencoder": Adam(**adam).setup(both)}
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
