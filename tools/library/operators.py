"""Mistakes that people make, made in a script's syntax tree: small changes of its text, one by one.

An operator finds every place of a script where a mistake of its kind can be made, in whichever
framework the script is written. Only those characters change; the rest of the file stays as it is.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

Edit = tuple[int, int, str]  # first byte, byte after the last, what takes their place

GIVEN = {"start", "learn", "main", "Config"}  # definitions that have nothing of the model
LOSS = re.compile(r"(loss|divergence|penalty|norms|error|elbo)$")
UPDATE = re.compile(r"_step$|Trainer\.|^autoencode$")
DRAWN = re.compile(r"^(fakes?|fake_\w|samples|reconstructions|codes|drawn)$")

# How the four frameworks spell what an operator puts in.
ACTIVATIONS = {
    "pytorch": {"relu": "F.relu", "tanh": "torch.tanh", "sigmoid": "torch.sigmoid"},
    "tensorflow": {"relu": "tf.nn.relu", "tanh": "tf.tanh", "sigmoid": "tf.sigmoid"},
    "keras": {
        "relu": "layers.ReLU()",
        "tanh": 'layers.Activation("tanh")',
        "sigmoid": 'layers.Activation("sigmoid")',
    },
    "chainer": {"relu": "F.relu", "tanh": "F.tanh", "sigmoid": "F.sigmoid"},
}
LEAKY = {  # what stands around its operand
    "pytorch": ("F.leaky_relu(", ", 0.2)"),
    "tensorflow": ("nn.leaky_relu(", ", 0.2)"),
    "keras": ("LeakyReLU(negative_slope=0.2)(", ")"),
    "chainer": ("F.leaky_relu(", ", 0.2)"),
}
KINDS = {"relu": "relu", "ReLU": "relu", "tanh": "tanh", "sigmoid": "sigmoid"} | {
    "leaky_relu": "leaky", "LeakyReLU": "leaky"
}  # fmt: skip
SAID = {"relu": "ReLU", "leaky": "leaky ReLU", "tanh": "tanh", "sigmoid": "sigmoid"}
CUT = {  # a gradient is not passed on
    "pytorch": ("", ".detach()"),
    "tensorflow": ("tf.stop_gradient(", ")"),
    "keras": ("ops.stop_gradient(", ")"),
    "chainer": ("", ".array"),
}
LOGITS = {  # losses that take logits: which argument these are, and what makes a probability
    "binary_cross_entropy_with_logits": (0, "sigmoid"),
    "sigmoid_cross_entropy_with_logits": (1, "sigmoid"),
    "BinaryCrossentropy": (1, "sigmoid"),
    "binary_crossentropy": (1, "sigmoid"),
    "sigmoid_cross_entropy": (0, "sigmoid"),
    "bernoulli_nll": (1, "sigmoid"),
    "cross_entropy": (0, "softmax"),
    "sparse_softmax_cross_entropy_with_logits": (1, "softmax"),
    "SparseCategoricalCrossentropy": (1, "softmax"),
    "softmax_cross_entropy": (0, "softmax"),
}
PROBABILITY = {
    "pytorch": {"sigmoid": ("torch.sigmoid(", ")"), "softmax": ("torch.softmax(", ", 1)")},
    "tensorflow": {"sigmoid": ("tf.sigmoid(", ")"), "softmax": ("tf.nn.softmax(", ")")},
    # Written out: Keras sees what a sigmoid or a softmax has made, and puts it right.
    "keras": {"sigmoid": ("1 / (1 + ops.exp(-", "))"), "softmax": ("1 * ops.softmax(", ")")},
    "chainer": {"sigmoid": ("F.sigmoid(", ")"), "softmax": ("F.softmax(", ")")},
}
SQUARED = {  # and the absolute error of the same kind
    "mse_loss": "l1_loss",
    "mean_squared_error": "mean_absolute_error",
    "MeanSquaredError": "MeanAbsoluteError",
    "square": "abs",
}
DEFAULTS = {  # settings of norms and optimisers that a framework has by itself
    "pytorch": {"slope": "0.01"},
    "tensorflow": {},
    "keras": {"eps": "1e-3", "momentum": "0.99", "slope": "0.3"},
    "chainer": {"eps": "2e-5"},
}
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
        name = _last(call.func)
        if isinstance(call.func, ast.Name):  # cross_entropy = tf.nn.…
            for node in self.all(ast.Assign):
                if _last(node.targets[0]) == name and self.part(node) == self.part(call):
                    return _last(node.value)
        return name

    def activations(self) -> Iterator[tuple[ast.Call, str, ast.expr, Any]]:
        """Where one is applied: the call, its kind, its operand, the slope of a leaky one."""
        for call in self.all(ast.Call):
            if not call.args:
                continue
            made = call.func if isinstance(call.func, ast.Call) else None  # layers.ReLU()(x)
            kind = KINDS.get(_last(made.func if made else call.func), "")
            if made and _last(made.func) == "Activation" and made.args:
                kind = KINDS.get(str(getattr(made.args[0], "value", "")), "")
            if kind:
                slope = next((k.value for k in [*(made or call).keywords]), None)
                if kind == "leaky" and slope is None and len(call.args) > 1:
                    slope = call.args[1]
                yield call, kind, call.args[0], slope

    def norms(self) -> Iterator[tuple[ast.Call, ast.expr]]:
        """Where a norm is applied: the call and its operand."""
        for call in self.all(ast.Call):
            name = _last(call.func.func if isinstance(call.func, ast.Call) else call.func)
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
            name = _last(call.func)
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
                names = {_last(n) for n in ast.walk(classes[name])}
                if any(each.startswith("BatchNorm") for each in names):
                    return True
                left += names
        return False

    def updates(self) -> Iterator[tuple[Any, str]]:
        """Statements that update weights, and whose: `optimizers["generator"].step()`."""
        for call in self.all(ast.Call, within=UPDATE):
            if _last(call.func) not in {"step", "apply", "update", "train_on_batch"}:
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
            self._canonical(n, names, even or _is_even(node)) for n in ast.iter_child_nodes(node)
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


def _last(node: Any) -> str:
    """The last name of an expression: `relu` of `F.relu`, of `tf.nn.relu` and of `F.relu(x)`."""
    if isinstance(node, ast.Call):
        return _last(node.func)
    return getattr(node, "attr", getattr(node, "id", ""))


def _is_even(node: Any) -> bool:
    """Whether an operation gives the same of a number and of its negative."""
    if isinstance(node, ast.Call):
        return _last(node.func) in {"abs", "square", "absolute"}
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow)


def _number(node: Any) -> float | None:
    """A constant's number, with its sign."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _number(node.operand)
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


# Losses.


@operator("saturating loss")
def _saturating(script: Script) -> Found:
    for node in script.all(ast.Return, within=LOSS):
        ones = [n for n in ast.walk(node) if isinstance(n, ast.Attribute) and n.attr[:4] == "ones"]
        if len(ones) == 1:
            start = script.span(node.value)[0]
            swap = script.put(ones[0], script.source(ones[0]).replace("ones", "zeros"))
            yield (
                node,
                "the saturating loss: log(1 - D(G(z))) is made small, where -log D(G(z)) should be",
                "Both push D(G(z)) up, but early in training the first has hardly a gradient. "
                "Ask the discriminator's loss for fakes as if they were real.",
                [(start, start, "-"), *swap],
            )


