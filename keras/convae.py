"""ConvAE: convolutions learn to compress an image and to restore it, in Keras.

Paper: Masci and others (2011), https://doi.org/10.1007/978-3-642-21735-7_7
Run:   python keras/convae.py --dataset cifar10
Departures from the paper: ReLU in place of tanh, and the decoder has weights of its own.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # torch and jax do as well
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
from keras import layers, ops

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common.bridges import keras as bridge
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


def join(encoder, decoder, optimizer):
    """Both networks as one compiled model: image to reconstruction."""
    image = keras.Input(encoder.input_shape[1:])
    autoencoder = keras.Model(image, decoder(encoder(image)))
    # On PyTorch, Keras clears gradients by the paths of weights, such as dense1/kernel, which two
    # networks may share. As attributes both are cleared; else one's would add up over the steps.
    autoencoder.encoder, autoencoder.decoder = encoder, decoder
    # Built before compiled: with --resume the optimiser's state is set before the first step.
    optimizer.build(autoencoder.trainable_variables)
    autoencoder.compile(optimizer, reconstruction_loss, jit_compile=bridge.JIT_COMPILE)
    return autoencoder


def train_step(autoencoder, images):
    """Update both networks on a batch of images."""
    return {"reconstruction_loss": autoencoder.train_on_batch(images, images)}


def evaluate(autoencoder, images):
    """The loss of images, without an update."""
    return {"reconstruction_loss": autoencoder.test_on_batch(images, images)}


def reconstruct(autoencoder, images):
    """Compress images and restore them."""
    return autoencoder.predict_on_batch(images)


def main():
    """Train, or restore test images from a checkpoint, as the command line says."""
    run = Run(Config, __file__, __doc__)
    config = run.config
    bridge.set_seed(config.seed)
    bridge.find_device(config.device)
    encoder = Encoder(run.image_shape)
    decoder = Decoder(run.image_shape)
    adam = {"learning_rate": config.learning_rate, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}
    optimizer = Adam(**adam)
    autoencoder = join(encoder, decoder, optimizer)

    def restore(images):
        return reconstruct(autoencoder, images)

    def test(images, _):
        return evaluate(autoencoder, images)

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
        losses = train_step(autoencoder, batch.images)
        run.log(step, losses)


if __name__ == "__main__":
    launch(main)
