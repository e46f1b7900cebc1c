"""Trains a model's reference on the suite's own batches, as a script's command line would.

Run as `python tests/proof/parity.py FOLDER STEPS`: from FOLDER/NAME.safetensors, for every model
(made if it is not there), it makes FOLDER/NAME-reference.npz, with `losses/NAME` (a number per
step), `arrays/KEY`, the last step's, `picture/STEP`, the first and the last, and `test/NAME`, the
losses of the test split.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from common.data import Dataset
from common.data.batches import stack
from common.run import checkpoint
from common.run.checkpoint import Checkpoint
from tests.models import MODELS
from tests.models.description import Arrays, Config, Model, Reference


@dataclass
class Played:
    """What a run leaves.

    Attributes:
        losses: the numbers logged, by name; a row per step, beginning with step 1.
        arrays: the last step's checkpoint.
        pictures: what shows how training goes, `uint8` (H, W, C), by step.
        test: the losses of the test split after the last step, by name, if the model has any.
    """

    losses: list[dict[str, float]]
    arrays: Arrays
    pictures: dict[int, np.ndarray] = field(default_factory=dict)
    test: dict[str, float] = field(default_factory=dict)


def proof_config(model: Model, **settings: object) -> Config:
    """The settings of a model's proof: its defaults, under those of its proof, under those given.

    What a run has besides is only here where the reference needs it: `seed`, 1 unless given.
    """
    return {"seed": 1, "image_size": None} | model.defaults | model.proof | settings


def load_data(model: Model, config: Config) -> Dataset:
    """The data set of a run, as the run loads it."""
    return model.task(config).load(
        config["dataset"],
        image_size=config["image_size"],
        multiple=model.size_multiple,
    )


def make_start(model: Model, config: Config, dataset: Dataset, seed: int = 0) -> Arrays:
    """A checkpoint to start a proof from (see `Model.make_start`)."""
    random = np.random.default_rng(seed)
    return model.make_start(dataset.image_shape, config, len(dataset.class_names), random)


def save_start(name: str, folder: Path, **settings: object) -> Path:
    """Write `FOLDER/NAME.safetensors`, the checkpoint that a model's proof starts from.

    Under other settings than the proof's, if any are given.
    """
    model = MODELS[name]
    config = proof_config(model, **settings)
    dataset = load_data(model, config)
    about = {
        "model": name,
        "framework": "numpy",
        "step": 0,
        "image_shape": dataset.image_shape,
        "class_names": dataset.class_names,
        "config": config,
    }
    path = folder / f"{name}.safetensors"
    checkpoint.save(path, Checkpoint(make_start(model, config, dataset), about))
    return path


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
        drawn_at: the steps after which a picture is drawn, 0 for before the first.
    """
    random = np.random.default_rng(config["seed"])
    batches = model.task(config).make_batches(dataset, config["batch_size"], random)
    reference = model.reference(start, config, dataset.image_shape, len(dataset.class_names))
    played = Played([], reference.arrays)
    for step in range(steps + 1):
        if step:
            taken = [batches.next() for _ in range(model.batches)]
            batch = taken[0] if model.batches == 1 else stack(taken)
            played.losses.append(reference.step(batch, random))
        if step in drawn_at:
            noise = np.random.default_rng((config["seed"], 1))
            drawn = reference.draw(dataset, noise)
            played.pictures[step] = reference.compose(dataset, drawn)
    played.test = _test(reference, dataset, np.random.default_rng((config["seed"], 2)))
    return played


def _test(reference: Reference, dataset: Dataset, random: np.random.Generator) -> dict[str, float]:
    """The mean losses of the test split, 64 images at a time."""
    count = len(dataset.test)
    sums: dict[str, float] = {}
    for start in range(0, count, 64):
        part = dataset.test.take(slice(start, start + 64))
        for name, loss in reference.test(part, random).items():
            sums[name] = sums.get(name, 0.0) + loss * len(part)
    return {name: value / count for name, value in sums.items()}


def main() -> None:
    folder, steps = Path(sys.argv[1]), int(sys.argv[2])
    for name, model in MODELS.items():
        config = proof_config(model, steps=steps)
        path = folder / f"{name}.safetensors"
        start = load_file(path if path.exists() else save_start(name, folder))
        played = play_reference(
            model, config, load_data(model, config), start, steps, drawn_at=(0, steps)
        )
        numbers = {
            f"losses/{loss}": np.array([row[loss] for row in played.losses])
            for loss in model.losses
        }
        numbers |= {f"arrays/{key}": array for key, array in played.arrays.items()}
        numbers |= {f"picture/{step}": picture for step, picture in played.pictures.items()}
        numbers |= {f"test/{loss}": np.array(value) for loss, value in played.test.items()}
        np.savez(folder / f"{name}-reference.npz", allow_pickle=False, **numbers)


if __name__ == "__main__":
    main()