@operator("labels")
def _labels(script: Script) -> Found:
    """Ones for zeros, in one place; in a function with both, real and fake in each other's."""
    swapped = "the labels are swapped: what should be called real is called fake"
    hint = "Real is 1 and fake is 0 for the discriminator; the generator wants its fakes called 1."
    other = {"ones": "zeros", "zeros": "ones"}
    found: dict[str, list[Any]] = {}
    for node in script.all(ast.Attribute, within=LOSS):
        if node.attr.removesuffix("_like") in other:
            found.setdefault(script.part(node), []).append(node)
    for part, nodes in found.items():
        edits = [
            script.put(n, re.sub("ones|zeros", lambda m: other[m[0]], script.source(n)))
            for n in nodes
        ]
        yield nodes[0], swapped, hint, [edit for each in edits for edit in each]
        for node, edit in zip(nodes, edits, strict=True):
            word = "ones" if "ones" in node.attr else "zeros"
            yield (
                node,
                f"a label is wrong in {part}: {other[word]} where {word} should be",
                hint,
                edit,
            )
    for name, function in script.functions.items():
        taken = [each.arg for each in function.args.args]
        if (
            LOSS.search(name)
            and name not in found
            and taken[:2]
            in (
                ["real_scores", "fake_scores"],
                ["real_logits", "fake_logits"],
            )
        ):
            one, two = taken[:2]
            uses = [
                n
                for s in function.body
                for n in ast.walk(s)
                if isinstance(n, ast.Name) and n.id in (one, two)
            ]
            edits = [e for n in uses for e in script.put(n, two if n.id == one else one)]
            yield function.body[0], swapped, hint, edits


@operator("exchanged arguments")
def _exchanged(script: Script) -> Found:
    """Two arguments of a call have changed places."""
    for call in script.all(ast.Call):
        part = script.part(call)
        if not (LOSS.search(part) or UPDATE.search(part)) or part.startswith("build"):
            continue
        arguments = [a for a in call.args if not isinstance(a, ast.Constant | ast.Starred)]
        name = script.callee(call)
        if name in {"gradient", "grad", "isinstance", "zip", "pop", "swap"}:
            continue
        for one, two in pairwise(arguments):
            images = {_last(n) for n in ast.walk(one)} | {_last(n) for n in ast.walk(two)}
            if name in script.functions and LOSS.search(name):
                if script.is_symmetric(call):
                    continue
                both = f"{script.short(one)} and {script.short(two)}"
                said = f"{both} have changed places on their way into {name}"
                if {"images", "fakes"} <= images and "discriminator_loss critic_loss".count(name):
                    said = "real and fake have changed places on their way into the loss"
            elif script.is_symmetric(call) or name in script.functions:
                continue
            else:
                said = f"{script.short(one)} and {script.short(two)} have changed places in {name}"
            yield (
                call,
                said,
                f"Look up which argument {name} takes first.",
                script.exchange(one, two),
            )
    # Keras calls the networks on lines of their own, TensorFlow some of them.
    for one, two in _pairs(script):
        yield (
            one,
            "real and fake have changed places on their way into the loss",
            "The loss takes what was said of real images first, then what was said of the fakes.",
            script.exchange(one, two),
        )


def _pairs(script: Script) -> Iterator[tuple[Any, Any]]:
    """What a discriminator is first given, and what next, in a function: images, and fakes."""
    for part in dict.fromkeys(script.part(n) for n in script.all(ast.Call, within=UPDATE)):
        names = [
            argument
            for call in script.all(ast.Call)
            if script.part(call) == part and re.search("discriminator$|critic$", _last(call.func))
            for argument in call.args[-1:]
            if _last(argument) in {"images", "fakes"}
        ]
        for one, two in pairwise(names):
            if {_last(one), _last(two)} == {"images", "fakes"}:
                yield one, two


@operator("exchanged names")
def _names(script: Script) -> Found:
    """One name for another of its kind: the other domain's image, images for fakes."""
    pairs = [("a", "b"), ("fake_a", "fake_b"), ("images", "fakes"), ("noise", "codes")]
    pairs += [("images", "reconstructions"), ("reconstructions", "samples"), ("a2b", "b2a")]
    pairs += [("d_a", "d_b"), ("real_scores", "fake_scores"), ("real_logits", "fake_logits")]
    other = {one: two for pair in pairs for one, two in (pair, pair[::-1])}
    for part in dict.fromkeys(script.part(n) for n in script.all(ast.Name)):
        if not (UPDATE.search(part) or LOSS.search(part)):
            continue
        names = [n for n in script.all(ast.Name) if script.part(n) == part]
        stored = {n.id for n in names if isinstance(n.ctx, ast.Store)}
        known = stored | {a.arg for f in script.functions.values() for a in f.args.args
                          if script.part(f.body[0]) == part}  # fmt: skip
        loaded = [
            n
            for n in names
            if isinstance(n.ctx, ast.Load) and other.get(n.id) in known and not _is_shape(script, n)
        ]
        for one, two in pairs:
            both = [n for n in loaded if n.id in (one, two)]
            blocks: dict[Any, list[Any]] = {}
            for node in both:
                blocks.setdefault(_entry(script, node), []).append(node)
            for nodes in blocks.values():
                if {n.id for n in nodes} != {one, two} and len(blocks) < 2:
                    continue
                for group in _groups(nodes):
                    yield (
                        group[0],
                        f"{one} and {two} have changed places in {part}",
                        "Follow each of them from where it comes to where it is used.",
                        [e for n in group for e in script.put(n, other[n.id])],
                        script.short(_argument(script, group[0])),
                    )


def _is_shape(script: Script, node: ast.AST) -> bool:
    """Whether only the shape of what a name stands for counts."""
    outer = script.parents[node]
    return getattr(outer, "attr", "") == "shape" or _last(outer).endswith(("_like", "_module"))


def _entry(script: Script, node: ast.AST) -> Any:
    """The statement that a node is in, or the entry of a dict."""
    while not isinstance(node, ast.stmt) and not isinstance(script.parents[node], ast.Dict):
        node = script.parents[node]
    return node


def _argument(script: Script, node: ast.AST) -> Any:
    """The outermost call around a node, in its statement or entry."""
    best, entry = node, _entry(script, node)
    while node is not entry and not isinstance(node, ast.stmt):
        if isinstance(node, ast.Call):
            best = node
            if len(node.args) > 1:
                break
        node = script.parents[node]
    return best


def _groups(nodes: list[Any]) -> Iterator[list[Any]]:
    """All at once, each alone, and those at the same place of each pair."""
    yield nodes
    if len(nodes) > 1:
        for node in nodes:
            yield [node]
    if len(nodes) == 4:
        yield nodes[::2]
        yield nodes[1::2]


