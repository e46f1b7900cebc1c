"""Ctrl-C: the step at hand is finished, all is saved, and the way to go on is said."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors import safe_open

from tests.support.ports import ROOT, environment, run_script


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_resume(tmp_path: Path, number: signal.Signals) -> None:
    small = ["--image-size", "16", "--batch-size", "4", "--log-every", "1", "--out", "run"]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "pytorch" / "dcgan.py"), *small, "--steps", "100000"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    table = tmp_path / "run" / "metrics.csv"
    deadline = time.monotonic() + 120
    while not table.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "--resume" in errors.splitlines()[-1]

    with safe_open(tmp_path / "run" / "checkpoint.safetensors", framework="numpy") as file:
        step = int(file.metadata()["step"])
    assert step >= 1
    assert (tmp_path / "run" / f"optimizer-{step}.safetensors").exists()
    again = run_script(
        "pytorch", "--out", "run", "--resume", "--steps", str(step + 1), cwd=tmp_path
    )
    assert again.returncode == 0, again.stderr
    steps = [int(line.split(",")[0]) for line in table.read_text().splitlines()[1:]]
    assert steps == list(range(1, step + 2))
