"""Plays a model's reference over the suite's own batches, as a script's command line would."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from common.data import Dataset, load
from common.data.batches import Batches, stack

from models.description import Arrays, Config, Model


@dataclass
class Played:
    """What a run leaves.

    Attributes:
        losses: the numbers logged, by name; a row per step, beginning with step 1.
        arrays: the last step's checkpoint.
        images: what the network drew for the sample picture, `uint8` (N, H, W, C), by step.
        test: the losses of the test split after the last step, by name, if the model has any.
    """

    losses: list[dict[str, float]]
    arrays: Arrays
    images: dict[int, np.ndarray] = field(default_factory=dict)
    test: dict[str, float] = field(default_factory=dict)


def proof_config(model: Model, **settings: object) -> Config:
    """The settings of a model's proof: its defaults, under those of its proof, under those given.

    What a run has besides is only here where the reference needs it: `seed`, 0 unless given.
    """
    return {"seed": 0, "image_size": None} | model.defaults | model.proof | settings


def load_data(model: Model, config: Config) -> Dataset:
    """The data set of a run, as the run loads it."""
    return load(
        config["dataset"],
        image_size=config["image_size"],
        multiple=model.size_multiple,
        task=config.get("task"),
    )


def make_start(model: Model, config: Config, dataset: Dataset, seed: int = 0) -> Arrays:
    """A checkpoint to start a proof from (see `Model.make_start`)."""
    random = np.random.default_rng(seed)
    return model.make_start(dataset.image_shape, config, len(dataset.class_names), random)


def play_reference(
    model: Model,
    config: Config,
    dataset: Dataset,
    start: Arrays,
    steps: int,
    drawn_at: Collection[int] = (),
) -> Played:
    """Train the reference.

    Args:
        model: which one.
        config: the settings, all that the reference needs (see `proof_config`).
        dataset: the run's.
        start: the checkpoint that the run starts from.
        steps: how many.
        drawn_at: the steps after which sample images are drawn, 0 for before the first.
    """
    random = np.random.default_rng(config["seed"])
    batches = Batches(dataset, config["batch_size"], random, config.get("task"))
    reference = model.reference(start, config, dataset.image_shape, len(dataset.class_names))
    played = Played([], reference.arrays)
    for step in range(steps + 1):
        if step:
            drawn = [batches.next() for _ in range(model.batches)]
            batch = drawn[0] if model.batches == 1 else stack(drawn)
            played.losses.append(reference.step(batch, random))
        if step in drawn_at:
            noise = np.random.default_rng((config["seed"], 1))
            played.images[step] = reference.draw(dataset, noise)
    if hasattr(reference, "test"):
        played.test = _test(reference, dataset, np.random.default_rng((config["seed"], 2)))
    return played


def _test(reference, dataset: Dataset, random: np.random.Generator) -> dict[str, float]:
    """The mean losses of the test split, 64 images at a time."""
    images = dataset.test.images
    sums: dict[str, float] = {}
    for start in range(0, len(images), 64):
        part = images[start : start + 64]
        for name, loss in reference.test(part, random).items():
            sums[name] = sums.get(name, 0.0) + loss * len(part)
    return {name: value / len(images) for name, value in sums.items()}
