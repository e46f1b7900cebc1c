"""An exercise's file: an answer with parts taken out, and what has become of them since."""

from __future__ import annotations

import ast
import re
import textwrap
import tomllib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.files import check_is_file
from common.frameworks import PACKAGES
from tools.library.definitions import Definition, find_definitions, read_script
from tools.library.entries import read_entries
from tools.library.scripts import MODELS, ROOT

TABLE = Path(__file__).with_name("words.toml")
LEVELS = (1, 2, 3)
GIVEN = {"start", "learn", "main"}  # functions that no exercise takes out
UPDATE = "train_step"  # the part that takes every step of the update with it
GAP = "raise NotImplementedError  # your lines"
HEADER = re.compile(r"# Exercise: (\w+) in (\w+), level ([123])(?:, (\w+))?")
LARGEST = 1 << 20  # bytes of a learner's file
# The line by which a script finds the suite; a learner's file lies elsewhere.
PATH_LINE = "sys.path.insert(0, str(Path(__file__).resolve().parents[1]))"


@lru_cache
def read_words() -> dict[str, dict[str, str]]:
    """What is said on top of an exercise's file, by language."""
    with open(TABLE, "rb") as file:
        return tomllib.load(file)


@dataclass(frozen=True)
class Exercise:
    """What is asked: a model in a framework, with little or much taken out.

    Attributes:
        model, framework: whose script is the answer.
        level: 1 takes out a loss or the update, 2 the networks, 3 all below the settings but what
            is `GIVEN`.
        part: of level 1, which function; `train_step` is the whole update.
    """

    model: str
    framework: str
    level: int
    part: str | None = None

    @property
    def title(self) -> str:
        """As it stands in the first line of the file."""
        part = f", {self.part}" if self.part else ""
        return f"{self.model} in {self.framework}, level {self.level}{part}"

    @property
    def answer(self) -> str:
        """The script's text."""
        return read_script(self.framework, self.model)

    @cached_property
    def gaps(self) -> list[Definition]:
        """The functions and methods of the answer whose bodies are taken out, in their order."""
        script = Outline(self.answer)
        if self.level == 1:
            names = script.update if self.part == UPDATE else {self.part}
        elif self.level == 2:
            names = script.networks
        else:
            names = script.everything
        return [each for each in script.definitions.values() if each.name in names]

    def path(self, folder: Path) -> Path:
        """Where its file lies."""
        return folder / f"level-{self.level}" / self.framework / f"{self.model}.py"


class Outline:
    """Which definitions of a script belong to what, by their names.

    Args:
        text: the script.
    """

    def __init__(self, text: str) -> None:
        self.definitions = find_definitions(text)
        nodes = {
            node.name: node
            for node in ast.parse(text).body
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
        }
        bases = {
            name: {ast.unparse(base) for base in node.bases}
            for name, node in nodes.items()
            if isinstance(node, ast.ClassDef)
        }
        trainers = {name for name, found in bases.items() if "Trainer" in found}
        self.network_classes = [
            name
            for name, found in bases.items()
            if name not in trainers and "Settings" not in found
        ]
        functions = {name for name in nodes if name not in bases}
        used, left = set(), list(self.network_classes)
        while left:
            inside = ast.walk(nodes[left.pop()])
            names = {node.id for node in inside if isinstance(node, ast.Name)} & functions
            left.extend(names - used)
            used |= names
        self.networks = self._methods(self.network_classes) | used
        stepping = {
            name
            for name in functions
            if {"optimizers", "trainers"} & set(self.definitions[name].signature)
        }
        self.update = stepping | self._methods(trainers)
        self.everything = functions - GIVEN | self._methods(bases.keys() - {"Config"})
        self.single = [  # that level 1 can take out: what a batch is made into, losses, drawing
            name
            for name in self.definitions
            if name in functions - used - stepping - GIVEN - {"build"}
        ]

    def _methods(self, classes: Any) -> set[str]:
        return {
            name
            for name, each in self.definitions.items()
            if each.kind == "method" and name.partition(".")[0] in classes
        }


def choose(model: str, framework: str, level: int, part: str | None) -> Exercise:
    """The exercise of that name.

    Raises:
        UserError: there is none.
    """
    if model not in MODELS:
        raise UserError(f"unknown model {model!r}; known: {', '.join(MODELS)}")
    if framework not in PACKAGES:
        raise UserError(f"unknown framework {framework!r}; known: {', '.join(PACKAGES)}")
    if level not in LEVELS:
        raise UserError(f"--level {level}: must be 1, 2 or 3")
    if level > 1:
        if part:
            raise UserError(f"--part {part}: only level 1 takes out a single part")
        return Exercise(model, framework, level)
    known = [UPDATE, *Outline(read_script(framework, model)).single]
    part = part or read_entries()[model].exercise["part"]
    if part not in known:
        raise UserError(f"--part {part}: {model} has no such part; it has {', '.join(known)}")
    return Exercise(model, framework, level, part)


