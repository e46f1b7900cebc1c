"""A script's text and tree, and what changes it: what all operators work with."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Edit = tuple[int, int, str]  # first byte, byte after the last, what takes their place

GIVEN = {"start", "learn", "main", "Config"}  # definitions that have nothing of the model
LOSS = re.compile(r"(loss|divergence|penalty|norms|error|elbo)$")
UPDATE = re.compile(r"_step$|Trainer\.|^autoencode$")
DRAWN = re.compile(r"^(fakes?|fake_\w|samples|reconstructions|codes|drawn)$")

KINDS = {"relu": "relu", "ReLU": "relu", "tanh": "tanh", "sigmoid": "sigmoid"} | {
    "leaky_relu": "leaky", "LeakyReLU": "leaky"
}  # fmt: skip
SYMMETRIC = {"l1_loss", "mse_loss", "mean_absolute_error", "mean_squared_error"}


@dataclass(frozen=True)
class Change:
    """A mistake in one place.

    Attributes:
        operator: the kind.
        part: the function or method that it is in, as `Generator.forward`; empty outside of all.
        line: from 1.
        name: what is wrong.
        place: where, if the same can be wrong in several places.
        hint: what to look at.
        edits: of the script's text.
    """

    operator: str
    part: str
    line: int
    name: str
    place: str
    hint: str
    edits: tuple[Edit, ...]

    @property
    def title(self) -> str:
        """The name with its place."""
        return f"{self.name} ({self.place})" if self.place else self.name


def make(text: str, changes: Iterable[Change]) -> str | None:
    """A script's text with some changes at once; None if two of them meet."""
    content = text.encode()
    last = len(content)
    for start, end, new in sorted((e for c in changes for e in c.edits), reverse=True):
        if end > last:
            return None
        content = content[:start] + new.encode() + content[end:]
        last = start
    return content.decode()


