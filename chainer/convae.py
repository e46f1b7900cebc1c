"""ConvAE: convolutions learn to compress an image and to restore it, in Chainer.

Paper: Masci and others (2011), https://doi.org/10.1007/978-3-642-21735-7_7
Run:   python chainer/convae.py --dataset cifar10
Departures from the paper: ReLU in place of tanh, and the decoder has weights of its own.
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

    size_multiple = 4  # the image is halved and doubled twice

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 1000
    batch_size: Annotated[int, "images per step", 1] = 64
    learning_rate: Annotated[float, "step size of Adam", 0] = 1e-3


# N batch, C channels, H height, W width


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
    encoder = Encoder(run.image_shape)
    decoder = Decoder(run.image_shape)
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
    )
    if config.generate:
        run.generate()
        return
    for step, batch in run.steps():
        losses = train_step(encoder, decoder, optimizer, device.send(batch.images))
        run.log(step, losses)


if __name__ == "__main__":
    launch(main)
