"""DCGAN; Radford, Metz, Chintala (2015). Trained as the fully connected GAN."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.description import (
    Arrays,
    Config,
    ImageShape,
    Model,
    Weights,
    conv,
    deconv,
    dense,
    from_tanh,
    norm,
    to_tanh,
)
from models.gan import Adversarial
from reference import Value, leaky_relu, relu, tanh
from reference_layers import Network


def generator_weights(image_shape: ImageShape, inputs: int, filters: int) -> Weights:
    height, width, channels = image_shape
    return (
        dense("dense", inputs, 8 * filters * (height // 16) * (width // 16), "normal")
        | norm("norm1", 8 * filters, "scale")
        | deconv("deconv1", 8 * filters, 16 * filters, 5, "normal", bias=False)
        | norm("norm2", 16 * filters, "scale")
        | deconv("deconv2", 16 * filters, 8 * filters, 5, "normal", bias=False)
        | norm("norm3", 8 * filters, "scale")
        | deconv("deconv3", 8 * filters, 4 * filters, 5, "normal", bias=False)
        | norm("norm4", 4 * filters, "scale")
        | deconv("deconv4", 4 * filters, channels, 5, "normal")
    )


def discriminator_weights(image_shape: ImageShape, filters: int) -> Weights:
    height, width, channels = image_shape
    return (
        conv("conv1", channels, filters, 5, "normal")
        | conv("conv2", filters, 2 * filters, 5, "normal", bias=False)
        | norm("norm2", 2 * filters, "scale")
        | conv("conv3", 2 * filters, 4 * filters, 5, "normal", bias=False)
        | norm("norm3", 4 * filters, "scale")
        | conv("conv4", 4 * filters, 8 * filters, 5, "normal", bias=False)
        | norm("norm4", 8 * filters, "scale")
        | dense("dense", 8 * filters * (height // 16) * (width // 16), 1, "normal")
    )


def networks(image_shape: ImageShape, config: Config, classes: int) -> dict[str, Weights]:
    generator = generator_weights(image_shape, config["latent_dim"], config["filters"])
    average = {"average": generator} if config["average"] else {}
    return {
        "generator": generator,
        "discriminator": discriminator_weights(image_shape, config["filters"]),
        **average,
    }


class Generator(Network):
    def __init__(self, arrays: Arrays, image_shape: ImageShape) -> None:
        super().__init__(arrays)
        self.base = (-1, image_shape[0] // 16, image_shape[1] // 16)

    def __call__(self, z: Value, training: bool = True) -> Value:
        """(N, Z) -> (N, C, H, W) in [-1, 1]."""
        double = {"stride": 2, "padding": 2, "output_padding": 1}
        x = self.dense("dense", z).reshape(len(z.data), *self.base)
        x = relu(self.norm("norm1", x, training))
        x = relu(self.norm("norm2", self.deconv("deconv1", x, **double), training))
        x = relu(self.norm("norm3", self.deconv("deconv2", x, **double), training))
        x = relu(self.norm("norm4", self.deconv("deconv3", x, **double), training))
        return tanh(self.deconv("deconv4", x, **double))


class Discriminator(Network):
    """Also a critic; it is never asked out of training."""

    def __call__(self, x: Value) -> Value:
        """(N, C, H, W) -> logits or scores (N, 1)."""
        x = leaky_relu(self.conv("conv1", x, stride=2, padding=2))
        x = leaky_relu(self.norm("norm2", self.conv("conv2", x, stride=2, padding=2), True))
        x = leaky_relu(self.norm("norm3", self.conv("conv3", x, stride=2, padding=2), True))
        x = leaky_relu(self.norm("norm4", self.conv("conv4", x, stride=2, padding=2), True))
        return self.dense("dense", x.reshape(len(x.data), -1))


class DeepAdversarial(Adversarial):
    def make_networks(self) -> None:
        self.generator = Generator(self.part("generator"), self.image_shape)
        self.discriminator = Discriminator(self.part("discriminator"))

    def to_network(self, images: np.ndarray) -> np.ndarray:
        return to_tanh(images)

    def from_network(self, x: Value) -> np.ndarray:
        return from_tanh(x)

    def generate(self, z: np.ndarray, labels: np.ndarray, training: bool = True) -> Value:
        return self.generator(Value(z), training)


class Averaged(DeepAdversarial):
    """Draws with a running average of the generator, if it keeps one."""

    def make_networks(self) -> None:
        super().make_networks()
        self.keep = self.config["average"]
        average = Generator(self.part("average"), self.image_shape)
        self.drawing = average if self.keep else self.generator

    def step(self, batch: Any, random: np.random.Generator) -> dict[str, float]:
        losses = super().step(batch, random)
        weights = self.part("generator")
        for name, array in self.part("average").items():
            array[...] = self.keep * array + (1 - self.keep) * weights[name]
        return losses

    def generate(self, z: np.ndarray, labels: np.ndarray, training: bool = True) -> Value:
        return (self.generator if training else self.drawing)(Value(z), training)


MODEL = Model(
    defaults={
        "dataset": "newts",
        "steps": 1000,
        "batch_size": 64,
        "learning_rate": 2e-4,
        "latent_dim": 100,
        "filters": 32,
        "generator_rate": None,
        "average": 0.0,
    },
    proof={
        "image_size": 32,
        "batch_size": 4,
        "learning_rate": 1e-4,
        "latent_dim": 50,
        "filters": 8,
        "generator_rate": 5e-5,
        "average": 0.9,
    },
    networks=networks,
    classes={"generator": "Generator", "discriminator": "Discriminator"},
    optimizers={"generator": ("generator",), "discriminator": ("discriminator",)},
    losses=("discriminator_loss", "generator_loss"),
    reference=Averaged,
    size_multiple=16,
)
