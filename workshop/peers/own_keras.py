"""Keras' peers with their own networks and settings: its examples, its guide, the lecture's answer.

https://keras.io/examples/generative/ and https://keras.io/guides/custom_train_step_in_tensorflow/.
All run on TensorFlow, as these do. Their steps are compiled as `fit` would, without `fit` itself.
"""

# pyright: reportArgumentType=false, reportCallIssue=false, reportOptionalOperand=false
# pyright: reportOperatorIssue=false, reportOptionalSubscript=false, reportReturnType=false
# Keras says of its functions that they may return the tensors of any backend, or None.

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import keras
import tensorflow as tf
from keras import layers

from workshop.peers.learner import Learner, drawing_from

Shape = tuple[int, int, int]


def seed(number: int) -> None:
    """Seed initial weights, noise and dropout."""
    keras.utils.set_random_seed(number)


def leaky() -> Any:
    """Leaky ReLU with the slope of Keras' examples."""
    return layers.LeakyReLU(negative_slope=0.2)


def adams(rate: float, **named: Any) -> list[Any]:
    """An optimiser for each of two networks."""
    return [keras.optimizers.Adam(rate, **named) for _ in range(2)]


def update(tape: tf.GradientTape, loss: Any, network: Any, optimizer: Any) -> None:
    """A network's step on a loss."""
    weights = network.trainable_weights
    optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))


def weights_of(**networks: Any) -> Callable[[], dict[str, list[np.ndarray]]]:
    """A `Learner.weights`."""

    def weights() -> dict[str, list[np.ndarray]]:
        return {
            name: [np.array(weight) for weight in network.trainable_weights]
            for name, network in networks.items()
        }

    return weights


