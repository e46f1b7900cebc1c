"""CycleGAN, image translation without pairs; Zhu and others (2017)."""

from __future__ import annotations

from typing import Any

import numpy as np

from common.data import Domains
from common.pictures.images import beside
from tests.models.description import (
    Config,
    ImageShape,
    Model,
    Reference,
    Weights,
    conv,
    deconv,
    from_tanh,
    numbers,
    to_tanh,
)
from tests.reference.autograd import Value, absolute, leaky_relu, mean, relu, tanh
from tests.reference.layers import Network, instance_norm
from tests.reference.optimizers import Adam

CYCLE_WEIGHT = 10


def generator_weights(channels: int, width: int, blocks: int) -> Weights:
    weights = (
        conv("conv1", channels, width, 7, "normal", bias=False)
        | conv("conv2", width, 2 * width, 3, "normal", bias=False)
        | conv("conv3", 2 * width, 4 * width, 3, "normal", bias=False)
        | deconv("deconv1", 4 * width, 2 * width, 3, "normal", bias=False)
        | deconv("deconv2", 2 * width, width, 3, "normal", bias=False)
        | conv("conv4", width, channels, 7, "normal")
    )
    for block in range(blocks):
        for name in ("conv1", "conv2"):
            weights |= conv(f"blocks.{block}.{name}", 4 * width, 4 * width, 3, "normal", bias=False)
    return weights


def discriminator_weights(channels: int, width: int) -> Weights:
    return (
        conv("conv1", channels, width, 4, "normal")
        | conv("conv2", width, 2 * width, 4, "normal", bias=False)
        | conv("conv3", 2 * width, 4 * width, 4, "normal", bias=False)
        | conv("conv4", 4 * width, 8 * width, 4, "normal", bias=False)
        | conv("conv5", 8 * width, 1, 4, "normal")
    )


def networks(image_shape: ImageShape, config: Config, classes: int) -> dict[str, Weights]:
    channels, width = image_shape[-1], config["width"]
    generator = generator_weights(channels, width, config["blocks"])
    discriminator = discriminator_weights(channels, width)
    return {
        "generator_a2b": generator,
        "generator_b2a": generator,
        "discriminator_a": discriminator,
        "discriminator_b": discriminator,
    }


class Generator(Network):
    def __call__(self, x: Value) -> Value:
        """(N, C, H, W) -> (N, C, H, W) in [-1, 1]."""
        x = relu(instance_norm(self.reflected_conv("conv1", x, padding=3)))
        x = relu(instance_norm(self.conv("conv2", x, stride=2, padding=1)))
        x = relu(instance_norm(self.conv("conv3", x, stride=2, padding=1)))
        block = 0
        while f"blocks.{block}.conv1.weight" in self.weights:
            y = relu(instance_norm(self.reflected_conv(f"blocks.{block}.conv1", x, padding=1)))
            x = x + instance_norm(self.reflected_conv(f"blocks.{block}.conv2", y, padding=1))
            block += 1
        for name in ("deconv1", "deconv2"):
            x = relu(instance_norm(self.deconv(name, x, stride=2, padding=1, output_padding=1)))
        return tanh(self.reflected_conv("conv4", x, padding=3))


class Discriminator(Network):
    def __call__(self, x: Value) -> Value:
        """A score for each patch: (N, C, H, W) -> (N, 1, H / 8 - 2, W / 8 - 2)."""
        x = leaky_relu(self.conv("conv1", x, stride=2, padding=1))
        for name, stride in (("conv2", 2), ("conv3", 2), ("conv4", 1)):
            x = leaky_relu(instance_norm(self.conv(name, x, stride=stride, padding=1)))
        return self.conv("conv5", x, stride=1, padding=1)


