"""Runs many command lines of scripts in one process, since a framework is slow to start.

Run as `python tests/support/driver.py FRAMEWORK COMMANDS.json ANSWERS.json`: the commands are lists
of a model and arguments; an answer has the exit status and what went to stdout and stderr.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import sys
import traceback
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from tools.library.scripts import load_script  # noqa: E402

MOST_MEMORY = 1 << 38  # bytes of addresses: 256 GiB
SCRIPTS: dict[str, Any] = {}  # by model, loaded when first run


def run(framework: str, model: str, arguments: list[str]) -> dict[str, object]:
    """What a command line does; a traceback has the status 1, as in a process of its own."""
    sys.argv = [f"{framework}/{model}.py", *arguments]
    out, err = io.StringIO(), io.StringIO()
    status: object = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            if model not in SCRIPTS:
                SCRIPTS[model] = load_script(framework, model)
            SCRIPTS[model].launch(SCRIPTS[model].main)
        except SystemExit as stop:
            status = stop.code
        except Exception:
            status = 1
            traceback.print_exc()
    return {"status": status, "stdout": out.getvalue(), "stderr": err.getvalue()}


def main() -> None:
    framework, commands, answers = sys.argv[1:4]
    if os.environ.get("QUARTET_DEVICE", "cpu") == "cpu":
        # What needs more is refused, not begun, on a system that promises more than it has.
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
        if os.environ.get("KERAS_BACKEND") == "jax":  # slow, with gradients of convolutions
            from tests.support import jax_convolutions

            jax_convolutions.install()
    lines = json.loads(Path(commands).read_text())
    results = [run(framework, model, arguments) for model, *arguments in lines]
    Path(answers).write_text(json.dumps(results))


if __name__ == "__main__":
    main()
