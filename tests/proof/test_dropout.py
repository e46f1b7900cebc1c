"""Dropout is each framework's own chance: what must hold of it all the same, over the command line.

The proof of equality switches it off, so what it does when it is on is tested here.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from tests.models import MODELS
from tests.models.description import as_flags
from tests.proof.parity import save_start
from tests.support.ports import Answer, quick_ports, run_commands, side_by_side

PORTS = quick_ports()
DROPPING = [name for name, model in MODELS.items() if "dropout" in model.defaults]
# Nothing is learned at this rate: the losses differ from step to step by dropout alone.
STILL = "1e-30"

Answers = dict[str, dict[str, Answer]]

each_model = pytest.mark.parametrize("model", DROPPING)
each_port = pytest.mark.parametrize("port", PORTS)


@pytest.fixture(scope="session")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """What each port's command lines did."""
    folder = tmp_path_factory.mktemp("dropout")
    pictures = folder / "pictures"
    pictures.mkdir()
    random = np.random.default_rng(0)
    for index in range(3):  # the last is for the test: a batch is always the same two
        pixels = random.integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(pixels).save(pictures / f"{index}.png")
    commands: dict[str, list[str]] = {}
    for name in DROPPING:
        # In a narrow network chance outweighs the mean; a wide one takes long to save.
        wide = {"filters": 32}
        small = [name, *as_flags(MODELS[name].proof | wide), "--dataset", f"folder:{pictures}"]
        small += ["--init-from", str(save_start(name, folder, **wide))]
        small += ["--batch-size", "2", "--log-every", "1", "--sample-every", "1"]
        for title, dropout, rate, steps in (
            ("on", "0.5", STILL, "3"),
            ("off", "0", STILL, "3"),
            ("all", "0.99999999", "2e-4", "1"),
        ):
            flags = ["--dropout", dropout, "--learning-rate", rate, "--steps", steps]
            commands[f"{name} {title}"] = [*small, *flags, "--out", f"{name}-{title}"]
        commands[f"{name} too much"] = [*small, "--dropout", "1", "--out", "never"]
    return side_by_side(lambda port: run_commands(port, folder / port, commands), PORTS)


def run_of(answers: Answers, port: str, model: str, title: str) -> Path:
    answer = answers[port][f"{model} {title}"]
    assert answer.status == 0, answer.stderr[-3000:]
    return answer.folder / f"{model}-{title}"


def losses(run: Path) -> np.ndarray:
    with open(run / "metrics.csv", newline="") as file:
        return np.array([row["reconstruction_loss"] for row in csv.DictReader(file)], float)


@each_port
@each_model
def test_two_training_passes_differ(answers: Answers, model: str, port: str) -> None:
    first, second, third = losses(run_of(answers, port, model, "on"))
    assert min(abs(first - second), abs(second - third)) > 1e-4 * first
    still = losses(run_of(answers, port, model, "off"))
    assert np.ptp(still) < 1e-5 * still[0]


@each_port
@each_model
def test_two_translations_do_not_differ(answers: Answers, model: str, port: str) -> None:
    """Drawn without dropout; the running averages move in training, so a new one settles them."""
    for title in ("on", "all"):
        run = run_of(answers, port, model, title)
        off = run_of(answers, port, model, "off")
        pictures = [
            np.asarray(Image.open(folder / "samples" / "000000.png")).astype(int)
            for folder in (run, off)
        ]
        assert np.abs(pictures[0] - pictures[1]).max() <= 1
        assert pictures[0].std() > 5


@each_port
@each_model
def test_nothing_learns_below_features_that_are_all_dropped(
    answers: Answers, model: str, port: str
) -> None:
    """If a level had no dropout, or another rate than its flag's, what lies below would move."""
    run = run_of(answers, port, model, "all")
    start = load_file(run_of(answers, port, model, "off") / "checkpoint.safetensors")
    for name, array in load_file(run / "checkpoint.safetensors").items():
        if ".running_" in name or not name.startswith("generator."):
            continue
        rests = name.split(".")[1] in MODELS[model].below_dropout
        moved = np.abs(array - start[name]).max() > 1e-20  # more than by the rate of `STILL`
        assert moved != rests, name


@each_port
@each_model
def test_what_is_left_is_scaled_up(answers: Answers, model: str, port: str) -> None:
    """A convolution of it has on average the same output as without dropout, but not each time."""
    on, off = (
        load_file(run_of(answers, port, model, title) / "checkpoint.safetensors")
        for title in ("on", "off")
    )
    for name in MODELS[model].above_dropout:
        key = f"generator.{name}.running_mean"
        assert not np.allclose(on[key], off[key], rtol=1e-3), f"{name}: nothing was dropped below"
        assert on[key] @ off[key] == pytest.approx(off[key] @ off[key], rel=0.05), name


@each_port
@each_model
def test_a_share_of_all_is_refused(answers: Answers, model: str, port: str) -> None:
    answer = answers[port][f"{model} too much"]
    assert answer.status == 2
    assert "--dropout 1.0: must be below 1" in answer.stderr
    assert not (answer.folder / "never").exists()
