"""The generative adversarial network; Goodfellow and others (2014), fully connected."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.models.description import (
    Config,
    ImageShape,
    Model,
    Reference,
    Weights,
    dense,
    from_sigmoid,
    norm,
    numbers,
    to_sigmoid,
)
from tests.reference.autograd import Value, cross_entropy, leaky_relu, mean, sigmoid
from tests.reference.layers import Network
from tests.reference.optimizers import Adam


def networks(image_shape: ImageShape, config: Config, classes: int) -> dict[str, Weights]:
    pixels = int(np.prod(image_shape))
    return {
        "generator": dense("dense1", config["latent_dim"], 128, "glorot")
        | dense("dense2", 128, 256, "glorot", bias=False)
        | norm("norm2", 256, "one")
        | dense("dense3", 256, 512, "glorot", bias=False)
        | norm("norm3", 512, "one")
        | dense("dense4", 512, pixels, "glorot"),
        "discriminator": dense("dense1", pixels, 512, "glorot")
        | dense("dense2", 512, 256, "glorot")
        | dense("dense3", 256, 1, "glorot"),
    }


class Generator(Network):
    def __call__(self, z: Value, training: bool = True) -> Value:
        """(N, Z) -> (N, C * H * W) in [0, 1]."""
        x = leaky_relu(self.dense("dense1", z))
        x = leaky_relu(self.norm("norm2", self.dense("dense2", x), training))
        x = leaky_relu(self.norm("norm3", self.dense("dense3", x), training))
        return sigmoid(self.dense("dense4", x))


class Discriminator(Network):
    def __call__(self, x: Value) -> Value:
        """(N, C, H, W) -> logits (N, 1)."""
        x = leaky_relu(self.dense("dense1", x.reshape(len(x.data), -1)))
        x = leaky_relu(self.dense("dense2", x))
        return self.dense("dense3", x)


class Adversarial(Reference):
    """Discriminator and generator in turn, as in algorithm 1 with one update of each.

    D maximises log D(x) + log(1 - D(G(z))); G maximises log D(G(z)) (section 3). What differs from
    one such model to another, the networks and the range of pixels, stands in five short methods.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.make_networks()
        rate = self.config["learning_rate"]
        self.generator_optimizer = Adam(self.generator.weights.values(), rate, beta1=0.5)
        self.discriminator_optimizer = Adam(self.discriminator.weights.values(), rate, beta1=0.5)

    def make_networks(self) -> None:
        self.generator: Any = Generator(self.part("generator"))
        self.discriminator: Any = Discriminator(self.part("discriminator"))

    def to_network(self, images: np.ndarray) -> np.ndarray:
        return to_sigmoid(images)

    def from_network(self, x: Value) -> np.ndarray:
        return from_sigmoid(x)

    def generate(self, z: np.ndarray, labels: np.ndarray, training: bool = True) -> Value:
        height, width, channels = self.image_shape
        return self.generator(Value(z), training).reshape(-1, channels, height, width)

    def judge(self, x: Value, labels: np.ndarray) -> Value:
        return self.discriminator(x)

    def step(self, batch: Any, random: np.random.Generator) -> dict[str, float]:
        labels = batch.labels
        noise = random.uniform(-1, 1, (2, len(labels), self.config["latent_dim"]))

        # The order is seen in the running averages of batch norm, which each pass moves.
        fakes = self.generate(noise[0], labels).detach()
        real_logits = self.judge(Value(self.to_network(batch.images)), labels)
        fake_logits = self.judge(fakes, labels)
        d_loss = mean(cross_entropy(real_logits, 1)) + mean(cross_entropy(fake_logits, 0))
        self.discriminator_optimizer.minimize(d_loss)

        fake_logits = self.judge(self.generate(noise[1], labels), labels)
        g_loss = mean(cross_entropy(fake_logits, 1))
        self.generator_optimizer.minimize(g_loss)
        return numbers({"discriminator_loss": d_loss, "generator_loss": g_loss})

    def draw(self, dataset: Any, random: np.random.Generator) -> np.ndarray:
        """64 samples."""
        z = random.uniform(-1, 1, (64, self.config["latent_dim"]))
        return self.from_network(self.generate(z, np.zeros(64, int), training=False))


MODEL = Model(
    defaults={
        "dataset": "newts",
        "steps": 3000,
        "batch_size": 64,
        "learning_rate": 2e-4,
        "latent_dim": 100,
    },
    proof={"image_size": 16, "batch_size": 4, "learning_rate": 1e-4, "latent_dim": 50},
    networks=networks,
    classes={"generator": "Generator", "discriminator": "Discriminator"},
    optimizers={"generator": ("generator",), "discriminator": ("discriminator",)},
    losses=("discriminator_loss", "generator_loss"),
    reference=Adversarial,
)
