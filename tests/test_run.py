"""The loop that a script's `main` drives: what is due when, and what may not be forgotten."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest

from common.errors import UserError
from common.pictures.base import Pictures
from common.run import Run, Settings, checkpoint
from tools.scripts import ROOT

SCRIPT = str(ROOT / "pytorch" / "gan.py")


class Bridge:
    """A framework whose networks are dicts of arrays."""

    def get_arrays(self, network: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: array.copy() for name, array in network.items()}

    def set_arrays(self, network: dict[str, np.ndarray], arrays: dict[str, np.ndarray]) -> None:
        network.update(arrays)

    get_optimizer_state, set_optimizer_state = get_arrays, set_arrays

    def get_chance(self, networks: Any) -> dict[str, np.ndarray]:
        return {"state": networks["net"]["w"] * 2}

    def set_chance(self, networks: Any, arrays: dict[str, np.ndarray]) -> None:
        assert (arrays["state"] == networks["net"]["w"] * 2).all()


class Grey(Pictures):
    figures = ("diversity",)

    def draw(self) -> tuple[np.ndarray, dict[str, float]]:
        return np.full((8, 8, 1), 99, np.uint8), {"diversity": 0.5}


@dataclass(frozen=True)
class Later(Settings):
    """Has a setting that earlier checkpoints do not know."""

    filters: Annotated[int, "how wide", 1] = 7


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that makes a run from flags, and its one network."""
    monkeypatch.chdir(tmp_path)

    def make(flags: str) -> tuple[Run, dict[str, np.ndarray]]:
        arguments = ["--image-size", "8", "--batch-size", "2", "--out", "run", *flags.split()]
        run = Run(Settings, SCRIPT, "A model.", arguments)
        net = {"w": np.zeros(3)}
        run.connect(Bridge(), {"net": net}, {"net": {"m": np.zeros(3)}})
        return run, net

    return make


def train(run: Run, net: dict[str, np.ndarray], add: float = 1) -> list[str]:
    """The loop of the scripts; what happened, in order."""
    seen = []
    run.begin(Grey())
    for step, batch in run.steps():
        assert batch.images.dtype == np.uint8
        net["w"] += add
        run.log(step, {"loss": np.float32(step / 3)})
        if run.samples_due(step):
            run.save_samples(step, Grey())
            seen.append(f"samples {step}")
        if run.checkpoint_due(step):
            run.save_checkpoint(step)
            seen.append(f"checkpoint {step}")
    return seen


def rows(table: Path) -> list[dict[str, str]]:
    with open(table, newline="") as file:
        return list(csv.DictReader(file))


def test_what_is_due_when(start: Any) -> None:
    run, net = start("--steps 7 --log-every 2 --sample-every 3 --checkpoint-every 4")
    assert train(run, net) == [
        "samples 3",
        "checkpoint 4",
        "samples 6",
        "samples 7",
        "checkpoint 7",
    ]
    table = rows(Path("run/metrics.csv"))
    assert [row["step"] for row in table] == ["2", "3", "4", "6", "7"]
    assert [row["diversity"] for row in table] == ["", "0.5", "", "0.5", "0.5"]
    assert [row["loss"] for row in table][:2] == ["0.666666687", "1.0"]
    assert sorted(path.name for path in Path("run/samples").iterdir()) == [
        f"00000{step}.png" for step in (0, 3, 6, 7)
    ]


def test_a_step_that_is_not_logged_is_an_error(start: Any) -> None:
    run, _ = start("--steps 3")
    run.begin(Grey())
    steps = run.steps()
    next(steps)
    with pytest.raises(RuntimeError, match=r"step 1 was not logged: call run\.log"):
        next(steps)


def test_a_run_goes_on_where_it_was(start: Any) -> None:
    run, net = start("--steps 4 --log-every 1 --sample-every 9")
    train(run, net)
    before = run.random.random()
    again, net = start("--steps 6 --resume")
    assert again.step == 4
    assert (net["w"] == 4).all()
    assert again.random.random() == before
    assert train(again, net) == ["samples 6", "checkpoint 6"]
    assert [row["step"] for row in rows(Path("run/metrics.csv"))] == list("123456")


def test_no_checkpoint_follows_a_weight_that_is_not_finite(start: Any) -> None:
    run, net = start("--steps 4 --checkpoint-every 2")
    with pytest.raises(UserError, match=r"step 2: net\.w is no longer finite"):
        train(run, net, add=np.inf)
    kept = checkpoint.load(Path("run/checkpoint.safetensors"))
    assert kept.metadata["step"] == 0
    assert (kept.arrays["net.w"] == 0).all()


def test_a_precision_that_is_not_known_is_refused(start: Any) -> None:
    with pytest.raises(UserError, match="--precision"):
        start("--precision float16")


def test_a_checkpoint_from_before_a_setting_has_its_default(start: Any) -> None:
    run, net = start("--steps 1")
    train(run, net)
    drawing = ["--generate", "1", "--from", "run/checkpoint.safetensors", "--out", "drawn"]
    assert Run(Later, SCRIPT, "A model.", drawing).config.filters == 7
