"""Has a file graded in a process of its own, within a time limit."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import UserError
from tools.exercise.grader import OPEN, RIGHT, WRONG, Grade
from tools.exercise.sheet import Sheet
from tools.library.scripts import ROOT

LIMIT = 300  # seconds
SAID = 20  # lines of what the learner's code has printed


@dataclass(frozen=True)
class Report:
    """What came of grading a file.

    Attributes:
        grades: in the order of the checks.
        problem: why it was not graded to the end; None if it was.
        printed: the last lines that the learner's code has printed.
    """

    grades: list[Grade]
    problem: str | None
    printed: list[str]

    @property
    def solved(self) -> bool:
        """Whether every check is right."""
        return self.problem is None and all(grade.status == RIGHT for grade in self.grades)

    @property
    def first_wrong(self) -> Grade | None:
        """The grade to dwell on."""
        return next((grade for grade in self.grades if grade.status == WRONG), None)

    @property
    def first_open(self) -> Grade | None:
        """The first check that needs a part which is not written yet."""
        return next((grade for grade in self.grades if grade.status == OPEN), None)


def grade(sheet: Sheet, note: Callable[[str], None], limit: float = LIMIT) -> Report:
    """Have a file graded.

    Args:
        sheet: the file.
        note: told what is looked at, again and again.
        limit: seconds that it may take, once the framework is there and the answer has run.

    Raises:
        UserError: the framework is not installed, or the answer itself cannot be run.
    """
    with tempfile.TemporaryDirectory(
        prefix="quartet-exercise-", ignore_cleanup_errors=True
    ) as folder:
        results, printed = Path(folder) / "results.jsonl", Path(folder) / "printed"
        results.touch()
        command = ["-m", "tools.exercise.worker", str(sheet.path.absolute()), str(results)]
        with open(printed, "wb") as output:
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # with whatever it starts
            )
        try:
            problem, found = _follow(process, results, note, limit)
        finally:
            _end(process)
        output = printed.read_bytes()[found["printed"] :]  # not what the framework says of itself
        lines = output.decode("utf-8", errors="replace").splitlines()
    if problem and not found["began"]:
        raise UserError(f"the answer itself did not run: {' '.join(lines[-1:])}")
    return Report(found["grades"], problem, lines[-SAID:])


def _environment() -> dict[str, str]:
    return {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "",
        "MPLBACKEND": "Agg",
        "PYTHONUNBUFFERED": "1",
    }


def _follow(
    process: subprocess.Popen[bytes], results: Path, note: Callable[[str], None], limit: float
) -> tuple[str | None, dict[str, Any]]:
    """Read results as they come; why they ended too early, if they did, and what there was."""
    found: dict[str, Any] = {"grades": [], "began": False, "printed": 0}
    stage, last = "starting", time.monotonic() + LIMIT
    with open(results, encoding="utf-8") as file:
        rest = ""
        while True:
            running = process.poll() is None
            rest += file.read()
            *lines, rest = rest.split("\n")
            for line in lines:
                entry = json.loads(line)
                stage = entry.get("next", stage)
                if "began" in entry:  # only now the learner's code runs
                    found["began"], last = True, time.monotonic() + limit
                    found["printed"] = entry["began"]
                if "grade" in entry:
                    fields = entry["grade"]
                    for name in ("mistakes", "gaps"):
                        fields[name] = tuple(fields[name])
                    found["grades"].append(Grade(**fields))
                if "done" in entry:
                    return None, found
            note(stage)
            if not running:
                status = process.returncode
                how = f"signal {-status}" if status < 0 else f"exit status {status}"
                return f"the code ended the process ({how}) at: {stage}", found
            if time.monotonic() > last:
                return f"not done after {limit:.0f} seconds; stopped at: {stage}", found
            time.sleep(0.05)


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
