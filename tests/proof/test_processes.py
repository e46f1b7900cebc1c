"""Two processes that train together end where one does by itself, and one that dies ends both.

DCGAN in each port; on JAX, which compiles for a minute, a VAE in the whole proof. With
QUARTET_PROCESSES=all every model in each.
"""

from __future__ import annotations

import contextlib
import csv
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from common import processes
from common.errors import UserError
from common.processes import Processes, find_processes
from tests.models import MODELS
from tests.models.description import as_flags
from tests.support.ports import quick_ports, side_by_side
from tests.support.together import COUNT, said, start

PORTS = quick_ports()
ALL = os.environ.get("QUARTET_PROCESSES") == "all"
FEW = dict.fromkeys(PORTS, "dcgan") | {"keras-jax": "vae"}
CHOSEN = [(p, m) for p in PORTS for m in MODELS if ALL or m == FEW[p]]
QUICK = ["--dataset", "digits"]  # newts have to be drawn first, in every process
STEPS = 3
# A sum in another order, after three steps; measured are 4e-11 at most, in all models and ports.
BOUND = 1e-9
PATIENCE = 300  # seconds


def flags_of(model: str) -> list[str]:
    """The settings of the proof, in float64."""
    settings = MODELS[model].proof | MODELS[model].from_chance
    flags = [*as_flags(settings), "--seed", "1", "--precision", "float64", "--log-every", "1"]
    flags += [] if ALL else QUICK
    return [*flags, *(["--pool-size", "0"] if "pool_size" in MODELS[model].proof else [])]


def train_alone_and_together(port: str, model: str, folder: Path) -> str:
    """What differs between one process and two; nothing, if all is well."""
    folder.mkdir()
    # Where it is quick, the two stop before the end and go on.
    parts = [2, STEPS] if port == "chainer" or ALL else [STEPS]
    runs = [(1, STEPS, "alone"), *((COUNT, steps, "together") for steps in parts)]
    for count, steps, out in runs:
        flags = [*flags_of(model), "--steps", str(steps), "--out", out]
        flags += ["--resume"] if (folder / out).exists() else []
        for process in start(port, model, flags, folder, count):
            if process.wait(PATIENCE):
                return said(folder)[-3000:]
    return compare(folder / "alone", folder / "together")


def compare(alone: Path, together: Path) -> str:
    one, two = (load_file(run / "checkpoint.safetensors") for run in (alone, together))
    if one.keys() != two.keys():
        return f"other tensors: {one.keys() ^ two.keys()}"
    for name, array in one.items():
        if (far := np.abs(array - two[name]).max()) > BOUND:
            return f"{name} differs by {far}"
    for name, column in read_losses(alone).items():
        if (far := np.abs(column - read_losses(together)[name]).max()) > BOUND:
            return f"column {name} differs by {far}"
    return ""


