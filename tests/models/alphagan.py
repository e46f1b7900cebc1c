"""Alpha-GAN; Rosca and others (2017), with DCGAN's networks."""

from __future__ import annotations

from typing import Any

import numpy as np

from common.pictures.images import grid, rows_over_rows
from tests.models import dcgan
from tests.models.description import (
    Config,
    ImageShape,
    Model,
    Reference,
    Weights,
    choose,
    dense,
    from_tanh,
    numbers,
    to_tanh,
)
from tests.reference.autograd import Value, absolute, cross_entropy, leaky_relu, mean
from tests.reference.layers import Network
from tests.reference.optimizers import Adam

RECONSTRUCTION_WEIGHT = 10


def networks(image_shape: ImageShape, config: Config, classes: int) -> dict[str, Weights]:
    latent, filters = config["latent_dim"], config["filters"]
    return {
        "encoder": dcgan.discriminator_weights(image_shape, filters, latent),
        "generator": dcgan.generator_weights(image_shape, latent, filters),
        "discriminator": dcgan.discriminator_weights(image_shape, filters),
        "code_discriminator": dense("dense1", latent, 750, "normal")
        | dense("dense2", 750, 750, "normal")
        | dense("dense3", 750, 1, "normal"),
    }


class CodeDiscriminator(Network):
    def __call__(self, z: Value) -> Value:
        """(N, Z) -> logits (N, 1)."""
        h = leaky_relu(self.dense("dense1", z))
        h = leaky_relu(self.dense("dense2", h))
        return self.dense("dense3", h)


def to_seem_real(logits: Value) -> Value:
    """R of section 3: -log D + log(1 - D) of what should seem real, by two cross-entropies."""
    return mean(cross_entropy(logits, 1)) - mean(cross_entropy(logits, 0))


def to_tell_apart(real_logits: Value, fake_logits: Value) -> Value:
    """-log D of what is real, -log(1 - D) of what is not."""
    return mean(cross_entropy(real_logits, 1)) + mean(cross_entropy(fake_logits, 0))


class AutoencodingAdversarial(Reference):
    """Encoder, generator, discriminator and code discriminator, updated in that order.

    Each update begins with passes of its own through the networks as they then are, in the order
    encoder, generator on codes, generator on noise, discriminator on images, on reconstructions, on
    samples: it is seen in the running averages of batch norm, which each pass moves.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.encoder = dcgan.Discriminator(self.part("encoder"))
        self.generator = dcgan.Generator(self.part("generator"), self.image_shape)
        self.discriminator = dcgan.Discriminator(self.part("discriminator"))
        self.code_discriminator = CodeDiscriminator(self.part("code_discriminator"))
        self.optimizers = [
            Adam(network.weights.values(), self.config["learning_rate"], beta1=0.5)
            for network in (
                self.encoder,
                self.generator,
                self.discriminator,
                self.code_discriminator,
            )
        ]

    def step(self, batch: Any, random: np.random.Generator) -> dict[str, float]:
        x = Value(to_tanh(batch.images))
        z = Value(random.standard_normal((len(batch.labels), self.config["latent_dim"])))
        of_encoder, of_generator, of_discriminator, of_code_discriminator = self.optimizers

        codes = self.encoder(x)
        error = mean(absolute(x - self.generator(codes)))
        e_loss = RECONSTRUCTION_WEIGHT * error + to_seem_real(self.code_discriminator(codes))
        of_encoder.minimize(e_loss)

        restored = self.generator(self.encoder(x).detach())
        drawn = self.generator(z)
        error = mean(absolute(x - restored))
        realism = to_seem_real(self.discriminator(restored))
        realism = realism + to_seem_real(self.discriminator(drawn))
        g_loss = RECONSTRUCTION_WEIGHT * error + realism
        of_generator.minimize(g_loss)

        codes = self.encoder(x).detach()
        restored = self.generator(codes).detach()
        drawn = self.generator(z).detach()
        real_logits = self.discriminator(x)
        d_loss = to_tell_apart(real_logits, self.discriminator(restored))
        d_loss = d_loss + to_tell_apart(real_logits, self.discriminator(drawn))
        c_loss = to_tell_apart(self.code_discriminator(z), self.code_discriminator(codes))
        of_discriminator.minimize(d_loss)
        of_code_discriminator.minimize(c_loss)
        return numbers(
            {
                "reconstruction_loss": error,
                "encoder_loss": e_loss,
                "generator_loss": g_loss,
                "discriminator_loss": d_loss,
                "code_loss": c_loss,
            }
        )

    def draw(self, dataset: Any, random: np.random.Generator) -> np.ndarray:
        """32 samples and 16 reconstructions."""
        z = Value(random.standard_normal((32, self.config["latent_dim"])))
        x = Value(to_tanh(choose(dataset, 16).images))
        restored = self.generator(self.encoder(x, training=False), training=False)
        drawn = self.generator(z, training=False)
        return np.concatenate([from_tanh(drawn), from_tanh(restored)])

    def compose(self, dataset: Any, drawn: np.ndarray) -> np.ndarray:
        below = rows_over_rows(choose(dataset, 16).images, drawn[32:], columns=8)
        return np.concatenate([grid(drawn[:32], 8), below])


MODEL = Model(
    defaults={
        "dataset": "newts",
        "steps": 1000,
        "batch_size": 64,
        "learning_rate": 2e-4,
        "latent_dim": 100,
        "filters": 32,
    },
    proof={
        "image_size": 40,
        "batch_size": 4,
        "learning_rate": 5e-5,
        "latent_dim": 20,
        "filters": 4,
    },
    networks=networks,
    classes={
        "encoder": "Encoder",
        "generator": "Generator",
        "discriminator": "Discriminator",
        "code_discriminator": "CodeDiscriminator",
    },
    optimizers={
        "encoder": ("encoder",),
        "generator": ("generator",),
        "discriminators": ("discriminator", "code_discriminator"),
    },
    losses=(
        "reconstruction_loss",
        "encoder_loss",
        "generator_loss",
        "discriminator_loss",
        "code_loss",
    ),
    reference=AutoencodingAdversarial,
    size_multiple=None,
)
