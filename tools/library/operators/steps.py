"""Mistakes in a step of training: gradients, updates, modes, noise, pixels."""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from typing import Any

from tools.library.operators.script import (
    DRAWN,
    UPDATE,
    Found,
    Script,
    last_name,
    number_of,
    operator,
)
from tools.library.operators.spellings import CUT


@operator("mode")
def _mode(script: Script) -> Found:
    hint = (
        "Its batch norm has to see the batch, in every update. In Keras discriminator.trainable = "
        "False does this silently."
    )
    for call, name in script.networks():
        trained = _trained(script, call, name)
        who = "it" if trained == name else f"the {trained}"
        said = f"the {name} in inference mode while {who} is trained"
        flag = next((k.value for k in call.keywords if k.arg == "training"), None)
        statement = script.statement(call)
        start, end = script.lines(statement)
        indent = " " * statement.col_offset
        lines = script.content[start:end].decode()
        if flag is not None:
            if number_of(flag) is None and script.source(flag) == "True":
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
        if text.endswith(".eval()") and script.has_batch_norm(last_name(node.value.func.value)):
            yield node, drawn, why, script.drop(node)
        if text.endswith(".train()") and script.has_batch_norm(last_name(node.value.func.value)):
            name = f"training goes on in inference mode after {script.part(node)}"
            yield node, name, "Put the network back into training mode.", script.drop(node)
    for node in script.all(ast.keyword):
        call = script.parents[node]
        off = node.arg == "training" and script.source(node.value) == "False"
        if off and script.has_batch_norm(last_name(getattr(call, "func", call))):
            yield node, drawn, why, script.put(node.value, "True")
    for node in script.all(ast.With):
        inside = [n for s in node.body for n in ast.walk(s) if isinstance(n, ast.Call)]
        for item in node.items:
            mode = script.source(item.context_expr)
            off = mode == 'chainer.using_config("train", False)'
            if off and any(script.has_batch_norm(last_name(call)) for call in inside):
                new = mode.replace("False", "True")
                yield node, drawn, why, script.put(item.context_expr, new)
    for call in script.all(ast.Call):
        if last_name(call.func) == "predict_on_batch" and call.args:
            owner = call.func.value
            if script.has_batch_norm(last_name(owner)):
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
                DRAWN.match(last_name(n)) for n in ast.walk(node.body[0]) if isinstance(n, ast.Name)
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
            and last_name(node.func) == "detach"
            and isinstance(outer, ast.Call)
        ):
            inner = node.func.value  # pyright: ignore[reportAttributeAccessIssue]
        elif (
            isinstance(node, ast.Attribute) and node.attr == "array" and isinstance(outer, ast.Call)
        ):
            inner = node.value
        elif isinstance(node, ast.Call) and last_name(node.func) == "stop_gradient":
            inner = node.args[0]
        if inner is not None and not isinstance(script.statement(node), ast.Return):
            yield node, name, hint, script.keep(node, inner)
    for call in script.all(ast.Call, within=UPDATE):
        if last_name(call.func) in {"generator_loss", "encoder_loss", "adversarial_loss"}:
            for node in ast.walk(call):
                outer = script.parents[node]
                if (
                    isinstance(node, ast.Name)
                    and DRAWN.match(node.id)
                    and isinstance(outer, ast.Call)
                ):
                    yield (
                        node,
                        f"detached too much: {node.id} has no gradient in {last_name(call.func)}",
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
        if not re.search("clamp|clip", last_name(node.func)) or not (
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
        if (
            re.fullmatch(r"(\w+)_step", last_name(call.func))
            and last_name(call.func) != "train_step"
        ):
            steps.append((script.statement(call), last_name(call.func).removesuffix("_step")))
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
        if node.attr == "trainable_variables" and last_name(node.value) in rest:
            name = f"the gradient is of the {rest[last_name(node.value)]}'s weights"
            yield node, name, hint, script.put(node.value, rest[last_name(node.value)])
    for node in script.all(ast.Subscript, within=UPDATE):
        key = getattr(node.slice, "value", None)
        if last_name(node.value) in {"optimizers", "trainers"} and key in rest:
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
        if last_name(node.func) == "ChainList" and len(node.args) == 2:
            for gone, kept in (node.args, node.args[::-1]):
                name = f"the weights of {_key(script, gone)} are not among those that are updated"
                start, end = script.span(node.args[0])[0], script.span(node.args[1])[1]
                edits = [(start, end, script.source(kept))]
                for each in script.all(ast.Call, within=re.compile("^build$")):
                    if last_name(each.func) == "to_device" and each.lineno > node.lineno:
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
        if last_name(call.func) == "uniform" and len(call.args) == 3:
            shape = script.source(call.args[2])
            hint = "Its distribution stands in the docstring."
            name = "noise is normal, not uniform"
            yield call, name, hint, script.put(call, f"random.standard_normal({shape})")
            name = "noise in [0, 1), not in [-1, 1)"
            yield call, name, hint, script.put(call.args[0], "0")
        if last_name(call.func) == "standard_normal":
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
            if number_of(node.left.right) == 127.5:
                edits = [(script.span(node.left.left)[1], script.span(node)[1], " / 255")]
                yield node, "pixels in [0, 1], not in [-1, 1]", hint, edits
        elif isinstance(node.op, ast.Div) and number_of(node.right) == 255:
            edits = script.put(node.right, "127.5 - 1")
            if not isinstance(script.parents[node], ast.BinOp):
                yield node, "pixels in [-1, 1], not in [0, 1]", hint, edits
            yield node, "pixels are divided by 256", hint, script.put(node.right, "256")
    for call in script.all(ast.Call, within=process):
        if last_name(call.func) in {"round", "rint"}:
            inner = call.args[0] if call.args else call.func.value
            yield call, "levels are cut off, not rounded", hint, script.keep(call, inner)


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
        number = number_of(value)
        first = second = None
        if name == "betas":
            first, second = value.elts
        if name in {"beta_1", "beta1"}:
            first = value
        if name in {"beta_2", "beta2"}:
            second = value
        if first is not None:
            if number_of(first) == 0.9:
                yield node, "Adam's beta1 is 0.5, not 0.9", hint, script.put(first, "0.5")
            else:
                yield node, beta, hint, script.put(first, "0.9")
        if second is not None:
            new = "0.99" if number_of(second) == 0.999 else "0.999"
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
    step = script.functions.get("train_step")
    given = step is not None and any(each.arg == "learning_rate" for each in step.args.args)
    for node in script.all(ast.Attribute, within=build):
        # Where a step is given its rate, the one that an optimiser begins with does not count.
        if script.source(node) == "config.learning_rate" and not given:
            for times, said in (("10", "ten times"), ("0.5", "half")):
                name = f"the learning rate is {said} the flag's"
                yield (
                    node,
                    name,
                    "It is config.learning_rate.",
                    script.wrap(node, f"{times} * ", ""),
                )