@operator("sign")
def _sign(script: Script) -> Found:
    pushed = "the sign is wrong: what should fall is pushed up"
    hint = "An optimiser makes the loss small. Write down which way each part should go."
    for node in script.all(ast.Return, within=LOSS):
        value = node.value
        if isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.USub):
            yield node, pushed, hint, script.keep(value, value.operand)
        elif value is not None and not isinstance(value, ast.Dict):
            yield node, pushed, hint, script.wrap(value, "-(", ")")
    for node in script.all(ast.BinOp):
        part = script.part(node)
        if not (LOSS.search(part) or UPDATE.search(part)):
            continue
        if not isinstance(node.op, ast.Add | ast.Sub) or _is_even(script.parents[node]):
            continue
        start, end = script.span(node.left)[1], script.span(node.right)[0]
        between = script.content[start:end].decode()
        other = between.translate(str.maketrans("+-", "-+"))
        name = f"the sign of a term is wrong in {part}"
        yield node, name, hint, [(start, end, other)], script.short(node.right)
        if isinstance(node.op, ast.Sub) and _number(node.right) is None:
            yield node, pushed, hint, script.exchange(node.left, node.right)
        if _number(node.left) is None and not isinstance(node.left, ast.BinOp):
            yield node, name, hint, script.wrap(node.left, "(-", ")"), script.short(node.left)


@operator("term left out")
def _term(script: Script) -> Found:
    hint = "Count the terms: which one does not reach the sum?"
    for node in script.all(ast.BinOp):
        part = script.part(node)
        forward = part.endswith((".forward", ".__call__"))
        if not (LOSS.search(part) or UPDATE.search(part) or forward):
            continue
        if isinstance(node.op, ast.Add | ast.Sub):
            for gone, kept in ((node.left, node.right), (node.right, node.left)):
                if script.source(gone) == "TINY":  # which only keeps a root from 0
                    continue
                minus = "-" if isinstance(node.op, ast.Sub) and gone is node.left else ""
                name = f"a term is left out of {part}: {script.short(gone)}"
                yield node, name, hint, script.keep(node, kept, minus)
    for node in script.all(ast.AugAssign, within=UPDATE):
        name = f"a term is left out of {script.part(node)}: {script.short(node.value)}"
        yield node, name, hint, script.drop(node)
    for call in script.all(ast.Call):  # layers.Add()([y, around])
        if isinstance(call.func, ast.Call) and _last(call.func) == "Add":
            for gone, kept in (call.args[0].elts, call.args[0].elts[::-1]):
                name = f"a term is left out of {script.part(call)}: {script.short(gone)}"
                yield call, name, hint, script.keep(call, kept)


@operator("factor")
def _factor(script: Script) -> Found:
    """The weight of a term forgotten, exchanged or changed; a half forgotten."""
    for node in script.all(ast.BinOp):
        part = script.part(node)
        if not (LOSS.search(part) or UPDATE.search(part)):
            continue
        sides = ((node.left, node.right), (node.right, node.left))
        if isinstance(node.op, ast.Mult):
            for factor, kept in sides:
                name = f"a factor is left out of {part}: {script.short(factor)}"
                hint = "Compare the product with the formula, factor by factor."
                if script.source(factor).isupper() or script.source(factor) == "identity":
                    name = "a loss's weight is forgotten"
                    hint = "The parts of a sum have weights; they stand as constants at the top."
                    yield node, name, hint, script.keep(node, kept)
                    sum_ = script.parents[node]
                    if isinstance(sum_, ast.BinOp) and isinstance(sum_.op, ast.Add):
                        term = sum_.right if sum_.left is node else sum_.left
                        weight = script.source(factor)
                        yield (
                            node,
                            f"the weight {weight} multiplies another term of {part}",
                            hint,
                            [*script.keep(node, kept), *script.wrap(term, f"{weight} * (", ")")],
                        )
                    for times, said in (("10", "ten times"), ("0.5", "half")):
                        name = f"the weight {script.source(factor)} counts {said}"
                        yield node, name, hint, script.wrap(factor, f"({times} * ", ")")
                elif _number(factor) == 0.5:
                    yield (
                        node,
                        f"the {'divergence' if 'divergence' in part else 'loss'} without its half",
                        "KL of two normals is half of mean^2 + variance - 1 - log variance.",
                        script.keep(node, kept),
                    )
                elif _number(factor) is None:
                    yield node, name, hint, script.keep(node, kept)
        elif isinstance(node.op, ast.Div) and _number(node.right) == 2:
            if script.source(node.left) == "logvar":
                yield (
                    node,
                    "the log variance taken for the log deviation: exp(logvar) where exp(logvar / "
                    "2) should be",
                    "The deviation is the root of the variance, so half of its logarithm.",
                    script.keep(node, node.left),
                )
            else:
                yield (
                    node,
                    "the half of the discriminator's loss is forgotten",
                    "The discriminator is to learn half as fast as the generator: divide the sum "
                    "by 2.",
                    script.keep(node, node.left),
                )
    for node in script.all(ast.Return, within=LOSS):
        if node.value is not None and not isinstance(node.value, ast.Dict):
            name = f"{script.part(node)} is halved"
            yield (
                node,
                name,
                "Compare it with the formula.",
                script.wrap(node.value, "0.5 * (", ")"),
            )
            name = f"{script.part(node)} counts twice"
            yield node, name, "Compare it with the formula.", script.wrap(node.value, "2 * (", ")")
    for call in script.all(ast.Call, within=LOSS):
        if script.callee(call) == "gaussian_kl_divergence":
            yield (
                call,
                "the divergence without its half",
                "KL of two normals is half of mean^2 + variance - 1 - log variance.",
                script.wrap(call, "2 * ", ""),
            )
            part = "mean^2 + variance - 1 - log variance"
            for less, said in (("0.5", "- 1"), ("-0.5 * logvar", "log variance")):
                name = f"a term is left out of {script.part(call)}: {said}"
                yield call, name, f"There are four: {part}.", script.wrap(call, "(", f" + {less})")


