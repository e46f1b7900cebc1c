"""Autoencoder: a linear encoder and decoder restore images from a few numbers, in Keras.

Paper: Baldi, Hornik (1989), https://doi.org/10.1016/0893-6080(89)90014-2
Run:   python keras/ae.py --dataset cifar10
Without activations the best that it can learn is known: principal component analysis. A finished
run sets its test error beside that of PCA with as many components.
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

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 1000
    batch_size: Annotated[int, "images per step", 1] = 64
    learning_rate: Annotated[float, "step size of Adam", 0] = 1e-3
    latent_dim: Annotated[int, "numbers that an image is compressed to", 1] = 64


# N batch, Z latent, C channels, H height, W width


class Encoder(keras.Model):
    """Image to code: (N, H, W, C) -> (N, Z)."""

    def __init__(self, image_shape, latent_dim):
        image = keras.Input(image_shape)
        # (N, C, H, W): the order that others flatten in
        x = layers.Flatten()(layers.Permute((3, 1, 2))(image))
        dense = layers.Dense(latent_dim, kernel_initializer="glorot_uniform", name="dense")
        super().__init__(image, dense(x))  # (N, Z)


class Decoder(keras.Model):
    """Code to image: (N, Z) -> (N, H, W, C), about [-1, 1]."""

    def __init__(self, image_shape, latent_dim):
        height, width, channels = image_shape
        z = keras.Input((latent_dim,))
        size = channels * height * width
        x = layers.Dense(size, kernel_initializer="glorot_uniform", name="dense")(z)
        x = layers.Reshape((channels, height, width))(x)  # (N, C, H, W)
        super().__init__(z, layers.Permute((2, 3, 1))(x))  # (N, H, W, C)


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
    encoder = Encoder(run.image_shape, config.latent_dim)
    decoder = Decoder(run.image_shape, config.latent_dim)
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
        pca_components=config.latent_dim,
    )
    if config.generate:
        run.generate()
        return
    for step, batch in run.steps():
        losses = train_step(autoencoder, batch.images)
        run.log(step, losses)


if __name__ == "__main__":
    launch(main)
