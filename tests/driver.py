"""Runs many command lines of scripts in one process, since a framework is slow to start.

Run as `python tests/driver.py FRAMEWORK COMMANDS.json ANSWERS.json`: the commands are lists of
a model and arguments; an answer has the exit status and what went to stdout and stderr.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from tools.scripts import load_script  # noqa: E402


def run(script: Any, name: str, arguments: list[str]) -> dict[str, object]:
    sys.argv = [name, *arguments]
    out, err = io.StringIO(), io.StringIO()
    status: object = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            script.launch(script.main)
        except SystemExit as stop:
            status = stop.code
    return {"status": status, "stdout": out.getvalue(), "stderr": err.getvalue()}


def main() -> None:
    framework, commands, answers = sys.argv[1:4]
    if framework == "keras" and os.environ["KERAS_BACKEND"] == "jax":
        import jax_convolutions

        jax_convolutions.install()
    scripts: dict[str, Any] = {}
    results = []
    for model, *arguments in json.loads(Path(commands).read_text()):
        if model not in scripts:
            scripts[model] = load_script(framework, model)
        results.append(run(scripts[model], f"{framework}/{model}.py", arguments))
    Path(answers).write_text(json.dumps(results))


if __name__ == "__main__":
    main()