def rendering(generator: Any, low: float = -1) -> Callable[..., np.ndarray]:
    """What `drawing_from` takes, of a generator whose pixels reach from `low` to 1."""

    def render(noise: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return (generator(noise, training=False).numpy() - low) * (255 / (1 - low))

    return render


def joined_step(
    networks: tuple[Any, Any],
    loss_of: Any,
    rate: float,
    latent_dim: int,
    label_noise: float,
) -> Callable[..., dict[str, Any]]:
    """The step of Keras' GANs: D sees fakes (1) and real images (0) in one batch, G draws anew.

    Networks are called without `training`, as there: so dropout does nothing.

    Args:
        networks: generator and discriminator.
        loss_of: binary cross-entropy.
        rate: of Adam.
        latent_dim: numbers of noise.
        label_noise: D's labels are raised by up to so much.

    Returns:
        A function of pixels in [0, 1] and of one-hot classes (N, K), K is 0 where there are none.
    """
    generator, discriminator = networks
    g_adam, d_adam = adams(rate)

    @tf.function
    def train(real: tf.Tensor, classes: tf.Tensor) -> dict[str, tf.Tensor]:
        count, side = tf.shape(real)[0], real.shape[1]
        planes = tf.tile(classes[:, None, None], (1, side, side, 1))

        def draw() -> tf.Tensor:
            noise = tf.random.normal((count, latent_dim))
            fakes = generator(tf.concat([noise, classes], 1))
            return tf.concat([fakes, planes], -1)

        both = tf.concat([draw(), tf.concat([real, planes], -1)], 0)
        labels = tf.concat([tf.ones((count, 1)), tf.zeros((count, 1))], 0)
        labels += label_noise * tf.random.uniform(tf.shape(labels))
        with tf.GradientTape() as tape:
            d_loss = loss_of(labels, discriminator(both))
        update(tape, d_loss, discriminator, d_adam)
        with tf.GradientTape() as tape:
            g_loss = loss_of(tf.zeros((count, 1)), discriminator(draw()))
        update(tape, g_loss, generator, g_adam)
        return {"discriminator": d_loss, "generator": g_loss}

    return train


def official_dcgan(shape: Shape, classes: int) -> Learner:
    """DCGAN of Keras' examples, for 64 pixels: no norm, 512 channels at the full side."""
    side, channels, latent_dim = 64, shape[-1], 128
    sizes: dict[str, Any] = {"kernel_size": 4, "strides": 2, "padding": "same"}
    downs, ups = [], []
    for width in (64, 128, 128):
        downs += [layers.Conv2D(width, **sizes), leaky()]
    for width in (128, 256, 512):
        ups += [layers.Conv2DTranspose(width, **sizes), leaky()]
    discriminator = keras.Sequential(
        [
            keras.Input((side, side, channels)),
            *downs,
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    generator = keras.Sequential(
        [
            keras.Input((latent_dim,)),
            layers.Dense(8 * 8 * 128),
            layers.Reshape((8, 8, 128)),
            *ups,
            layers.Conv2D(channels, kernel_size=5, padding="same", activation="sigmoid"),
        ]
    )
    loss_of = keras.losses.BinaryCrossentropy()
    train = joined_step((generator, discriminator), loss_of, 1e-4, latent_dim, 0.05)

    def step(images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        return train(images.astype(np.float32) / 255, np.zeros((len(images), 0), np.float32))

    draw = drawing_from(rendering(generator, 0), latent_dim)
    weights = weights_of(generator=generator, discriminator=discriminator)
    return Learner(side, 32, step, draw, weights)


def small_networks(channels: int, classes: int, latent_dim: int) -> tuple[Any, Any]:
    """Generator and discriminator for 28 pixels; classes are joined to the channels of both."""
    inputs = latent_dim + classes
    double: dict[str, Any] = {"kernel_size": 4, "strides": 2, "padding": "same"}
    half: dict[str, Any] = {"kernel_size": 3, "strides": 2, "padding": "same"}
    discriminator = keras.Sequential(
        [
            keras.Input((28, 28, channels + classes)),
            layers.Conv2D(64, **half),
            leaky(),
            layers.Conv2D(128, **half),
            leaky(),
            layers.GlobalMaxPooling2D(),
            layers.Dense(1),
        ]
    )
    generator = keras.Sequential(
        [
            keras.Input((inputs,)),
            layers.Dense(7 * 7 * inputs),
            leaky(),
            layers.Reshape((7, 7, inputs)),
            layers.Conv2DTranspose(128, **double),
            leaky(),
            layers.Conv2DTranspose(128, **double),
            leaky(),
            layers.Conv2D(channels, kernel_size=7, padding="same", activation="sigmoid"),
        ]
    )
    return generator, discriminator


def small_gan(channels: int, classes: int, label_noise: float) -> Learner:
    """A GAN of `small_networks`, with or without classes."""
    latent_dim = 128
    networks = small_networks(channels, classes, latent_dim)
    loss_of = keras.losses.BinaryCrossentropy(from_logits=True)
    train = joined_step(networks, loss_of, 3e-4, latent_dim, label_noise)
    one_hot = np.eye(classes, dtype=np.float32) if classes else np.zeros((1, 0), np.float32)

    def encode(labels: np.ndarray) -> np.ndarray:
        return one_hot[labels if classes else np.zeros_like(labels)]

    def step(images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        return train(images.astype(np.float32) / 255, encode(labels))

    render_all = rendering(networks[0], 0)

    def render(noise: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return render_all(np.concatenate([noise, encode(labels)], 1), labels)

    weights = weights_of(generator=networks[0], discriminator=networks[1])
    return Learner(28, 64, step, drawing_from(render, latent_dim), weights)


def guide_dcgan(shape: Shape, classes: int) -> Learner:
    """The GAN of Keras' guide to `train_step`, for digits of 28 pixels."""
    return small_gan(shape[-1], 0, 0.05)


def official_cgan(shape: Shape, classes: int) -> Learner:
    """Conditional GAN of Keras' examples: the guide's networks, with classes."""
    return small_gan(shape[-1], classes, 0.0)


def lecture_dcgan(shape: Shape, classes: int) -> Learner:
    """The lecture's DCGAN, for 28 pixels: two dense layers, then two transposed convolutions."""
    channels, latent_dim, side = shape[-1], 100, 28
    sizes: dict[str, Any] = {"kernel_size": 4, "strides": 2, "padding": "same"}
    generator = keras.Sequential(
        [
            keras.Input((latent_dim,)),
            layers.Dense(1024),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dense(128 * (side // 4) ** 2),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Reshape((side // 4, side // 4, 128)),
            layers.Conv2DTranspose(64, **sizes),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2DTranspose(channels, **sizes, activation="tanh"),
        ]
    )
    discriminator = keras.Sequential(
        [
            keras.Input((side, side, channels)),
            layers.Conv2D(64, **sizes),
            leaky(),
            layers.Conv2D(128, **sizes),
            leaky(),
            layers.Flatten(),
            layers.Dense(1024),
            leaky(),
            layers.Dense(1),
        ]
    )
    g_adam, d_adam = adams(2e-4, beta_1=0.5)
    loss_of = keras.losses.BinaryCrossentropy(from_logits=True)

    @tf.function
    def train(real: tf.Tensor) -> dict[str, tf.Tensor]:
        count = tf.shape(real)[0]
        ones, zeros = tf.ones((count, 1)), tf.zeros((count, 1))
        fakes = generator(tf.random.uniform((count, latent_dim), -1, 1), training=True)
        with tf.GradientTape() as tape:
            d_loss = loss_of(ones, discriminator(real, training=True))
            d_loss += loss_of(zeros, discriminator(fakes, training=True))
        update(tape, d_loss, discriminator, d_adam)
        noise = tf.random.uniform((count, latent_dim), -1, 1)
        with tf.GradientTape() as tape:
            fakes = generator(noise, training=True)
            g_loss = loss_of(ones, discriminator(fakes, training=True))
        update(tape, g_loss, generator, g_adam)
        return {"discriminator": d_loss, "generator": g_loss}

    def step(images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        return train(images.astype(np.float32) / 127.5 - 1)

    draw = drawing_from(rendering(generator), latent_dim, uniform=True)
    weights = weights_of(generator=generator, discriminator=discriminator)
    return Learner(side, 64, step, draw, weights)


def official_wgan_gp(shape: Shape, classes: int) -> Learner:
    """WGAN-GP of Keras' examples, for 28 pixels, 32 inside: three updates of the critic."""
    channels, latent_dim, side, updates, weight = shape[-1], 128, 28, 3, 10.0

    def down(width: int, dropout: float = 0.0) -> list[Any]:
        conv = layers.Conv2D(width, 5, strides=2, padding="same")
        return [conv, leaky(), *([layers.Dropout(dropout)] if dropout else [])]

    def up(width: int, activation: Any) -> list[Any]:
        conv = layers.Conv2D(width, 3, padding="same", use_bias=False)
        return [layers.UpSampling2D(), conv, layers.BatchNormalization(), activation]

    critic = keras.Sequential(
        [
            keras.Input((side, side, channels)),
            layers.ZeroPadding2D(2),
            *down(64),
            *down(128, 0.3),
            *down(256, 0.3),
            *down(512),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(1),
        ]
    )
    generator = keras.Sequential(
        [
            keras.Input((latent_dim,)),
            layers.Dense(4 * 4 * 256, use_bias=False),
            layers.BatchNormalization(),
            leaky(),
            layers.Reshape((4, 4, 256)),
            *up(128, leaky()),
            *up(64, leaky()),
            *up(channels, layers.Activation("tanh")),
            layers.Cropping2D(2),
        ]
    )
    g_adam, c_adam = adams(2e-4, beta_1=0.5, beta_2=0.9)

    def penalty(real: tf.Tensor, fakes: tf.Tensor) -> tf.Tensor:
        # Normal numbers, as there: a mixture may lie beyond both images.
        mixed = real + tf.random.normal((tf.shape(real)[0], 1, 1, 1)) * (fakes - real)
        with tf.GradientTape() as tape:
            tape.watch(mixed)
            scores = critic(mixed, training=True)
        slopes = tf.sqrt(tf.reduce_sum(tape.gradient(scores, mixed) ** 2, axis=(1, 2, 3)))
        return tf.reduce_mean((slopes - 1) ** 2)

    @tf.function
    def train(real: tf.Tensor) -> dict[str, tf.Tensor]:
        count = tf.shape(real)[0]
        c_loss = tf.zeros(())
        for _ in range(updates):
            noise = tf.random.normal((count, latent_dim))
            with tf.GradientTape() as tape:
                fakes = generator(noise, training=True)
                c_loss = tf.reduce_mean(critic(fakes, training=True))
                c_loss -= tf.reduce_mean(critic(real, training=True))
                c_loss += weight * penalty(real, fakes)
            update(tape, c_loss, critic, c_adam)
        noise = tf.random.normal((count, latent_dim))
        with tf.GradientTape() as tape:
            g_loss = -tf.reduce_mean(critic(generator(noise, training=True), training=True))
        update(tape, g_loss, generator, g_adam)
        return {"critic": c_loss, "generator": g_loss}

    def step(images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        return train(images.astype(np.float32) / 127.5 - 1)

    draw = drawing_from(rendering(generator), latent_dim)
    weights = weights_of(generator=generator, critic=critic)
    return Learner(side, 512, step, draw, weights)


def vae_learner(
    encoder: Any, decoder: Any, train: Callable[..., dict[str, Any]], batch_size: int
) -> Learner:
    """A VAE whose encoder gives mean and log variance in one row, its decoder logits."""

    def step(images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        return train(images.astype(np.float32) / 255)

    def encode(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean, logvar = np.split(encoder(x).numpy(), 2, axis=1)
        return mean, logvar

    def decode(z: np.ndarray) -> np.ndarray:
        return decoder(z).numpy()

    def render(noise: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return 255 / (1 + np.exp(-decode(noise)))

    draw = drawing_from(render, decoder.input_shape[1])
    weights = weights_of(encoder=encoder, decoder=decoder)
    return Learner(encoder.input_shape[1], batch_size, step, draw, weights, encode, decode)


def official_vae(shape: Shape, classes: int) -> Learner:
    """VAE of Keras' examples: convolutions, a dense layer of 16, codes of two numbers."""
    side, _, channels = shape
    latent_dim, start = 2, side // 4
    half: dict[str, Any] = {"strides": 2, "padding": "same", "activation": "relu"}
    image = keras.Input(shape)
    h = layers.Conv2D(32, 3, **half)(image)
    h = layers.Conv2D(64, 3, **half)(h)
    h = layers.Dense(16, activation="relu")(layers.Flatten()(h))
    heads = [layers.Dense(latent_dim)(h), layers.Dense(latent_dim)(h)]
    encoder = keras.Model(image, layers.Concatenate()(heads))
    decoder = keras.Sequential(
        [
            keras.Input((latent_dim,)),
            layers.Dense(start * start * 64, activation="relu"),
            layers.Reshape((start, start, 64)),
            layers.Conv2DTranspose(64, 3, **half),
            layers.Conv2DTranspose(32, 3, **half),
            layers.Conv2DTranspose(channels, 3, padding="same"),
        ]
    )
    adam = keras.optimizers.Adam()

    @tf.function
    def train(x: tf.Tensor) -> dict[str, tf.Tensor]:
        weights = encoder.trainable_weights + decoder.trainable_weights
        with tf.GradientTape() as tape:
            mean, logvar = tf.split(encoder(x, training=True), 2, axis=1)
            z = mean + tf.exp(0.5 * logvar) * tf.random.normal(tf.shape(mean))
            pixels = tf.sigmoid(decoder(z, training=True))
            entropy = keras.losses.binary_crossentropy(x, pixels)
            loss = tf.reduce_mean(tf.reduce_sum(entropy, axis=(1, 2)))
            divergence = -0.5 * (1 + logvar - tf.square(mean) - tf.exp(logvar))
            loss += tf.reduce_mean(tf.reduce_sum(divergence, axis=1))
        adam.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return {"loss": loss}

    return vae_learner(encoder, decoder, train, 128)
