"""Mistakes that people make, made in a script's syntax tree: small changes of its text, one by one.

An operator finds every place of a script where a mistake of its kind can be made, in whichever
framework the script is written. Only those characters change; the rest of the file stays as it is.
"""

from __future__ import annotations

from functools import lru_cache

from tools.library.operators import losses, networks, steps
from tools.library.operators.script import GIVEN, OPERATORS, Change, Edit, Script, make

__all__ = ["OPERATORS", "Change", "find_changes", "losses", "make", "networks", "steps"]


@lru_cache(maxsize=64)
def find_changes(text: str, framework: str) -> tuple[Change, ...]:
    """Every mistake that can be made in a script, the likeliest kinds first."""
    script = Script(text, framework)
    found: dict[tuple[Edit, ...], Change] = {}
    for kind, operator in OPERATORS.items():
        for node, name, hint, edits, *place in operator(script):
            part = script.part(node)
            if part.partition(".")[0] in GIVEN or not edits:
                continue
            line = node.lineno
            where = place[0] if place else ""
            change = Change(kind, part, line, name, where, hint, tuple(edits))
            found.setdefault(change.edits, change)
    return tuple(found.values())
