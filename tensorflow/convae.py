"""ConvAE: convolutions learn to compress an image and to restore it, in TensorFlow.

Paper: Masci and others (2011), https://doi.org/10.1007/978-3-642-21735-7_7
Run:   python tensorflow/convae.py --dataset cifar10
Departures from the paper: ReLU in place of tanh, and the decoder has weights of its own.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before the import: only errors

import tensorflow as tf

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common.bridges import tensorflow as bridge
from common.flags import Settings, launch
from common.pictures import Reconstructions
from common.run import Run

from layers import Conv2D, Conv2DTranspose, glorot_uniform
from optimizers import Adam


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; every line is a flag."""

    size_multiple = 4  # the image is halved and doubled twice

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 1000
    batch_size: Annotated[int, "images per step", 1] = 64
    learning_rate: Annotated[float, "step size of Adam", 0] = 1e-3


# N batch, C channels, H height, W width


class Encoder(tf.Module):
    """Image to code: (N, H, W, C) -> (N, H / 4, W / 4, 16)."""

    def __init__(self, image_shape):
        super().__init__()
        _, _, channels = image_shape
        same = {"kernel_size": 3, "stride": 1, "padding": 1, "initial": glorot_uniform}
        self.conv1 = Conv2D(channels, 32, **same)
        self.conv2 = Conv2D(32, 16, **same)

    def __call__(self, x):
        x = tf.nn.relu(self.conv1(x))
        x = tf.nn.max_pool2d(x, 2, 2, "VALID")  # (N, H / 2, W / 2, 32)
        x = tf.nn.relu(self.conv2(x))
        return tf.nn.max_pool2d(x, 2, 2, "VALID")  # (N, H / 4, W / 4, 16)


class Decoder(tf.Module):
    """Code to image: (N, H / 4, W / 4, 16) -> (N, H, W, C), about [-1, 1]."""

    def __init__(self, image_shape):
        super().__init__()
        _, _, channels = image_shape
        upsample = {"kernel_size": 2, "stride": 2, "padding": 0, "initial": glorot_uniform}
        self.deconv1 = Conv2DTranspose(16, 32, **upsample)
        self.deconv2 = Conv2DTranspose(32, channels, **upsample)

    def __call__(self, z):
        x = tf.nn.relu(self.deconv1(z))  # (N, H / 2, W / 2, 32)
        return self.deconv2(x)  # (N, H, W, C)


def reconstruction_loss(images, reconstructions):
    """Mean squared error."""
    return tf.reduce_mean(tf.square(reconstructions - images))


@tf.function
def train_step(encoder, decoder, optimizer, images):
    """Update both networks on a batch of images."""
    with tf.GradientTape() as tape:
        loss = reconstruction_loss(images, decoder(encoder(images)))
    variables = [*encoder.trainable_variables, *decoder.trainable_variables]
    optimizer.apply(tape.gradient(loss, variables))
    return {"reconstruction_loss": loss}


@tf.function
def evaluate(encoder, decoder, images):
    """The loss of images, without an update."""
    return {"reconstruction_loss": reconstruction_loss(images, decoder(encoder(images)))}


@tf.function
def reconstruct(encoder, decoder, images):
    """Compress images and restore them."""
    return decoder(encoder(images))


def main():
    """Train, or restore test images from a checkpoint, as the command line says."""
    run = Run(Config, __file__, __doc__)
    config = run.config
    bridge.set_seed(config.seed)
    bridge.find_device(config.device)
    encoder = Encoder(run.image_shape)
    decoder = Decoder(run.image_shape)
    adam = {"learning_rate": config.learning_rate, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    variables = [*encoder.trainable_variables, *decoder.trainable_variables]
    optimizer = Adam(variables, **adam)

    def restore(images):
        return reconstruct(encoder, decoder, tf.constant(images)).numpy()

    def test(images, _):
        return evaluate(encoder, decoder, tf.constant(images))

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
        losses = train_step(encoder, decoder, optimizer, tf.constant(batch.images))
        run.log(step, losses)


if __name__ == "__main__":
    launch(main)
