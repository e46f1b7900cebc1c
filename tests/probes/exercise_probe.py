"""Grades many files in one process: each model's answer, its empty exercises, known mistakes.

Run as `python tests/probes/exercise_probe.py FRAMEWORK GRADES.json`: the grades by name, `MODEL
solved`, `MODEL LEVEL open`, `learner INDEX` and `other INDEX`, each a list of title, status, what
is said and mistakes. The last check runs two steps instead of twenty, since it looks at what is
known to be right.
"""

from __future__ import annotations

import json
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from tools.exercise.grader import Grader  # noqa: E402
from tools.exercise.lenses import LENSES  # noqa: E402
from tools.exercise.sheet import LEVELS, Sheet, choose, make, solve  # noqa: E402
from tools.library.scripts import MODELS, ROOT  # noqa: E402

LEARNERS = ROOT / "tests" / "tools" / "learners.toml"


def read_learners() -> dict[str, list[dict[str, Any]]]:
    """What learners have written: with a known mistake (`learner`), and others (`other`)."""
    with open(LEARNERS, "rb") as file:
        return tomllib.load(file)


def fill(learner: dict[str, Any], folder: Path) -> Sheet:
    """A learner's file: the exercise with the answer but for what the learner has of their own."""
    names = learner["model"], learner["framework"], learner["level"], learner.get("part")
    exercise = choose(*names)
    path = folder / "learner.py"
    path.write_text(make(exercise, "en"), encoding="utf-8")
    text = solve(Sheet.read(path))
    if "body" in learner:
        gap = Sheet(path, text, exercise).own()[learner["gap"]]
        lines = text.splitlines()
        indent = " " * (8 if gap.kind == "method" else 4)
        body = [indent + line for line in learner["body"].strip("\n").splitlines()]
        lines[gap.body - 1 : gap.last] = body
        text = "\n".join(lines) + "\n"
    for edit in learner.get("edits", []):
        if edit["old"] not in text:
            raise ValueError(f"{names}: {edit['old']!r} is not there")
        text = text.replace(edit["old"], edit["new"])
    path.write_text(text, encoding="utf-8")
    return Sheet.read(path)


def main() -> None:
    framework, out = sys.argv[1], Path(sys.argv[2])
    only = sys.argv[3].split(",") if len(sys.argv) > 3 else MODELS
    sys.path.insert(0, str(ROOT / framework))
    lens = LENSES[framework]()
    found: dict[str, list[Any]] = {}

    def grade(name: str, sheet: Sheet) -> None:
        found[name] = [
            (grade.title, grade.status, grade.said, grade.mistakes)
            for grade in grader.grade(sheet, lambda _: None)
        ]

    for model in only:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            grader = Grader(choose(model, framework, 3, None), lens, folder, steps=2)
            path = folder / "sheet.py"
            for level in LEVELS:
                path.write_text(make(choose(model, framework, level, None), "en"), encoding="utf-8")
                grade(f"{model} {level} open", Sheet.read(path))
            path.write_text(solve(Sheet.read(path)), encoding="utf-8")
            grade(f"{model} solved", Sheet.read(path))
            for kind, learners in read_learners().items():
                for index, learner in enumerate(learners):
                    if (learner["model"], learner["framework"]) == (model, framework):
                        grade(f"{kind} {index}", fill(learner, folder))
    out.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