def read_losses(run: Path) -> dict[str, np.ndarray]:
    with open(run / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return {n: np.array([row[n] for row in rows], float) for n in rows[0] if n.endswith("loss")}


@pytest.fixture(scope="module")
def differences(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """By port and model."""

    def train(port: str) -> dict[str, str]:
        folder = tmp_path_factory.mktemp(port)
        models = [model for named, model in CHOSEN if named == port]
        return {model: train_alone_and_together(port, model, folder / model) for model in models}

    return side_by_side(train, PORTS)


@pytest.mark.parametrize(("port", "model"), CHOSEN)
def test_two_processes_end_where_one_does(differences, port: str, model: str) -> None:
    assert not differences[port][model]


def wait_until(condition: Callable[[], bool], folder: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, said(folder)[-3000:]
        time.sleep(0.05)


def rows_of(run: Path) -> int:
    table = run / "metrics.csv"
    return len(table.read_text().splitlines()) - 1 if table.exists() else 0


def children(launcher: int) -> list[int]:
    """The processes that a launcher has started, and those that they have."""
    found = []
    for line in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = line.read_text()
        except OSError:  # it has just ended
            continue
        if int(text.rpartition(")")[2].split()[1]) == launcher:
            number = int(line.parent.name)
            found += [number, *children(number)]
    return sorted(found)


def trains(process: int) -> bool:
    """Whether a process runs the script itself."""
    command = Path(f"/proc/{process}/cmdline").read_bytes()
    return b"gan.py" in command and not re.search(b"torchrun|mpiexec|hydra", command)


@pytest.fixture
def running(tmp_path: Path):
    """Starts a long run in two processes; they are gone afterwards, whatever happens."""
    started: list[subprocess.Popen[str]] = []

    def begin(port: str) -> list[subprocess.Popen[str]]:
        flags = ["--image-size", "16", "--batch-size", "4", "--steps", "100000", "--log-every", "2"]
        flags += ["--checkpoint-every", "4", "--sample-every", "50000", "--out", "run", *QUICK]
        started.extend(start(port, "gan", flags, tmp_path))
        wait_until(lambda: rows_of(tmp_path / "run") > 4, tmp_path)
        return started

    yield begin
    for process in started:
        for number in [*children(process.pid), process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        process.wait()


KILLED = [port for port in ("pytorch", "tensorflow", "chainer") if port in PORTS]


@pytest.mark.parametrize("port", KILLED)
def test_a_process_that_dies_ends_the_run(port: str, tmp_path: Path, running) -> None:
    processes = running(port)
    if len(processes) == COUNT:
        victim = processes[1].pid
    else:
        victim = [number for number in children(processes[0].pid) if trains(number)][-1]
    os.kill(victim, signal.SIGKILL)
    statuses = [process.wait(PATIENCE) for process in processes]
    text = said(tmp_path)
    assert all(statuses)
    if port == "chainer":  # MPI ends what is left, before it could say anything
        assert "Killed (signal 9)" in text or "Abort(" in text
    else:
        assert text.count("error: another process of this run has ended") == 1
        assert "--resume" in text
    load_file(tmp_path / "run" / "checkpoint.safetensors")


@pytest.mark.parametrize("port", [port for port in KILLED if port != "tensorflow"])
def test_ctrl_c_stops_all_after_the_same_step(port: str, tmp_path: Path, running) -> None:
    processes = running(port)
    for process in processes:
        os.killpg(process.pid, signal.SIGINT)
    for process in processes:
        process.wait(PATIENCE)
    text = said(tmp_path)
    step = re.search(r"stopped after step (\d+); go on with: the same command and --resume", text)
    assert step, text[-3000:]
    assert "Traceback" not in text.partition("stopped after")[0]
    assert (tmp_path / "run" / f"optimizer-{step[1]}.safetensors").exists()
    assert text.count("stopped after") == 1  # the others are silent


def test_a_batch_has_a_share_for_each(tmp_path: Path) -> None:
    flags = ["--image-size", "16", "--steps", "100000", "--out", "run", "--batch-size", "3"]
    process = start("chainer", "gan", flags, tmp_path)[0]
    assert process.wait(PATIENCE)
    text = said(tmp_path)
    assert "error: --batch-size 3: must be a multiple of the number of processes, 2" in text
    assert not (tmp_path / "run").exists()


def test_a_share_is_cut_along_its_axis() -> None:
    array = np.arange(24).reshape(2, 6, 2)
    shares = [Processes(index, 3).slice(array, 1) for index in range(3)]
    assert [share.shape for share in shares] == [(2, 2, 2)] * 3
    assert (np.concatenate(shares, 1) == array).all()


CLUSTER = '{"cluster": {"worker": ["a:1", "b:2", "c:3"]}, "task": {"type": "worker", "index": 2}}'
JAX = {"KERAS_DISTRIBUTION_PROCESS_ID": "1", "KERAS_DISTRIBUTION_NUM_PROCESSES": "2"}


@pytest.mark.parametrize(
    ("framework", "names", "expected"),
    [
        ("pytorch", {"RANK": "1", "WORLD_SIZE": "4"}, (1, 4)),
        ("pytorch", {"TF_CONFIG": CLUSTER, "PMI_RANK": "1", "PMI_SIZE": "2"}, (0, 1)),
        ("tensorflow", {"TF_CONFIG": CLUSTER, "RANK": "1", "WORLD_SIZE": "2"}, (2, 3)),
        ("tensorflow", {"TF_CONFIG": "{}"}, (0, 1)),
        ("keras", {"TF_CONFIG": CLUSTER}, (2, 3)),
        ("keras", {"TF_CONFIG": CLUSTER, "KERAS_BACKEND": "jax", **JAX}, (1, 2)),
        ("keras", {"KERAS_BACKEND": "torch", "RANK": "0", "WORLD_SIZE": "2"}, (0, 2)),
        ("chainer", {"PMI_RANK": "1", "PMI_SIZE": "2"}, (1, 2)),
        ("chainer", {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2"}, (0, 2)),
        ("chainer", {}, (0, 1)),
    ],
)
def test_each_launcher_is_understood(monkeypatch, framework, names, expected) -> None:
    monkeypatch.setattr(processes, "_FOUND", [Processes()])
    for name in {
        "RANK",
        "WORLD_SIZE",
        "TF_CONFIG",
        "KERAS_BACKEND",
        "PMI_RANK",
        "OMPI_COMM_WORLD_RANK",
    }:
        monkeypatch.delenv(name, raising=False)
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    assert find_processes(framework) == Processes(*expected)


@pytest.mark.parametrize(
    ("framework", "names"),
    [
        ("pytorch", {"RANK": "2", "WORLD_SIZE": "2"}),
        ("pytorch", {"RANK": "-1", "WORLD_SIZE": "2"}),
        ("pytorch", {"RANK": "first", "WORLD_SIZE": "2"}),
        ("tensorflow", {"TF_CONFIG": "{"}),
        ("tensorflow", {"TF_CONFIG": "[]"}),
        ("tensorflow", {"TF_CONFIG": '{"cluster": {"worker": ["a:1"]}}'}),
        ("tensorflow", {"TF_CONFIG": CLUSTER.replace('"index": 2', '"index": 3')}),
        ("tensorflow", {"TF_CONFIG": CLUSTER.replace('"worker": [', '"ps": ["d:4"], "worker": [')}),
    ],
)
def test_what_makes_no_sense_is_refused(monkeypatch, framework, names) -> None:
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="in the environment: must"):
        find_processes(framework)
