"""Runs scripts in processes that are split off from one which has the framework already.

A process of its own for each run, that can be killed, without the seconds that a framework takes to
start. Run as `python tests/support/zygote.py FRAMEWORK`: it reads a line of JSON for each run, with
`model`, `arguments`, `folder` and `log`, and answers with a process number, then with an exit
status.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any, Self

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from tests.support.ports import environment  # noqa: E402
from tools.library.scripts import MODELS, ROOT, load_script  # noqa: E402

# What a run imports when it needs it.
LATER = ("matplotlib.figure", "PIL.Image", "sklearn.datasets", "sklearn.decomposition")


class Zygote:
    """A framework's process, from which runs are split off, one at a time."""

    def __init__(self, framework: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, framework],
            cwd=ROOT,
            env=environment(framework),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._answer() == "ready"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def start(self, model: str, arguments: list[str], folder: Path, log: Path) -> int:
        """Begin a run; its process number."""
        job = {"model": model, "arguments": arguments, "folder": str(folder), "log": str(log)}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return int(self._answer())

    def wait(self) -> int:
        """The exit status of the run that was begun, below 0 if a signal has ended it."""
        return os.waitstatus_to_exitcode(int(self._answer()))

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        assert line, "the framework's process has died"
        return line


def serve(framework: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    scripts = {model: load_script(framework, model) for model in MODELS}
    for name in LATER:
        importlib.import_module(name)

    def answer(value: object) -> None:
        print(value, file=answers, flush=True)

    answer("ready")
    for line in sys.stdin:
        job = json.loads(line)
        number = os.fork()
        if number == 0:
            os._exit(be(scripts[job["model"]], job))
        answer(number)
        answer(os.waitpid(number, 0)[1])


def be(script: Any, job: dict[str, Any]) -> int:
    """Be a run: its exit status."""
    status: Any = 130  # of a Ctrl-C before it has begun
    with contextlib.suppress(KeyboardInterrupt):
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(job["folder"])
        log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for number, stream in ((0, os.open(os.devnull, os.O_RDONLY)), (1, log), (2, log)):
            os.dup2(stream, number)
        sys.argv = [f"{script.__name__}.py", *job["arguments"]]
        try:
            script.launch(script.main)
            status = 0
        except SystemExit as stop:
            status = stop.code
        except Exception:
            traceback.print_exc()
            status = 1
    with contextlib.suppress(KeyboardInterrupt):
        sys.stdout.flush()
        sys.stderr.flush()
    return status


if __name__ == "__main__":
    serve(sys.argv[1])
