"""Mistakes in networks, in how their weights begin, and in their layers' settings."""

from __future__ import annotations

import ast

from tools.library.operators.script import (
    LOSS,
    Found,
    Script,
    last_name,
    number_of,
    operator,
    output_of,
)
from tools.library.operators.spellings import ACTIVATIONS, DEFAULTS, LEAKY, SAID


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
        output = output_of(node)
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
        made = isinstance(call.func, ast.Call) and last_name(call.func) == "Concatenate"
        if not made and last_name(call.func) not in {"cat", "concat", "concatenate"}:
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
        if last_name(call.func) not in {"sum", "reduce_sum", "mean", "reduce_mean"}:
            continue
        values = [*call.args, *(k.value for k in call.keywords if k.arg in {"axis", "dim"})]
        name = f"summed over other axes in {script.part(call)}"
        for value in values:
            if isinstance(value, ast.Tuple) and len(value.elts) == 3:
                for axes in ("(1, 2)", "(2, 3)", "(0, 1)"):
                    yield call, name, hint, script.put(value, axes), axes
            elif number_of(value) == 1:
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
        permuted = isinstance(call.func, ast.Call) and last_name(call.func) == "Permute"
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
        name = "" if isinstance(call.func, ast.Call) else last_name(call.func)
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
        number = number_of(value)
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
        name, part = last_name(call.func), script.part(call)
        mean, deviation = {
            "normal_": (1, 2),
            "random_normal": (1, 2),
            "RandomNormal": (0, 1),
            "Normal": (None, 0),
        }.get(name, (None, None))
        if deviation is not None and len(call.args) > deviation:
            value = call.args[deviation]
            who = "scales" if "1.0" in script.source(call) or part == "around_one" else "weights"
            for times, said in ((10, "ten times"), (0.5, "half")):
                new = f"{(number_of(value) or 0) * times:g}"
                name = f"the initial {who} have {said} the deviation"
                yield call, name, hint, script.put(value, new), part
            if mean is not None:
                new = "0.0" if number_of(call.args[mean]) else "1.0"
                name = f"the initial {who} have a mean of {new}"
                yield call, name, hint, script.put(call.args[mean], new), part
        if name in {"xavier_uniform_", "glorot_uniform"}:
            statement = script.statement(call)
            yield call, left, hint, script.drop(statement), part
            normal = script.source(call.func).replace("xavier_uniform_", "normal_")
            normal = normal.replace("glorot_uniform", "random_normal")
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