@operator("mean and sum")
def _mean(script: Script) -> Found:
    forgotten = (
        "mean for sum: averaged over everything, where an image's numbers should be summed",
        "The bound adds up over an image's pixels and a code's numbers; only the batch is "
        "averaged. Else the two parts have other weights.",
    )
    summed = ("sum for mean: summed over the batch too", "Average over the batch, else the step "
              "grows with it.")  # fmt: skip
    pixels = (
        "sum for mean: summed over an image, averaged over the batch alone",
        "The mean goes over all numbers, those of an image too.",
    )
    for call in script.all(ast.Call, within=re.compile(f"{LOSS.pattern}|Trainer")):
        name = script.callee(call)
        of_pixels = re.search("reconstruction|absolute", script.part(call))
        method = isinstance(call.func, ast.Attribute) and not isinstance(call.func.value, ast.Name)
        owner: Any = call.func.value if isinstance(call.func, ast.Attribute) else None
        method = method or (isinstance(owner, ast.Name) and owner.id not in {"F", "tf", "ops"})
        inner = owner if method else (call.args[0] if call.args else None)
        if name in {"mean", "reduce_mean", "average"} and inner is not None:
            new = script.source(call.func)[: -len(name)] + name.replace("mean", "sum")
            yield call, *summed, script.put(call.func, new)
            if isinstance(inner, ast.Call) and _last(inner.func) in {"sum", "reduce_sum"}:
                if method:
                    start = script.span(inner.func.value)[1]  # pyright: ignore[reportAttributeAccessIssue]
                    yield call, *forgotten, [(start, script.span(inner)[1], "")]
                else:
                    yield call, *forgotten, script.keep(inner, inner.args[0])
            elif of_pixels:
                count = f" / len({script.source(inner)})"
                yield call, *pixels, [*script.put(call.func, new), *script.wrap(call, "", count)]
        elif name in {"mse_loss", "l1_loss", "cross_entropy", "binary_cross_entropy_with_logits"}:
            end = script.span(call)[1]
            more = [(end - 1, end - 1, ', reduction="sum"')]
            if script.framework == "pytorch" and "reduction" not in script.source(call):
                yield call, *summed, more
                if of_pixels and "entropy" not in name:
                    yield (
                        call,
                        *pixels,
                        [*more, (end, end, f" / len({script.source(call.args[0])})")],
                    )
        elif name in {"mean_squared_error", "mean_absolute_error"} and len(call.args) == 2:
            one, two = map(script.source, call.args)
            power = "square" if "squared" in name else "absolute"
            total = f"F.sum(F.{power}({one} - {two}))"
            yield call, *summed, script.put(call, total)
            yield call, *pixels, script.put(call, f"{total} / len({one})")
        elif name in {"sigmoid_cross_entropy", "softmax_cross_entropy"}:
            end = script.span(call)[1]
            each = [(end - 1, end - 1, ', reduce="no"')]
            yield call, *summed, [*script.wrap(call, "F.sum(", ")"), *each]
    for call in script.all(ast.Call, within=LOSS):
        if script.source(call.func).startswith("keras.losses.") and call.func is not None:
            end = script.span(call)[1]
            comma = ", " if call.keywords else ""
            if "reduction" not in script.source(call) and script.source(call.func)[13].isupper():
                yield call, *summed, [(end - 1, end - 1, f'{comma}reduction="sum"')]


@operator("squared and absolute")
def _squared(script: Script) -> Found:
    other = SQUARED | {two: one for one, two in SQUARED.items()}
    hint = "One is |x - y|, the other (x - y)^2."
    for node in script.all(ast.Attribute, within=LOSS):
        if node.attr in other:
            squared = node.attr in SQUARED
            said = ("squared", "absolute") if squared else ("absolute", "squared")
            name = f"the {said[1]} error for the {said[0]}"
            new = script.source(node)[: -len(node.attr)] + other[node.attr]
            yield node, name, hint, script.put(node, new)
    for node in script.all(ast.BinOp, within=LOSS):
        if isinstance(node.op, ast.Pow) and _number(node.right) == 2:
            edits = script.keep(node, node.left, "abs(", ")")
            yield node, "the absolute error for the squared", hint, edits


@operator("sigmoid twice")
def _twice(script: Script) -> Found:
    hint = "A loss 'from logits' has it in it. Take the other one away."
    for call in script.all(ast.Call, within=re.compile(f"{LOSS.pattern}|Trainer")):
        place, kind = LOGITS.get(script.callee(call), (None, ""))
        if place is None or (
            isinstance(script.parents[call], ast.Assign | ast.Call)
            and (_last(call.func)[0].isupper())
        ):
            continue
        if len(call.args) > place:
            name = f"{kind} twice: a loss that takes logits is given what a {kind} has made"
            yield (
                call,
                name,
                hint,
                script.wrap(call.args[place], *PROBABILITY[script.framework][kind]),
            )
    for node in script.tree.body:
        logits = isinstance(node, ast.ClassDef) and "logit" in (ast.get_docstring(node) or "")
        output = _output(node) if logits else None
        if output is not None:
            wrong = ACTIVATIONS[script.framework]["sigmoid"]
            name = "sigmoid twice: a loss that takes logits is given what a sigmoid has made"
            yield output, name, hint, script.wrap(output, f"{wrong}(", ")")


def _output(network: Any) -> Any:
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


# Steps of training.


@operator("mode")
def _mode(script: Script) -> Found:
    inference = "the {} in inference mode while the {} is trained"
    hint = (
        "Its batch norm has to see the batch, in every update. In Keras discriminator.trainable = "
        "False does this silently."
    )
    for call, name in script.networks():
        said = inference.format(name, _trained(script, call, name))
        flag = next((k.value for k in call.keywords if k.arg == "training"), None)
        statement = script.statement(call)
        start, end = script.lines(statement)
        indent = " " * statement.col_offset
        lines = script.content[start:end].decode()
        if flag is not None:
            if _number(flag) is None and script.source(flag) == "True":
                yield call, said, hint, script.put(flag, "False"), script.short(call)
        elif script.framework == "pytorch":
            whose = script.source(call.func)
            more = [(start, start, f"{indent}{whose}.eval()\n")]
            more += [(end, end, f"{indent}{whose}.train()\n")]
            yield call, said, hint, more, script.short(call)
        elif script.framework == "chainer" and not isinstance(statement, ast.With | ast.For):
            source = script.source(call)
            aside = f'{indent}with chainer.using_config("train", False):\n{indent}    aside = '
            more = [(start, start, f"{aside}{source}\n"), *script.put(call, "aside")]
            before = lines[: script.span(call)[0] - start]
            if "(" not in before:  # nothing that is evaluated before it
                head = f'{indent}with chainer.using_config("train", False):\n'
                more = [(start, end, f"{head}    {lines}")]
            yield call, said, hint, more, script.short(call)
    drawn = "drawn in training mode, with the statistics of the batch"
    why = "Samples are drawn with batch norm's running averages: inference mode."
    for node in script.all(ast.Expr):
        text = script.source(node)
        if text.endswith(".eval()") and script.has_batch_norm(_last(node.value.func.value)):
            yield node, drawn, why, script.drop(node)
        if text.endswith(".train()") and script.has_batch_norm(_last(node.value.func.value)):
            name = f"training goes on in inference mode after {script.part(node)}"
            yield node, name, "Put the network back into training mode.", script.drop(node)
    for node in script.all(ast.keyword):
        call = script.parents[node]
        off = node.arg == "training" and script.source(node.value) == "False"
        if off and script.has_batch_norm(_last(getattr(call, "func", call))):
            yield node, drawn, why, script.put(node.value, "True")
    for node in script.all(ast.With):
        inside = [n for s in node.body for n in ast.walk(s) if isinstance(n, ast.Call)]
        for item in node.items:
            mode = script.source(item.context_expr)
            off = mode == 'chainer.using_config("train", False)'
            if off and any(script.has_batch_norm(_last(call)) for call in inside):
                new = mode.replace("False", "True")
                yield node, drawn, why, script.put(item.context_expr, new)
    for call in script.all(ast.Call):
        if _last(call.func) == "predict_on_batch" and call.args:
            owner = call.func.value
            if script.has_batch_norm(_last(owner)):
                new = f"{script.source(owner)}({script.source(call.args[0])}, training=True)"
                yield call, drawn, why, script.put(call, new)


def _trained(script: Script, call: ast.Call, name: str) -> str:
    """Which network an update trains that calls another."""
    part = script.part(call)
    if "Trainer" in part:
        return part.partition("Trainer")[0].lower()
    for update, whose in script.updates():
        if script.part(update) == part and update.lineno >= call.lineno:
            return whose
    return name


