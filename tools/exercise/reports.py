"""What a learner reads: grades in words, progress over the book, answers beside their own lines."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from common.errors import UserError
from common.frameworks import PACKAGES
from tools.exercise.grader import BLOCKED, OPEN, RIGHT, WRONG
from tools.exercise.mistakes import read_mistakes
from tools.exercise.progress import Notes
from tools.exercise.sheet import Exercise, Sheet
from tools.exercise.supervisor import Report
from tools.library.definitions import Definition, find_definitions, read_script
from tools.library.scripts import MODELS

MARKS = {RIGHT: "✓", WRONG: "✗", OPEN: "–", BLOCKED: "·"}
WIDTH = 96
COLUMN = 60  # of code, at least, to be set beside another
NEVER, BEGUN, DONE = "·", "◐", "✓"


def describe(report: Report, sheet: Sheet) -> str:
    """Every grade, then the first wrong one at length."""
    lines = [f"{sheet.exercise.title}"]
    for grade in report.grades:
        why = {
            WRONG: ": wrong",
            OPEN: f": not attempted ({', '.join(grade.gaps)})",
            BLOCKED: f": not reached, {grade.said}",
        }.get(grade.status, "")
        lines.append(f"  {MARKS[grade.status]} {grade.title}{why}")
    right = sum(grade.status == RIGHT for grade in report.grades)
    if report.problem:
        lines += [f"{right} right until it stopped", "", report.problem]
    else:
        lines.append(f"{right} of {len(report.grades)} right")
    if report.printed:
        lines += ["", "printed by the file:", *(f"  {line}" for line in report.printed)]
    wrong, again = report.first_wrong, report.first_open
    if report.solved:
        lines += [
            "",
            "Solved: the same numbers as the answer's, in double precision, to six digits.",
            f"The other frameworks' answers: python -m tools.exercise answer {sheet.path} "
            "--frameworks",
        ]
    elif wrong:
        lines += ["", f"Wrong: {wrong.title}.", *_wrap(wrong.said)]
        hints = {mistake.name: mistake.hint for mistake in read_mistakes()}
        for name in wrong.mistakes:
            lines += [*_wrap(f"It looks like this: {name}."), *_wrap(hints[name])]
        lines += [f"  For help: python -m tools.exercise hint {sheet.path}"]
    elif again and not report.problem:
        lines += ["", f"Next: {', '.join(again.gaps)}."]
    return "\n".join(lines)


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="  ")


def overview(folder: Path, levels: Sequence[int]) -> str:
    """How far a learner is in the whole book: a row for each model, three levels a framework."""
    solved = 0
    rows = []
    for model in MODELS:
        cells = []
        for framework in PACKAGES:
            marks = [_mark(Exercise(model, framework, level).path(folder)) for level in levels]
            solved += marks.count(DONE)
            cells.append("".join(marks).ljust(12))
        rows.append(f"{model:12}{''.join(cells)}".rstrip())
    total = len(MODELS) * len(PACKAGES) * len(levels)
    head = " " * 12 + "".join(f"{framework:12}" for framework in PACKAGES).rstrip()
    return "\n".join(
        [
            head,
            *rows,
            "",
            f"{solved} of {total} solved; a mark for each level: "
            f"{DONE} solved, {BEGUN} begun, {NEVER} not begun",
            "begin one: python -m tools.exercise start MODEL --framework NAME --level N",
        ]
    )


def _mark(path: Path) -> str:
    if not path.is_file():
        return NEVER
    return DONE if Notes.of(path).ever else BEGUN


def answer(sheet: Sheet, notes: Notes, frameworks: bool) -> str:
    """The answer beside the learner's own lines; the other frameworks' once it is solved.

    Raises:
        UserError: the file is not Python.
    """
    try:
        own = sheet.own()
    except SyntaxError as error:
        raise UserError(f"{sheet.path}, line {error.lineno}: not Python: {error.msg}") from error
    answers = find_definitions(sheet.exercise.answer)
    parts = []
    for gap in sheet.exercise.gaps:
        mine = sheet.lines(own[gap.name]) if gap.name in own else ["(not there)"]
        theirs = _lines(sheet.exercise.answer, answers[gap.name])
        parts.append(_beside("yours", mine, f"the answer, {gap.name}", theirs))
    if frameworks or notes.ever:
        parts += _others(sheet.exercise)
    return "\n\n".join(parts)


def _others(exercise: Exercise) -> list[str]:
    """The other frameworks' definitions of the same names."""
    names = {gap.name for gap in exercise.gaps}
    # A class whole, where methods are called otherwise.
    names = {name.partition(".")[0] for name in names}
    parts = []
    for framework in PACKAGES:
        if framework == exercise.framework:
            continue
        text = read_script(framework, exercise.model)
        for name, each in find_definitions(text).items():
            if name in names:
                head = f"{framework}/{exercise.model}.py, lines {each.first} to {each.last}"
                parts.append("\n".join([head, *_lines(text, each)]))
    return parts


def _lines(text: str, definition: Definition) -> list[str]:
    return text.splitlines()[definition.first - 1 : definition.last]


def _beside(left_title: str, left: list[str], right_title: str, right: list[str]) -> str:
    """Two columns if the terminal is wide enough, else one after the other."""
    width = max(map(len, [*left, left_title]))
    wide = shutil.get_terminal_size().columns
    if wide < max(width, COLUMN) + 3 + max(map(len, [*right, right_title])):
        return "\n".join([f"{left_title}:", *left, "", f"{right_title}:", *right])
    rows = zip_longest([left_title, "", *left], [right_title, "", *right], fillvalue="")
    return "\n".join(f"{one:{width}} │ {other}".rstrip() for one, other in rows)