def make(exercise: Exercise, language: str) -> str:
    """The text of an exercise's file: the question, then the answer without its gaps."""
    lines = exercise.answer.splitlines()
    for gap in reversed(exercise.gaps):
        body = lines[gap.body - 1 : gap.last]
        first = next(line for line in body if line.strip())
        indent = first[: len(first) - len(first.lstrip())]
        lines[gap.body - 1 : gap.last] = [indent + GAP]
    text = "\n".join(lines) + "\n"
    if text.count(PATH_LINE) != 1:
        raise ValueError(f"{exercise.title}: the script does not find the suite as others do")
    places = [str(ROOT), str(ROOT / exercise.framework)]
    text = text.replace(PATH_LINE, f"sys.path[:0] = {places!r}")
    return _question(exercise, language) + text


def _question(exercise: Exercise, language: str) -> str:
    """The comment on top of the file."""
    words = read_words()[language]
    paragraphs = [
        read_entries()[exercise.model].exercise[language],
        words[f"level{exercise.level}"].format(part=exercise.part),
        words["how"],
    ]
    # Japanese has no spaces to break lines at, and its letters are twice as wide.
    width = 96 if language == "en" else 46
    wrapped = [textwrap.wrap(" ".join(p.split()), width) for p in paragraphs]
    comment = [f"Exercise: {exercise.title}"]
    for paragraph in wrapped:
        comment += ["", *paragraph]
    if exercise.level > 1:
        comment += ["", words["shapes"].format(model=exercise.model), *_shapes(exercise.model)]
    return "".join(f"# {line}".rstrip() + "\n" for line in comment) + "\n"


def _shapes(model: str) -> list[str]:
    """The section on the architecture, from the model's page."""
    page = (ROOT / "docs" / "models" / f"{model}.md").read_text(encoding="utf-8")
    section = re.search(r"^## Architecture\n+(.*?)^## ", page, re.MULTILINE | re.DOTALL)
    if section is None:
        raise ValueError(f"docs/models/{model}.md has no section on the architecture")
    return section.group(1).rstrip().splitlines()


@dataclass(frozen=True)
class Sheet:
    """A learner's file.

    Attributes:
        path: where it lies.
        text: what is in it.
        exercise: what its first line says that it is.
    """

    path: Path
    text: str
    exercise: Exercise

    @classmethod
    def read(cls, path: Path) -> Sheet:
        """Read a file and its first line; nothing of it is run.

        Raises:
            UserError: it is not there, is no text or no exercise.
        """
        check_is_file(path, "python -m tools.exercise start makes one")
        try:
            if path.stat().st_size > LARGEST:
                raise UserError(f"{path}: over {LARGEST} bytes, too large for an exercise")
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: cannot be read as text ({error})") from error
        first = next(iter(text.splitlines()), "")
        found = HEADER.fullmatch(first.strip())
        if found is None:
            raise UserError(
                f"{path}: does not begin with a line '# Exercise: MODEL in FRAMEWORK, level N'; "
                "leave the first line as python -m tools.exercise start has written it"
            )
        model, framework, level, part = found.groups()
        return cls(path, text, choose(model, framework, int(level), part))

    def own(self) -> dict[str, Definition]:
        """The learner's definitions, by name.

        Raises:
            SyntaxError: the file is not Python.
        """
        try:
            return find_definitions(self.text)
        except (ValueError, RecursionError, MemoryError) as error:  # a zero byte, a deep nest
            raise SyntaxError(str(error) or "too deeply nested") from error

    def lines(self, definition: Definition) -> list[str]:
        """A definition's lines."""
        return self.text.splitlines()[definition.first - 1 : definition.last]

    def untouched(self) -> list[str]:
        """The gaps that nothing has been written into, by name.

        Raises:
            SyntaxError: the file is not Python.
        """
        own = self.own()
        return [
            gap.name
            for gap in self.exercise.gaps
            if gap.name in own and any(line.strip() == GAP for line in self.lines(own[gap.name]))
        ]


def solve(sheet: Sheet) -> str:
    """The file's text with the answer in every gap that is still open."""
    lines = sheet.text.splitlines()
    answer = sheet.exercise.answer.splitlines()
    own = sheet.own()
    for gap in reversed(sheet.exercise.gaps):
        if gap.name in sheet.untouched():
            mine = own[gap.name]
            lines[mine.body - 1 : mine.last] = answer[gap.body - 1 : gap.last]
    return "\n".join(lines) + "\n"
