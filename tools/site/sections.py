"""A script in sections, as a page shows it: what belongs together stands together."""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from common.frameworks import PACKAGES
from tools.exercise.sheet import Outline
from tools.library.definitions import read_script

NAMES = ("settings", "networks", "losses", "update", "drawing", "start")
TRAPS = Path(__file__).with_name("traps.toml")


@dataclass(frozen=True)
class Section:
    """Neighbouring lines of a script.

    Attributes:
        name: one of `NAMES`.
        first: the number of its first line.
        lines: its text.
    """

    name: str
    first: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Trap:
    """What goes wrong at a line, for someone who comes from another framework.

    Attributes:
        find: what marks the line, a regular expression.
        frameworks: in whose scripts.
        texts: what is said, as Markdown, by language.
    """

    find: str
    frameworks: tuple[str, ...]
    texts: dict[str, str]


@lru_cache
def read_traps() -> list[Trap]:
    """The table of traps."""
    with open(TRAPS, "rb") as file:
        entries = tomllib.load(file)["trap"]
    return [
        Trap(
            entry["find"],
            tuple(entry.get("frameworks", PACKAGES)),
            {language: entry[language].strip() for language in ("en", "ja")},
        )
        for entry in entries
    ]


@lru_cache
def split(framework: str, model: str) -> list[Section]:
    """A script's sections, in its order; each line that is not blank is in one of them."""
    text = read_script(framework, model)
    outline = Outline(text)
    definitions = [each for each in outline.definitions.values() if "." not in each.name]
    places = {each.name: place for place, each in enumerate(definitions)}
    update = {name.partition(".")[0] for name in outline.update}
    networks = {name.partition(".")[0] for name in outline.networks}
    begins = {  # the first definition of each section
        "settings": 0,
        "networks": min(places[name] for name in networks),
        "losses": 1 + max(places[name] for name in networks),
        "update": min(places[name] for name in update),
        "drawing": 1 + max(places[name] for name in update),
        "start": places["build"],
    }
    lines = text.splitlines()
    starts = [1 if name == "settings" else _above(lines, definitions[begins[name]].first)
              for name in NAMES]  # fmt: skip
    ends = [*starts[1:], len(lines) + 1]
    sections = []
    for name, start, end in zip(NAMES, starts, ends, strict=True):
        chosen = lines[start - 1 : end - 1]
        while chosen and not chosen[-1]:
            chosen.pop()
        sections.append(Section(name, start, tuple(chosen)))
    return sections


def _above(lines: list[str], first: int) -> int:
    """Where a definition starts with the comments that stand right above it."""
    while lines[first - 2].startswith("#"):
        first -= 1
    return first


def find_traps(framework: str, model: str) -> dict[int, Trap]:
    """The traps of a script, each at its first line there; two of one line are never met."""
    found: dict[int, Trap] = {}
    lines = read_script(framework, model).splitlines()
    for trap in read_traps():
        if framework in trap.frameworks:
            for number, line in enumerate(lines, 1):
                if re.search(trap.find, line) and number not in found:
                    found[number] = trap
                    break
    return found


def differ(ours: Section, theirs: Section) -> list[list[int | str]]:
    """How a section differs from another framework's: rows of the kind that `difflib` gives.

    Returns:
        Rows (tag, first and last line of ours, first and last of theirs), from 0, where the tag
        is `equal`, `replace`, `delete` or `insert`.
    """
    matcher = difflib.SequenceMatcher(None, ours.lines, theirs.lines, autojunk=False)
    return [list(row) for row in matcher.get_opcodes()]
