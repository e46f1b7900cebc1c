"""Peers in Keras on TensorFlow: a model with a `train_step` of its own, `compile` and `fit`."""

# pyright: reportArgumentType=false, reportCallIssue=false, reportOptionalOperand=false
# pyright: reportOperatorIssue=false, reportOptionalSubscript=false
# Keras says of its functions that they may return the tensors of any backend, or None.

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import keras
import tensorflow as tf
from keras import layers, ops

from workshop.peers.keras_networks import arrays_of, dcgan_networks, dense_layers
from workshop.peers.peer import Peer


class Clock(keras.callbacks.Callback):
    """Times the steps of `fit` from the end of the first, without what `fit` does at its start."""

    def __init__(self) -> None:
        super().__init__()
        self.moments: list[float] = []
        self.losses: dict[str, float] = {}

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Note the moment at which the first and the last step's work is done."""
        if batch in (0, self.params["steps"] - 1):
            self.losses = {name: float(value) for name, value in logs.items()}
            self.moments.append(time.perf_counter())


class FittedPeer(Peer):
    """A peer that trains by `fit`, which loops by itself over batches that are ready."""

    def __init__(
        self, model: Any, images: np.ndarray, arrays: Callable[[], list[np.ndarray]]
    ) -> None:
        self.model = model
        self.arrays = arrays
        self.losses: dict[str, Any] = {}
        self.data = tf.data.Dataset.from_tensors(images).repeat().prefetch(2)

    def run(self, steps: int) -> float:
        """Take so many steps after a first one; the seconds that they took."""
        clock = Clock()
        with contextlib.redirect_stdout(io.StringIO()):  # the progress bar
            self.model.fit(self.data, steps_per_epoch=steps + 1, callbacks=[clock])
        self.losses = clock.losses
        first, last = clock.moments
        return last - first


class GAN(keras.Model):
    """Trains D on real and fake images in one pass, then G on fresh noise."""

    def __init__(self, generator: Any, discriminator: Any, latent_dim: int) -> None:
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator
        self.latent_dim = latent_dim
        self.seeds = keras.random.SeedGenerator(0)

    def compile(self, d_optimizer: Any, g_optimizer: Any, loss_fn: Any) -> None:
        """Take an optimiser for each network."""
        super().compile()
        self.d_optimizer = d_optimizer
        self.g_optimizer = g_optimizer
        self.loss_fn = loss_fn
        self.d_metric = keras.metrics.Mean(name="discriminator")
        self.g_metric = keras.metrics.Mean(name="generator")

    @property
    def metrics(self) -> list[Any]:
        """What `fit` resets at the start of an epoch."""
        return [self.d_metric, self.g_metric]

    def draw(self, count: Any) -> Any:
        """Noise for so many images."""
        return keras.random.normal((count, self.latent_dim), seed=self.seeds)

    def train_step(self, images: Any) -> dict[str, Any]:
        """Update both networks; without `training`, batch norm would take its running averages."""
        count = ops.shape(images)[0]
        fakes = self.generator(self.draw(count), training=True)
        both = ops.concatenate([fakes, images], axis=0)
        labels = ops.concatenate([ops.ones((count, 1)), ops.zeros((count, 1))], axis=0)
        labels += 0.05 * tf.random.uniform(tf.shape(labels))
        with tf.GradientTape() as tape:
            d_loss = self.loss_fn(labels, self.discriminator(both, training=True))
        weights = self.discriminator.trainable_weights
        self.d_optimizer.apply(tape.gradient(d_loss, weights), weights)

        noise = self.draw(count)
        with tf.GradientTape() as tape:
            logits = self.discriminator(self.generator(noise, training=True), training=True)
            g_loss = self.loss_fn(ops.zeros((count, 1)), logits)
        weights = self.generator.trainable_weights
        self.g_optimizer.apply(tape.gradient(g_loss, weights), weights)
        self.d_metric.update_state(d_loss)
        self.g_metric.update_state(g_loss)
        return {metric.name: metric.result() for metric in self.metrics}


def official_dcgan(config: Any, image_shape: tuple[int, ...], images: np.ndarray) -> Peer:
    """DCGAN of Keras' examples."""
    generator, discriminator = dcgan_networks(config, image_shape)
    model = GAN(generator, discriminator, config.latent_dim)
    model.compile(
        keras.optimizers.Adam(config.learning_rate, beta_1=0.5),
        keras.optimizers.Adam(config.learning_rate, beta_1=0.5),
        keras.losses.BinaryCrossentropy(from_logits=True),
    )
    return FittedPeer(model, images, lambda: arrays_of(generator, discriminator))


class Draw(layers.Layer):
    """A code from the distribution that the encoder gives."""

    def __init__(self) -> None:
        super().__init__()
        self.seeds = keras.random.SeedGenerator(0)

    def call(self, inputs: Any) -> Any:
        """Mean and log variance to a code."""
        mean, logvar = inputs
        noise = keras.random.normal(ops.shape(mean), seed=self.seeds)
        return mean + ops.exp(0.5 * logvar) * noise


class VAE(keras.Model):
    """Trains an encoder, which also draws the codes, and a decoder, which ends in a sigmoid."""

    def __init__(self, encoder: Any, decoder: Any) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        names = ("loss", "reconstruction", "divergence")
        self.means = [keras.metrics.Mean(name=name) for name in names]

    @property
    def metrics(self) -> list[Any]:
        """What `fit` resets at the start of an epoch."""
        return self.means

    def train_step(self, images: Any) -> dict[str, Any]:
        """Update both networks."""
        with tf.GradientTape() as tape:
            mean, logvar, z = self.encoder(images)
            entropy = keras.losses.binary_crossentropy(images, self.decoder(z))
            reconstruction = ops.mean(ops.sum(entropy, axis=(1, 2)))
            divergence = -0.5 * (1 + logvar - ops.square(mean) - ops.exp(logvar))
            divergence = ops.mean(ops.sum(divergence, axis=1))
            loss = reconstruction + divergence
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        for metric, value in zip(self.means, (loss, reconstruction, divergence), strict=True):
            metric.update_state(value)
        return {metric.name: metric.result() for metric in self.means}


def official_vae(config: Any, image_shape: tuple[int, ...], images: np.ndarray) -> Peer:
    """VAE of Keras' examples."""
    image, code = keras.Input(tuple(image_shape)), keras.Input((config.latent_dim,))
    h = layers.Flatten()(image)
    for layer in dense_layers(256, 128):
        h = layer(h)
    mean, logvar = layers.Dense(config.latent_dim)(h), layers.Dense(config.latent_dim)(h)
    encoder = keras.Model(image, [mean, logvar, Draw()([mean, logvar])])
    h = code
    for layer in dense_layers(128, 256):
        h = layer(h)
    pixels = layers.Dense(int(np.prod(image_shape)), activation="sigmoid")(h)
    decoder = keras.Model(code, layers.Reshape(tuple(image_shape))(pixels))
    model = VAE(encoder, decoder)
    model.compile(keras.optimizers.Adam(config.learning_rate))
    return FittedPeer(model, images, lambda: arrays_of(encoder, decoder))
