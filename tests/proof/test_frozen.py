"""Transfer learning with a frozen backbone, and from weights that ship, over the command line."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from common.run import pretrained
from tests.models import MODELS
from tests.models.description import as_flags
from tests.proof.parity import load_data, play_reference, proof_config, save_start
from tests.support.ports import PROBES, Answer, quick_ports, run_commands, run_probe, side_by_side

PORTS = quick_ports()
STEPS = 3
SMALL = {"image_size": 16, "batch_size": 8}
MODEL = MODELS.get("transfer")

Answers = dict[str, dict[str, Answer]]

each_port = pytest.mark.parametrize("port", PORTS, ids=[f"transfer-{port}" for port in PORTS])
pytestmark = pytest.mark.skipif(MODEL is None, reason="QUARTET_MODELS leaves it out")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("frozen")


@pytest.fixture(scope="session")
def answers(folder: Path) -> Answers:
    """What each port's command lines did."""
    assert MODEL is not None
    start = save_start("transfer", folder, **SMALL, mode="frozen")
    small = ["transfer", *as_flags(SMALL), "--seed", "1"]
    steps = ["--steps", str(STEPS), "--log-every", "1", "--precision", "float64"]
    frozen = ["--width", "4", "--mode", "frozen", "--init-from", str(start)]
    commands = {
        "frozen": [*small, *steps, *frozen, "--out", "frozen"],
        "shipped": [*small, "--steps", "0", "--out", "shipped"],
        "too wide": [*small, "--steps", "0", "--width", "8", "--out", "too-wide"],
    }
    return side_by_side(lambda port: run_commands(port, folder / port, commands), PORTS)


def run_of(answers: Answers, port: str, command: str) -> Path:
    answer = answers[port][command]
    assert answer.status == 0, answer.stderr[-3000:]
    return answer.folder / command


@each_port
def test_only_the_head_of_a_frozen_network_learns(answers: Answers, folder, port: str) -> None:
    """Its backbone stays as it is, batch norm's running averages included."""
    assert MODEL is not None
    start = load_file(folder / "transfer.safetensors")
    run = run_of(answers, port, "frozen")
    found = load_file(run / "checkpoint.safetensors")
    config = proof_config(MODEL, **SMALL, mode="frozen", steps=STEPS, learning_rate=1e-3)
    played = play_reference(MODEL, config, load_data(MODEL, config), start, STEPS)
    for name, array in start.items():
        if name.startswith("backbone."):
            np.testing.assert_array_equal(found[name], array, err_msg=name)
        else:
            np.testing.assert_allclose(found[name], played.arrays[name], rtol=0, atol=1e-10)
            assert np.abs(found[name] - array).max() > 1e-5, name
    with open(run / "metrics.csv", newline="") as file:
        losses = [float(row["classification_loss"]) for row in csv.DictReader(file)]
    expected = [row["classification_loss"] for row in played.losses]
    np.testing.assert_allclose(losses, expected, rtol=1e-9)


@pytest.mark.parametrize("port", [port for port in PORTS if port in ("pytorch", "chainer")])
def test_a_frozen_network_costs_no_gradients(port: str) -> None:
    """Chainer computed them, and did not use them, in two thirds of each step."""
    probe = PROBES / "gradients_probe.py"
    flags = ["--mode", "frozen", "--width", "16"]
    assert run_probe(port, probe, port, "transfer", *flags) == ""


@each_port
def test_a_backbone_begins_with_the_weights_that_ship(answers: Answers, port: str) -> None:
    found = load_file(run_of(answers, port, "shipped") / "checkpoint.safetensors")
    learned = pretrained.load("newts", None).arrays
    assert {name for name in found if name.startswith("backbone.")} == {
        f"backbone.{name}" for name in learned
    }
    for name, array in learned.items():
        np.testing.assert_array_equal(found[f"backbone.{name}"], array, err_msg=name)


@each_port
def test_weights_of_another_width_are_refused(answers: Answers, port: str) -> None:
    answer = answers[port]["too wide"]
    assert answer.status == 2
    assert "16 channels in the first stage, this network 8; give --width 16" in answer.stderr
    assert not (answer.folder / "too-wide").exists()
