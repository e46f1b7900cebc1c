"""Mistakes that people make: each is made in the answer, to know it by the numbers it gives."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tools.exercise.sheet import Exercise

TABLE = Path(__file__).with_name("mistakes.toml")
SINGLE = 8  # places of one mistake that are tried one by one

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Mistake:
    """A mistake, and how it is made in each framework.

    Attributes:
        name: what is wrong.
        hint: what to look at.
        edits: by framework, ways to make it: regular expressions and what takes their place.
    """

    name: str
    hint: str
    edits: dict[str, tuple[Pairs, ...]]


@lru_cache
def read_mistakes() -> tuple[Mistake, ...]:
    """The table of mistakes."""
    with open(TABLE, "rb") as file:
        entries = tomllib.load(file)["mistake"]
    found = []
    for entry in entries:
        edits: dict[str, tuple[Pairs, ...]] = {}
        for edit in entry["edit"]:
            pairs = tuple((old, new) for old, new in edit["swap"])
            for framework in edit["in"]:
                edits[framework] = (*edits.get(framework, ()), pairs)
        found.append(Mistake(entry["name"], entry["hint"], edits))
    return tuple(found)


def find_mistakes(exercise: Exercise, gaps: list[str]) -> Iterator[tuple[Mistake, str]]:
    """Each mistake that can be made in some parts of an answer, and the text with it.

    Args:
        exercise: whose answer.
        gaps: the parts, by name; the others stay as they are.
    """
    for mistake in read_mistakes():
        for pairs in mistake.edits.get(exercise.framework, ()):
            for text in _make(exercise, gaps, pairs):
                yield mistake, text


def _make(exercise: Exercise, gaps: list[str], pairs: Pairs) -> Iterator[str]:
    """The answer with a mistake: in all places, then in one part and in one place at a time."""
    places = [(gap.body - 1, gap.last) for gap in exercise.gaps if gap.name in gaps]
    lines = exercise.answer.splitlines()
    blocks = ["\n".join(lines[first:last]) for first, last in places]
    wrong = [_swap(block, pairs) for block in blocks]
    touched = [index for index, block in enumerate(blocks) if wrong[index] != block]
    if not touched:
        return
    yield _join(lines, places, wrong)
    if len(touched) > 1:
        for index in touched:
            yield _join(lines, places, [*blocks[:index], wrong[index], *blocks[index + 1 :]])
    if len(pairs) == 1:
        old, new = pairs[0]
        for index in touched:
            matches = list(re.finditer(old, blocks[index], re.MULTILINE))
            for match in matches[:SINGLE] if len(matches) > 1 else []:
                block = blocks[index]
                block = block[: match.start()] + match.expand(new) + block[match.end() :]
                yield _join(lines, places, [*blocks[:index], block, *blocks[index + 1 :]])


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


def _join(lines: list[str], places: list[tuple[int, int]], blocks: list[str]) -> str:
    lines = list(lines)
    for (first, last), block in reversed(list(zip(places, blocks, strict=True))):
        lines[first:last] = block.split("\n")
    return "\n".join(lines) + "\n"
