"""DCGAN; Radford, Metz, Chintala (2015)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.models.description import (
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
    numbers,
    to_tanh,
)
from tests.models.gan import Adversarial
from tests.reference.autograd import Value, cross_entropy, leaky_relu, mean, relu, tanh
from tests.reference.layers import Network


def scaled(name: str, channels: int) -> Weights:
    return norm(name, channels, "scale")


SMALLEST_START = 4  # pixels of the side that is doubled until it is the image's


def find_start(side: int) -> tuple[int, int]:
    """The side of 4 to 7 pixels that an image's is doubled from, and how often it is doubled."""
    doublings = 0
    while side >= 2 * SMALLEST_START:
        side, doublings = side // 2, doublings + 1
    return side, doublings


def generator_weights(image_shape: ImageShape, inputs: int, filters: int) -> Weights:
    side, _, channels = image_shape
    start, doublings = find_start(side)
    width = filters * 2**doublings
    weights = dense("dense", inputs, width * start**2, "normal") | norm("norm", width, "scale")
    for block in range(doublings - 1):
        weights |= deconv(f"blocks.{block}.deconv", width, width // 2, 4, "normal", bias=False)
        weights |= norm(f"blocks.{block}.norm", width // 2, "scale")
        width //= 2
    return weights | deconv("deconv", width, channels, 4, "normal")


def discriminator_weights(
    image_shape: ImageShape,
    filters: int,
    outputs: int = 1,
    bias: bool = False,
    normed: Callable[[str, int], Weights] = scaled,
    last_normed: bool = True,
) -> Weights:
    side, _, channels = image_shape
    start, halvings = find_start(side)
    width = filters
    weights = conv("conv1", channels, width, 4, "normal")
    for block in range(halvings - 1):
        weights |= conv(f"blocks.{block}.conv", width, 2 * width, 4, "normal", bias=bias)
        weights |= normed(f"blocks.{block}.norm", 2 * width)
        width *= 2
    weights |= conv("conv2", width, 2 * width, 4, "normal", bias=bias or not last_normed)
    if last_normed:
        weights |= normed("norm2", 2 * width)
    return weights | dense("dense", 2 * width * (start - 3) ** 2, outputs, "normal")


def networks(image_shape: ImageShape, config: Config, classes: int) -> dict[str, Weights]:
    generator = generator_weights(image_shape, config["latent_dim"], config["filters"])
    return {
        "generator": generator,
        "discriminator": discriminator_weights(image_shape, config["filters"], last_normed=False),
    }


class Generator(Network):
    def __init__(self, arrays: Arrays, image_shape: ImageShape) -> None:
        super().__init__(arrays)
        self.start, self.doublings = find_start(image_shape[0])

    def __call__(self, z: Value, training: bool = True) -> Value:
        """(N, Z) -> (N, C, H, W) in [-1, 1]."""
        x = self.dense("dense", z).reshape(len(z.data), -1, self.start, self.start)
        x = relu(self.norm("norm", x, training))
        for block in range(self.doublings - 1):
            x = self.deconv(f"blocks.{block}.deconv", x, stride=2, padding=1)
            x = relu(self.norm(f"blocks.{block}.norm", x, training))
        return tanh(self.deconv("deconv", x, stride=2, padding=1))


class Discriminator(Network):
    """Also a critic, or an encoder, which alone is ever asked out of training."""

    def __call__(self, x: Value, training: bool = True) -> Value:
        """(N, C, H, W) -> logits or scores (N, 1), or codes (N, Z)."""
        x = leaky_relu(self.conv("conv1", x, stride=2, padding=1))
        block = 0
        while f"blocks.{block}.conv.weight" in self.weights:
            x = self.conv(f"blocks.{block}.conv", x, stride=2, padding=1)
            x = leaky_relu(self.normalise(f"blocks.{block}.norm", x, training))
            block += 1
        x = self.conv("conv2", x, stride=1, padding=0)
        if "norm2.weight" in self.weights:
            x = self.normalise("norm2", x, training)
        x = leaky_relu(x)
        return self.dense("dense", x.reshape(len(x.data), -1))

    def normalise(self, name: str, x: Value, training: bool) -> Value:
        return self.norm(name, x, training)


class DeepAdversarial(Adversarial):
    """Both updates see the same fakes; the generator's D is the updated one."""

    def make_networks(self) -> None:
        self.generator = Generator(self.part("generator"), self.image_shape)
        self.discriminator = Discriminator(self.part("discriminator"))

    def to_network(self, images: np.ndarray) -> np.ndarray:
        return to_tanh(images)

    def from_network(self, x: Value) -> np.ndarray:
        return from_tanh(x)

    def generate(self, z: np.ndarray, labels: np.ndarray, training: bool = True) -> Value:
        return self.generator(Value(z), training)

    def step(self, batch: Any, random: np.random.Generator) -> dict[str, float]:
        labels = batch.labels
        noise = random.uniform(-1, 1, (len(labels), self.config["latent_dim"]))

        fakes = self.generate(noise, labels)
        # The order is seen in the running averages of batch norm, which each pass moves.
        real_logits = self.judge(Value(self.to_network(batch.images)), labels)
        fake_logits = self.judge(fakes.detach(), labels)
        d_loss = mean(cross_entropy(real_logits, 1)) + mean(cross_entropy(fake_logits, 0))
        self.discriminator_optimizer.minimize(d_loss)

        g_loss = mean(cross_entropy(self.judge(fakes, labels), 1))
        self.generator_optimizer.minimize(g_loss)
        return numbers({"discriminator_loss": d_loss, "generator_loss": g_loss})


MODEL = Model(
    defaults={
        "dataset": "newts",
        "steps": 10_000,
        "batch_size": 64,
        "learning_rate": 2e-4,
        "latent_dim": 100,
        "filters": 32,
    },
    proof={
        "image_size": 40,
        "batch_size": 4,
        "learning_rate": 1e-4,
        "latent_dim": 50,
        "filters": 4,
    },
    networks=networks,
    classes={"generator": "Generator", "discriminator": "Discriminator"},
    optimizers={"generator": ("generator",), "discriminator": ("discriminator",)},
    losses=("discriminator_loss", "generator_loss"),
    reference=DeepAdversarial,
    size_multiple=None,
)
