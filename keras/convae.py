"""ConvAE: convolutions learn to compress an image and to restore it, in Keras.

Paper: Masci and others (2011), https://doi.org/10.1007/978-3-642-21735-7_7
Run:   python keras/convae.py --dataset cifar10
Page:  docs/models/convae.md
Departures from the paper: ReLU in place of tanh, and the decoder has weights of its own.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common.start import check_flags

if __name__ == "__main__":
    check_flags(__file__)  # before the framework, whose import takes seconds

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # torch and jax do as well
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # quick convolutions, without AVX-512 too

import numpy as np

import keras
from keras import layers, ops

from common.bridges import keras as bridge
from common.pictures import Reconstructions
from common.run import Run, Settings, launch

from optimizers import Adam
from trainers import Trainer


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; each annotated line is a flag."""

    size_multiple = 4  # the image is halved and doubled twice

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 1000
    batch_size: Annotated[int, "images per step", 1] = 64
    learning_rate: Annotated[float, "step size of Adam", 0] = 1e-3


# N batch, C channels, H height, W width


def preprocess(images):
    """Pixels in [0, 255] to the networks' range: (N, H, W, C) -> (N, H, W, C) in [-1, 1]."""
    return images.astype(keras.config.floatx()) / 127.5 - 1


def postprocess(x):
    """The inverse: (N, H, W, C) in [-1, 1] -> (N, H, W, C) in [0, 255]."""
    return np.rint((x + 1) * 127.5).clip(0, 255).astype(np.uint8)


class Encoder(keras.Model):
    """Image to code: (N, H, W, C) -> (N, H / 4, W / 4, 16)."""

    def __init__(self, image_shape):
        # At a stride of 1, "same" has the same zeros on both sides, as the others have it.
        same = {"kernel_size": 3, "padding": "same", "kernel_initializer": "glorot_uniform"}
        image = keras.Input(image_shape)
        x = layers.ReLU()(layers.Conv2D(32, **same, name="conv1")(image))
        x = layers.MaxPooling2D(2)(x)  # (N, H / 2, W / 2, 32)
        x = layers.ReLU()(layers.Conv2D(16, **same, name="conv2")(x))
        super().__init__(image, layers.MaxPooling2D(2)(x))  # (N, H / 4, W / 4, 16)


class Decoder(keras.Model):
    """Code to image: (N, H / 4, W / 4, 16) -> (N, H, W, C), about [-1, 1]."""

    def __init__(self, image_shape):
        height, width, channels = image_shape
        upsample = {"kernel_size": 2, "strides": 2, "kernel_initializer": "glorot_uniform"}
        z = keras.Input((height // 4, width // 4, 16))
        x = layers.Conv2DTranspose(32, **upsample, name="deconv1")(z)
        x = layers.ReLU()(x)  # (N, H / 2, W / 2, 32)
        x = layers.Conv2DTranspose(channels, **upsample, name="deconv2")(x)
        super().__init__(z, x)  # (N, H, W, C)


def reconstruction_loss(images, reconstructions):
    """Mean squared error."""
    return ops.mean(ops.square(reconstructions - images))


class AutoencoderTrainer(Trainer):
    """Images to the reconstruction loss: (N, H, W, C) -> ()."""

    def call(self, images):
        codes = self.encoder(images, training=True)
        loss = reconstruction_loss(images, self.decoder(codes, training=True))
        self.add_loss(loss)
        return {"reconstruction_loss": loss}


def train_step(trainers, images):
    """Update both networks on a batch of images."""
    return trainers["autoencoder"].train_on_batch(images, return_dict=True)


def reconstruct(networks, images):
    """Compress images and restore them."""
    return networks["decoder"].predict_on_batch(networks["encoder"].predict_on_batch(images))


def evaluate(networks, images):
    """The loss on images, without an update."""
    loss = reconstruction_loss(images, reconstruct(networks, images))
    return {"reconstruction_loss": loss}


def build(config, image_shape):
    """Both networks and the optimiser of all their weights."""
    networks = {
        "encoder": Encoder(image_shape),
        "decoder": Decoder(image_shape),
    }
    trainers = {"autoencoder": AutoencoderTrainer(networks, trained=["encoder", "decoder"])}
    adam = {"learning_rate": config.learning_rate, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}
    trainers["autoencoder"].compile(Adam(**adam))
    return networks, trainers


def start(arguments=None):
    """Make a run ready, as the command line says or as `arguments` do."""
    run = Run(Config, __file__, __doc__, arguments)
    config = run.config
    bridge.prepare(config.seed, config.device, config.precision)
    networks, run.trainers = build(config, run.image_shape)

    def restore(images):
        return postprocess(reconstruct(networks, preprocess(images)))

    def test(images, _):
        return evaluate(networks, preprocess(images))

    pictures = Reconstructions(run.data, config, restore, test)
    run.connect(bridge, networks, run.trainers, pictures)
    return run


def learn(run, batch):
    """Train on a batch, and return the losses."""
    return train_step(run.trainers, preprocess(batch.images))


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
