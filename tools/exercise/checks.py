"""The checks of an exercise, in the order in which one learns."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from common.run import Settings
from tools.exercise.lenses import Arrays
from tools.exercise.recording import WATCHED, Call, Player, Trace, read_run
from tools.exercise.sheet import Exercise, Outline
from tools.exercise.trees import CLOSE, Difference, differences, same

MANY = 500  # numbers that an array needs for its spread to say anything
DRAWS = 4  # of a network's initial weights, if some are fewer
LIKE = 0.25  # relative, of two spreads that are of one distribution
STATISTICS = ("running_mean", "running_var")
END = "twenty steps"
ACTIVATIONS = (  # that a layer can have in it
    lambda x: np.maximum(x, 0),
    lambda x: np.maximum(x, 0.2 * x),
    lambda x: 1 / (1 + np.exp(-x)),
    np.tanh,
)


@dataclass(frozen=True)
class Check:
    """Something to look at in the answer and in a learner's file.

    Attributes:
        title: in words.
        observe: what there is to see, as a tree of numbers.
        gaps: the parts of an exercise that it is about, if they were taken out.
        close: how near numbers have to be, relative to the largest.
        runs: whether the whole run is trained for it.
        drawn: whether it is about random numbers, so that several networks have to be built.
        layers: whether layers are seen too, which only help to find where an output goes wrong:
            a network may do without them.
    """

    title: str
    observe: Callable[[Subject], Any]
    gaps: tuple[str, ...]
    close: float = CLOSE
    runs: bool = False
    drawn: bool = False
    layers: bool = False

    def differ(self, expected: Any, found: Any) -> Difference | None:
        """The first difference that counts between two trees; None if they say the same."""
        if self.layers:
            outputs = [call["output"] for call in expected], [call["output"] for call in found]
            if same(*outputs, self.close):
                return None
            expected, found = _common_layers(expected, found)
        return next(differences(expected, found, self.close), None)


def _common_layers(expected: Any, found: Any) -> tuple[Any, Any]:
    """Calls of a network, with those layers that both have, and that end at the same point."""
    pairs = [(one["layers"], other["layers"]) for one, other in zip(expected, found, strict=True)]
    names = [
        [name for name in one.keys() & other.keys() if not _is_activated(one[name], other[name])]
        for one, other in pairs
    ]
    left, right = (
        [
            call | {"layers": {n: output for n, output in call["layers"].items() if n in common}}
            for call, common in zip(calls, names, strict=True)
        ]
        for calls in (expected, found)
    )
    return left, right


def _is_activated(expected: Any, found: Any) -> bool:
    """Whether a layer has its activation in it where the answer's comes after it."""
    if not isinstance(expected, np.ndarray) or same(expected, found):
        return False
    return any(same(activation(expected), found) for activation in ACTIVATIONS)


class Subject:
    """A script that is looked at: the answer, a learner's file, or an answer with a mistake.

    Args:
        player: the script.
        flags: the command line of its runs, without `--steps` and `--out`.
        folder: where its runs may write.
        steps: of its longer run.
        key: the answer, unless it is this one; its calls are what others are given.
    """

    def __init__(
        self,
        player: Player,
        flags: list[str],
        folder: Path,
        steps: int,
        key: Subject | None = None,
    ) -> None:
        self.player = player
        self.flags = flags
        self.folder = folder
        self.steps = steps
        self.key = key or self
        self._drawn: list[dict[str, Any]] = []

    @cached_property
    def _watched(self) -> tuple[Trace, Exception | None]:
        out = self.folder / "watched"
        flags = [*self.flags, "--steps", str(WATCHED), "--out", str(out)]
        return self.player.watch(flags, to_the_end=self.key is self)

    @property
    def trace(self) -> Trace:
        """What was seen of its first steps.

        Raises:
            Exception: what ended it before these were done.
        """
        trace, error = self._watched
        if error is not None and len(trace.losses) < WATCHED:
            raise error
        return trace

    @cached_property
    def networks(self) -> dict[str, Any]:
        """The networks that it builds from what the answer's `build` is given."""
        return self.player.build(self._build)

    def _draw(self, network: str, count: int) -> list[Arrays]:
        """A network's initial weights from some builds; others than `networks`, which are used."""
        while len(self._drawn) < count:
            self._drawn.append(self.player.build(self._build))
        get_arrays = self.player.lens.bridge.get_arrays
        return [get_arrays(_find(network, each)) for each in self._drawn[:count]]

    @property
    def _build(self) -> Call:
        build = self.key.trace.build
        assert build is not None
        return build

    # What checks look at.

    def settings(self) -> Any:
        """The fields of `Config` with their defaults."""
        fields = dataclasses.fields(self.player.module.Config)
        return {field.name: str(field.default) for field in fields}

    def function(self, name: str) -> Any:
        """What a function makes of what the answer's was given; of noise its type as well."""
        calls = self.key.trace.calls[name]
        made: list[Any] = [self.player.play(name, call) for call in calls]
        if name.startswith("draw_"):  # by NumPy, which does not know in which precision a run is
            single = self.player.play(name, _in_single_precision(calls[0]))["result"]
            made.append({"type in single precision": str(getattr(single, "dtype", type(single)))})
        return made

    def shapes(self, network: str) -> Any:
        """The shapes of a network's parameters and running averages, by name."""
        arrays = self.player.lens.bridge.get_arrays(_find(network, self.networks))
        return {name: str(array.shape) for name, array in arrays.items()}

    def initial(self, network: str) -> Any:
        """How a network's initial weights are distributed, by name."""
        drawn = self._draw(network, 1)
        if any(array.size < MANY and np.ptp(array) for array in drawn[0].values()):
            drawn = self._draw(network, DRAWS)
        return {
            name: _distribution(np.concatenate([each[name].ravel() for each in drawn]))
            for name in drawn[0]
        }

    def outputs(self, network: str) -> Any:
        """What a network makes of what the answer's was given, layer by layer."""
        own = _find(network, self.networks)
        calls = self.key.trace.calls[f"{network}()"]
        return [self.player.play_network(own, call) for call in calls]

    def losses(self) -> Any:
        """What the first step gives."""
        return self.trace.losses[0]

    def order(self) -> Any:
        """Which optimiser was used when in the first step."""
        return " then ".join(update.optimizer for update in self.trace.updates[0])

    def gradients(self) -> Any:
        """The gradients of each update of the first step, and what else had one at the first."""
        updates = self.trace.updates[0]
        found = {f"update {i + 1}": update.gradients for i, update in enumerate(updates)}
        return {"others with a gradient": ", ".join(updates[0].leaks) or "none", **found}

    def movements(self) -> Any:
        """How far each update of the first step moved each parameter."""
        return {
            f"update {index + 1}": {
                name: update.after[name] - array
                for name, array in update.before.items()
                if not name.endswith(STATISTICS)
            }
            for index, update in enumerate(self.trace.updates[0])
        }

    def averages(self) -> Any:
        """All running averages after the first step."""
        state = self.trace.states[0]
        return {name: array for name, array in state.items() if name.endswith(STATISTICS)}

    def second(self) -> Any:
        """The losses of the second step, its gradients, and where it took the weights."""
        updates = self.trace.updates[1]
        gradients = {f"update {i + 1}": update.gradients for i, update in enumerate(updates)}
        after = self.trace.states[1]
        return {"losses": self.trace.losses[1], "gradients": gradients, "weights": after}

    def end(self) -> Any:
        """The losses and the last weights of a longer run."""
        out = self.folder / "end"
        self.player.train([*self.flags, "--steps", str(self.steps), "--out", str(out)])
        return read_run(out)


