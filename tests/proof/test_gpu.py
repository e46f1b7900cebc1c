"""What only a GPU can show: how it rounds products, what memory it takes, and who waits for it.

`make test-gpu` runs this, and the tests of numbers and of command lines, with the scripts there.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.models import MODELS
from tests.models.description import as_flags
from tests.proof.parity import save_start
from tests.support.ports import (
    DEVICE,
    PROBES,
    Answer,
    chosen_ports,
    environment,
    run_commands,
    run_probe,
    side_by_side,
)
from tools.library.scripts import ROOT

PORTS = chosen_ports()
ROUNDED = 1e-2  # relative: a product of 10 bits has an error of 1e-3
EXACT = 1e-4  # of float32 against float64
MEMORY = 8192  # MiB: what a small DCGAN may take, libraries included

each_port = pytest.mark.parametrize("port", PORTS)
pytestmark = pytest.mark.skipif(DEVICE != "gpu", reason="make test-gpu runs it")

Answers = dict[str, dict[str, Answer]]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """A step of DCGAN from one start in each precision, by port."""
    folder = tmp_path_factory.mktemp("gpu")
    wide = {"filters": 32, "image_size": 32}
    start = save_start("dcgan", folder, **wide)
    flags = ["dcgan", *as_flags(MODELS["dcgan"].proof | wide), "--init-from", str(start)]
    flags += ["--steps", "1", "--log-every", "1"]
    commands = {
        precision: [*flags, "--precision", precision, "--out", precision]
        for precision in ("float64", "float32", "tf32")
    }
    return side_by_side(lambda port: run_commands(port, folder / port, commands), PORTS)


def first_losses(answer: Answer, name: str) -> np.ndarray:
    assert answer.status == 0, answer.stderr[-3000:]
    with open(answer.folder / name / "metrics.csv", newline="") as file:
        row = next(csv.DictReader(file))
    return np.array([float(row[f"{network}_loss"]) for network in ("discriminator", "generator")])


@each_port
def test_products_are_rounded_if_asked_for(answers: Answers, port: str) -> None:
    losses = {name: first_losses(answer, name) for name, answer in answers[port].items()}
    exact = losses["float64"]
    apart = {name: np.abs(value / exact - 1).max() for name, value in losses.items()}
    print(port, apart)
    assert apart["float32"] <= EXACT
    assert 10 * apart["float32"] < apart["tf32"] <= ROUNDED


def memory_used() -> int:
    """MiB of the first GPU that are taken, by whatever process."""
    query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return int(subprocess.run(query, capture_output=True, check=True).stdout.split()[0])


@each_port
def test_no_script_takes_the_whole_card(tmp_path: Path, port: str) -> None:
    framework = port.partition("-")[0]
    script = ROOT / framework / "dcgan.py"
    before = most = memory_used()
    with subprocess.Popen(
        [sys.executable, str(script), "--device", "gpu", "--image-size", "32", "--steps", "30"],
        cwd=tmp_path,
        env=environment(port),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while process.poll() is None:
            most = max(most, memory_used())
            time.sleep(0.2)
        errors = process.stderr.read() if process.stderr else ""
    assert process.returncode == 0, errors[-3000:]
    print(port, most - before, "MiB")
    assert 100 < most - before < MEMORY


@pytest.mark.skipif("pytorch" not in PORTS, reason="PyTorch alone can tell")
@pytest.mark.parametrize("model", [name for name in MODELS if name != "cyclegan"])
def test_no_step_waits_for_the_gpu(tmp_path: Path, model: str) -> None:
    """But for CycleGAN's, whose earlier fakes are kept with the data, on the CPU."""
    probe = PROBES / "waiting_probe.py"
    flags = as_flags(MODELS[model].proof)
    assert run_probe("pytorch", probe, model, *flags, "--out", tmp_path / "run", "--device", "gpu")