@operator("detach")
def _detach(script: Script) -> Found:
    name = "no detach: the gradient of the discriminator's loss runs on into the generator"
    hint = (
        "The fakes that the discriminator learns from are data to it. Draw them without a "
        "gradient, or detach them."
    )
    for node in script.all(ast.With, within=UPDATE):
        first = script.source(node.items[0].context_expr)
        if first in {"torch.no_grad()", "chainer.no_backprop_mode()"}:
            end = script.span(node.body[0])[0]
            start = script.span(node)[0]
            head = script.content[start:end].decode()
            held = any(
                DRAWN.match(_last(n)) for n in ast.walk(node.body[0]) if isinstance(n, ast.Name)
            )
            if held:
                edits = [(start, end, head.replace(f"with {first}:", "if True:"))]
                edits += [
                    (script.span(n.value)[1], script.span(n)[1], "")
                    for s in node.body
                    for n in ast.walk(s)
                    if isinstance(n, ast.Attribute) and n.attr == "array"
                ]
                yield node, name, hint, edits
    for node in script.all(ast.Call, ast.Attribute, within=UPDATE):
        outer = script.parents[node]
        inner = None
        if (
            isinstance(node, ast.Call)
            and _last(node.func) == "detach"
            and isinstance(outer, ast.Call)
        ):
            inner = node.func.value  # pyright: ignore[reportAttributeAccessIssue]
        elif (
            isinstance(node, ast.Attribute) and node.attr == "array" and isinstance(outer, ast.Call)
        ):
            inner = node.value
        elif isinstance(node, ast.Call) and _last(node.func) == "stop_gradient":
            inner = node.args[0]
        if inner is not None and not isinstance(script.statement(node), ast.Return):
            yield node, name, hint, script.keep(node, inner)
    for call in script.all(ast.Call, within=UPDATE):
        if _last(call.func) in {"generator_loss", "encoder_loss", "adversarial_loss"}:
            for node in ast.walk(call):
                outer = script.parents[node]
                if (
                    isinstance(node, ast.Name)
                    and DRAWN.match(node.id)
                    and isinstance(outer, ast.Call)
                ):
                    yield (
                        node,
                        f"detached too much: {node.id} has no gradient in {_last(call.func)}",
                        "Here the gradient has to reach the network that drew them.",
                        script.wrap(node, *CUT[script.framework]),
                    )


@operator("update")
def _update(script: Script) -> Found:
    for statement, whose in script.updates():
        said = f"the {whose}'s update" if whose != "networks" else "the update"
        start, end = script.lines(statement)
        line = script.content[start:end].decode()
        trained = "train_on_batch" in line
        less = [(start, end, line.replace("train_on_batch", "test_on_batch"))]
        hint = "Each network is updated once in each of its steps."
        yield (
            statement,
            f"{said} is left out of {script.part(statement)}",
            hint,
            less if trained else script.drop(statement),
        )
        if not isinstance(statement, ast.Return):
            name = f"{said} is made twice in {script.part(statement)}"
            yield statement, name, hint, [(end, end, line)]
    cleared = "gradients are not cleared, so those of earlier updates are added"
    for node in script.all(ast.Expr, within=UPDATE):
        text = script.source(node)
        if text.endswith((".zero_grad()", ".cleargrads()")):
            yield node, cleared, "Clear them before backward().", script.drop(node)
            block = script.siblings(node)
            after = block[block.index(node) + 1 :]
            backward = next((s for s in after if "backward(" in script.source(s)), None)
            if backward is not None:
                name = f"gradients are cleared after backward() in {script.part(node)}"
                hint = "Clear them before backward(), else the update has none."
                yield node, name, hint, script.move(node, backward)
        if ".requires_grad_(" in text:
            hint = "What the generator's loss says of the discriminator must not reach its update."
            name = f"requires_grad_ is left out of {script.part(node)}"
            yield node, name, hint, script.drop(node)
    for node in script.all(ast.keyword, within=UPDATE):
        if node.arg in {"set_grad", "inputs"} and isinstance(script.parents[node], ast.Call):
            value = "False" if node.arg == "set_grad" else "None"
            name = f"{node.arg} is forgotten in {script.part(node)}"
            yield node, name, "Without it other gradients are set.", script.put(node.value, value)
    for node in script.all(ast.For, ast.Expr, within=UPDATE):
        text = script.source(node)
        if re.search(r"learning_rate\b.*$", text) and re.search(r"\blr\b|\.lr|alpha", text):
            name = "the learning rate of the step is not given to the optimiser"
            yield node, name, "It changes from step to step.", script.drop(node)
    for node in script.all(ast.Assign, within=UPDATE):
        target = script.source(node.targets[0])
        if script.source(node.value) == "learning_rate" and "opti" in target:
            name = "the learning rate of the step is not given to the optimiser"
            yield node, name, "It changes from step to step.", script.drop(node)


@operator("clipping")
def _clipping(script: Script) -> Found:
    hint = "After each of its updates, every weight of the critic goes back into the range."
    for node in script.all(ast.Call):
        part = script.part(node)
        if not re.search("clamp|clip", _last(node.func)) or not (
            UPDATE.search(part) or part == "Clip.__call__"
        ):
            continue
        if script.source(node).count("CLIP") < 2 and part != "Clip.__call__":
            continue
        statement = script.statement(node)
        if isinstance(statement, ast.Return):
            yield node, "the weights are not clipped", hint, script.keep(node, node.args[0])
            continue
        yield node, "the weights are not clipped", hint, script.drop(statement)
        for times, said in (("10 * ", "ten times as wide"), ("0.5 * ", "half as wide")):
            edits = [
                e
                for n in ast.walk(node)
                if isinstance(n, ast.Name) and n.id == "CLIP"
                for e in script.wrap(n, f"({times}" if times[0] != "(" else times, ")")
            ]
            name = f"the weights are clipped to a range {said}"
            yield node, name, "The range is [-CLIP, CLIP].", edits
        while not isinstance(script.parents[statement], ast.FunctionDef):
            statement = script.parents[statement]
        before = script.siblings(statement)[script.siblings(statement).index(statement) - 1]
        if any(update is before for update, _ in script.updates()):
            yield (
                node,
                "the weights are clipped before the step, which then leaves the range",
                "Clip after the optimiser has moved them.",
                script.move(before, statement),
            )


@operator("order of updates")
def _order(script: Script) -> Found:
    """The first of two updates comes after the second."""
    steps = [(s, who) for s, who in script.updates()]
    for call in script.all(ast.Call, within=UPDATE):
        if re.fullmatch(r"(\w+)_step", _last(call.func)) and _last(call.func) != "train_step":
            steps.append((script.statement(call), _last(call.func).removesuffix("_step")))
    inside = []
    for statement, who in steps:
        while not isinstance(script.parents[statement], ast.FunctionDef):
            statement = script.parents[statement]
        inside.append((statement, who))
    inside.sort(key=lambda each: each[0].lineno)
    for (one, first), (two, second) in pairwise(inside):
        block = script.siblings(one)
        if two not in block or one is two:
            continue
        between = block[block.index(one) + 1 : block.index(two) + 1]
        stored, used = _stored(one), set().union(*(_loaded(s) for s in between))
        name = f"the order of the updates is wrong: {first} after {second}"
        hint = "What the second learns from is what the first has become."
        if stored & used:
            continue
        yield one, name, hint, script.move(one, two)
        # With what leads to it: its gradients are cleared and computed there too.
        first_of, to = block.index(one), block.index(two)
        while re.search("backward|zero_grad|cleargrads", script.source(block[first_of - 1])):
            first_of -= 1
        while "requires_grad_" in script.source(block[to + 1]):
            to += 1
        if block[first_of] is not one:
            name += ", with all that leads to it"
            yield one, name, hint, script.move(block[first_of], block[to], one)


