"""Hints, one at a time: made from the answer, so that they never go stale."""

from __future__ import annotations

import ast
import textwrap

from tools.exercise.mistakes import read_mistakes
from tools.exercise.progress import Notes, hash_of
from tools.exercise.sheet import Exercise, Sheet
from tools.library.definitions import Definition


def next_hint(sheet: Sheet, notes: Notes) -> str:
    """The next hint on the part to look at, which is noted as given.

    Raises:
        UserError: the note cannot be written.
    """
    gap = find_gap(sheet, notes)
    if gap is None:
        return "nothing is open; python -m tools.exercise check says whether it is right"
    fresh = notes.text == hash_of(sheet)
    mistakes = notes.mistakes if fresh and gap.name in notes.wrong else []
    given = notes.hints.get(gap.name, 0)
    every = [*_on_mistakes(mistakes), *list_hints(sheet.exercise, gap)]
    notes.hints[gap.name] = given + 1
    notes.save()
    if given >= len(every):
        return f"{gap.name}: that was all; python -m tools.exercise answer {sheet.path} shows it"
    return f"{gap.name}, hint {given + 1} of {len(every)}: {every[given]}"


def find_gap(sheet: Sheet, notes: Notes) -> Definition | None:
    """The part to look at: what was wrong in this very text, else the first that is open."""
    gaps = {gap.name: gap for gap in sheet.exercise.gaps}
    try:
        untouched = sheet.untouched()
    except SyntaxError:
        untouched = []
    wrong = notes.wrong if notes.text == hash_of(sheet) else []
    names = [*(name for name in wrong if name in gaps), *untouched]
    if not names and not notes.solved:
        names = list(gaps)
    return gaps[names[0]] if names else None


def _on_mistakes(names: list[str]) -> list[str]:
    hints = {mistake.name: mistake.hint for mistake in read_mistakes()}
    return [hints[name] for name in names if name in hints]


def list_hints(exercise: Exercise, gap: Definition) -> list[str]:
    """All hints on a part: what it is for, what the answer uses, then its lines one by one."""
    lines = exercise.answer.splitlines()[gap.body - 1 : gap.last]
    body = textwrap.dedent("\n".join(lines))
    hints = [
        (f"{gap.docstring.splitlines()[0]} " if gap.docstring else "")
        + f"docs/models/{exercise.model}.md explains it."
    ]
    calls = _calls(body)
    if calls:
        hints.append(f"the answer uses {', '.join(calls)}.")
    written = [line for line in body.splitlines() if line.strip()]
    for index, line in enumerate(written[:-1]):
        hints.append(f"line {index + 1} of {len(written)} is\n    {line}")
    return hints


def _calls(body: str) -> list[str]:
    """What a body calls, by name, in order."""
    calls = [node for node in ast.walk(ast.parse(body)) if isinstance(node, ast.Call)]
    calls.sort(key=lambda node: (node.lineno, node.col_offset))
    found = [ast.unparse(node.func) for node in calls]
    plain = [name for name in found if all(part.isidentifier() for part in name.split("."))]
    return list(dict.fromkeys(plain))
