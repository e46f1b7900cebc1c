"""A run without a framework: the suite's own, of a network that is a dict of arrays."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from common.pictures.base import Pictures
from common.run import Run, Settings, checkpoint
from tools.library.scripts import ROOT

SCRIPT = str(ROOT / "pytorch" / "gan.py")


class Bridge:
    """A framework whose networks are dicts of arrays."""

    def get_arrays(self, network: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: array.copy() for name, array in network.items()}

    def set_arrays(self, network: dict[str, np.ndarray], arrays: dict[str, np.ndarray]) -> None:
        network.update(arrays)

    get_optimizer_state, set_optimizer_state = get_arrays, set_arrays

    def get_rng_state(self, networks: Any) -> dict[str, np.ndarray]:
        return {"state": networks["net"]["w"] * 2}

    def set_rng_state(self, networks: Any, arrays: dict[str, np.ndarray]) -> None:
        assert (arrays["state"] == networks["net"]["w"] * 2).all()

    def refuse(self, *given: Any, **named: Any) -> Any:
        """What a run on one core, without dropout or bfloat16, does not ask for."""
        raise NotImplementedError

    prepare = mix = join = average = apply = refuse


class Grey(Pictures):
    figures = ("diversity",)

    def draw(self) -> tuple[np.ndarray, dict[str, float]]:
        return np.full((8, 8, 1), 99, np.uint8), {"diversity": 0.5}


def make_run(flags: str) -> tuple[Run, dict[str, np.ndarray]]:
    """A run from flags, in the folder `run` of the working folder, and its one network."""
    arguments = ["--image-size", "8", "--batch-size", "2", "--out", "run", *flags.split()]
    run = Run(Settings, SCRIPT, "A model.", arguments)
    net = {"w": np.zeros(3)}
    run.connect(Bridge(), {"net": net}, {"net": {"m": np.zeros(3)}}, Grey())
    return run, net


def train(run: Run, net: dict[str, np.ndarray], add: float = 1) -> list[str]:
    """The loop of the scripts; what was made after which step."""
    seen, first = [], run.step
    for batch in run.batches():
        seen += find_made(run) if run.step > first else []
        assert batch.images.dtype == np.uint8
        net["w"] += add
        run.log({"loss": np.float32((run.step + 1) / 3)})
    return seen + find_made(run)


def find_made(run: Run) -> list[str]:
    """Which of a picture and a checkpoint there are of the run's last step."""
    picture = run.folder.samples / f"{run.step:06d}.png"
    saved = checkpoint.read_header(run.folder.checkpoint).metadata["step"]
    made = {"samples": picture.is_file(), "checkpoint": saved == run.step}
    return [f"{name} {run.step}" for name, there in made.items() if there]


def rows(table: Path) -> list[dict[str, str]]:
    with open(table, newline="") as file:
        return list(csv.DictReader(file))
