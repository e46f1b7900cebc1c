"""A script's run, watched: what its functions were given and gave, and what its updates did."""

from __future__ import annotations

import contextlib
import copy
import csv
import io
import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from common.data.pool import ImagePool
from common.run.folder import RunFolder
from tools.exercise.lenses import Arrays, Lens
from tools.exercise.sheet import GIVEN
from tools.library.scripts import ROOT

CALLS = 3  # of each function and network that are kept
WATCHED = 2  # steps


class NotShownError(Exception):
    """An argument that cannot be kept for a second call, such as an optimiser."""


@dataclass
class Call:
    """One call of a function or network, kept so that it can be made again.

    Attributes:
        arguments, named: as given; tensors and arrays are copies.
        networks: the networks among them, with their arrays at that time.
        mode: training or inference, where that is a state.
    """

    arguments: tuple[Any, ...]
    named: dict[str, Any]
    networks: list[tuple[Any, Arrays]]
    mode: Any


@dataclass
class Update:
    """What an optimiser did at one time.

    Attributes:
        optimizer: its name.
        gradients: of the weights that it updates, by `NETWORK.NAME`.
        leaks: the other networks that had a gradient then.
        before, after: all parameters, by `NETWORK.NAME`.
    """

    optimizer: str
    gradients: Arrays
    leaks: list[str]
    before: Arrays
    after: Arrays = field(default_factory=dict)


@dataclass
class Trace:
    """What was seen of a run.

    Attributes:
        build: the call of `build`.
        networks, optimizers: what `build` made.
        calls: by function, or by network as `NETWORK()`.
        updates: of each watched step, in order.
        losses: what each watched step gave.
        states: all arrays after each watched step, by `NETWORK.NAME`.
    """

    build: Call | None = None
    networks: dict[str, Any] = field(default_factory=dict)
    optimizers: dict[str, Any] = field(default_factory=dict)
    calls: dict[str, list[Call]] = field(default_factory=dict)
    updates: list[list[Update]] = field(default_factory=lambda: [[]])
    losses: list[dict[str, np.ndarray]] = field(default_factory=list)
    states: list[Arrays] = field(default_factory=list)


class Player:
    """A script's text, made a module, that can be run and whose parts can be called.

    Args:
        lens: of its framework.
        name: for error messages and tracebacks.
        text: the script.
        framework, model: whose place it takes.
    """

    def __init__(self, lens: Lens, name: str, text: str, framework: str, model: str) -> None:
        self.lens = lens
        self.module = ModuleType(f"{framework}_{model}_{id(self)}")
        self.module.__file__ = str(ROOT / framework / f"{model}.py")
        sys.modules[self.module.__name__] = self.module  # its dataclass looks itself up
        exec(compile(text, name, "exec"), self.module.__dict__)

    def train(self, arguments: list[str], steps: int | None = None) -> None:
        """Train as `main` does with a command line, for so many steps or to the end, in silence."""
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            run = self.module.start(arguments)
            with contextlib.closing(run.batches()) as batches:
                for batch in itertools.islice(batches, steps):
                    run.log(self.module.learn(run, batch))

    def watch(self, arguments: list[str], to_the_end: bool) -> tuple[Trace, Exception | None]:
        """Train, and keep what happens in the first steps, and what ended the run if it failed.

        Args:
            arguments: the command line.
            to_the_end: whether the run goes on after those steps, for what is called then.
        """
        trace = Trace()
        watcher = _Watcher(self, trace)
        with watcher.watching():
            try:
                self.train(arguments, None if to_the_end else WATCHED)
            except SystemExit as error:
                return trace, RuntimeError(f"it ends the program, by sys.exit({error})")
            except Exception as error:
                return trace, error
        return trace, None

    def build(self, call: Call) -> dict[str, Any]:
        """The networks that the module's own `build` makes."""
        return self.module.build(*call.arguments, **call.named)[0]

    def play(self, function: str, call: Call) -> Any:
        """Make a call again with the module's function: the result, and what networks became."""
        for network, arrays in call.networks:
            self.lens.bridge.set_arrays(network, arrays)
        arguments = keep(self.lens, call.arguments)
        named = keep(self.lens, call.named)
        result = see(self.lens, getattr(self.module, function)(*arguments, **named))
        after = [self.lens.bridge.get_arrays(network) for network, _ in call.networks]
        return {"result": result, "networks": after}

    def play_network(self, network: Any, call: Call) -> Any:
        """Make a call again with a network: its layers' outputs in order, and its own."""
        names = self.lens.layers(network)
        stages: dict[str, Any] = {}

        def note(layer: Any, output: Any) -> None:
            if id(layer) in names:
                stages[_free(stages, names[id(layer)])] = see(self.lens, output)

        self.lens.bridge.set_arrays(network, call.networks[0][1])
        arguments = keep(self.lens, call.arguments)
        named = keep(self.lens, call.named)
        with self.lens.watch_layers(note), self.lens.mode(network, call.mode):
            output = network(*arguments, **named)
        return {"layers": stages, "output": see(self.lens, output)}


def _free(taken: Any, name: str) -> str:
    """The name of a layer that may have been called before."""
    count = 2
    while name in taken:
        name = f"{name.partition(' ')[0]} ({count})"
        count += 1
    return name