def _stored(statement: ast.AST) -> set[str]:
    names = (n for n in ast.walk(statement) if isinstance(n, ast.Name))
    return {n.id for n in names if isinstance(n.ctx, ast.Store)}


def _loaded(statement: ast.AST) -> set[str]:
    names = (n for n in ast.walk(statement) if isinstance(n, ast.Name))
    return {n.id for n in names if isinstance(n.ctx, ast.Load)}


@operator("wrong variables")
def _variables(script: Script) -> Found:
    hint = "Look at which weights the optimiser was made for, and which the gradients are of."
    rest = {"generator": "discriminator", "discriminator": "generator"}
    if "Critic" in script.content.decode():
        rest = {"generator": "critic", "critic": "generator"}
    for node in script.all(ast.Attribute, within=UPDATE):
        if node.attr == "trainable_variables" and _last(node.value) in rest:
            name = f"the gradient is of the {rest[_last(node.value)]}'s weights"
            yield node, name, hint, script.put(node.value, rest[_last(node.value)])
    for node in script.all(ast.Subscript, within=UPDATE):
        key = getattr(node.slice, "value", None)
        if _last(node.value) in {"optimizers", "trainers"} and key in rest:
            name = f"the wrong optimiser is used: the {rest[key]}'s for the {key}"
            yield node, name, hint, script.put(node.slice, f'"{rest[key]}"')
    for node in script.all(ast.List, within=re.compile("^build$")):
        if len(node.elts) < 2 or not re.search("parameters|variables|coder", script.source(node)):
            continue
        for index, gone in enumerate(node.elts):
            left = [script.source(each) for n, each in enumerate(node.elts) if n != index]
            name = f"the weights of {_key(script, gone)} are not among those that are updated"
            yield node, name, hint, script.put(node, f"[{', '.join(left)}]")
    for node in script.all(ast.Call, within=re.compile("^build$")):
        if _last(node.func) == "ChainList" and len(node.args) == 2:
            for gone, kept in (node.args, node.args[::-1]):
                name = f"the weights of {_key(script, gone)} are not among those that are updated"
                start, end = script.span(node.args[0])[0], script.span(node.args[1])[1]
                edits = [(start, end, script.source(kept))]
                for each in script.all(ast.Call, within=re.compile("^build$")):
                    if _last(each.func) == "to_device" and each.lineno > node.lineno:
                        end = script.span(each)[1]
                        edits.append((end, end, f"; {script.source(gone)}.to_device(device)"))
                yield node, name, hint, edits


def _key(script: Script, node: Any) -> str:
    text = script.source(node)
    found = re.search(r'"(\w+)"', text)
    return found[1] if found else text


@operator("noise")
def _noise(script: Script) -> Found:
    for node in script.all(ast.Subscript, within=UPDATE):
        text = script.source(node)
        if text in {"noise[1]", "noise[-1]"}:
            yield (
                node,
                "the same noise for both updates",
                "The generator learns on fresh noise: the second half.",
                script.put(node, "noise[0]"),
            )
    for call in script.all(ast.Call, within=re.compile("^draw_")):
        if _last(call.func) == "uniform" and len(call.args) == 3:
            shape = script.source(call.args[2])
            hint = "Its distribution stands in the docstring."
            name = "noise is normal, not uniform"
            yield call, name, hint, script.put(call, f"random.standard_normal({shape})")
            name = "noise in [0, 1), not in [-1, 1)"
            yield call, name, hint, script.put(call.args[0], "0")
        if _last(call.func) == "standard_normal":
            shape = script.source(call.args[0])
            name = "noise is uniform, not normal"
            hint = "Its distribution stands in the docstring."
            yield call, name, hint, script.put(call, f"random.uniform(-1, 1, {shape})")


@operator("pixels")
def _pixels(script: Script) -> Found:
    hint = "The docstring gives the range."
    process = re.compile("^(pre|post)process$")
    for node in script.all(ast.BinOp, within=process):
        if isinstance(node.op, ast.Sub) and isinstance(node.left, ast.BinOp):
            if _number(node.left.right) == 127.5:
                edits = [(script.span(node.left.left)[1], script.span(node)[1], " / 255")]
                yield node, "pixels in [0, 1], not in [-1, 1]", hint, edits
        elif isinstance(node.op, ast.Div) and _number(node.right) == 255:
            edits = script.put(node.right, "127.5 - 1")
            if not isinstance(script.parents[node], ast.BinOp):
                yield node, "pixels in [-1, 1], not in [0, 1]", hint, edits
            yield node, "pixels are divided by 256", hint, script.put(node.right, "256")
    for call in script.all(ast.Call, within=process):
        if _last(call.func) in {"round", "rint"}:
            inner = call.args[0] if call.args else call.func.value
            yield call, "levels are cut off, not rounded", hint, script.keep(call, inner)


# Networks.


@operator("activation")
def _activation(script: Script) -> Found:
    for call, kind, inner, slope in script.activations():
        said = SAID[kind]
        part = script.part(call)
        place = f"in {part}, after {script.short(inner)}"
        hint = "The page of the model says which one follows which layer."
        if part != "decode" and (not part or part in script.functions):
            continue
        for other in ("relu", "leaky", "tanh", "sigmoid"):
            few = {"relu": ("leaky",), "leaky": ("relu",), "tanh": ("sigmoid",)}
            if other == kind or other not in few.get(kind, ("tanh",)):
                continue
            if other == "leaky" and b"eaky" not in script.content:
                continue
            name = f"{SAID[other]} in place of {said}"
            if (kind, other) == ("leaky", "relu"):
                name = "ReLU in place of the leaky one"
                hint = "This one is leaky, so that a gradient passes through what is below 0."
            words = LEAKY[script.framework] if other == "leaky" else (
                ACTIVATIONS[script.framework][other] + "(", ")")  # fmt: skip
            yield call, name, hint, script.keep(call, inner, *words), place
        name = f"an activation is missing: {said}"
        yield call, name, hint, script.keep(call, inner), place
        if kind == "leaky" and slope is not None:
            default = DEFAULTS[script.framework].get("slope")
            if default:
                name = "leaky ReLU's slope left at the framework's default"
                why = "PyTorch has 0.01, Keras 0.3, the paper 0.2. Give it by name."
                yield call, name, why, script.put(slope, default), place
            for value in ("0.1", "0.01"):
                if value != default:
                    name = f"leaky ReLU's slope is {value}, not {script.source(slope)}"
                    yield call, name, hint, script.put(slope, value), place
    for node in script.tree.body:
        if not isinstance(node, ast.ClassDef) or "Trainer" in node.name:
            continue
        output = _output(node)
        applied = {call for call, *_ in script.activations()}
        said = ast.get_docstring(node) or ""
        if output is None or output in applied or "logit" in said or "block" in node.name.lower():
            continue
        for kind in ("sigmoid", "relu"):
            if kind == "relu" and ("[0, 1]" in said or "ool" in script.source(output)):
                continue
            wrong = ACTIVATIONS[script.framework][kind]
            name = f"an activation too much: {SAID[kind]} at the end of {node.name}"
            yield (
                output,
                name,
                "The docstring gives the range.",
                script.wrap(output, f"{wrong}(", ")"),
            )
    for name, value, _ in script.settings():
        if name == "activation" and getattr(value, "value", "") in SAID:
            part = script.part(value)
            said = SAID[value.value]
            yield value, f"an activation is missing: {said}", "", script.put(value, "None"), part
            other = {"relu": "tanh", "sigmoid": "tanh", "tanh": "sigmoid"}[value.value]
            yield (
                value,
                f"{SAID[other]} in place of {said}",
                "",
                script.put(value, f'"{other}"'),
                part,
            )


