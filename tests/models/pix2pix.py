"""pix2pix, paired image-to-image translation; Isola and others (2016)."""

from __future__ import annotations

from typing import Any

import numpy as np

from common.data import tasks
from common.pictures.images import beside
from tests.models.description import (
    Config,
    ImageShape,
    Model,
    Reference,
    Weights,
    choose,
    conv,
    deconv,
    from_tanh,
    norm,
    numbers,
    to_tanh,
)
from tests.reference.autograd import (
    Value,
    absolute,
    concatenate,
    cross_entropy,
    leaky_relu,
    mean,
    relu,
    tanh,
)
from tests.reference.layers import Network
from tests.reference.optimizers import Adam

L1_WEIGHT = 100


def networks(image_shape: ImageShape, config: Config, classes: int) -> dict[str, Weights]:
    channels, filters = image_shape[-1], config["filters"]
    return {
        "generator": conv("conv1", channels, filters, 4, "normal")
        | conv("conv2", filters, 2 * filters, 4, "normal", bias=False)
        | norm("norm2", 2 * filters, "scale")
        | conv("conv3", 2 * filters, 4 * filters, 4, "normal", bias=False)
        | norm("norm3", 4 * filters, "scale")
        | conv("conv4", 4 * filters, 8 * filters, 4, "normal", bias=False)
        | norm("norm4", 8 * filters, "scale")
        | conv("conv5", 8 * filters, 8 * filters, 4, "normal", bias=False)
        | norm("norm5", 8 * filters, "scale")
        | deconv("deconv1", 8 * filters, 8 * filters, 4, "normal", bias=False)
        | norm("norm6", 8 * filters, "scale")
        | deconv("deconv2", 16 * filters, 4 * filters, 4, "normal", bias=False)
        | norm("norm7", 4 * filters, "scale")
        | deconv("deconv3", 8 * filters, 2 * filters, 4, "normal", bias=False)
        | norm("norm8", 2 * filters, "scale")
        | deconv("deconv4", 4 * filters, filters, 4, "normal", bias=False)
        | norm("norm9", filters, "scale")
        | deconv("deconv5", 2 * filters, channels, 4, "normal"),
        "discriminator": conv("conv1", 2 * channels, filters, 4, "normal")
        | conv("conv2", filters, 2 * filters, 4, "normal", bias=False)
        | norm("norm2", 2 * filters, "scale")
        | conv("conv3", 2 * filters, 4 * filters, 4, "normal", bias=False)
        | norm("norm3", 4 * filters, "scale")
        | conv("conv4", 4 * filters, 8 * filters, 4, "normal", bias=False)
        | norm("norm4", 8 * filters, "scale")
        | conv("conv5", 8 * filters, 1, 4, "normal"),
    }


class Generator(Network):
    def __call__(self, x: Value, training: bool = True) -> Value:
        """(N, C, H, W) -> (N, C, H, W) in [-1, 1], without dropout."""
        levels = [self.conv("conv1", x, stride=2, padding=1)]
        for number in (2, 3, 4, 5):
            x = self.conv(f"conv{number}", leaky_relu(levels[-1]), stride=2, padding=1)
            levels.append(self.norm(f"norm{number}", x, training))
        x = levels.pop()
        for number in (1, 2, 3, 4):
            x = self.deconv(f"deconv{number}", relu(x), stride=2, padding=1)
            x = self.norm(f"norm{number + 5}", x, training)
            x = concatenate([x, levels.pop()])  # the mirror level after the own features
        return tanh(self.deconv("deconv5", relu(x), stride=2, padding=1))


class Discriminator(Network):
    def __call__(self, sources: Value, images: Value) -> Value:
        """A logit for each patch: (N, C, H, W) twice -> (N, 1, H / 8 - 2, W / 8 - 2)."""
        x = leaky_relu(self.conv("conv1", concatenate([sources, images]), stride=2, padding=1))
        x = leaky_relu(self.norm("norm2", self.conv("conv2", x, stride=2, padding=1), True))
        x = leaky_relu(self.norm("norm3", self.conv("conv3", x, stride=2, padding=1), True))
        x = leaky_relu(self.norm("norm4", self.conv("conv4", x, stride=1, padding=1), True))
        return self.conv("conv5", x, stride=1, padding=1)


def make_task(config: Config) -> tasks.Translation:
    return tasks.TRANSLATIONS[config["task"]]()


class Translation(Reference):
    """Equation 4, G maximising log D(x, G(x)) and D's loss halved (section 3.3)."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        if self.config["dropout"]:
            raise ValueError("each framework draws dropout by itself: there is no reference for it")
        self.generator = Generator(self.part("generator"))
        self.discriminator = Discriminator(self.part("discriminator"))
        rate = self.config["learning_rate"]
        self.generator_optimizer = Adam(self.generator.weights.values(), rate, beta1=0.5)
        self.discriminator_optimizer = Adam(self.discriminator.weights.values(), rate, beta1=0.5)

    def step(self, batch: Any, random: np.random.Generator) -> dict[str, float]:
        sources, images = Value(to_tanh(batch.sources)), Value(to_tanh(batch.images))

        fakes = self.generator(sources).detach()
        real_logits = self.discriminator(sources, images)
        fake_logits = self.discriminator(sources, fakes)
        d_loss = (mean(cross_entropy(real_logits, 1)) + mean(cross_entropy(fake_logits, 0))) / 2
        self.discriminator_optimizer.minimize(d_loss)

        fakes = self.generator(sources)  # once more: it moves the running averages again
        adversarial = mean(cross_entropy(self.discriminator(sources, fakes), 1))
        reconstruction = mean(absolute(images - fakes))
        g_loss = adversarial + L1_WEIGHT * reconstruction
        self.generator_optimizer.minimize(g_loss)
        return numbers(
            {
                "discriminator_loss": d_loss,
                "adversarial_loss": adversarial,
                "reconstruction_loss": reconstruction,
                "generator_loss": g_loss,
            }
        )

    def draw(self, dataset: Any, random: np.random.Generator) -> np.ndarray:
        """Translations of 16 test images."""
        sources = make_task(self.config).make_sources(choose(dataset, 16))
        return from_tanh(self.generator(Value(to_tanh(sources)), training=False))

    def compose(self, dataset: Any, drawn: np.ndarray) -> np.ndarray:
        """Source, translation and real image side by side."""
        real = choose(dataset, 16)
        return beside(make_task(self.config).make_sources(real), drawn, real.images)


MODEL = Model(
    defaults={
        "dataset": "newts",
        "steps": 1000,
        "batch_size": 4,
        "learning_rate": 2e-4,
        "task": "segmentation",
        "input": None,
        "filters": 64,
        "dropout": 0.5,
    },
    proof={
        "task": "colorization",
        "image_size": 32,
        "batch_size": 4,
        "learning_rate": 1e-4,
        "filters": 8,
        "dropout": 0,
    },
    networks=networks,
    classes={"generator": "Generator", "discriminator": "Discriminator"},
    optimizers={"generator": ("generator",), "discriminator": ("discriminator",)},
    losses=("discriminator_loss", "adversarial_loss", "reconstruction_loss", "generator_loss"),
    reference=Translation,
    size_multiple=32,
    task=make_task,
    below_dropout=(
        *("conv4", "norm4", "conv5", "norm5"),
        *("deconv1", "norm6", "deconv2", "norm7"),
    ),
    above_dropout=("norm7", "norm8"),
)
