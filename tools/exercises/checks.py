"""The checks of an exercise, in the order in which one learns, and how a file is graded by them."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from common.run import checkpoint
from common.run.checkpoint import Checkpoint
from common.run.folder import RunFolder
from tools.exercises.lenses import Arrays, Lens
from tools.exercises.mistakes import Mistake, find_mistakes
from tools.exercises.recording import Call, Player, Trace, Update, read_run
from tools.exercises.sheet import Exercise, Outline, Sheet, read_questions
from tools.exercises.trees import CLOSE, Difference, differences, same
from tools.recipes import to_flags

STEPS = 20  # of the last check
MANY = 200  # numbers that an array needs for its spread to say anything
LIKE = 0.25  # relative, of two spreads that are of one distribution
STATISTICS = ("running_mean", "running_var")

END = "twenty steps"
RIGHT, WRONG, OPEN, BLOCKED = "right", "wrong", "not attempted", "not reached"


@dataclass(frozen=True)
class Grade:
    """What came of a check.

    Attributes:
        title: what was looked at.
        status: `right`, `wrong`, `not attempted` or `not reached`.
        said: of a wrong one, what was expected and what came; of one that was not reached, why.
        mistakes: names of the known mistakes that give just these numbers.
        gaps: the parts of the file that it is about.
    """

    title: str
    status: str
    said: str = ""
    mistakes: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()


@dataclass(frozen=True)
class Check:
    """Something to look at in the answer and in a learner's file.

    Attributes:
        title: in words.
        observe: what there is to see, as a tree of numbers.
        gaps: the parts of an exercise that it is about, if they were taken out.
        close: how near numbers have to be, relative to the largest.
        runs: whether `main` has to be run for it.
        layers: whether layers are seen too, which only help to find where an output goes wrong:
            a network may do without them.
    """

    title: str
    observe: Callable[[Subject], Any]
    gaps: tuple[str, ...]
    close: float = CLOSE
    runs: bool = False
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
    """Calls of a network, with those layers that both have."""
    pairs = zip(expected, found, strict=True)
    names = [one["layers"].keys() & other["layers"].keys() for one, other in pairs]
    left, right = (
        [
            call | {"layers": {n: output for n, output in call["layers"].items() if n in common}}
            for call, common in zip(calls, names, strict=True)
        ]
        for calls in (expected, found)
    )
    return left, right


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

    @cached_property
    def _watched(self) -> tuple[Trace, Exception | None]:
        out = self.folder / "watched"
        flags = [*self.flags, "--steps", "2", "--out", str(out)]
        return self.player.watch(flags, to_the_end=self.key is self)

    @property
    def trace(self) -> Trace:
        """What was seen of its first steps.

        Raises:
            Exception: what ended it before the second step was done.
        """
        trace, error = self._watched
        if error is not None and len(trace.losses) < 2:
            raise error
        return trace

    @cached_property
    def networks(self) -> dict[str, Any]:
        """The networks that it builds from what the answer's `build` is given."""
        return self.player.build(self._build)

    @property
    def _build(self) -> Call:
        build = self.key.trace.build
        assert build is not None
        return build

    @cached_property
    def outcome(self) -> dict[str, Any]:
        """The losses and weights of a longer run."""
        out = self.folder / "outcome"
        self.player.main([*self.flags, "--steps", str(self.steps), "--out", str(out)])
        return read_run(out)

    # What checks look at.

    def settings(self) -> Any:
        """The fields of `Config` with their defaults."""
        fields = dataclasses.fields(self.player.module.Config)
        return {field.name: str(field.default) for field in fields}

    def function(self, name: str) -> Any:
        """What a function makes of what the answer's was given."""
        return [self.player.play(name, call) for call in self.key.trace.calls[name]]

    def shapes(self, network: str) -> Any:
        """The shapes of a network's parameters and running averages, by name."""
        arrays = self.player.lens.bridge.get_arrays(self._network(network))
        return {name: str(array.shape) for name, array in arrays.items()}

    def initial(self, network: str) -> Any:
        """How a network's initial weights are distributed, by name."""
        arrays = self.player.lens.bridge.get_arrays(self._network(network))
        return {name: _distribution(array) for name, array in arrays.items()}

    def outputs(self, network: str) -> Any:
        """What a network makes of what the answer's was given, layer by layer."""
        own = self._network(network)
        calls = self.key.trace.calls[f"{network}()"]
        return [self.player.play_network(own, call) for call in calls]

    def _network(self, name: str) -> Any:
        if name not in self.networks:
            raise KeyError(f"build makes no network called {name!r}")
        return self.networks[name]

    def losses(self) -> Any:
        """What the first step gives."""
        return self.trace.losses[0]

    def order(self) -> Any:
        """Which optimiser was used when in the first step."""
        return " then ".join(update.optimizer for update in self._updates(0))

    def gradients(self) -> Any:
        """The gradients of each update of the first step, and what else had one at the first."""
        found = {f"update {i + 1}": u.gradients for i, u in enumerate(self._updates(0))}
        return {"others with a gradient": ", ".join(self._updates(0)[0].leaks) or "none", **found}

    def movements(self) -> Any:
        """How far each update of the first step moved each parameter."""
        return {
            f"update {index + 1}": {
                name: update.after[name] - array
                for name, array in update.before.items()
                if not name.endswith(STATISTICS)
            }
            for index, update in enumerate(self._updates(0))
        }

    def averages(self) -> Any:
        """All running averages after the first step."""
        state = self.trace.states[0]
        return {name: array for name, array in state.items() if name.endswith(STATISTICS)}

    def second(self) -> Any:
        """The losses of the second step, its gradients, and where it took the weights."""
        updates = self._updates(1)
        gradients = {f"update {i + 1}": update.gradients for i, update in enumerate(updates)}
        after = self.trace.states[1]
        return {"losses": self.trace.losses[1], "gradients": gradients, "weights": after}

    def end(self) -> Any:
        """Losses and weights of twenty steps."""
        return self.outcome

    def _updates(self, step: int) -> list[Update]:
        return self.trace.updates[step]


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
    functions = [
        name
        for name in script.single
        if key.trace.calls.get(name) and script.definitions[name].kind == "function"
    ]
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
        Check("how far a step moves the weights", lambda s: s.movements(), (*update, *build), runs=True),
        *([Check("the running averages", lambda s: s.averages(), update, runs=True)] if averages else []),
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
        yield Check(f"{kind}: initial weights", lambda s, n=name: s.initial(n), gaps, LIKE)
        if key.trace.calls.get(f"{name}()"):
            yield Check(f"{kind}: outputs", lambda s, n=name: s.outputs(n), gaps, layers=True)