@operator("norm")
def _norm(script: Script) -> Found:
    applied = list(script.activations())
    for call, inner in script.norms():
        place = script.part(call)
        hint = "Convolution, norm, activation: in this order."
        exchanged = "the norm and the activation have changed places"
        name = f"a norm is left out of {place}"
        yield (
            call,
            name,
            "Count the norms of the page.",
            script.keep(call, inner),
            script.short(call),
        )
        for act, _, operand, _ in applied:
            if operand is call:  # relu(norm(x)) -> norm(relu(x))
                a, b = script.span(act)[0], script.span(call)[0]
                before = script.content[a:b].decode()
                c, d = script.span(inner)
                e, f = script.span(call)[1], script.span(act)[1]
                after = script.content[e:f].decode()
                edits = [(a, b, ""), (c, c, before), (d, d, after), (e, f, "")]
                yield call, exchanged, hint, edits, place
                break
            statement = script.parents[call]  # y = norm(x), then relu(y)
            if isinstance(statement, ast.Assign) and isinstance(operand, ast.Name):
                block = script.siblings(statement)
                later = block[block.index(statement) + 1 :][:1]
                same = script.source(statement.targets[0]) == operand.id
                if same and script.statement(act) in later:
                    before = script.content[script.span(act)[0] : script.span(operand)[0]].decode()
                    after = script.content[script.span(operand)[1] : script.span(act)[1]].decode()
                    edits = [*script.wrap(inner, before, after), *script.keep(act, operand)]
                    yield call, exchanged, hint, edits, place
                    break


@operator("joined")
def _joined(script: Script) -> Found:
    for call in script.all(ast.Call):
        made = isinstance(call.func, ast.Call) and _last(call.func) == "Concatenate"
        if not made and _last(call.func) not in {"cat", "concat", "concatenate"}:
            continue
        if not call.args or not isinstance(call.args[0], ast.List | ast.Tuple):
            continue
        parts = call.args[0].elts
        if len(parts) == 2:
            yield (
                call,
                "joined in the other order",
                "The weights of the next layer expect the lower layer's features first.",
                script.exchange(*parts),
                script.short(call),
            )


@operator("axis")
def _axis(script: Script) -> Found:
    hint = "Write the shape behind each line; which axes should be left?"
    for call in script.all(ast.Call, within=LOSS):
        if _last(call.func) not in {"sum", "reduce_sum", "mean", "reduce_mean"}:
            continue
        values = [*call.args, *(k.value for k in call.keywords if k.arg in {"axis", "dim"})]
        name = f"summed over other axes in {script.part(call)}"
        for value in values:
            if isinstance(value, ast.Tuple) and len(value.elts) == 3:
                for axes in ("(1, 2)", "(2, 3)", "(0, 1)"):
                    yield call, name, hint, script.put(value, axes), axes
            elif _number(value) == 1:
                yield call, name, hint, script.put(value, "0")
    for call in script.all(ast.Call):
        order = call.args[-1] if call.args else None
        if script.part(call).endswith(("process", "Encoder.forward", "Decoder.forward")):
            continue
        name = "flattened in another order: channels last where the checkpoint has them first"
        why = (
            "The weights of the dense layer expect C, H, W. Transpose before you flatten, and "
            "after you unflatten."
        )
        permuted = isinstance(call.func, ast.Call) and _last(call.func) == "Permute"
        if permuted and script.source(call.func.args[0]) == "(3, 1, 2)":
            yield call, name, why, script.put(call, script.source(order))
        elif len(call.args) == 2 and script.source(order) == "(0, 3, 1, 2)":
            yield call, name, why, script.put(call, script.source(call.args[0]))


@operator("pooling")
def _pooling(script: Script) -> Found:
    names = {
        "max_pool2d": "avg_pool2d",
        "MaxPooling2D": "AveragePooling2D",
        "max_pooling_2d": "average_pooling_2d",
    }
    for call in script.all(ast.Call):
        name = "" if isinstance(call.func, ast.Call) else _last(call.func)
        if name in names and "cover_all" not in script.source(call):
            new = script.source(call.func)[: -len(name)] + names[name]
            said = "the mean of some pixels where their maximum should be"
            yield (
                call,
                said,
                "Look at the kind of pooling.",
                script.put(call.func, new),
                script.part(call),
            )


@operator("settings of layers")
def _layers(script: Script) -> Found:
    default = DEFAULTS[script.framework]
    norm = "batch norm's"
    shape = "The shape behind the line says it."
    for name, value, node in script.settings():
        part = script.part(node)
        number = _number(value)
        place = part
        optimiser = part == "build"
        if name in {"eps", "epsilon"} and number == 1e-5:
            if "eps" in default:
                said = f"{norm} eps left at the framework's default"
                hint = "PyTorch has 1e-5, Keras 1e-3, Chainer 2e-5. Give it by name."
                yield node, said, hint, script.put(value, default["eps"]), place
            said = f"{norm} eps is 1e-3, not 1e-5"
            yield node, said, "Give it by name.", script.put(value, "1e-3"), place
        elif name in {"momentum", "decay"} and number in {0.1, 0.9} and not optimiser:
            kept = number == 0.9
            if "momentum" in default:
                said = f"{norm} momentum left at the framework's default"
                hint = "PyTorch's default is that of 0.9 kept, Keras' keeps 0.99. Give it by name."
                yield node, said, hint, script.put(value, default["momentum"]), place
            said = f"{norm} momentum meant the other way round"
            hint = (
                "In PyTorch momentum is the share of the new batch; in Keras, and as decay in "
                "Chainer, it is the share that is kept."
            )
            yield node, said, hint, script.put(value, "0.1" if kept else "0.9"), place
            if "momentum" not in default:
                said = f"{norm} averages keep 0.99, not 0.9"
                yield node, said, hint, script.put(value, "0.99" if kept else "0.01"), place
        elif name in {"bias", "use_bias", "nobias"} and isinstance(value, ast.Constant):
            said = "a bias before a norm, which takes it away again"
            hint = (
                "Its gradient is nothing but rounding. Leave the bias out of layers that a norm "
                "follows."
            )
            yield node, said, hint, script.put(value, str(not value.value)), place
        elif name == "padding_mode":
            said = "padded with zeros where edges should be mirrored"
            yield node, said, "Look at how edges are padded.", script.put(value, '"zeros"'), place
        elif name in {"stride", "strides"} and number in {1, 2}:
            said = f"a stride of {3 - number:g}, not {number}"
            yield node, said, shape, script.put(value, f"{3 - number:g}"), place
        elif name in {"padding", "pad"} and number == 1:
            yield node, "a padding of 0, not 1", shape, script.put(value, "0"), place
        elif name == "padding" and str(getattr(value, "value", "")).lower() == "same":
            valid = '"VALID"' if value.value.isupper() else '"valid"'
            yield node, "no padding", shape, script.put(value, valid), place
        elif name == "groups" and number in {1, -1}:
            other = "-1" if number == 1 else "1"
            said = "other groups of channels are normalised together"
            yield node, said, "How many channels are in a group?", script.put(value, other), place


