"""TensorFlow's peers with their own networks and settings: its tutorials, which use Keras' layers.

https://www.tensorflow.org/tutorials/generative/dcgan and /cvae
"""

# pyright: reportArgumentType=false, reportCallIssue=false, reportOptionalOperand=false
# pyright: reportOperatorIssue=false, reportReturnType=false
# Keras says of its functions that they may return the tensors of any backend, or None.

from __future__ import annotations

from typing import Any

import numpy as np

import keras
import tensorflow as tf
from keras import layers

from workshop.peers.learner import Learner, drawing_from
from workshop.peers.own_keras import Shape, rendering, seed, update, vae_learner, weights_of
from workshop.peers.tensorflow import log_normal

__all__ = ["official_dcgan", "official_vae", "seed"]


def official_dcgan(shape: Shape, classes: int) -> Learner:
    """DCGAN of TensorFlow's tutorial, for 28 pixels: kernels of 5, two tapes over one pass."""
    channels, latent_dim, side = shape[-1], 100, 28
    sizes: dict[str, Any] = {"kernel_size": 5, "padding": "same"}

    def up(width: int, strides: int) -> list[Any]:
        deconv = layers.Conv2DTranspose(width, strides=strides, use_bias=False, **sizes)
        return [deconv, layers.BatchNormalization(), layers.LeakyReLU(negative_slope=0.3)]

    def down(width: int) -> list[Any]:
        conv = layers.Conv2D(width, strides=2, **sizes)
        return [conv, layers.LeakyReLU(negative_slope=0.3), layers.Dropout(0.3)]

    last: dict[str, Any] = {"strides": 2, "use_bias": False, "activation": "tanh", **sizes}
    generator = keras.Sequential(
        [
            keras.Input((latent_dim,)),
            layers.Dense(7 * 7 * 256, use_bias=False),
            layers.BatchNormalization(),
            layers.LeakyReLU(negative_slope=0.3),
            layers.Reshape((7, 7, 256)),
            *up(128, 1),
            *up(64, 2),
            layers.Conv2DTranspose(channels, **last),
        ]
    )
    discriminator = keras.Sequential(
        [
            keras.Input((side, side, channels)),
            *down(64),
            *down(128),
            layers.Flatten(),
            layers.Dense(1),
        ]
    )
    g_adam, d_adam = keras.optimizers.Adam(1e-4), keras.optimizers.Adam(1e-4)
    cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)

    @tf.function
    def train(real: tf.Tensor) -> dict[str, tf.Tensor]:
        noise = tf.random.normal((tf.shape(real)[0], latent_dim))
        with tf.GradientTape() as g_tape, tf.GradientTape() as d_tape:
            fakes = generator(noise, training=True)
            real_logits = discriminator(real, training=True)
            fake_logits = discriminator(fakes, training=True)
            g_loss = cross_entropy(tf.ones_like(fake_logits), fake_logits)
            d_loss = cross_entropy(tf.ones_like(real_logits), real_logits)
            d_loss += cross_entropy(tf.zeros_like(fake_logits), fake_logits)
        update(g_tape, g_loss, generator, g_adam)
        update(d_tape, d_loss, discriminator, d_adam)
        return {"discriminator": d_loss, "generator": g_loss}

    def step(images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        return train(images.astype(np.float32) / 127.5 - 1)

    draw = drawing_from(rendering(generator), latent_dim)
    weights = weights_of(generator=generator, discriminator=discriminator)
    return Learner(side, 256, step, draw, weights)


def official_vae(shape: Shape, classes: int) -> Learner:
    """CVAE of TensorFlow's tutorial, but of grey pixels, which the tutorial makes 0 or 1."""
    side, _, channels = shape
    latent_dim, start = 2, side // 4
    relu: dict[str, Any] = {"strides": 2, "activation": "relu"}
    encoder = keras.Sequential(
        [
            keras.Input(shape),
            layers.Conv2D(32, 3, **relu),
            layers.Conv2D(64, 3, **relu),
            layers.Flatten(),
            layers.Dense(2 * latent_dim),
        ]
    )
    decoder = keras.Sequential(
        [
            keras.Input((latent_dim,)),
            layers.Dense(start * start * 32, activation="relu"),
            layers.Reshape((start, start, 32)),
            layers.Conv2DTranspose(64, 3, padding="same", **relu),
            layers.Conv2DTranspose(32, 3, padding="same", **relu),
            layers.Conv2DTranspose(channels, 3, padding="same"),
        ]
    )
    adam = keras.optimizers.Adam(1e-4)

    @tf.function
    def train(x: tf.Tensor) -> dict[str, tf.Tensor]:
        weights = encoder.trainable_weights + decoder.trainable_weights
        with tf.GradientTape() as tape:
            mean, logvar = tf.split(encoder(x), 2, axis=1)
            z = mean + tf.random.normal(tf.shape(mean)) * tf.exp(logvar / 2)
            entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=decoder(z))
            likelihood = -tf.reduce_sum(entropy, axis=(1, 2, 3))
            prior, posterior = log_normal(z, 0.0, 0.0), log_normal(z, mean, logvar)
            loss = -tf.reduce_mean(likelihood + prior - posterior)
        adam.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return {"loss": loss}

    return vae_learner(encoder, decoder, train, 32)
