"""The linear autoencoder; Baldi, Hornik (1989)."""

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
    from_tanh,
    numbers,
    to_tanh,
)
from tests.reference.autograd import Value, mean
from tests.reference.layers import Network
from tests.reference.optimizers import Adam


def networks(image_shape: ImageShape, config: Config, classes: int) -> dict[str, Weights]:
    pixels, latent = int(np.prod(image_shape)), config["latent_dim"]
    return {
        "encoder": dense("dense", pixels, latent, "glorot"),
        "decoder": dense("dense", latent, pixels, "glorot"),
    }


class Autoencoder(Reference):
    """Restore images; the loss is the mean squared error."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.encoder = Network(self.part("encoder"))
        self.decoder = Network(self.part("decoder"))
        both = [*self.encoder.weights.values(), *self.decoder.weights.values()]
        self.optimizer = Adam(both, self.config["learning_rate"], beta1=0.9)

    def restore(self, x: Value) -> Value:
        """(N, C, H, W) -> (N, C, H, W): Dense(Z), Dense(C * H * W), no activation."""
        z = self.encoder.dense("dense", x.reshape(len(x.data), -1))
        return self.decoder.dense("dense", z).reshape(*x.shape)

    def loss(self, images: np.ndarray) -> Value:
        x = Value(to_tanh(images))
        return mean((x - self.restore(x)) ** 2)

    def step(self, batch: Any, random: np.random.Generator) -> dict[str, float]:
        loss = self.loss(batch.images)
        self.optimizer.minimize(loss)
        return numbers({"reconstruction_loss": loss})

    def test(self, batch: Any, random: np.random.Generator) -> dict[str, float]:
        return numbers({"reconstruction_loss": self.loss(batch.images)})

    def draw(self, dataset: Any, random: np.random.Generator) -> np.ndarray:
        return from_tanh(self.restore(Value(to_tanh(choose(dataset, 32).images))))

    def compose(self, dataset: Any, drawn: np.ndarray) -> np.ndarray:
        return rows_over_rows(choose(dataset, 32).images, drawn, columns=8)


MODEL = Model(
    defaults={
        "dataset": "newts",
        "steps": 1000,
        "batch_size": 64,
        "learning_rate": 1e-3,
        "latent_dim": 64,
    },
    proof={"image_size": 16, "batch_size": 4, "learning_rate": 5e-4, "latent_dim": 32},
    networks=networks,
    classes={"encoder": "Encoder", "decoder": "Decoder"},
    optimizers={"autoencoder": ("encoder", "decoder")},
    losses=("reconstruction_loss",),
    reference=Autoencoder,
    prints=("test error of PCA with 32 components: ", "times that of PCA: "),
)