class _Watcher:
    """Puts itself between a module and its functions for the time of a run."""

    def __init__(self, player: Player, trace: Trace) -> None:
        self.lens = player.lens
        self.names = vars(player.module)
        self.trace = trace

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        own = {
            name: value
            for name, value in self.names.items()
            if getattr(value, "__module__", "") == self.names["__name__"]
        }
        functions = {n: v for n, v in own.items() if callable(v) and not isinstance(v, type)}
        with contextlib.ExitStack() as stack:
            for name, function in functions.items():
                if name not in GIVEN | {"build", "train_step"}:
                    self.names[name] = self._watched(name, function)
            self.names["build"] = self._watched_build(functions["build"])
            self.names["train_step"] = self._watched_step(functions["train_step"])
            for kind in own.values():
                if isinstance(kind, type) and issubclass(kind, self.lens.network):
                    stack.enter_context(self._watched_class(kind))
            try:
                yield
            finally:
                self.names.update(functions)

    def _keep(self, name: str, arguments: Any, named: Any, mode: Any = None) -> Call | None:
        """Keep a call, unless there are enough or it cannot be made again."""
        calls = self.trace.calls.setdefault(name, [])
        if len(calls) == CALLS:
            return None
        try:
            call = make_call(self.lens, arguments, named, mode)
        except NotShownError:
            return None
        calls.append(call)
        return call

    def _watched(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **named: Any) -> Any:
            self._keep(name, arguments, named)
            return function(*arguments, **named)

        return watched

    def _watched_build(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **named: Any) -> Any:
            trace = self.trace
            trace.build = make_call(self.lens, arguments, named, None)
            trace.networks, trace.optimizers = made = function(*arguments, **named)
            for name, optimizer in trace.optimizers.items():
                self._watch_optimizer(name, optimizer)
            return made

        return watched

    def _watch_optimizer(self, name: str, optimizer: Any) -> None:
        def begin(gradients: Arrays, others: Arrays) -> None:
            if len(self.trace.losses) < WATCHED:
                leaks = sorted({key.partition(".")[0] for key in others})
                update = Update(name, gradients, leaks, self._arrays())
                self.trace.updates[-1].append(update)

        def end() -> None:
            if len(self.trace.losses) < WATCHED:
                self.trace.updates[-1][-1].after = self._arrays()

        self.lens.watch_updates(optimizer, self.trace.networks, begin, end)

    def _watched_step(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **named: Any) -> Any:
            losses = function(*arguments, **named)
            if not isinstance(losses, dict):
                what = "nothing" if losses is None else f"a {type(losses).__name__}"
                raise TypeError(f"{function.__name__} returned {what}, not its losses by name")
            if len(self.trace.losses) < WATCHED:
                self.trace.losses.append(see(self.lens, losses))
                self.trace.states.append(self._arrays())
                self.trace.updates.append([])
            return losses

        return watched

    def _arrays(self) -> Arrays:
        return {
            f"{name}.{key}": array
            for name, network in self.trace.networks.items()
            for key, array in self.lens.bridge.get_arrays(network).items()
        }

    @contextlib.contextmanager
    def _watched_class(self, kind: Any) -> Iterator[None]:
        call = kind.__call__
        inherited = "__call__" not in vars(kind)

        def watched(network: Any, *arguments: Any, **named: Any) -> Any:
            name = next((n for n, own in self.trace.networks.items() if own is network), None)
            if name is not None:
                mode = self.lens.get_mode(network)
                kept = self._keep(f"{name}()", arguments, named, mode)
                if kept is not None:
                    kept.networks.insert(0, (network, self.lens.bridge.get_arrays(network)))
            return call(network, *arguments, **named)

        kind.__call__ = watched
        try:
            yield
        finally:
            if inherited:
                del kind.__call__
            else:
                kind.__call__ = call


def make_call(lens: Lens, arguments: Any, named: Any, mode: Any) -> Call:
    """Keep what a call was given.

    Raises:
        NotShownError: an argument changes and cannot be copied.
    """
    networks: list[tuple[Any, Arrays]] = []
    kept = keep(lens, tuple(arguments), networks), keep(lens, dict(named), networks)
    return Call(*kept, networks=networks, mode=mode)


def keep(lens: Lens, value: Any, networks: list[tuple[Any, Arrays]] | None = None) -> Any:
    """A value's copy; networks stay themselves, and are listed with their arrays.

    Raises:
        NotShownError: it changes and cannot be copied.
    """
    tensor = lens.copy(value)
    if tensor is not None:
        return tensor
    if isinstance(value, dict):
        return {name: keep(lens, item, networks) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(keep(lens, item, networks) for item in value)
    if isinstance(value, np.ndarray | np.random.Generator | ImagePool):
        return copy.deepcopy(value)
    if isinstance(value, lens.network):
        if networks is not None:
            try:
                networks.append((value, lens.bridge.get_arrays(value)))
            except Exception as error:  # a trainer: no network of a checkpoint
                raise NotShownError(type(value).__name__) from error
        return value
    changing = any(hasattr(value, name) for name in ("step", "apply", "update", "train_on_batch"))
    if changing and not isinstance(value, type):
        raise NotShownError(type(value).__name__)
    return value


def see(lens: Lens, value: Any) -> Any:
    """A value as nested dicts and lists of arrays."""
    array = lens.to_numpy(value)
    if array is not None:
        return np.array(array)
    if isinstance(value, dict):
        return {str(name): see(lens, item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [see(lens, item) for item in value]
    if isinstance(value, np.ndarray | np.generic | int | float | str | bool):
        return value
    return None if value is None else f"a {type(value).__name__}"


def read_run(folder: Path) -> dict[str, Any]:
    """The losses and the last weights that a run has left."""
    run = RunFolder(folder)
    with open(run.metrics, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    skip = {"step", "images_per_second", "diversity"}
    losses = {
        f"step {row['step']}": {k: float(v) for k, v in row.items() if k not in skip and v}
        for row in rows
    }
    return {"losses": losses, "weights": load_file(run.checkpoint)}
