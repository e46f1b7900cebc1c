"""The definitions in a script: its functions and classes, found by name in its text, not run."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import lru_cache

from tools.scripts import ROOT


@dataclass(frozen=True)
class Definition:
    """A function, class or method at the place where it stands.

    Attributes:
        name: `generator_loss`, or `Generator.forward` for a method.
        first, last: its lines, from 1; decorators belong to it.
        body: the first line below its signature and docstring, comments included.
        docstring: what it says of itself; empty if nothing.
        kind: `function`, `class` or `method`.
        signature: the names of its arguments, in order; of a class those of `__init__`.
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
            found[node.name] = _define(node, node.name, "function", node, lines)
        elif isinstance(node, ast.ClassDef):
            methods = [item for item in node.body if isinstance(item, ast.FunctionDef)]
            maker = next((item for item in methods if item.name == "__init__"), None)
            found[node.name] = _define(node, node.name, "class", maker, lines)
            for method in methods:
                name = f"{node.name}.{method.name}"
                found[name] = _define(method, name, "method", method, lines)
    return found


def _define(
    node: ast.FunctionDef | ast.ClassDef,
    name: str,
    kind: str,
    arguments: ast.FunctionDef | None,
    lines: list[str],
) -> Definition:
    docstring = ast.get_docstring(node)
    if docstring is None:
        header = node.lineno
        while not lines[header - 1].split("  #")[0].rstrip().endswith(":"):
            header += 1
    else:
        header = node.body[0].end_lineno or node.lineno
    return Definition(
        name=name,
        first=min([node.lineno, *(each.lineno for each in node.decorator_list)]),
        last=node.end_lineno or node.lineno,
        body=header + 1,
        docstring=docstring or "",
        kind=kind,
        signature=tuple(each.arg for each in _arguments(arguments)),
    )


def _arguments(node: ast.FunctionDef | None) -> list[ast.arg]:
    if node is None:
        return []
    every = node.args
    more = [each for each in (every.vararg, every.kwarg) if each]
    return [*every.posonlyargs, *every.args, *every.kwonlyargs, *more]


@lru_cache
def read_script(framework: str, model: str) -> str:
    """The text of a model's script in a framework's folder."""
    return (ROOT / framework / f"{model}.py").read_text(encoding="utf-8")
