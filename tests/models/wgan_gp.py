"""The Wasserstein GAN with a gradient penalty; Gulrajani and others (2017)."""

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
    group_norm,
    numbers,
    to_tanh,
)
from tests.reference.autograd import Value, gradients, mean, sum_to, total
from tests.reference.optimizers import Adam

CRITIC_UPDATES = 5  # per update of the generator
PENALTY_WEIGHT = 10
TINY = 1e-12


def critic_weights(image_shape: ImageShape, filters: int) -> Weights:
    return discriminator_weights(image_shape, filters, bias=True, normed=group_norm)


def networks(image_shape: ImageShape, config: Config, classes: int) -> dict[str, Weights]:
    return {
        "generator": generator_weights(image_shape, config["latent_dim"], config["filters"]),
        "critic": critic_weights(image_shape, config["filters"]),
    }


class Critic(Discriminator):
    def normalise(self, name: str, x: Value, training: bool) -> Value:
        return self.group_norm(name, x)


class Penalized(Reference):
    """Algorithm 1: five updates of the critic, each on a batch of its own, then one of G.

    The critic minimises mean f(G(z)) - mean f(x) + 10 mean (|gradient of f at m| - 1)^2, where m
    is a mixture of a real and a fake image in random shares.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.generator = Generator(self.part("generator"), self.image_shape)
        self.critic = Critic(self.part("critic"))
        settings = (self.config["learning_rate"], 0.0, 0.9)
        self.generator_optimizer = Adam(self.generator.weights.values(), *settings)
        self.critic_optimizer = Adam(self.critic.weights.values(), *settings)

    def step(self, batch: Any, random: np.random.Generator) -> dict[str, float]:
        batches, count = batch.labels.shape
        noise = random.uniform(-1, 1, (batches + 1, count, self.config["latent_dim"]))
        shares = random.random((batches, count, 1, 1, 1))
        updates = zip(batch.images, noise[:-1], shares, strict=True)
        *_, losses = [self.update_critic(images, z, share) for images, z, share in updates]
        g_loss = -mean(self.critic(self.generator(Value(noise[-1]))))
        self.generator_optimizer.minimize(g_loss)
        return numbers(losses | {"generator_loss": g_loss})

    def update_critic(
        self, images: np.ndarray, z: np.ndarray, share: np.ndarray
    ) -> dict[str, Value]:
        """One update; the losses are those before it."""
        real = Value(to_tanh(images))
        fakes = self.generator(Value(z)).detach()
        distance = mean(self.critic(real)) - mean(self.critic(fakes))
        norms = gradient_norms(self.critic, share * real.data + (1 - share) * fakes.data)
        penalty = PENALTY_WEIGHT * mean((norms - 1) ** 2)
        self.critic_optimizer.minimize(penalty - distance)
        return {
            "critic_loss": penalty - distance,
            "wasserstein": distance,
            "gradient_penalty": penalty,
            "gradient_norm": mean(norms),
        }

    def draw(self, dataset: Any, random: np.random.Generator) -> np.ndarray:
        """64 samples."""
        z = random.uniform(-1, 1, (64, self.config["latent_dim"]))
        return from_tanh(self.generator(Value(z), training=False))


def gradient_norms(critic: Any, images: np.ndarray) -> Value:
    """Length of the critic's gradient at each image: (N, C, H, W) -> (N, 1, 1, 1)."""
    x = Value(images)
    (slope,) = gradients(total(critic(x)), [x])
    return (sum_to(slope**2, (len(images), 1, 1, 1)) + TINY) ** 0.5


MODEL = Model(
    defaults={
        "dataset": "newts",
        "steps": 1000,
        "batch_size": 64,
        "learning_rate": 1e-4,
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
    losses=("critic_loss", "wasserstein", "gradient_penalty", "gradient_norm", "generator_loss"),
    reference=Penalized,
    size_multiple=None,
    batches=CRITIC_UPDATES,
    may_rest=("critic.dense.bias",),  # it moves f(x) and f(G(z)) alike: its gradient is 0
)
