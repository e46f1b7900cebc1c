"""ConvAE: convolutions learn to compress an image and to restore it, in Chainer.

Paper: Masci and others (2011), https://doi.org/10.1007/978-3-642-21735-7_7
Run:   python chainer/convae.py --dataset cifar10
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

    size_multiple = 4  # the image is halved and doubled twice

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 1000
    batch_size: Annotated[int, "images per step", 1] = 64
    learning_rate: Annotated[float, "step size of Adam", 0] = 1e-3


# N batch, C channels, H height, W width


def preprocess(images, device):
    """Pixels in [0, 255] to the networks' range: (N, H, W, C) -> (N, C, H, W) in [-1, 1]."""
    x = device.xp.moveaxis(device.send(images), -1, -3)
    return x.astype(chainer.config.dtype, order="C") / 127.5 - 1


def postprocess(x):
    """The inverse: (N, C, H, W) in [-1, 1] -> (N, H, W, C) in [0, 255]."""
    images = ((x.array + 1) * 127.5).round().clip(0, 255).astype("uint8")
    return chainer.get_device("@numpy").send(images.transpose(0, 2, 3, 1))


class Encoder(chainer.Chain):
    """Image to code: (N, C, H, W) -> (N, 16, H / 4, W / 4)."""

    def __init__(self, image_shape):
        super().__init__()
        _, _, channels = image_shape
        glorot = chainer.initializers.GlorotUniform()
        same = {"ksize": 3, "stride": 1, "pad": 1, "initialW": glorot}
        with self.init_scope():
            self.conv1 = L.Convolution2D(channels, 32, **same)
            self.conv2 = L.Convolution2D(32, 16, **same)

    def forward(self, x):
        x = F.max_pooling_2d(F.relu(self.conv1(x)), 2)  # (N, 32, H / 2, W / 2)
        return F.max_pooling_2d(F.relu(self.conv2(x)), 2)  # (N, 16, H / 4, W / 4)


class Decoder(chainer.Chain):
    """Code to image: (N, 16, H / 4, W / 4) -> (N, C, H, W), about [-1, 1]."""

    def __init__(self, image_shape):
        super().__init__()
        _, _, channels = image_shape
        glorot = chainer.initializers.GlorotUniform()
        with self.init_scope():
            self.deconv1 = L.Deconvolution2D(16, 32, ksize=2, stride=2, initialW=glorot)
            self.deconv2 = L.Deconvolution2D(32, channels, ksize=2, stride=2, initialW=glorot)

    def forward(self, z):
        x = F.relu(self.deconv1(z))  # (N, 32, H / 2, W / 2)
        return self.deconv2(x)  # (N, C, H, W)


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
        "encoder": Encoder(image_shape),
        "decoder": Decoder(image_shape),
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
