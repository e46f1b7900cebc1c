"""What is known of a learner's work on a file: a small note beside it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from common.files import write_text
from tools.exercise.sheet import Sheet
from tools.exercise.supervisor import Report


@dataclass
class Notes:
    """The note beside a file.

    Attributes:
        path: where it lies; hidden.
        text: which text was graded last, by its hash.
        solved: whether that was right throughout.
        ever: whether any text of this file was.
        right, checks: how many of how many checks were right.
        wrong: the parts that the first wrong check was about.
        mistakes: what it looked like.
        hints: how many have been given, by part.
    """

    path: Path
    text: str = ""
    solved: bool = False
    ever: bool = False
    right: int = 0
    checks: int = 0
    wrong: list[str] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)
    hints: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, file: Path) -> Notes:
        """The note beside a file; an empty one if there is none that can be read."""
        path = file.with_name(f".{file.stem}.json")
        notes = cls(path)
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            for name, value in stored.items():
                if name != "path" and isinstance(value, type(getattr(notes, name))):
                    setattr(notes, name, value)
        except (OSError, ValueError, AttributeError, RecursionError):
            return cls(path)
        notes.hints = {str(k): v for k, v in notes.hints.items() if isinstance(v, int)}
        notes.wrong = [str(name) for name in notes.wrong]
        notes.mistakes = [str(name) for name in notes.mistakes]
        return notes

    def graded(self, sheet: Sheet, report: Report) -> None:
        """Note what came of grading a file.

        Raises:
            UserError: the note cannot be written.
        """
        wrong = report.first_wrong
        self.text = hash_of(sheet)
        self.solved = report.solved
        self.ever = self.ever or report.solved
        self.right = sum(grade.status == "right" for grade in report.grades)
        self.checks = len(report.grades)
        self.wrong = list(wrong.gaps) if wrong else []
        self.mistakes = list(wrong.mistakes) if wrong else []
        self.save()

    def save(self) -> None:
        """Write it.

        Raises:
            UserError: it cannot be written.
        """
        fields = {name: value for name, value in asdict(self).items() if name != "path"}
        write_text(self.path, json.dumps(fields, indent=2) + "\n")


def hash_of(sheet: Sheet) -> str:
    """What names a file's text."""
    return hashlib.sha256(sheet.text.encode()).hexdigest()