class Pool:
    """Section 4: the discriminators learn from the last 50 fakes, not from the newest alone.

    As in the authors' code a new fake is shown half of the time, and takes an old one's place
    otherwise, which is shown for the last time.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.fakes: list[np.ndarray] = []

    def exchange(self, fakes: np.ndarray, random: np.random.Generator) -> Value:
        shown = fakes.copy()
        for index, fake in enumerate(fakes):
            if len(self.fakes) < self.size:
                self.fakes.append(fake)
            elif random.random() >= 0.5:
                place = random.integers(self.size)
                shown[index], self.fakes[place] = self.fakes[place], fake
        return Value(shown)


class Cycle(Reference):
    """Equation 3 with the least squares of section 4, lambda = 10, and section 5.2's identity loss.

    The generators first; then the discriminators, with their losses halved (section 7.1), by the
    fakes that the generators made before their update.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.a2b, self.b2a = (Generator(self.part(f"generator_{way}")) for way in ("a2b", "b2a"))
        self.d_a, self.d_b = (Discriminator(self.part(f"discriminator_{d}")) for d in "ab")
        rate = self.config["learning_rate"]
        self.generators, self.discriminators = (
            Adam([*one.weights.values(), *other.weights.values()], rate, beta1=0.5)
            for one, other in ((self.a2b, self.b2a), (self.d_a, self.d_b))
        )
        self.pools = [Pool(self.config["pool_size"]) for _ in "ab"]
        self.steps = 0

    def step(self, batch: Any, random: np.random.Generator) -> dict[str, float]:
        a, b = Value(to_tanh(batch.sources)), Value(to_tanh(batch.images))
        # Full for steps 1 to half of all; as many steps as then are left to go lead to 0.
        half = self.config["steps"] / 2
        left = self.config["steps"] - self.steps
        rate = self.config["learning_rate"] * min(left / half, 1)
        self.generators.learning_rate = self.discriminators.learning_rate = rate
        self.steps += 1

        fake_a, fake_b = self.b2a(b), self.a2b(a)
        adversarial = mean((self.d_a(fake_a) - 1) ** 2) + mean((self.d_b(fake_b) - 1) ** 2)
        cycle = mean(absolute(self.b2a(fake_b) - a)) + mean(absolute(self.a2b(fake_a) - b))
        same = mean(absolute(self.b2a(a) - a)) + mean(absolute(self.a2b(b) - b))
        g_loss = adversarial + CYCLE_WEIGHT * cycle + self.config["identity"] * same
        self.generators.minimize(g_loss)

        losses = [
            (mean((judge(real) - 1) ** 2) + mean(judge(pool.exchange(fake.data, random)) ** 2)) / 2
            for judge, real, fake, pool in (
                (self.d_a, a, fake_a, self.pools[0]),
                (self.d_b, b, fake_b, self.pools[1]),
            )
        ]
        self.discriminators.minimize(losses[0] + losses[1])
        return numbers(
            {
                "adversarial_loss": adversarial,
                "cycle_loss": cycle,
                "identity_loss": same,
                "generator_loss": g_loss,
                "discriminator_a_loss": losses[0],
                "discriminator_b_loss": losses[1],
            }
        )

    def draw(self, dataset: Any, random: np.random.Generator) -> np.ndarray:
        """Eight test images of each domain translated, and translated back: in four parts."""
        a, b = (Value(to_tanh(images)) for images in shown(dataset))
        fake_a, fake_b = self.b2a(b), self.a2b(a)
        made = [fake_b, self.b2a(fake_b), fake_a, self.a2b(fake_a)]
        return np.concatenate([from_tanh(x) for x in made])

    def compose(self, dataset: Any, drawn: np.ndarray) -> np.ndarray:
        """In a row: a, as b, back in a; b, as a, back in b."""
        a, b = shown(dataset)
        fake_b, back_a, fake_a, back_b = np.split(drawn, 4)
        return beside(a, fake_b, back_a, b, fake_a, back_b, columns=1)


def shown(dataset: Any) -> list[np.ndarray]:
    """The test images of each domain that pictures show."""
    parts = [dataset.test.images[dataset.test.labels == label] for label in (0, 1)]
    count = min(8, *map(len, parts))
    return [
        part[np.random.default_rng(0).choice(len(part), count, replace=False)] for part in parts
    ]


MODEL = Model(
    defaults={
        "dataset": "newts",
        "steps": 1000,
        "batch_size": 1,
        "learning_rate": 2e-4,
        "width": 16,
        "blocks": 3,
        "identity": 5.0,
        "pool_size": 50,
        "input": None,
        "direction": None,
    },
    proof={
        "image_size": 32,
        "batch_size": 2,
        "learning_rate": 2e-5,
        "width": 4,
        "blocks": 3,  # of two, an order that is wrong would not show in Chainer
        "identity": 3.0,
        "pool_size": 2,
    },
    networks=networks,
    classes={
        "generator_a2b": "Generator",
        "generator_b2a": "Generator",
        "discriminator_a": "Discriminator",
        "discriminator_b": "Discriminator",
    },
    optimizers={
        "generators": ("generator_a2b", "generator_b2a"),
        "discriminators": ("discriminator_a", "discriminator_b"),
    },
    losses=(
        "adversarial_loss",
        "cycle_loss",
        "identity_loss",
        "generator_loss",
        "discriminator_a_loss",
        "discriminator_b_loss",
    ),
    reference=Cycle,
    size_multiple=32,
    task=lambda _: Domains(),
    decays=True,
)