class Grader:
    """Grades files of one exercise.

    Args:
        exercise: which.
        lens: of its framework, which this process has not used for another exercise.
        folder: to write runs into.
        steps: of the last check.
    """

    def __init__(self, exercise: Exercise, lens: Lens, folder: Path, steps: int = STEPS) -> None:
        self.exercise = exercise
        self.lens = lens
        self.folder = folder
        self.steps = steps
        self._seen: dict[str, Any] = {}  # what checks see of the answer, by title
        self._files = 0
        settings = read_questions()[exercise.model]["settings"]
        self.flags = [
            *to_flags(settings),
            *("--seed", "1", "--precision", "float64", "--device", "cpu", "--log-every", "1"),
            *("--sample-every", "1000000", "--checkpoint-every", "1000000"),
        ]
        player = self._player("the answer", exercise.answer)
        start = self._make_start(player)
        self.flags += ["--init-from", str(start)]
        self.key = Subject(player, self.flags, folder / "answer", steps)
        self.checks = list_checks(self.key, exercise)

    def _player(self, name: str, text: str) -> Player:
        return Player(self.lens, name, text, self.exercise.framework, self.exercise.model)

    def _make_start(self, player: Player) -> Path:
        """Weights to start from that no initial ones are, so that each of them counts."""
        out = self.folder / "start"
        player.main([*self.flags, "--steps", "0", "--out", str(out)])
        path = RunFolder(out).checkpoint
        header = checkpoint.read_header(path)
        random = np.random.default_rng(0)
        arrays: Arrays = {}
        for name, array in load_file(path).items():
            noise = random.normal(0, 0.1, array.shape)
            if name.endswith("running_var"):
                arrays[name] = np.exp(noise)
            elif array.ndim > 1:  # as they are drawn, and not too small to matter
                arrays[name] = array + 0.5 * noise * (array.std() / 0.1)
            else:
                arrays[name] = array + noise
        path = self.folder / "start.safetensors"
        checkpoint.save(path, Checkpoint(arrays, header.metadata))
        return path

    def grade(self, sheet: Sheet, note: Callable[[str], None]) -> Iterator[Grade]:
        """Grade a file, check by check.

        Args:
            sheet: the file.
            note: told what is looked at next.
        """
        note("reading the file")
        try:
            untouched = sheet.untouched()
        except SyntaxError as error:
            said = f"line {error.lineno}: {error.msg}"
            yield Grade("the file is Python", WRONG, said)
            return
        wrong = _changed(sheet)
        if wrong:
            yield Grade("the file has its functions", WRONG, wrong)
            return
        try:
            player = self._player(str(sheet.path), sheet.text)
        except (Exception, SystemExit) as error:
            yield Grade("the file can be imported", WRONG, _explain(error, sheet))
            return
        yield Grade("the file can be imported", RIGHT)
        self._files += 1
        out = self.folder / f"file-{self._files}"
        subject = Subject(player, self.flags, out, self.steps, self.key)
        gaps = {gap.name for gap in sheet.exercise.gaps}
        failed = False
        for check in self.checks:
            note(check.title)
            about = tuple(gap for gap in check.gaps if gap in gaps)
            open_gaps = [gap for gap in about if gap in untouched]
            if open_gaps:
                yield Grade(check.title, OPEN, gaps=tuple(open_gaps))
                continue
            if check.title == END and (failed or untouched):
                yield Grade(check.title, BLOCKED, "needs all above")
                continue
            grade = self._judge(check, subject, sheet, about)
            if grade.status == WRONG and not failed:
                failed = True
                note("looking for a known mistake")
                filled = [gap for gap in gaps if gap not in untouched]
                grade = dataclasses.replace(grade, mistakes=self._recognize(check, subject, sheet, filled))
            yield grade

    def _judge(self, check: Check, subject: Subject, sheet: Sheet, gaps: tuple[str, ...]) -> Grade:
        if check.title not in self._seen:
            self._seen[check.title] = check.observe(self.key)
        expected = self._seen[check.title]
        try:
            found = check.observe(subject)
        except NotImplementedError as error:
            needed = _place(error, sheet) or "another part"
            return Grade(check.title, BLOCKED, f"needs {needed} first", gaps=gaps)
        except (Exception, SystemExit) as error:
            return Grade(check.title, WRONG, _explain(error, sheet), gaps=gaps)
        difference = check.differ(expected, found)
        if difference is None:
            return Grade(check.title, RIGHT, gaps=gaps)
        at = f"{difference.place}: " if difference.place else ""
        return Grade(check.title, WRONG, at + difference.said, gaps=gaps)

    def _recognize(
        self, check: Check, subject: Subject, sheet: Sheet, gaps: list[str]
    ) -> tuple[str, ...]:
        """The known mistakes that give the numbers that a check has found."""
        try:
            found = check.observe(subject)
        except (Exception, SystemExit):
            return ()
        names: list[str] = []
        for mistake, text in find_mistakes(sheet.exercise, gaps):
            if mistake.name not in names and self._gives(check, found, mistake, text):
                names.append(mistake.name)
        return tuple(names)

    def _gives(self, check: Check, found: Any, mistake: Mistake, text: str) -> bool:
        """Whether the answer with a mistake shows a check what it has found."""
        self._files += 1
        out = self.folder / f"file-{self._files}"
        try:
            player = self._player(mistake.name, text)
            candidate = Subject(player, self.flags, out, self.steps, self.key)
            if check.runs and not self._agrees(candidate, check):
                return False
            return check.differ(check.observe(candidate), found) is None
        except (Exception, SystemExit):
            return False


    def _agrees(self, candidate: Subject, last: Check) -> bool:
        """Whether a script is right in all that comes before a check and needs no run.

        The file that failed there was; asking this first is quicker than running the script.
        """
        return all(
            check.differ(self._seen[check.title], check.observe(candidate)) is None
            for check in self.checks[: self.checks.index(last)]
            if not check.runs and check.title in self._seen
        )


def _changed(sheet: Sheet) -> str | None:
    """What of the answer's functions a file lacks, or has with other arguments."""
    own = sheet.own()
    for gap in sheet.exercise.gaps:
        if gap.name not in own:
            return f"{gap.name} is not there; leave every function where it stood"
        if own[gap.name].signature != gap.signature:
            taken = ", ".join(own[gap.name].signature)
            return f"{gap.name} takes {taken}; it must take {', '.join(gap.signature)}"
    return None


def _explain(error: BaseException, sheet: Sheet) -> str:
    """An error and where in the learner's file it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(sheet.path)]
    at = f"line {lines[-1]}: " if lines else ""
    said = " ".join(str(error).split())
    return f"{at}{type(error).__name__}: {said[:300]}" if said else f"{at}{type(error).__name__}"


def _place(error: BaseException, sheet: Sheet) -> str | None:
    """The function of the learner's file that an error came from."""
    trace = error.__traceback__
    found = None
    while trace is not None:
        frame: FrameType = trace.tb_frame
        if frame.f_code.co_filename == str(sheet.path):
            found = frame.f_code.co_qualname
        trace = trace.tb_next
    return found
