"""The networks of Quartet's scripts in Keras' own layers, for the peers that use these."""

# pyright: reportArgumentType=false
# Keras' annotations are narrower than what its layers take.

from __future__ import annotations

from typing import Any

import numpy as np

import keras
from keras import layers

from common.data import count_doublings


def dcgan_networks(config: Any, image_shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Generator and discriminator of keras/dcgan.py."""
    side, _, channels = image_shape
    f, doublings = config.filters, count_doublings(side)
    start, widest = side >> doublings, f * 2**doublings
    seed = keras.random.SeedGenerator()
    normal = {"kernel_initializer": keras.initializers.RandomNormal(0.0, 0.02, seed)}
    half = {"kernel_size": 4, "strides": 2, "padding": "same", **normal}

    def upsample(width: int) -> list[Any]:
        convolution = layers.Conv2DTranspose(width // 2, **half, use_bias=False)
        return [convolution, layers.BatchNormalization(), layers.ReLU()]

    def downsample(width: int) -> list[Any]:
        convolution = layers.Conv2D(2 * width, **half, use_bias=False)
        return [convolution, layers.BatchNormalization(), layers.LeakyReLU(negative_slope=0.2)]

    ups = [layer for n in range(doublings, 1, -1) for layer in upsample(f * 2**n)]
    downs = [layer for n in range(doublings - 1) for layer in downsample(f * 2**n)]
    generator = keras.Sequential(
        [
            keras.Input((config.latent_dim,)),
            layers.Dense(widest * start**2, **normal),
            layers.Reshape((start, start, widest)),
            layers.BatchNormalization(),
            layers.ReLU(),
            *ups,
            layers.Conv2DTranspose(channels, **half, activation="tanh"),
        ]
    )
    discriminator = keras.Sequential(
        [
            keras.Input(tuple(image_shape)),
            layers.Conv2D(f, **half),
            layers.LeakyReLU(negative_slope=0.2),
            *downs,
            layers.Conv2D(widest, kernel_size=4, **normal),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Flatten(),
            layers.Dense(1, **normal),
        ]
    )
    return generator, discriminator


def dense_layers(*sizes: int) -> list[Any]:
    """Layers with ReLU."""
    return [layers.Dense(size, activation="relu") for size in sizes]


def arrays_of(*networks: Any) -> list[np.ndarray]:
    """Weights and running averages, without the states of random numbers."""
    arrays = [array for network in networks for array in network.get_weights()]
    return [array.copy() for array in arrays if array.dtype.kind == "f"]
