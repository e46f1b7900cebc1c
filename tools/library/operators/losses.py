"""Mistakes in losses: labels, signs, terms, factors, means, arguments."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from tools.library.operators.script import (
    LOSS,
    UPDATE,
    Found,
    Script,
    is_even,
    last_name,
    number_of,
    operator,
    output_of,
)
from tools.library.operators.spellings import ACTIVATIONS, LOGITS, PROBABILITY, SQUARED


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
        if name == "discriminator_loss" and name not in found and len(taken) == 2:
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
            images = {last_name(n) for n in ast.walk(one)} | {last_name(n) for n in ast.walk(two)}
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
            if script.part(call) == part
            and re.search("discriminator$|critic$", last_name(call.func))
            for argument in call.args[-1:]
            if last_name(argument) in {"images", "fakes"}
        ]
        for one, two in pairwise(names):
            if {last_name(one), last_name(two)} == {"images", "fakes"}:
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
    return getattr(outer, "attr", "") == "shape" or last_name(outer).endswith(("_like", "_module"))


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
        if not isinstance(node.op, ast.Add | ast.Sub) or is_even(script.parents[node]):
            continue
        start, end = script.span(node.left)[1], script.span(node.right)[0]
        between = script.content[start:end].decode()
        other = between.translate(str.maketrans("+-", "-+"))
        name = f"the sign of a term is wrong in {part}"
        yield node, name, hint, [(start, end, other)], script.short(node.right)
        if isinstance(node.op, ast.Sub) and number_of(node.right) is None:
            yield node, pushed, hint, script.exchange(node.left, node.right)
        if number_of(node.left) is None and not isinstance(node.left, ast.BinOp):
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
        if isinstance(call.func, ast.Call) and last_name(call.func) == "Add":
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
                elif number_of(factor) == 0.5:
                    yield (
                        node,
                        f"the {'divergence' if 'divergence' in part else 'loss'} without its half",
                        "KL of two normals is half of mean^2 + variance - 1 - log variance.",
                        script.keep(node, kept),
                    )
                elif number_of(factor) is None:
                    yield node, name, hint, script.keep(node, kept)
        elif isinstance(node.op, ast.Div) and number_of(node.right) == 2:
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
            if isinstance(inner, ast.Call) and last_name(inner.func) in {"sum", "reduce_sum"}:
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
        if isinstance(node.op, ast.Pow) and number_of(node.right) == 2:
            edits = script.keep(node, node.left, "abs(", ")")
            yield node, "the absolute error for the squared", hint, edits


@operator("sigmoid twice")
def _twice(script: Script) -> Found:
    hint = "A loss 'from logits' has it in it. Take the other one away."
    for call in script.all(ast.Call, within=re.compile(f"{LOSS.pattern}|Trainer")):
        place, kind = LOGITS.get(script.callee(call), (None, ""))
        if place is None or (
            isinstance(script.parents[call], ast.Assign | ast.Call)
            and (last_name(call.func)[0].isupper())
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
        output = output_of(node) if logits else None
        if output is not None:
            wrong = ACTIVATIONS[script.framework]["sigmoid"]
            name = "sigmoid twice: a loss that takes logits is given what a sigmoid has made"
            yield output, name, hint, script.wrap(output, f"{wrong}(", ")")


@operator("constant")
def _constant(script: Script) -> Found:
    """Numbers of formulas, and the constants on top of a script."""
    for node in script.all(ast.Constant):
        number, outer, part = number_of(node), script.parents[node], script.part(node)
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
