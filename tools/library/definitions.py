"""The definitions in a script: its functions and classes, found by name in its text, not run."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import lru_cache

from tools.library.scripts import ROOT


@dataclass(frozen=True)
class Definition:
    """A function, class or method at the place where it stands.

    Attributes:
        name: `generator_loss`, or `Generator.forward` for a method.
        first, last: its lines, from 1; decorators belong to it.
        body: the first line below its signature and docstring, comments included.
        docstring: what it says of itself; empty if nothing.
        kind: `function`, `class` or `method`.
        signature: the names of its arguments, in order; of a class none.
    """

    name: str
    first: int
    last: int
    body: int
    docstring: str
    kind: str
    signature: tuple[str, ...]


def find_definitions(text: str) -> dict[str, Definition]:
    """The functions and classes of a script, each class before its methods, in their order.

    Args:
        text: the script.

    Raises:
        SyntaxError: it is not Python.
    """
    lines = text.splitlines()
    found: dict[str, Definition] = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = _define(node, node.name, "function", lines)
        elif isinstance(node, ast.ClassDef):
            found[node.name] = _define(node, node.name, "class", lines)
            for method in node.body:
                if isinstance(method, ast.FunctionDef):
                    name = f"{node.name}.{method.name}"
                    found[name] = _define(method, name, "method", lines)
    return found


def _define(
    node: ast.FunctionDef | ast.ClassDef, name: str, kind: str, lines: list[str]
) -> Definition:
    docstring = ast.get_docstring(node)
    if docstring is None:
        # Up to the colon; comments above the first statement belong to the body.
        inner = node.body[0].lineno
        header = next(
            (n for n in range(node.lineno, inner) if lines[n - 1].rstrip().endswith(":")),
            max(node.lineno, inner - 1),
        )
    else:
        header = node.body[0].end_lineno or node.lineno
    return Definition(
        name=name,
        first=min([node.lineno, *(each.lineno for each in node.decorator_list)]),
        last=node.end_lineno or node.lineno,
        body=header + 1,
        docstring=docstring or "",
        kind=kind,
        signature=_signature(node) if isinstance(node, ast.FunctionDef) else (),
    )


def _signature(node: ast.FunctionDef) -> tuple[str, ...]:
    every = node.args
    more = [each for each in (every.vararg, every.kwarg) if each]
    named = [*every.posonlyargs, *every.args, *every.kwonlyargs, *more]
    return tuple(each.arg for each in named)


@lru_cache
def read_script(framework: str, model: str) -> str:
    """The text of a model's script in a framework's folder."""
    return (ROOT / framework / f"{model}.py").read_text(encoding="utf-8")
