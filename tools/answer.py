"""Looks an answer up: one definition in all frameworks, side by side.

`python -m tools.answer dcgan train_step` shows it; without a name, what there is; and `--how
"freeze a network"` finds where the scripts do that.
"""

from __future__ import annotations

import argparse
import difflib
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from common.errors import UserError
from common.frameworks import PACKAGES
from common.run import launch
from common.run.flags import Parser
from tools.library.definitions import Definition, find_definitions, read_script
from tools.library.scripts import MODELS, ROOT

TABLE = ROOT / "tools" / "how.toml"
FRAME = 10  # columns of a panel beside its code: borders, marks and line numbers
NEAR = 0.6  # how alike two names are that could be meant for each other, at least
ALIKE = 0.8  # how alike two words are that count as one spelt wrongly, at least
FOUND = 5  # tasks that are offered


@dataclass(frozen=True)
class Task:
    """Something that people look for, and where it is done.

    Attributes:
        title: what it is.
        words: other names for it.
        model: whose script does it.
        names: the definition, by framework.
        find: what marks its lines, a regular expression, by framework.
    """

    title: str
    words: str
    model: str
    names: dict[str, str]
    find: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Passage:
    """A definition in one framework's script, to be shown.

    Attributes:
        framework: whose.
        model: whose.
        definition: the code.
        marked: lines that matter most.
    """

    framework: str
    model: str
    definition: Definition
    marked: frozenset[int] = frozenset()

    @property
    def file(self) -> str:
        """Where it stands, from the root of the suite."""
        return f"{self.framework}/{self.model}.py"

    @property
    def lines(self) -> list[str]:
        """The code."""
        every = read_script(self.framework, self.model).splitlines()
        return every[self.definition.first - 1 : self.definition.last]


@lru_cache
def read_tasks() -> list[Task]:
    """The table of tasks."""
    with open(TABLE, "rb") as file:
        entries = tomllib.load(file)["task"]
    return [
        Task(
            entry["title"],
            entry["words"],
            entry["model"],
            {framework: entry.get(framework, entry["name"]) for framework in PACKAGES},
            entry["find"]
            if isinstance(entry["find"], dict)
            else dict.fromkeys(PACKAGES, entry["find"]),
        )
        for entry in entries
    ]


def find_in(framework: str, model: str, name: str) -> Definition | None:
    """A definition by its name in any framework, as it is called in this one.

    TensorFlow calls a network where the others have `forward`; Keras' networks are made in one
    piece, and its trainers make the steps; Keras has initial weights as settings.
    """
    there = find_definitions(read_script(framework, model))
    owner, _, method = name.rpartition(".")
    step = re.fullmatch(r"(\w+)_step|(autoencod)e", name)
    candidates = [name]
    if method in ("forward", "__call__", "call"):
        candidates += [f"{owner}.{each}" for each in ("forward", "__call__", "call")] + [owner]
    if step:
        candidates.append((step[1] or "autoencoder").title() + "Trainer")
    if name in ("initialize", "initial_settings"):
        candidates += ["initialize", "initial_settings"]
    return next((there[each] for each in candidates if each in there), None)


def list_names(model: str) -> list[str]:
    """All definitions of a model, in the order of PyTorch's script, then what others have."""
    names: dict[str, None] = {}
    for framework in PACKAGES:
        names |= dict.fromkeys(find_definitions(read_script(framework, model)))
    return list(names)


def check_name(model: str, name: str) -> None:
    """Raise UserError, saying what was meant, unless a framework has such a definition."""
    names = list_names(model)
    if name in names:
        return
    last = {each.rpartition(".")[2]: each for each in reversed(names)}
    close = guess(name, [*names, *last])
    meant = f"did you mean {last.get(close, close)}?" if close else f"there are {', '.join(names)}"
    raise UserError(f"{model} has no {name!r}: {meant}")


def guess(word: str, known: Iterable[str]) -> str | None:
    """The known name that is most like a word, whatever its case, if any is."""
    lower = {each.lower(): each for each in known}
    close = difflib.get_close_matches(word.lower().replace("-", "_"), lower, 1, NEAR)
    return lower[close[0]] if close else None


def find_tasks(question: str) -> list[Task]:
    """The tasks that a question could mean, the likeliest first: those that share most words."""
    asked = _words(question)

    def score(task: Task) -> float:
        title, others = _words(task.title), _words(task.words)
        shared = 0.0
        for word in asked:
            if word in title:
                shared += 2
            elif word in others:
                shared += 1.5
            elif difflib.get_close_matches(word, title + others, 1, ALIKE):
                shared += 1
        return shared - 0.01 * len(title)

    ranked = sorted(read_tasks(), key=score, reverse=True)
    return [task for task in ranked if score(task) > 0.5][:FOUND]


def _words(text: str) -> list[str]:
    short = {"a", "an", "the", "of", "in", "to", "with", "its", "on", "or", "and", "that", "how"}
    return [word for word in re.findall(r"\w+", text.lower()) if word not in short]


