"""Peers in TensorFlow: Keras' layers and Adam, in a loop of their own with `tf.GradientTape`."""

# pyright: reportArgumentType=false, reportCallIssue=false, reportOptionalOperand=false
# pyright: reportReturnType=false
# Keras says of its functions that they may return the tensors of any backend, or None.

from __future__ import annotations

from typing import Any

import numpy as np

import keras
import tensorflow as tf
from keras import layers

from workshop.peers.keras_networks import arrays_of, dcgan_networks, dense_layers
from workshop.peers.peer import Peer


def official_dcgan(config: Any, image_shape: tuple[int, ...], images: tf.Tensor) -> Peer:
    """DCGAN of TensorFlow's tutorial: one function, two tapes over one pass of each network."""
    generator, discriminator = dcgan_networks(config, image_shape)
    g_optimizer = keras.optimizers.Adam(config.learning_rate, beta_1=0.5)
    d_optimizer = keras.optimizers.Adam(config.learning_rate, beta_1=0.5)
    cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)

    @tf.function
    def train(images: tf.Tensor) -> dict[str, tf.Tensor]:
        noise = tf.random.normal((len(images), config.latent_dim))
        with tf.GradientTape() as g_tape, tf.GradientTape() as d_tape:
            fakes = generator(noise, training=True)
            real_logits = discriminator(images, training=True)
            fake_logits = discriminator(fakes, training=True)
            g_loss = cross_entropy(tf.ones_like(fake_logits), fake_logits)
            real_loss = cross_entropy(tf.ones_like(real_logits), real_logits)
            d_loss = real_loss + cross_entropy(tf.zeros_like(fake_logits), fake_logits)
        for tape, loss, optimizer, network in (
            (g_tape, g_loss, g_optimizer, generator),
            (d_tape, d_loss, d_optimizer, discriminator),
        ):
            gradients = tape.gradient(loss, network.trainable_variables)
            optimizer.apply_gradients(zip(gradients, network.trainable_variables, strict=True))
        return {"discriminator": d_loss, "generator": g_loss}

    return Peer(lambda: train(images), lambda: arrays_of(generator, discriminator))


def log_normal(z: Any, mean: Any, logvar: Any) -> tf.Tensor:
    """The log density of codes, summed over their numbers: (N, Z) -> (N,)."""
    terms = (z - mean) ** 2 * tf.exp(-logvar) + logvar + np.log(2 * np.pi)
    return -0.5 * tf.reduce_sum(terms, axis=1)


def official_vae(config: Any, image_shape: tuple[int, ...], images: tf.Tensor) -> Peer:
    """CVAE of TensorFlow's tutorial: mean and log variance from one layer, KL by what was drawn."""
    shape = tuple(image_shape)
    encoder = keras.Sequential(
        [
            layers.InputLayer(shape=shape),
            layers.Flatten(),
            *dense_layers(256, 128),
            layers.Dense(2 * config.latent_dim),
        ]
    )
    decoder = keras.Sequential(
        [
            layers.InputLayer(shape=(config.latent_dim,)),
            *dense_layers(128, 256),
            layers.Dense(int(np.prod(shape))),
            layers.Reshape(shape),
        ]
    )
    optimizer = keras.optimizers.Adam(config.learning_rate)
    variables = encoder.trainable_variables + decoder.trainable_variables

    @tf.function
    def train(images: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            mean, logvar = tf.split(encoder(images), 2, axis=1)
            z = mean + tf.random.normal(mean.shape) * tf.exp(logvar / 2)
            entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=images, logits=decoder(z))
            likelihood = -tf.reduce_sum(entropy, axis=(1, 2, 3))
            prior, posterior = log_normal(z, 0.0, 0.0), log_normal(z, mean, logvar)
            loss = -tf.reduce_mean(likelihood + prior - posterior)
        gradients = tape.gradient(loss, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return {"loss": loss}

    return Peer(lambda: train(images), lambda: arrays_of(encoder, decoder))
