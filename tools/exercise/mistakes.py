"""Mistakes that people make: each is made in the answer, to know it by the numbers it gives."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tools.exercise.sheet import Exercise
from tools.library.operators import Change, find_changes, make

TABLE = Path(__file__).with_name("mistakes.toml")
SINGLE = 8  # places of one mistake that are tried one by one

Pairs = tuple[tuple[str, str], ...]
Places = list[tuple[int, int]]  # the first and the last line of each part


@dataclass(frozen=True)
class Mistake:
    """An answer with a mistake.

    Attributes:
        name: what is wrong.
        hint: what to look at.
        parts: the functions and methods that it is in; none if that is not known.
        text: the script.
    """

    name: str
    hint: str
    parts: frozenset[str]
    text: str


@lru_cache
def read_table() -> list[dict[str, Any]]:
    """The mistakes that no operator makes: name, hint, edits in frameworks."""
    with open(TABLE, "rb") as file:
        return tomllib.load(file)["mistake"]


def find_mistakes(exercise: Exercise, gaps: list[str]) -> Iterator[Mistake]:
    """Each mistake that can be made in some parts of an answer, the likeliest first.

    What can be wrong in several places is wrong in all of them at first, since people repeat
    themselves; then in one part, and in one place.

    Args:
        exercise: whose answer.
        gaps: the parts, by name; the others stay as they are.
    """
    answer, framework = exercise.answer, exercise.framework
    seen = {answer}
    by_name: dict[str, list[Change]] = {}
    for change in find_changes(answer, framework):
        if change.part in gaps:
            by_name.setdefault(change.name, []).append(change)
    everywhere = (_combine(answer, each) for each in by_name.values())
    by_hand = (each for entry in read_table() for each in _from_table(exercise, gaps, entry))
    alone = (each for changes in by_name.values() for each in _alone(answer, changes))
    for source in (everywhere, by_hand, alone):
        for mistake in source:
            if mistake is not None and mistake.text not in seen:
                seen.add(mistake.text)
                yield mistake


def _combine(answer: str, changes: list[Change]) -> Mistake | None:
    """All changes of one name at once; None if two of them meet."""
    text = make(answer, changes)
    if text is None:
        return None
    first = changes[0]
    name = first.title if len(changes) == 1 else first.name
    return Mistake(name, first.hint, frozenset(change.part for change in changes), text)


def _alone(answer: str, changes: list[Change]) -> Iterator[Mistake | None]:
    """A mistake in one part only, then in one place."""
    parts: dict[str, list[Change]] = {}
    for change in changes:
        parts.setdefault(change.part, []).append(change)
    for each in parts.values():
        yield _combine(answer, each)
    for change in changes[:SINGLE]:
        yield _combine(answer, [change])


def _from_table(exercise: Exercise, gaps: list[str], entry: dict[str, Any]) -> Iterator[Mistake]:
    """A mistake of the table: in all places, then in one part and in one place at a time."""
    places = [(gap.body - 1, gap.last) for gap in exercise.gaps if gap.name in gaps]
    lines = exercise.answer.splitlines()
    blocks = ["\n".join(lines[first:last]) for first, last in places]
    for edit in entry["edit"]:
        if exercise.framework not in edit["in"]:
            continue
        pairs = tuple((old, new) for old, new in edit["swap"])
        for wrong in _swap_in(blocks, pairs):
            text = _join(lines, places, wrong)
            yield Mistake(entry["name"], entry["hint"], frozenset(), text)


def _swap_in(blocks: list[str], pairs: Pairs) -> Iterator[list[str]]:
    wrong = [_swap(block, pairs) for block in blocks]
    touched = [index for index, block in enumerate(blocks) if wrong[index] != block]
    if touched:
        yield wrong
    if len(touched) > 1:
        for index in touched:
            yield [*blocks[:index], wrong[index], *blocks[index + 1 :]]
    if len(pairs) == 1:
        old, new = pairs[0]
        for index in touched:
            matches = list(re.finditer(old, blocks[index], re.MULTILINE))
            for match in matches[:SINGLE] if len(matches) > 1 else []:
                block = blocks[index]
                block = block[: match.start()] + match.expand(new) + block[match.end() :]
                yield [*blocks[:index], block, *blocks[index + 1 :]]


def _swap(block: str, pairs: Pairs) -> str:
    """All pairs at once: none finds what another has put there."""
    found = []
    for old, new in pairs:
        found += [
            (m.start(), m.end(), m.expand(new)) for m in re.finditer(old, block, re.MULTILINE)
        ]
    for start, end, text in sorted(found, reverse=True):
        block = block[:start] + text + block[end:]
    return block


def _join(lines: list[str], places: Places, blocks: Iterable[str]) -> str:
    lines = list(lines)
    for (first, last), block in reversed(list(zip(places, blocks, strict=True))):
        lines[first:last] = block.split("\n")
    return "\n".join(lines) + "\n"
