"""Starts a script in two processes that train together, as docs/processes.md says for each port.

Run as `python tests/support/together.py SCRIPT ARGUMENT ...`, it is one of them, on JAX with
convolutions that are quick on a CPU.
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

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from tests.support.ports import environment  # noqa: E402
from tools.library.scripts import ROOT  # noqa: E402

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


def start(
    port: str, model: str, arguments: list[str], folder: Path, count: int = COUNT
) -> list[subprocess.Popen[str]]:
    """Start a model's script, alone or in several processes that run in `folder`.

    Of launchers there is one process, else one for each that trains. What they say goes to
    `said-0.txt`, `said-1.txt` there.
    """
    script = [str(ROOT / port.partition("-")[0] / f"{model}.py"), *arguments]
    plain = [sys.executable, *([__file__] if port == "keras-jax" else []), *script]
    if count == 1:
        commands = [plain]
    elif port in TORCHRUN:
        address, _, number = free_addresses(1)[0].partition(":")
        launcher = [beside_python("torchrun"), "--nproc-per-node", str(count)]
        commands = [[*launcher, "--master-addr", address, "--master-port", number, *script]]
    elif port == "chainer":
        commands = [[beside_python("mpiexec"), "-n", str(count), *plain]]
    else:
        commands = [plain] * count
    addresses = free_addresses(count)
    found = []
    for index, command in enumerate(commands):
        more = conventions(index, addresses) if len(commands) > 1 else {}
        with open(folder / f"said-{index}.txt", "w") as log:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment(port) | more,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        found.append(process)
    return found


def conventions(index: int, addresses: list[str]) -> dict[str, str]:
    """What tells a process of TensorFlow or of Keras on JAX which one it is."""
    task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    return {
        "TF_CONFIG": json.dumps(task),
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": addresses[0],
        "KERAS_DISTRIBUTION_NUM_PROCESSES": str(len(addresses)),
        "KERAS_DISTRIBUTION_PROCESS_ID": str(index),
    }


def said(folder: Path) -> str:
    """What all of them have said."""
    return "\n".join(path.read_text() for path in sorted(folder.glob("said-*.txt")))


if __name__ == "__main__":
    os.environ.setdefault("KERAS_BACKEND", "jax")
    from tests.support import jax_convolutions

    jax_convolutions.install()
    sys.argv = sys.argv[1:]
    sys.path[:2] = [str(Path(sys.argv[0]).parent)]  # as Python would have it
    runpy.run_path(sys.argv[0], run_name="__main__")