class Script:
    """A script's text and tree.

    Args:
        text: it.
        framework: in which it is written.
    """

    def __init__(self, text: str, framework: str) -> None:
        self.content = text.encode()
        self.framework = framework
        self.tree = ast.parse(text)
        self._lines = [0]
        for line in self.content.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))
        self.parents: dict[ast.AST, ast.AST] = {}
        for node in ast.walk(self.tree):
            for child in ast.iter_child_nodes(node):
                self.parents[child] = node

    @cached_property
    def functions(self) -> dict[str, ast.FunctionDef]:
        """By name; those of a module, not methods."""
        return {node.name: node for node in self.tree.body if isinstance(node, ast.FunctionDef)}

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All nodes in the order of the text."""
        placed = [node for node in ast.walk(self.tree) if hasattr(node, "lineno")]
        return sorted(placed, key=lambda node: self.span(node))

    def all(self, *kinds: type, within: re.Pattern[str] | None = None) -> Iterator[Any]:
        """The nodes of some kinds, in parts whose name is like that."""
        for node in self.nodes:
            if isinstance(node, kinds) and (within is None or within.search(self.part(node))):
                yield node

    def part(self, node: ast.AST) -> str:
        """The function or method that a node is in; empty outside of all."""
        names = []
        while node in self.parents:
            node = self.parents[node]
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.append(node.name)
        return ".".join(names[::-1][:2]) if names else ""

    def span(self, node: Any) -> tuple[int, int]:
        """The bytes of a node."""
        return (
            self._lines[node.lineno - 1] + node.col_offset,
            self._lines[node.end_lineno - 1] + node.end_col_offset,
        )

    def source(self, node: Any) -> str:
        """The text of a node."""
        start, end = self.span(node)
        return self.content[start:end].decode()

    def short(self, node: Any) -> str:
        """The text of a node for a name: on one line, and not long."""
        text = " ".join(self.source(node).split())
        return text if len(text) <= 50 else f"{text[:47]}..."

    # Edits.

    def put(self, node: Any, text: str) -> list[Edit]:
        """Another text in a node's place."""
        return [(*self.span(node), text)]

    def wrap(self, node: Any, before: str, after: str) -> list[Edit]:
        """A text before a node and one after it."""
        start, end = self.span(node)
        return [(start, start, before), (end, end, after)]

    def keep(self, outer: Any, inner: Any, before: str = "", after: str = "") -> list[Edit]:
        """Of a node only one inside it, with a text before and one after it."""
        operand = isinstance(inner, ast.BinOp | ast.UnaryOp | ast.IfExp)
        if operand and isinstance(self.parents[outer], ast.BinOp | ast.Attribute | ast.UnaryOp):
            before, after = f"{before}(", f"){after}"
        (a, d), (b, c) = self.span(outer), self.span(inner)
        return [(a, b, before), (c, d, after)]

    def exchange(self, one: Any, other: Any) -> list[Edit]:
        """Two nodes in each other's places."""
        return [*self.put(one, self.source(other)), *self.put(other, self.source(one))]

    def drop(self, statement: Any) -> list[Edit]:
        """A statement less."""
        return self.put(statement, "pass")

    def lines(self, first: Any, last: Any | None = None) -> tuple[int, int]:
        """The bytes of whole lines, from a statement to another."""
        return self._lines[first.lineno - 1], self._lines[(last or first).end_lineno]

    def move(self, statement: Any, after: Any, last: Any | None = None) -> list[Edit]:
        """A statement's lines, or those up to another one's, behind a third one's."""
        start, end = self.lines(statement, last)
        to = self.lines(after)[1]
        return [(start, end, ""), (to, to, self.content[start:end].decode())]

    # What stands where.

    def statement(self, node: ast.AST) -> Any:
        """The statement that a node is in."""
        while not isinstance(node, ast.stmt):
            node = self.parents[node]
        return node

    def siblings(self, statement: ast.AST) -> list[Any]:
        """The block that a statement is in."""
        parent: Any = self.parents[statement]
        return next(
            block
            for block in (getattr(parent, name, []) for name in ("body", "orelse"))
            if isinstance(block, list) and statement in block
        )

    def callee(self, call: ast.Call) -> str:
        """The last name of what is called: `relu` of `F.relu(x)`, and of a name that holds it."""
        name = last_name(call.func)
        if isinstance(call.func, ast.Name):  # cross_entropy = tf.nn.…
            for node in self.all(ast.Assign):
                if last_name(node.targets[0]) == name and self.part(node) == self.part(call):
                    return last_name(node.value)
        return name

    def activations(self) -> Iterator[tuple[ast.Call, str, ast.expr, Any]]:
        """Where one is applied: the call, its kind, its operand, the slope of a leaky one."""
        for call in self.all(ast.Call):
            if not call.args:
                continue
            made = call.func if isinstance(call.func, ast.Call) else None  # layers.ReLU()(x)
            kind = KINDS.get(last_name(made.func if made else call.func), "")
            if made and last_name(made.func) == "Activation" and made.args:
                kind = KINDS.get(str(getattr(made.args[0], "value", "")), "")
            if kind:
                slope = next((k.value for k in [*(made or call).keywords]), None)
                if kind == "leaky" and slope is None and len(call.args) > 1:
                    slope = call.args[1]
                yield call, kind, call.args[0], slope

    def norms(self) -> Iterator[tuple[ast.Call, ast.expr]]:
        """Where a norm is applied: the call and its operand."""
        for call in self.all(ast.Call):
            name = last_name(call.func.func if isinstance(call.func, ast.Call) else call.func)
            found = re.fullmatch(r"(norm|bn)\d*|instance_norm", name) or (
                isinstance(call.func, ast.Call) and name.endswith("Normalization")
            )
            if found and call.args:
                yield call, call.args[0]

    def settings(self) -> Iterator[tuple[str, Any, Any]]:
        """What is given by name, in calls and dicts: the name, the value, the node of both."""
        for node in self.all(ast.keyword, ast.Dict):
            if isinstance(node, ast.keyword):
                if node.arg:
                    yield node.arg, node.value, node
            else:
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant):
                        yield str(key.value), value, value

    def networks(self) -> Iterator[tuple[ast.Call, str]]:
        """Calls of networks while one is updated, and the network's name."""
        for call in self.all(ast.Call, within=UPDATE):
            name = last_name(call.func)
            if isinstance(call.func, ast.Subscript):  # networks["encoder"](…)
                name = str(getattr(call.func.slice, "value", ""))
            if self.has_batch_norm(name):
                yield call, name

    def has_batch_norm(self, network: str) -> bool:
        """Whether a network's class has one, itself or in its blocks."""
        classes = {n.name: n for n in self.tree.body if isinstance(n, ast.ClassDef)}
        name = "".join(word.title() for word in network.split("_"))
        left, seen = [name], set()
        while left:
            name = left.pop()
            if name in classes and name not in seen:
                seen.add(name)
                names = {last_name(n) for n in ast.walk(classes[name])}
                if any(each.startswith("BatchNorm") for each in names):
                    return True
                left += names
        return False

    def updates(self) -> Iterator[tuple[Any, str]]:
        """Statements that update weights, and whose: `optimizers["generator"].step()`."""
        for call in self.all(ast.Call, within=UPDATE):
            if last_name(call.func) not in {"step", "apply", "update", "train_on_batch"}:
                continue
            owner = getattr(call.func, "value", None)
            key = getattr(owner, "slice", None)
            name = getattr(key, "value", None) or getattr(owner, "id", None)
            if isinstance(name, str) and name != "losses":
                yield self.statement(call), name if key is not None else "networks"

    def is_symmetric(self, call: ast.Call) -> bool:
        """Whether the first two arguments of a call can change places and nothing else changes."""
        name = self.callee(call)
        if name in SYMMETRIC or name.startswith("Mean"):
            return True
        function = self.functions.get(name)
        if function is None or len(function.args.args) != 2:
            return False
        one, other = (each.arg for each in function.args.args)
        body = [n for n in function.body if not isinstance(n, ast.Expr)]
        text = " ".join(self._canonical(n, {}) for n in body)
        return text == " ".join(self._canonical(n, {one: other, other: one}) for n in body)

    def _canonical(self, node: Any, names: dict[str, str], even: bool = False) -> str:
        """A tree as text, with operands sorted that can change places."""
        if isinstance(node, ast.Name):
            return names.get(node.id, node.id)
        inner = [
            self._canonical(n, names, even or is_even(node)) for n in ast.iter_child_nodes(node)
        ]
        if isinstance(node, ast.BinOp):
            left, operation, right = inner
            commutes = isinstance(node.op, ast.Add | ast.Mult)
            if commutes or (even and isinstance(node.op, ast.Sub)):
                left, right = sorted((left, right))
            return f"({left} {operation} {right})"
        if isinstance(node, ast.Call):
            name = self.callee(node)
            if name in SYMMETRIC or name.startswith("Mean"):
                inner[1:] = sorted(inner[1:])
        value = getattr(node, "value", getattr(node, "attr", ""))
        said = value if isinstance(value, str | int | float) else ""
        return f"{type(node).__name__}({said}{getattr(node, 'attr', '')} {' '.join(inner)})"


