"""The ports of the models: their names, their environment, and how their scripts are run.

A port is a framework, or Keras on another backend than TensorFlow.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tools.library.scripts import ROOT

FRAMEWORKS = ("pytorch", "tensorflow", "keras", "chainer")
BACKENDS = ("tensorflow", "torch", "jax")  # of Keras
PORTS = ("pytorch", "tensorflow", "keras", "chainer", "keras-torch", "keras-jax")
PROBES = ROOT / "tests" / "probes"

# The whole proof: every step, port, exercise and model; `make test` proves a little of each.
WHOLE = os.environ.get("QUARTET_PROOF", "0") != "0"
DEVICE = os.environ.get("QUARTET_DEVICE", "cpu")  # gpu: the scripts compute there, or fail

# What JAX has compiled for one process serves the next, and is not optimised to the last: with
# level 2 for 3 the tests take less, but with level 0 fifty steps take minutes.
JAX_CACHE = tempfile.TemporaryDirectory(prefix="quartet-jax-")

Result = TypeVar("Result")


def chosen_ports() -> tuple[str, ...]:
    """The ports under test: all, or those that QUARTET_PORTS names, with commas between.

    One that is chosen and not installed fails its tests; it does not skip them.
    """
    named = os.environ.get("QUARTET_PORTS")
    ports = tuple(named.split(",")) if named else PORTS
    unknown = set(ports) - set(PORTS)
    if unknown:
        raise ValueError(f"QUARTET_PORTS: unknown {sorted(unknown)}; known: {PORTS}")
    return ports


def quick_ports() -> list[str]:
    """The ports under test but JAX, which takes long to compile.

    With JAX in the whole proof, and where QUARTET_PORTS names it.
    """
    some = not WHOLE and "QUARTET_PORTS" not in os.environ
    return [port for port in chosen_ports() if not (some and port == "keras-jax")]


def environment(port: str = "", **more: str) -> dict[str, str]:
    """The environment of a port's process: `keras-jax` sets Keras' backend.

    Each process has one thread for its arithmetic, since two run side by side. GPUs are hidden
    from it, unless they are what is tested.
    """
    names = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    if DEVICE == "cpu":
        names |= {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    for threads in ("OMP", "OPENBLAS", "MKL"):
        names[f"{threads}_NUM_THREADS"] = "1"
    names |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", **more}
    names.pop("KERAS_BACKEND", None)
    names |= {
        "JAX_COMPILATION_CACHE_DIR": JAX_CACHE.name,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    if port == "keras-jax" and DEVICE == "cpu":
        names["XLA_FLAGS"] = "--xla_backend_optimization_level=2"
    if port.startswith("keras"):
        names["KERAS_BACKEND"] = port.partition("-")[2] or "tensorflow"
    return names


def side_by_side(function: Callable[[str], Result], ports: Sequence[str]) -> dict[str, Result]:
    """Call a function for each port, two at a time, on a GPU all; the results by port.

    One at a time where another file's tests run beside these.
    """
    slowest_first = ports[::-1]
    beside = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) > 1
    with ThreadPoolExecutor((1 if beside else 2) if DEVICE == "cpu" else len(ports)) as pool:
        return dict(zip(slowest_first, pool.map(function, slowest_first), strict=True))


def run_probe(port: str, *arguments: object) -> str:
    """What a Python program prints that runs in a port's process, and has to succeed."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=environment(port),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@dataclass
class Answer:
    """What a command line did."""

    folder: Path
    status: int
    stdout: str
    stderr: str


def run_commands(port: str, folder: Path, commands: dict[str, list[str]]) -> dict[str, Answer]:
    """Run command lines, each a model and its arguments, with a port in `folder`.

    Where the port's process dies, all of them have its status: the tests of other ports go on.
    """
    folder.mkdir(exist_ok=True)
    lines = [
        command if DEVICE == "cpu" or "--device" in command else [*command, "--device", DEVICE]
        for command in commands.values()
    ]
    (folder / "commands.json").write_text(json.dumps(lines))
    run = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).with_name("driver.py")),
            port.partition("-")[0],
            "commands.json",
            "answers.json",
        ],
        cwd=folder,
        env=environment(port),
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        return {name: Answer(folder, run.returncode, run.stdout, run.stderr) for name in commands}
    answers = json.loads((folder / "answers.json").read_text())
    return {name: Answer(folder, **answer) for name, answer in zip(commands, answers, strict=True)}


def run_script(
    framework: str, *arguments: object, cwd: Path, model: str = "dcgan", **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a script as a user does, in the folder `cwd`; nothing is raised if it fails."""
    return subprocess.run(
        [sys.executable, str(ROOT / framework / f"{model}.py"), *map(str, arguments)],
        cwd=cwd,
        env=environment(framework, **more),
        text=True,
        capture_output=True,
        check=False,
        timeout=600,
    )
