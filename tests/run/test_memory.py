"""Memory that runs out: the run ends with a line, before the system kills it without one."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from common.run import memory
from tests.support.ports import PROBES, chosen_ports, run_probe
from tools.library.scripts import ROOT

FROM_C = ("pytorch", "keras-torch", "chainer")  # their arrays come from the C library

# Takes memory bit by bit, as if the machine had 600 MB more than is taken at the start.
GREEDY = """
import numpy
from common.run import launch, memory
total, left = memory.read()
memory.SHARE, memory.LEAST, memory.OWN = (left - 600e6) / total, 0, 0.001
def main():
    taken = []
    while len(taken) < 100:
        taken.append(numpy.ones(5_000_000))
launch(main)
"""

linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is watched on Linux only")


@linux
def test_a_run_that_takes_all_memory_ends_with_a_line() -> None:
    done = subprocess.run(
        [sys.executable, "-c", GREEDY], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: not enough memory: this run has taken "), done.stderr
    assert last.endswith("smaller images, batches or networks need less")


@linux
def test_a_small_process_is_left_alone() -> None:
    """What has taken the memory is something else: this run may yet come to its end."""
    program = GREEDY.replace("0.001", "1")
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 8 GB and 2 GB of swap, 1 GB and half a GB of it left."""
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "GROUPS", tmp_path)
    (tmp_path / "meminfo").write_text(
        "MemTotal: 8000000 kB\nMemFree: 5 kB\nMemAvailable: 1000000 kB\n"
        "SwapTotal: 2000000 kB\nSwapFree: 500000 kB\n"
    )
    return tmp_path


def test_swap_counts(machine: Path) -> None:
    assert memory.read() == (10_000_000 * 1024, 1_500_000 * 1024)


def test_the_limit_of_a_container_counts(machine: Path) -> None:
    (machine / "memory.max").write_text("4000\n")
    (machine / "memory.current").write_text("3500\n")
    (machine / "memory.stat").write_text("anon 3000\ninactive_file 300\nactive_file 50\n")
    assert memory.read() == (4000, 4000 - (3500 - 350))
    (machine / "memory.max").write_text("max\n")
    assert memory.read() == (10_000_000 * 1024, 1_500_000 * 1024)


@pytest.mark.parametrize("text", ["", "MemTotal: many kB\n", "MemTotal: 5 kB\n"])
def test_a_system_that_does_not_say(machine: Path, text: str) -> None:
    (machine / "meminfo").write_text(text)
    assert memory.read() is None
    assert memory.describe() == ""
    with memory.watched():
        pass


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library's way")
@pytest.mark.parametrize("port", [each for each in chosen_ports() if each in FROM_C])
def test_a_step_works_in_the_memory_of_the_step_before(port: str) -> None:
    """Without the system's help: where it hands out pages anew, a step can take twice as long."""
    probe = PROBES / "pages_probe.py"
    said = run_probe(port, probe, port.partition("-")[0])
    assert int(said.splitlines()[-1]) < 200