def last_name(node: Any) -> str:
    """The last name of an expression: `relu` of `F.relu`, of `tf.nn.relu` and of `F.relu(x)`."""
    if isinstance(node, ast.Call):
        return last_name(node.func)
    return getattr(node, "attr", getattr(node, "id", ""))


def is_even(node: Any) -> bool:
    """Whether an operation gives the same of a number and of its negative."""
    if isinstance(node, ast.Call):
        return last_name(node.func) in {"abs", "square", "absolute"}
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow)


def number_of(node: Any) -> float | None:
    """A constant's number, with its sign."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = number_of(node.operand)
        return None if inner is None else -inner
    value = getattr(node, "value", None)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


Found = Iterator[tuple[Any, ...]]  # node, name, hint, edits, and a place
OPERATORS: dict[str, Callable[[Script], Found]] = {}


def operator(kind: str) -> Callable[[Callable[[Script], Found]], Callable[[Script], Found]]:
    """Register what finds the places of a kind of mistake; the likeliest kinds come first."""

    def register(function: Callable[[Script], Found]) -> Callable[[Script], Found]:
        OPERATORS[kind] = function
        return function

    return register


def output_of(network: Any) -> Any:
    """What a network's class gives in the end."""
    for each in ast.walk(network):
        node: Any = each
        if getattr(node, "name", "") in {"forward", "__call__"}:
            last = node.body[-1]
            return last.value if isinstance(last, ast.Return) else None
        functional = isinstance(node, ast.Call) and ast.unparse(node.func) == "super().__init__"
        arguments = node.args if functional else []
        if len(arguments) == 2 and not isinstance(arguments[1], ast.List):
            return arguments[1]
    return None