def _find(name: str, networks: dict[str, Any]) -> Any:
    if name not in networks:
        raise KeyError(f"build makes no network called {name!r}")
    return networks[name]


def _in_single_precision(call: Call) -> Call:
    """The same call for a run in single precision."""
    arguments = [
        dataclasses.replace(each, precision="float32") if isinstance(each, Settings) else each
        for each in call.arguments
    ]
    return dataclasses.replace(call, arguments=tuple(arguments))


def _distribution(array: np.ndarray) -> dict[str, Any]:
    """What can be said of the distribution that an array's numbers are from."""
    if np.ptp(array) == 0:
        return {"all are": float(array.flat[0])}
    if array.size < MANY:
        return {}
    spread, mean = float(array.std()), float(array.mean())
    return {
        "mean": 0.0 if abs(mean) < LIKE * spread else mean,
        "spread": spread,
        "distribution": "uniform" if np.abs(array - mean).max() < 2 * spread else "normal",
    }


def list_checks(key: Subject, exercise: Exercise) -> list[Check]:
    """The checks of an exercise, in the order in which one learns."""
    script = Outline(exercise.answer)
    functions = [name for name in script.single if key.trace.calls.get(name)]
    line = {name: each.first for name, each in script.definitions.items()}
    start = line[script.network_classes[0]]

    def between(first: int, last: float) -> Iterator[Check]:
        for name in functions:
            if first <= line[name] < last:
                yield Check(name, lambda s, name=name: s.function(name), (name,))

    update = tuple(sorted(script.update))
    build = ("build",)
    averages = key.averages()
    return [
        Check("the settings", lambda s: s.settings(), ()),
        *between(0, start),
        *_network_checks(key, script),
        *between(start, line["train_step"]),
        Check("the losses of a step", lambda s: s.losses(), update, runs=True),
        Check("which optimiser is used when", lambda s: s.order(), (*update, *build), runs=True),
        Check("the gradients of a step", lambda s: s.gradients(), update, runs=True),
        Check(
            "how far a step moves the weights",
            lambda s: s.movements(),
            (*update, *build),
            runs=True,
        ),
        *(
            [Check("the running averages", lambda s: s.averages(), update, runs=True)]
            if averages
            else []
        ),
        Check("a second step", lambda s: s.second(), (*update, *build), runs=True),
        *between(line["train_step"], float("inf")),
        Check(END, lambda s: s.end(), (), runs=True),
    ]


def _network_checks(key: Subject, script: Outline) -> Iterator[Check]:
    kinds = {name: type(network).__name__ for name, network in key.trace.networks.items()}
    seen: set[str] = set()
    for name, kind in kinds.items():
        if kind in seen:
            continue
        seen.add(kind)
        # Its own methods, and what all networks share: blocks, and functions.
        others = set(kinds.values()) - {kind}
        gaps = tuple(gap for gap in sorted(script.networks) if gap.partition(".")[0] not in others)
        yield Check(f"{kind}: parameters", lambda s, n=name: s.shapes(n), gaps)
        yield Check(
            f"{kind}: initial weights", lambda s, n=name: s.initial(n), gaps, LIKE, drawn=True
        )
        if key.trace.calls.get(f"{name}()"):
            passes = sorted(gaps, key=lambda gap: not gap.endswith((".forward", "__call__")))
            yield Check(
                f"{kind}: outputs", lambda s, n=name: s.outputs(n), tuple(passes), layers=True
            )