def look_up(model: str, name: str, frameworks: Sequence[str]) -> list[Passage]:
    """A definition in each framework that has it."""
    found = ((framework, find_in(framework, model, name)) for framework in frameworks)
    return [Passage(framework, model, there) for framework, there in found if there]


def look_up_task(task: Task, frameworks: Sequence[str]) -> list[Passage]:
    """Where each framework does a task, the lines marked."""
    passages = []
    for framework in frameworks:
        for passage in look_up(task.model, task.names[framework], [framework]):
            first = passage.definition.first
            marked = frozenset(
                first + place
                for place, line in enumerate(passage.lines)
                if re.search(task.find[framework], line)
            )
            passages.append(Passage(framework, task.model, passage.definition, marked))
    return passages


def show(passages: list[Passage]) -> None:
    """Print code side by side, as many as the terminal is wide enough for; else one by one."""
    from rich.console import Console
    from rich.panel import Panel
    from rich.syntax import Syntax
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:  # for a file or another program: code as it stands
        for passage in passages:
            print(f"# {passage.file}, line {passage.definition.first}")
            for number, line in enumerate(passage.lines, passage.definition.first):
                print(f"{'>' if number in passage.marked else ' '}{number:5} {line}".rstrip())
            print()
        return
    widths = [max(map(len, passage.lines)) + FRAME for passage in passages]
    rows: list[list[int]] = []
    for index, width in enumerate(widths):
        if rows and sum(widths[each] for each in rows[-1]) + width <= console.width:
            rows[-1].append(index)
        else:
            rows.append([index])
    for row in rows:
        grid = Table.grid()
        panels = []
        for index in row:
            passage = passages[index]
            code = Syntax(
                "\n".join(passage.lines),
                "python",
                theme="ansi_dark",
                line_numbers=True,
                start_line=passage.definition.first,
                highlight_lines=set(passage.marked),
                background_color="default",
                word_wrap=widths[index] > console.width,
            )
            title = f"[bold]{passage.file}:{passage.definition.first}"
            panels.append(Panel(code, title=title, title_align="left"))
            grid.add_column(width=min(widths[index], console.width))
        grid.add_row(*panels)
        console.print(grid)


def show_list(model: str) -> None:
    """Print what there is to look up in a model's scripts."""
    names = [each for each in list_names(model) if not each.endswith(("__init__", "__call__"))]
    width = max(map(len, names))
    for name in names:
        there = [framework for framework in PACKAGES if find_in(framework, model, name)]
        definition = next(d for f in there if (d := find_in(f, model, name)))
        text = definition.docstring.split("\n")[0]
        only = "" if len(there) == len(PACKAGES) else f" ({', '.join(there)})"
        print(f"{name:{width}}  {text}{only}".rstrip())


def show_tasks(tasks: list[Task]) -> None:
    """Print the titles of tasks, and how to see one."""
    for task in tasks:
        print(f'  --how "{task.title}"')


def main() -> None:
    """Look up as the command line says."""
    parser = Parser(
        prog="python -m tools.answer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("model", nargs="?", help="such as dcgan")
    parser.add_argument("name", nargs="?", help="such as train_step or Generator.forward")
    parser.add_argument("--how", metavar="TASK", help='such as "freeze a network"')
    parser.add_argument(
        "--framework", nargs="+", metavar="NAME", default=list(PACKAGES), help="default: all"
    )
    options = parser.parse_args()
    for framework in options.framework:
        if framework not in PACKAGES:
            raise UserError(f"unknown framework {framework!r}; known: {', '.join(PACKAGES)}")
    if options.how is not None:
        answer_how(options.how, options.framework, options.model)
        return
    if options.model is None:
        print("Models:", ", ".join(MODELS))
        print("Tasks:")
        show_tasks(read_tasks())
        return
    if options.model not in MODELS:
        close = guess(options.model, MODELS)
        meant = f"did you mean {close}?" if close else f"known: {', '.join(MODELS)}"
        raise UserError(f"unknown model {options.model!r}: {meant}")
    if options.name is None:
        show_list(options.model)
        return
    check_name(options.model, options.name)
    passages = look_up(options.model, options.name, options.framework)
    show(passages)
    for framework in options.framework:
        if framework not in [passage.framework for passage in passages]:
            print(f"{framework} does without {options.name}")


def answer_how(question: str, frameworks: Sequence[str], model: str | None) -> None:
    """Show where the scripts do what a question asks for, and what else could be meant.

    Raises:
        UserError: nothing like it is in the table, or a model was named too.
    """
    if model is not None:
        raise UserError(f"--how searches all models: leave out {model}")
    found = find_tasks(question)
    if not found:
        titles = ", ".join(task.title for task in read_tasks())
        raise UserError(f"--how {question!r}: nothing like it in the table, which has: {titles}")
    best = found[0]
    print(f"{best.title} ({best.model}, docs/models/{best.model}.md)")
    show(look_up_task(best, frameworks))
    if found[1:]:
        print("Also:")
        show_tasks(found[1:])


if __name__ == "__main__":
    launch(main)
