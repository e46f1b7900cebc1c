"""A run goes on where its output cannot be written, and a terminal that closes ends it in order."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from common.run import checkpoint
from tests.support.ports import ROOT, environment

SCRIPT = str(ROOT / "pytorch" / "gan.py")
SMALL = ["--dataset", "digits", "--image-size", "8", "--batch-size", "4", "--log-every", "1"]
STEPS = 1000
LONG = [*SMALL, "--sample-every", "100", "--checkpoint-every", "100000"]


def last_step(folder: Path) -> int:
    return checkpoint.read_header(folder / "run" / "checkpoint.safetensors").metadata["step"]


def start_on_terminal(
    folder: Path, steps: int, *before: str
) -> tuple[subprocess.Popen[bytes], int]:
    """A run on a terminal of its own, and the end that closes it once training is under way."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*before, sys.executable, SCRIPT, *LONG, "--steps", str(steps), "--out", "run"],
        cwd=folder,
        env=environment(),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
    )
    os.close(theirs)
    said = b""
    while b"000100.png" not in said:
        said += os.read(ours, 1000)
    return process, ours


def test_a_run_that_ignores_sighup_outlives_its_terminal(tmp_path: Path) -> None:
    ignoring = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh"]
    process, terminal = start_on_terminal(tmp_path, STEPS, *ignoring)
    os.close(terminal)
    assert process.wait(120) == 0
    assert last_step(tmp_path) == STEPS
    assert (tmp_path / "run" / "losses.png").exists()


def test_a_terminal_that_closes_ends_a_run_with_everything_saved(tmp_path: Path) -> None:
    process, terminal = start_on_terminal(tmp_path, 100 * STEPS)
    os.close(terminal)
    assert process.wait(120) == 130
    assert 100 <= last_step(tmp_path) < 100 * STEPS


def test_sighup_is_as_sigterm(tmp_path: Path) -> None:
    process, terminal = start_on_terminal(tmp_path, 100 * STEPS)
    process.send_signal(signal.SIGHUP)
    said = b""
    try:
        while text := os.read(terminal, 1000):
            said += text
    except OSError:  # its other end is closed
        pass
    assert process.wait(120) == 130
    assert b"stopped after step" in said
    os.close(terminal)


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full", ">/dev/full 2>&1"])
def test_a_run_needs_no_output(tmp_path: Path, closed: str) -> None:
    command = [sys.executable, SCRIPT, *SMALL, "--steps", "3", "--out", "run"]
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *command],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert last_step(tmp_path) == 3


def test_a_reader_that_leaves_does_not_end_a_run(tmp_path: Path) -> None:
    """As `python pytorch/gan.py 2>&1 | head -1` does."""
    command = [sys.executable, SCRIPT, *SMALL, "--steps", "3", "--sample-every", "1"]
    with subprocess.Popen(
        [*command, "--out", "run"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) == 0
    assert last_step(tmp_path) == 3
