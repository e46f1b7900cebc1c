"""The variational autoencoder; Kingma, Welling (2013)."""

from __future__ import annotations

from typing import Any

import numpy as np

from common.pictures.images import rows_over_rows
from tests.models.description import (
    Config,
    ImageShape,
    Model,
    Reference,
    Weights,
    choose,
    dense,
    from_sigmoid,
    numbers,
    to_sigmoid,
)
from tests.reference.autograd import Value, cross_entropy, exp, relu, sigmoid, total
from tests.reference.layers import Network
from tests.reference.optimizers import Adam


def networks(image_shape: ImageShape, config: Config, classes: int) -> dict[str, Weights]:
    pixels, latent = int(np.prod(image_shape)), config["latent_dim"]
    return {
        "encoder": dense("dense1", pixels, 256, "glorot")
        | dense("dense2", 256, 128, "glorot")
        | dense("mean", 128, latent, "glorot")
        | dense("logvar", 128, latent, "glorot"),
        "decoder": dense("dense1", latent, 128, "glorot")
        | dense("dense2", 128, 256, "glorot")
        | dense("dense3", 256, pixels, "glorot"),
    }


class VariationalAutoencoder(Reference):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.encoder = Network(self.part("encoder"))
        self.decoder = Network(self.part("decoder"))
        both = [*self.encoder.weights.values(), *self.decoder.weights.values()]
        self.optimizer = Adam(both, self.config["learning_rate"], beta1=0.9)

    def encode(self, images: np.ndarray) -> tuple[Value, Value]:
        """Mean and log variance of a Gaussian with a diagonal covariance, both (N, Z)."""
        x = Value(to_sigmoid(images)).reshape(len(images), -1)
        h = relu(self.encoder.dense("dense1", x))
        h = relu(self.encoder.dense("dense2", h))
        return self.encoder.dense("mean", h), self.encoder.dense("logvar", h)

    def decode(self, z: Value) -> Value:
        """The logits of an image: (N, Z) -> (N, C, H, W)."""
        h = relu(self.decoder.dense("dense1", z))
        h = relu(self.decoder.dense("dense2", h))
        height, width, channels = self.image_shape
        return self.decoder.dense("dense3", h).reshape(-1, channels, height, width)

    def losses(self, images: np.ndarray, random: np.random.Generator) -> dict[str, Value]:
        """Equation 10 with one sample a picture: z = mean + sigma * eps, and appendix B.

        KL(N(mean, sigma^2) || N(0, 1)) = 1/2 sum (mean^2 + sigma^2 - 1 - log sigma^2).
        """
        count = len(images)
        mean, logvar = self.encode(images)
        noise = random.standard_normal((count, self.config["latent_dim"]))
        logits = self.decode(mean + exp(logvar / 2) * noise)
        reconstruction = total(cross_entropy(logits, to_sigmoid(images))) / count
        divergence = total(mean**2 + exp(logvar) - 1 - logvar) / 2 / count
        return {
            "reconstruction_loss": reconstruction,
            "kl_divergence": divergence,
            "negative_elbo": reconstruction + divergence,
        }

    def step(self, batch: Any, random: np.random.Generator) -> dict[str, float]:
        losses = self.losses(batch.images, random)
        self.optimizer.minimize(losses["negative_elbo"])
        return numbers(losses)

    def test(self, batch: Any, random: np.random.Generator) -> dict[str, float]:
        return numbers(self.losses(batch.images, random))

    def draw(self, dataset: Any, random: np.random.Generator) -> np.ndarray:
        """Reconstructions from the mean."""
        mean, _ = self.encode(choose(dataset, 32).images)
        return from_sigmoid(sigmoid(self.decode(mean)))

    def compose(self, dataset: Any, drawn: np.ndarray) -> np.ndarray:
        return rows_over_rows(choose(dataset, 32).images, drawn, columns=8)


MODEL = Model(
    defaults={
        "dataset": "digits",
        "steps": 10_000,
        "batch_size": 128,
        "learning_rate": 1e-3,
        "latent_dim": 2,
        "log_every": 100,
        "sample_every": 1000,
        "checkpoint_every": 1000,
    },
    proof={
        "dataset": "newts",
        "image_size": 16,
        "batch_size": 4,
        "learning_rate": 5e-4,
        "latent_dim": 3,
    },
    networks=networks,
    classes={"encoder": "Encoder", "decoder": "Decoder"},
    optimizers={"autoencoder": ("encoder", "decoder")},
    losses=("reconstruction_loss", "kl_divergence", "negative_elbo"),
    reference=VariationalAutoencoder,
    prints=("no pictures of the latent space: they need --latent-dim 2",),
)
