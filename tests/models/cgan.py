"""The conditional GAN; Mirza, Osindero (2014), on DCGAN's networks and trained as DCGAN."""

from __future__ import annotations

from typing import Any

import numpy as np

from common.pictures.images import grid, label_rows
from tests.models.dcgan import DeepAdversarial, discriminator_weights, generator_weights
from tests.models.description import Config, ImageShape, Model, Weights
from tests.reference.autograd import Value, concatenate


def networks(image_shape: ImageShape, config: Config, classes: int) -> dict[str, Weights]:
    height, width, channels = image_shape
    return {
        "generator": generator_weights(
            image_shape, config["latent_dim"] + classes, config["filters"]
        ),
        "discriminator": discriminator_weights(
            (height, width, channels + classes), config["filters"], last_normed=False
        ),
    }


class ConditionalAdversarial(DeepAdversarial):
    def generate(self, z: np.ndarray, labels: np.ndarray, training: bool = True) -> Value:
        """The class joined to z, after it, as a vector of one 1 among zeros."""
        return self.generator(Value(np.concatenate([z, self.one_hot(labels)], 1)), training)

    def judge(self, x: Value, labels: np.ndarray) -> Value:
        """The class joined to the image's channels, after them, as a plane of ones among zeros."""
        _, _, height, width = x.shape
        planes = np.ones((1, 1, height, width)) * self.one_hot(labels)[:, :, None, None]
        return self.discriminator(concatenate([x, Value(planes)]))

    def one_hot(self, labels: np.ndarray) -> np.ndarray:
        return np.eye(self.classes)[labels]

    def draw(self, dataset: Any, random: np.random.Generator) -> np.ndarray:
        """Eight images of each class, a class per row, the same noise down each column."""
        z = random.uniform(-1, 1, (8, self.config["latent_dim"]))
        labels = np.repeat(np.arange(self.classes), 8)
        z = np.tile(z, (self.classes, 1))
        return self.from_network(self.generate(z, labels, training=False))

    def compose(self, dataset: Any, drawn: np.ndarray) -> np.ndarray:
        return label_rows(grid(drawn, columns=8), dataset.class_names)


MODEL = Model(
    defaults={
        "dataset": "newts",
        "steps": 10_000,
        "batch_size": 64,
        "learning_rate": 2e-4,
        "latent_dim": 100,
        "filters": 32,
        "class_": None,
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
    reference=ConditionalAdversarial,
    size_multiple=None,
)
