"""The Wasserstein GAN; Arjovsky, Chintala, Bottou (2017), on DCGAN's networks."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.models.dcgan import Discriminator, Generator, discriminator_weights, generator_weights
from tests.models.description import (
    Config,
    ImageShape,
    Model,
    Reference,
    Weights,
    from_tanh,
    numbers,
    to_tanh,
)
from tests.reference.autograd import Value, mean
from tests.reference.optimizers import RMSProp, clip

CRITIC_UPDATES = 5  # per update of the generator
CLIP = 0.01
# Whether scales and shifts of batch norm are clipped too. Unclipped, the critic magnifies rounding
# more: its proof then needs a learning rate of 1e-5, or eight images in a batch.
CLIP_NORMS = True


def networks(image_shape: ImageShape, config: Config, classes: int) -> dict[str, Weights]:
    return {
        "generator": generator_weights(image_shape, config["latent_dim"], config["filters"]),
        "critic": discriminator_weights(image_shape, config["filters"]),
    }


class Wasserstein(Reference):
    """Algorithm 1: five updates of the critic, each on a batch of its own, then one of G.

    The critic maximises mean f(x) - mean f(G(z)), G maximises mean f(G(z)). The first difference
    estimates the Wasserstein distance, up to a factor.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.generator = Generator(self.part("generator"), self.image_shape)
        self.critic = Discriminator(self.part("critic"))
        rate = self.config["learning_rate"]
        self.generator_optimizer = RMSProp(self.generator.weights.values(), rate)
        self.critic_optimizer = RMSProp(self.critic.weights.values(), rate)
        self.clipped = [
            weight
            for name, weight in self.critic.weights.items()
            if CLIP_NORMS or not name.startswith("norm")
        ]

    def step(self, batch: Any, random: np.random.Generator) -> dict[str, float]:
        updates, count = batch.labels.shape
        noise = random.uniform(-1, 1, (updates + 1, count, self.config["latent_dim"]))
        pairs = zip(batch.images, noise[:-1], strict=True)
        *_, distance = [self.update_critic(images, z) for images, z in pairs]
        g_loss = -mean(self.critic(self.generator(Value(noise[-1]))))
        self.generator_optimizer.minimize(g_loss)
        return numbers(
            {"critic_loss": -distance, "generator_loss": g_loss, "wasserstein": distance}
        )

    def update_critic(self, images: np.ndarray, z: np.ndarray) -> Value:
        """One update; the distance is that before it."""
        fakes = self.generator(Value(z)).detach()
        real_scores = self.critic(Value(to_tanh(images)))
        distance = mean(real_scores) - mean(self.critic(fakes))
        self.critic_optimizer.minimize(-distance)
        clip(self.clipped, CLIP)
        return distance

    def draw(self, dataset: Any, random: np.random.Generator) -> np.ndarray:
        """64 samples."""
        z = random.uniform(-1, 1, (64, self.config["latent_dim"]))
        return from_tanh(self.generator(Value(z), training=False))


MODEL = Model(
    defaults={
        "dataset": "newts",
        "steps": 1000,
        "batch_size": 64,
        "learning_rate": 5e-5,
        "latent_dim": 100,
        "filters": 32,
    },
    proof={
        "image_size": 40,
        "batch_size": 4,
        "learning_rate": 2e-5,
        "latent_dim": 50,
        "filters": 4,
    },
    networks=networks,
    classes={"generator": "Generator", "critic": "Critic"},
    optimizers={"generator": ("generator",), "critic": ("critic",)},
    losses=("critic_loss", "generator_loss", "wasserstein"),
    reference=Wasserstein,
    size_multiple=None,
    batches=CRITIC_UPDATES,
    may_rest=("critic.dense.bias",),  # it moves f(x) and f(G(z)) alike: its gradient is 0
)
