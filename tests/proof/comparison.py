"""What a port's run has left, beside the reference's numbers: each check raises AssertionError."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from common.data import Task
from tests.models import MODELS
from tests.models.description import Arrays, Config, ImageShape, Model, as_flags
from tests.proof.parity import load_data

LOSSES = 1e-9  # relative
WEIGHTS = 1e-8


def read_losses(run: Path) -> dict[str, np.ndarray]:
    """The losses that a run has logged, by name, a number per step."""
    with open(run / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    others = {"step", "images_per_second", "diversity", "accuracy"}
    return {n: np.array([row[n] for row in rows], float) for n in rows[0] if n not in others}


def check_losses(run: Path, expected: Arrays, model: Model, steps: int) -> None:
    """Of every step."""
    found = read_losses(run)
    assert list(found) == sorted(model.losses)
    for name, values in found.items():
        right = expected[f"losses/{name}"]
        assert len(values) == steps
        apart = np.abs(values - right) / np.maximum(np.abs(right), 1e-3)
        worst = int(apart.argmax())
        assert apart[worst] <= LOSSES, (
            f"{name} of step {worst + 1}: {values[worst]!r}, not {right[worst]!r}"
        )


def check_weights(run: Path, expected: Arrays) -> None:
    """All of them: parameters and running averages."""
    found = load_file(run / "checkpoint.safetensors")
    right = {
        name.removeprefix("arrays/"): array
        for name, array in expected.items()
        if name.startswith("arrays/")
    }
    assert set(found) == set(right)
    for name, array in right.items():
        assert found[name].dtype == np.float64
        apart = np.abs(found[name] - array).max()
        assert apart <= WEIGHTS, f"{name}: {apart:.1e} apart"


def check_picture(path: Path, expected: np.ndarray) -> None:
    """A rounding can make one grey level, here and there."""
    with Image.open(path) as file:
        found = np.asarray(file).astype(int)
    assert found.shape == expected.squeeze().shape
    apart = np.abs(found - expected.squeeze())
    assert apart.max() <= 1
    assert apart.mean() < 0.01


def check_pictures(run: Path, expected: Arrays, steps: int) -> None:
    """At the start and at the end."""
    for step in (0, steps):
        check_picture(run / "samples" / f"{step:06d}.png", expected[f"picture/{step}"])


def check_evaluation(run: Path, expected: Arrays, printed: str, beginnings: Iterable[str]) -> None:
    """The losses of the test split; and all is printed that a run ends with."""
    right = {
        name.removeprefix("test/"): float(value)
        for name, value in expected.items()
        if name.startswith("test/")
    }
    assert (run / "evaluation.json").exists() == bool(right)
    if right:
        found = json.loads((run / "evaluation.json").read_text())
        for name, value in right.items():
            assert found[f"test {name}"] == pytest.approx(value, rel=LOSSES), name
    lines = printed.splitlines()
    for beginning in beginnings:
        assert any(line.startswith(beginning) for line in lines), beginning


def initial_config(model: Model) -> Config:
    """Another data set than by default: it has other numbers of channels and classes."""
    grey = type(model.task(model.defaults)) is Task and model.defaults["dataset"] != "digits"
    size = model.proof["image_size"]
    other = {"image_size": size, "dataset": "digits" if grey else "newts"}
    return model.defaults | other | model.from_chance


def start_of(name: str, folder: Path) -> list[str]:
    """The command line of a model's runs from `FOLDER/NAME.safetensors`."""
    flags = [name, *MODELS[name].flags, "--seed", "1", "--checkpoint-every", "1000000"]
    return [*flags, "--init-from", str(folder / f"{name}.safetensors"), "--log-every", "1"]


def commands_of(name: str, folder: Path, steps: int) -> dict[str, list[str]]:
    """A proof in float64, and initial weights."""
    proof = ["--precision", "float64", "--steps", str(steps), "--sample-every", str(steps)]
    initial = initial_config(MODELS[name])
    named = ("dataset", "image_size", *MODELS[name].from_chance)
    others = as_flags({key: initial[key] for key in named})
    return {
        "proof": [*start_of(name, folder), *proof, "--out", f"{name}-proof"],
        "initial": [name, *others, "--steps", "0", "--out", f"{name}-initial"],
    }


@lru_cache
def initial_shape(name: str) -> tuple[ImageShape, int]:
    """The shape of an image of `initial_config`'s data, and how many classes there are."""
    dataset = load_data(MODELS[name], initial_config(MODELS[name]))
    return dataset.image_shape, len(dataset.class_names)


def check_initial(run: Path, name: str) -> None:
    """Weights that are drawn have the described distribution, and no two arrays are alike."""
    arrays = load_file(run / "checkpoint.safetensors")
    shape, classes = initial_shape(name)
    model = MODELS[name]
    assert model.check_initial(arrays, shape, initial_config(model), classes) == []
    # An initialiser that draws the same numbers twice is a trap of Keras.
    drawn = [a.ravel()[:100] for a in arrays.values() if a.ndim > 1]
    for index, first in enumerate(drawn):
        for second in drawn[index + 1 :]:
            size = min(len(first), len(second))
            assert not np.allclose(first[:size], second[:size])
