"""Starts a script in two processes that train together, as docs/processes.md says for each port.

Run as `python tests/together.py SCRIPT ARGUMENT ...`, it is one of them, on JAX with convolutions
that are quick on a CPU.
"""

from __future__ import annotations

import json
import os
import runpy
import shutil
import socket
import subprocess
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from tools.scripts import ROOT  # noqa: E402

from ports import environment  # noqa: E402

COUNT = 2
TORCHRUN = ("pytorch", "keras-torch")


def free_addresses(count: int) -> list[str]:
    """Addresses on this machine at which nobody listens."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    found = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return found


def beside_python(program: str) -> str:
    """A program that was installed with this Python's packages."""
    return shutil.which(program, path=str(Path(sys.executable).parent)) or program


def start(port: str, model: str, arguments: list[str], folder: Path) -> list[subprocess.Popen[str]]:
    """Start a model's script; of launchers there is one process, else one for each that trains.

    What they say goes to `said-0.txt`, `said-1.txt` in the folder they run in.
    """
    framework = port.partition("-")[0]
    script = [str(ROOT / framework / f"{model}.py"), *arguments]
    names = environment(port)
    if port in TORCHRUN:
        address = free_addresses(1)[0].rpartition(":")
        launcher = [beside_python("torchrun"), "--nproc-per-node", str(COUNT)]
        launcher += ["--master-addr", address[0], "--master-port", address[2]]
        commands = [([*launcher, *script], {})]
    elif port == "chainer":
        commands = [([beside_python("mpiexec"), "-n", str(COUNT), sys.executable, *script], {})]
    elif port == "keras-jax":
        named = {"NUM_PROCESSES": str(COUNT), "JOB_ADDRESSES": free_addresses(1)[0]}
        commands = [
            (
                [sys.executable, __file__, *script],
                {f"KERAS_DISTRIBUTION_{n}": v for n, v in (named | {"PROCESS_ID": str(i)}).items()},
            )
            for i in range(COUNT)
        ]
    else:
        cluster = {"worker": free_addresses(COUNT)}
        commands = [
            (
                [sys.executable, *script],
                {
                    "TF_CONFIG": json.dumps(
                        {"cluster": cluster, "task": {"type": "worker", "index": i}}
                    )
                },
            )
            for i in range(COUNT)
        ]
    found = []
    for index, (command, more) in enumerate(commands):
        with open(folder / f"said-{index}.txt", "w") as log:
            found.append(
                subprocess.Popen(
                    command,
                    cwd=folder,
                    env=names | more,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    text=True,
                    start_new_session=True,
                )
            )
    return found


def said(folder: Path) -> str:
    """What all of them have said."""
    return "\n".join(path.read_text() for path in sorted(folder.glob("said-*.txt")))


if __name__ == "__main__":
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import jax_convolutions

    jax_convolutions.install()
    sys.argv = sys.argv[1:]
    sys.path[:2] = [str(Path(sys.argv[0]).parent)]  # as Python would have it
    runpy.run_path(sys.argv[0], run_name="__main__")
