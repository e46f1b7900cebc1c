"""The networks of Quartet's scripts in Keras' own layers, for the peers that use these."""

# pyright: reportArgumentType=false
# Keras' annotations are narrower than what its layers take.

from __future__ import annotations

from typing import Any

import numpy as np

import keras
from keras import layers


def dcgan_networks(config: Any, image_shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Generator and discriminator of keras/dcgan.py, but for where "same" has its zeros."""
    height, width, channels = image_shape
    f, base = config.filters, (height // 16, width // 16)
    seed = keras.random.SeedGenerator()
    normal = {"kernel_initializer": keras.initializers.RandomNormal(0.0, 0.02, seed)}
    sized = {"kernel_size": 5, "strides": 2, "padding": "same", **normal}

    def upsample(filters: int) -> list[Any]:
        convolution = layers.Conv2DTranspose(filters, **sized, use_bias=False)
        return [convolution, layers.BatchNormalization(), layers.ReLU()]

    def downsample(filters: int) -> list[Any]:
        convolution = layers.Conv2D(filters, **sized, use_bias=False)
        return [convolution, layers.BatchNormalization(), layers.LeakyReLU(negative_slope=0.2)]

    generator = keras.Sequential(
        [
            keras.Input((config.latent_dim,)),
            layers.Dense(8 * f * base[0] * base[1], **normal),
            layers.Reshape((*base, 8 * f)),
            layers.BatchNormalization(),
            layers.ReLU(),
            *upsample(16 * f),
            *upsample(8 * f),
            *upsample(4 * f),
            layers.Conv2DTranspose(channels, **sized, activation="tanh"),
        ]
    )
    discriminator = keras.Sequential(
        [
            keras.Input(tuple(image_shape)),
            layers.Conv2D(f, **sized),
            layers.LeakyReLU(negative_slope=0.2),
            *downsample(2 * f),
            *downsample(4 * f),
            *downsample(8 * f),
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