@operator("initial weights")
def _initial(script: Script) -> Found:
    left = "the initial weights left at the framework's default"
    hint = "The docstring says how they are drawn. Initialise every layer."
    for call in script.all(ast.Call):
        name, part = _last(call.func), script.part(call)
        mean, deviation = {
            "normal_": (1, 2),
            "RandomNormal": (0, 1),
            "Normal": (None, 0),
        }.get(name, (None, None))
        if deviation is not None and len(call.args) > deviation:
            value = call.args[deviation]
            who = "scales" if "1.0" in script.source(call) or part == "around_one" else "weights"
            for times, said in ((10, "ten times"), (0.5, "half")):
                new = f"{(_number(value) or 0) * times:g}"
                name = f"the initial {who} have {said} the deviation"
                yield call, name, hint, script.put(value, new), part
            if mean is not None:
                new = "0.0" if _number(call.args[mean]) else "1.0"
                name = f"the initial {who} have a mean of {new}"
                yield call, name, hint, script.put(call.args[mean], new), part
        if name.startswith("xavier_uniform"):
            statement = script.statement(call)
            yield call, left, hint, script.drop(statement), part
            normal = script.source(call.func).replace("xavier_uniform_", "normal_")
            weight = script.source(call.args[0])
            said = "the initial weights are normal, not Glorot's"
            yield call, said, hint, script.put(call, f"{normal}({weight}, 0.0, 0.02)"), part
        if name == "GlorotUniform":
            said = "the initial weights are normal, not Glorot's"
            yield call, said, hint, script.put(call, "chainer.initializers.Normal(0.02)"), part
        if name == "zeros_":
            name = "biases do not start at 0"
            yield call, name, hint, script.drop(script.statement(call)), part
        if script.source(call) == "self.apply(initialize)":
            yield call, left, hint, script.drop(script.statement(call)), part
        if isinstance(call.func, ast.Name) and name == "initialize":
            yield call, left, hint, script.drop(script.statement(call)), part
    for node in script.all(ast.Assign):
        made = script.source(node.value)
        if script.source(node.targets[0]) == "normal" and "initializers.Normal" in made:
            yield node, left, hint, script.put(node.value, "None"), script.part(node)
    for name, value, node in script.settings():
        text = script.source(value)
        part = script.part(node)
        if name == "kernel_initializer":
            other = '"he_normal"' if text == '"glorot_uniform"' else '"glorot_uniform"'
            said = (
                left if text != '"glorot_uniform"' else "the initial weights are He's, not Glorot's"
            )
            yield node, said, hint, script.put(value, other), part
        if text in {'"fan_out"', "'fan_out'"}:
            yield node, "He's weights by fan in", hint, script.put(value, '"fan_in"'), part
    for call in script.all(ast.Call):
        for value in call.args:
            if script.source(value) == '"fan_out"':
                yield (
                    call,
                    "He's weights by fan in",
                    hint,
                    script.put(value, '"fan_in"'),
                    script.part(call),
                )


@operator("optimiser")
def _optimiser(script: Script) -> Found:
    build = re.compile("^build$")
    beta = "Adam's beta1 left at its default of 0.9"
    hint = (
        "GANs use 0.5, and WGAN-GP 0: a long memory of gradients makes two networks chase each "
        "other."
    )
    for name, value, node in script.settings():
        if not build.match(script.part(node)):
            continue
        number = _number(value)
        first = second = None
        if name == "betas":
            first, second = value.elts
        if name in {"beta_1", "beta1"}:
            first = value
        if name in {"beta_2", "beta2"}:
            second = value
        if first is not None:
            if _number(first) == 0.9:
                yield node, "Adam's beta1 is 0.5, not 0.9", hint, script.put(first, "0.5")
            else:
                yield node, beta, hint, script.put(first, "0.9")
        if second is not None:
            new = "0.99" if _number(second) == 0.999 else "0.999"
            said = f"Adam's beta2 is {new}, not {script.source(second)}"
            yield node, said, "Give it by name.", script.put(second, new)
        if name in {"eps", "epsilon"} and number == 1e-8:
            said = "the optimiser's eps left at Keras' default of 1e-7"
            why = "The others have 1e-8. Give it by name."
            yield node, said, why, script.put(value, "1e-7")
        if name == "momentum" and number == 0.9:
            for new in ("0.99", "0.0"):
                said = f"the optimiser's momentum is {new}, not 0.9"
                yield node, said, "Give it by name.", script.put(value, new)
        if name in {"alpha", "rho"} and number == 0.99:
            said = "RMSProp's share of the past is 0.9, not 0.99"
            yield node, said, "Give it by name.", script.put(value, "0.9")
    for node in script.all(ast.Attribute, within=build):
        if script.source(node) == "config.learning_rate":
            for times, said in (("10", "ten times"), ("0.5", "half")):
                name = f"the learning rate is {said} the flag's"
                yield (
                    node,
                    name,
                    "It is config.learning_rate.",
                    script.wrap(node, f"{times} * ", ""),
                )


@operator("constant")
def _constant(script: Script) -> Found:
    """Numbers of formulas, and the constants on top of a script."""
    for node in script.all(ast.Constant):
        number, outer, part = _number(node), script.parents[node], script.part(node)
        if number is None:
            continue
        formula = LOSS.search(part) or part == "decay"
        if formula and isinstance(outer, ast.BinOp | ast.Compare | ast.IfExp) and number:
            if isinstance(outer, ast.BinOp) and isinstance(outer.op, ast.Pow):
                continue
            for times, said in ((10, "ten times"), (0.5, "half of")):
                new = f"{number * times:g}"
                name = f"{new} where {script.source(node)} should be, in {part}"
                yield node, name, f"It is {said} the right one.", script.put(node, new)
        if not part and isinstance(outer, ast.Assign):
            constant = script.source(outer.targets[0])
            for times in (10, 0.1):
                new = max(1, int(number * times)) if isinstance(number, int) else number * times
                if new != number:
                    yield outer, f"{constant} is {new:g}", "", script.put(node, f"{new:g}")
