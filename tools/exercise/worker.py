"""Grades a file in a process of its own: `python -m tools.exercise.worker FILE RESULTS`.

RESULTS gets a line of JSON for whatever is looked at next, and for each grade as it is there. The
learner's code runs in this process; whatever it does, the one that asked goes on.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

from tools.exercise.grader import Grader
from tools.exercise.lenses import LENSES
from tools.exercise.sheet import Sheet
from tools.library.scripts import ROOT


def main() -> None:
    """Grade, and say so line by line."""
    path, results = Path(sys.argv[1]), Path(sys.argv[2])
    sheet = Sheet.read(path)
    sys.path.insert(0, str(ROOT / sheet.exercise.framework))
    folder = results.with_name("runs")  # which the one that asked takes away
    folder.mkdir()
    with open(results, "a", encoding="utf-8") as file:

        def put(kind: str, value: Any) -> None:
            file.write(json.dumps({kind: value}) + "\n")
            file.flush()

        put("next", "starting the framework")
        lens = LENSES[sheet.exercise.framework]()
        put("next", "running the answer")
        grader = Grader(sheet.exercise, lens, folder)
        sys.stdout.flush()
        put(
            "began", os.fstat(sys.stdout.fileno()).st_size
        )  # what is printed from here is the file's
        for grade in grader.grade(sheet, lambda title: put("next", title)):
            put("grade", dataclasses.asdict(grade))
        put("done", True)
    sys.stdout.flush()
    os._exit(0)  # frameworks' threads, and whatever the learner's code has left, do not hold it up


if __name__ == "__main__":
    main()
