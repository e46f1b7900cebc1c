"""Grades a file by the checks of its exercise, and names the mistake that it looks like."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from common.errors import UserError
from common.run import checkpoint
from common.run.checkpoint import Checkpoint
from common.run.folder import RunFolder
from tools.exercise.checks import END, Check, Subject, list_checks
from tools.exercise.lenses import Arrays, Lens
from tools.exercise.mistakes import Mistake, find_mistakes
from tools.exercise.recording import Player
from tools.exercise.sheet import Exercise, Outline, Sheet
from tools.library.entries import read_entries, to_flags

STEPS = 20  # of the last check

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
        self._networks = Outline(exercise.answer).networks
        self._candidates: dict[str, Subject | None] = {}  # answers with a mistake, by their text
        self._agreed: dict[tuple[str, str], bool] = {}  # by a script's text and a check's title
        self._files = 0
        settings = read_entries()[exercise.model].exercise["settings"]
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
        player.train([*self.flags, "--steps", "0", "--out", str(out)])
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
                grade = dataclasses.replace(
                    grade, mistakes=self._recognize(check, subject, sheet, filled)
                )
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
        found = self._outcome(check, subject)
        if found is None:
            return ()
        names: list[str] = []
        if check.gaps and self._networks.issuperset(check.gaps):
            gaps = [gap for gap in gaps if gap in check.gaps]  # it is about these alone
        for mistake, text in find_mistakes(sheet.exercise, gaps):
            if mistake.name not in names and self._gives(check, found, mistake, text):
                names.append(mistake.name)
        return tuple(names)

    def _gives(self, check: Check, found: Any, mistake: Mistake, text: str) -> bool:
        """Whether the answer with a mistake shows a check what it has found."""
        candidate = self._candidate(mistake, text)
        if candidate is None:
            return False
        # A run takes long, and so does what is drawn.
        before = self.checks[: self.checks.index(check)] if check.runs else []
        return (
            self._agrees(text, candidate, [one for one in before if not (one.runs or one.drawn)])
            and self._is_outcome(check, found, self._outcome(check, candidate))
            and self._agrees(text, candidate, [one for one in before if one.drawn])
        )

    def _candidate(self, mistake: Mistake, text: str) -> Subject | None:
        """The answer with a mistake; None if it ends when it is imported.

        It is kept with what has been seen of it: other files will be compared with it.
        """
        if text not in self._candidates:
            self._files += 1
            out = self.folder / f"file-{self._files}"
            try:
                player = self._player(mistake.name, text)
                self._candidates[text] = Subject(player, self.flags, out, self.steps, self.key)
            except (Exception, SystemExit):
                self._candidates[text] = None
        return self._candidates[text]

    def _is_outcome(self, check: Check, found: Any, seen: Any) -> bool:
        """Whether two scripts show a check the same."""
        if isinstance(found, UserError) or isinstance(seen, UserError):
            return type(found) is type(seen) and _say(found) == _say(seen)
        return seen is not None and check.differ(seen, found) is None

    def _outcome(self, check: Check, subject: Subject) -> Any:
        """What a check sees, or the error by which a run ended itself; None for any other error."""
        try:
            return check.observe(subject)
        except UserError as error:
            return error
        except (Exception, SystemExit):
            return None

    def _agrees(self, text: str, candidate: Subject, checks: list[Check]) -> bool:
        """Whether a script is right in all of some checks, as the file was that has failed later.

        What came of each is kept.
        """
        for check in checks:
            if check.title not in self._seen:
                continue
            if (text, check.title) not in self._agreed:
                seen = self._outcome(check, candidate)
                self._agreed[text, check.title] = self._is_outcome(
                    check, self._seen[check.title], seen
                )
            if not self._agreed[text, check.title]:
                return False
        return True


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
    if isinstance(error, SystemExit):
        return f"{at}it ends the program, by sys.exit({error})"
    if isinstance(error, UserError):
        return f"{at}{_say(error)}"
    said = " ".join(str(error).split())
    return f"{at}{type(error).__name__}: {said[:300]}" if said else f"{at}{type(error).__name__}"


def _say(error: UserError) -> str:
    """What was wrong, without what the run left."""
    return str(error).partition("; stopped")[0]


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
