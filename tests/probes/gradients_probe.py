"""Whether an update computes gradients of what it does not train, or of images that are data.

Run as `python tests/probes/gradients_probe.py FRAMEWORK [MODEL FLAG ...]`, with pytorch or chainer:
two steps of that model, or of each. Prints, line by line, what has gradients that it should not.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from tests.models import MODELS  # noqa: E402
from tools.library.scripts import load_script  # noqa: E402
from workshop.throughput import first_step  # noqa: E402


def parameters_of(optimizer: Any) -> list[Any]:
    """What it updates: PyTorch's optimisers have groups of it, Chainer's a target."""
    if hasattr(optimizer, "param_groups"):
        return [p for group in optimizer.param_groups for p in group["params"]]
    return list(optimizer.target.params())


def read(optimizer: Any) -> list[np.ndarray]:
    """Copies of its parameters' gradients, some of which may be None."""
    return [np.array(parameter.grad) for parameter in parameters_of(optimizer)]


def watch(optimizers: dict[str, Any], model: str, passing: tuple[str, ...]) -> None:
    """Compare gradients, each time one network is updated, with those of the others' updates.

    Not where the name of what is updated begins with one of `passing`.
    """
    seen: dict[str, list[np.ndarray]] = {}

    def watched(name: str, update: Any) -> Any:
        def compare_and_update(*arguments: Any) -> Any:
            for other, gradients in seen.items():
                same = all(map(np.array_equal, gradients, read(optimizers[other])))
                if other != name and not same and not name.startswith(passing):
                    print(f"{model}: the update of {name} changed gradients of {other}")
            seen[name] = read(optimizers[name])
            return update(*arguments)

        return compare_and_update

    for name, optimizer in optimizers.items():
        update = "step" if hasattr(optimizer, "param_groups") else "update"
        setattr(optimizer, update, watched(name, getattr(optimizer, update)))


def watch_leaves(model: str) -> Any:
    """Chainer's hook that names each function with a gradient of data, unless it is asked for."""
    import chainer

    asked: set[int] = set()
    grad = chainer.grad

    def watched(outputs: Any, inputs: Any, *more: Any, **named: Any) -> Any:
        asked.update(id(x.node) for x in inputs)
        return grad(outputs, inputs, *more, **named)

    class Leaves(chainer.FunctionHook):
        name = "Leaves"

        def backward_preprocess(self, function: Any, in_data: Any, out_grad: Any) -> None:
            for x in function.inputs:
                parameter = isinstance(x.get_variable_or_none(), chainer.Parameter)
                if x.requires_grad and x.creator_node is None and not parameter | (id(x) in asked):
                    print(f"{model}: {function.label} computes a gradient of data")

    chainer.grad = watched
    return Leaves()


def parameters_in(network: Any) -> list[Any]:
    """All of a network, trained or not."""
    chainer = hasattr(network, "params")
    return list(network.params() if chainer else network.parameters())


def train(framework: str, name: str, more: list[str]) -> None:
    flags = [*MODELS[name].small_flags, *more, "--device", "cpu"]
    first = first_step(load_script(framework, name), flags)
    networks, optimizers = first.run.networks, first.run.optimizers
    trained = {id(p) for optimizer in optimizers.values() for p in parameters_of(optimizer)}
    for parameter in itertools.chain(*map(parameters_in, networks.values())):
        parameter.grad = None  # Chainer begins with NaN
    # Chainer's `backward` gives gradients to all that the loss of a generator passes through.
    watch(optimizers, name, ("generator", "encoder") if framework == "chainer" else ())
    with watch_leaves(name) if framework == "chainer" else contextlib.nullcontext():
        first.step()
        first.step()
    for network in networks:
        rest = [p for p in parameters_in(networks[network]) if id(p) not in trained]
        if any(parameter.grad is not None for parameter in rest):
            print(f"{name}: {network} is not trained, and has gradients")


framework, *chosen = sys.argv[1:]
for name in chosen[:1] or MODELS:
    train(framework, name, chosen[1:])
