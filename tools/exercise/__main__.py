"""Exercises: write a model's missing parts yourself, and have them graded number by number.

python -m tools.exercise start dcgan --framework tensorflow --level 1    write a file to fill in
python -m tools.exercise check FILE     grade it, and say what is wrong
python -m tools.exercise watch FILE     grade it again whenever it is saved
python -m tools.exercise hint FILE      one hint more each time
python -m tools.exercise answer FILE    the answer beside your own lines
python -m tools.exercise --all          how far you are in the whole book
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from common.errors import UserError
from common.files import disk_errors, replacing
from common.frameworks import PACKAGES, find_version
from common.run import launch
from common.run.flags import Parser
from common.run.flags import path as path_type
from tools.exercise import hints, reports
from tools.exercise.progress import Notes
from tools.exercise.sheet import LEVELS, Exercise, Sheet, choose, make
from tools.exercise.supervisor import LIMIT, Report, grade
from tools.library.entries import LANGUAGES
from tools.library.scripts import MODELS

FOLDER = Path("exercises")
SOLVED, UNSOLVED = 0, 1  # exit statuses


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: it is not one.
    """
    parser = Parser(
        prog="python -m tools.exercise",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--all", action="store_true", help="show progress over the whole book")
    _add_out(parser)
    verbs = parser.add_subparsers(dest="verb", parser_class=Parser, metavar="VERB")
    start = verbs.add_parser("start", help="write a file to fill in", allow_abbrev=False)
    start.add_argument("model", metavar="MODEL", help=", ".join(MODELS))
    start.add_argument("--framework", required=True, metavar="NAME", help=", ".join(PACKAGES))
    start.add_argument(
        "--level",
        type=int,
        default=1,
        metavar="N",
        help="1 a loss or the update, 2 the networks, 3 all but the settings and main (default: 1)",
    )
    start.add_argument(
        "--part", metavar="NAME", help="of level 1: another function, or train_step for the update"
    )
    start.add_argument(
        "--language", choices=LANGUAGES, default="en", help="of the question (default: en)"
    )
    _add_out(start)
    for verb, text in (
        ("check", "grade a file"),
        ("watch", "grade it again whenever it is saved; Ctrl-C ends it"),
        ("hint", "one hint more each time"),
        ("answer", "the answer beside your own lines"),
    ):
        one = verbs.add_parser(verb, help=text, allow_abbrev=False)
        one.add_argument("file", metavar="FILE", type=path_type, help="what start has written")
        if verb in ("check", "watch"):
            one.add_argument(
                "--limit",
                type=float,
                default=LIMIT,
                metavar="SECONDS",
                help=f"how long grading may take (default: {LIMIT})",
            )
        if verb == "answer":
            one.add_argument(
                "--frameworks", action="store_true", help="the other frameworks' answers too"
            )
    options = parser.parse_args(arguments)
    if options.all == bool(options.verb):
        raise UserError("give a verb (start, check, watch, hint, answer) or --all; see --help")
    if getattr(options, "limit", 1) <= 0:
        raise UserError(f"--limit {options.limit}: must be above 0")
    return options


def _add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out",
        type=path_type,
        default=argparse.SUPPRESS,
        metavar="FOLDER",
        help=f"where exercises lie (default: {FOLDER})",
    )


def start(exercise: Exercise, language: str, folder: Path) -> Path:
    """Write an exercise's file; an existing one is never overwritten.

    Raises:
        UserError: it is there already, or cannot be written.
    """
    path = exercise.path(folder)
    missing = [each for each in path.parents if not each.exists()]
    try:
        with disk_errors(folder):
            path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as aside:
            aside.write_text(make(exercise, language), encoding="utf-8")
            try:
                path.touch(exist_ok=False)  # ours, or no one's
            except FileExistsError as error:
                raise UserError(
                    f"{path} is there already and is left as it is; "
                    f"go on with python -m tools.exercise check {path}, or give another --out"
                ) from error
    except UserError:
        for each in missing:
            with contextlib.suppress(OSError):
                each.rmdir()
        raise
    return path


class ChangedError(Exception):
    """The file that is being graded has been saved again."""


def check(sheet: Sheet, limit: float, stamp: int | None = None) -> Report:
    """Grade a file, say what came of it, and note it down.

    Args:
        sheet: the file.
        limit: seconds that it may take.
        stamp: when it was saved, if grading is to end once that is no longer so.

    Raises:
        UserError: the framework is not installed.
        ChangedError: it has been saved again.
    """
    framework = sheet.exercise.framework
    if find_version(framework) is None:
        raise UserError(f"{framework} is not installed; docs/installation.md says how")
    with tqdm(bar_format="{desc} [{elapsed}]", leave=False, disable=None) as bar:
        show = _show(bar)

        def note(stage: str) -> None:
            if stamp is not None and _stamp(sheet.path) not in (stamp, None):
                raise ChangedError
            show(stage)

        report = grade(sheet, note, limit)
    print(reports.describe(report, sheet))
    notes = Notes.of(sheet.path)
    notes.graded(sheet, report)
    return report


def _show(bar: Any) -> Callable[[str], None]:
    def show(stage: str) -> None:
        bar.set_description_str(f"looking at {stage}", refresh=False)
        bar.refresh()

    return show


def _stamp(path: Path) -> int | None:
    """When a file was saved; None if it is not there."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def watch(path: Path, limit: float) -> None:
    """Grade a file whenever it is saved, until it is solved.

    Raises:
        UserError: at first it is no exercise.
    """
    Sheet.read(path)
    seen = None
    while True:
        stamp = _stamp(path)
        if stamp in (seen, None):
            time.sleep(0.2)
            continue
        seen = stamp
        try:
            report = check(Sheet.read(path), limit, stamp)
        except ChangedError:
            print("saved again: starting anew")
            continue
        except UserError as error:  # a file half saved: the next one may do
            print(f"error: {error}", file=sys.stderr)
            continue
        if report.solved:
            return
        print("waiting for the next change; Ctrl-C ends")


def main() -> None:
    """Do what the command line says."""
    options = parse()
    folder = Path(getattr(options, "out", FOLDER))
    if options.all:
        print(reports.overview(folder, LEVELS))
        return
    if options.verb == "start":
        exercise = choose(options.model, options.framework, options.level, options.part)
        path = start(exercise, options.language, folder)
        print(f"to fill in: {path}")
        print(f"then:       python -m tools.exercise check {path}")
        return
    if options.verb == "watch":
        watch(Path(options.file), options.limit)
        return
    sheet = Sheet.read(Path(options.file))
    if options.verb == "check":
        report = check(sheet, options.limit)
        sys.exit(SOLVED if report.solved else UNSOLVED)
    if options.verb == "hint":
        print(hints.next_hint(sheet, Notes.of(sheet.path)))
    else:
        print(reports.answer(sheet, Notes.of(sheet.path), options.frameworks))


if __name__ == "__main__":
    launch(main)
