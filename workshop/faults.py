"""Plants faults in the scripts, and shows that the tests catch them.

`python -m workshop.faults` makes every mistake of tools/library/operators/ in every script, and
plays each script for three steps against the proof, in a process that has its framework already.
What that does not see is planted in a scratch copy of the suite, where the quick tests run; so are
the faults of tests/proof/faults.toml, which are in several files, or not in a script.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import json
import os
import random
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tqdm import tqdm

from common.errors import UserError
from common.frameworks import PACKAGES
from common.run import launch
from tools.library.definitions import read_script
from tools.library.operators import Change, find_changes, make
from tools.library.scripts import MODELS, ROOT

TABLE = ROOT / "tests" / "proof" / "faults.toml"
PROOF = [f"tests/proof/test_{name}.py" for name in ("parity", "dropout", "frozen")]
QUICK = [*PROOF, "tests/scripts/test_twins.py", "tests/scripts/test_settings.py"]
PLAYER = "tests/proof/fault_player.py"
STEPS = 3
LIMIT = 120  # seconds for a script, and for a framework to start
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "runs", "__pycache__", ".*_cache", "gallery")


@dataclass(frozen=True)
class Fault:
    """A mistake to plant.

    Attributes:
        name: what is wrong.
        edits: by file, the text that is there and the text that takes its place.
        models: to test; those whose scripts it is in, or what the table says.
    """

    name: str
    edits: dict[str, tuple[str, str]]
    models: tuple[str, ...]

    @property
    def frameworks(self) -> list[str]:
        """The frameworks that it is in."""
        return sorted({file.partition("/")[0] for file in self.edits})

    def plant(self, folder: Path) -> None:
        """Make the edits in a copy of the suite.

        Raises:
            UserError: a text is not there, or more than once.
        """
        for file, (old, new) in self.edits.items():
            text = (folder / file).read_text(encoding="utf-8")
            if text.count(old) != 1:
                raise UserError(
                    f"{TABLE.name}: {self.name}: {file} has {old!r} {text.count(old)} times; "
                    "it must be there once"
                )
            (folder / file).write_text(text.replace(old, new), encoding="utf-8")


def read_faults() -> list[Fault]:
    """The table of faults."""
    with open(TABLE, "rb") as file:
        entries = tomllib.load(file)["fault"]
    faults = []
    for entry in entries:
        edits = {edit["file"]: (edit["old"], edit["new"]) for edit in entry["edits"]}
        models = entry.get("models") or sorted({Path(file).stem for file in edits})
        faults.append(Fault(entry["name"], edits, tuple(models)))
    return faults


@contextlib.contextmanager
def scratch_copy() -> Iterator[Path]:
    """A copy of the suite; what its tests write lies beside it, and goes with it."""
    with tempfile.TemporaryDirectory(prefix="quartet-fault-") as scratch:
        folder = Path(scratch) / "quartet"
        shutil.copytree(ROOT, folder, ignore=LEFT_OUT)
        yield folder


def run_quick(
    models: Iterable[str], frameworks: Iterable[str], folder: Path, *options: str
) -> list[str]:
    """Run the quick tests in a copy of the suite, with options of pytest; the ids of failures.

    Raises:
        UserError: the tests did not run.
    """
    options += ("-q", "-p", "no:cacheprovider", "--basetemp", str(folder.with_name("written")))
    environment = {
        **os.environ,
        "QUARTET_STEPS": str(STEPS),
        "QUARTET_PORTS": ",".join(frameworks),
        "QUARTET_MODELS": ",".join(models),
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *QUICK],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    failed = re.findall(r"^FAILED (.*?)(?: - .*)?$", done.stdout, re.MULTILINE)
    if done.returncode != bool(failed):
        raise UserError(f"the tests did not run: {(done.stdout + done.stderr)[-1000:]}")
    return failed


def find_catch(fault: Fault, folder: Path) -> str | None:
    """The first quick test that fails on a copy with the fault.

    Returns:
        None if the fault is missed: for some model and framework that it is in, no test whose id
        names both fails.
    """
    pairs = [(model, framework) for model in fault.models for framework in fault.frameworks]
    first = ["-x"] if len(pairs) == 1 else []
    failed = run_quick(fault.models, fault.frameworks, folder, *first)
    for model, framework in pairs:
        if not any({model, framework} <= set(re.findall(r"\w+", test)) for test in failed):
            return None
    return failed[0]


@dataclass(frozen=True)
class Made:
    """A fault that an operator has made.

    Attributes:
        framework, model: whose script it is in.
        change: what was done.
    """

    framework: str
    model: str
    change: Change

    @property
    def name(self) -> str:
        """Where it is, and what."""
        return f"{self.framework}/{self.model}.py, line {self.change.line}: {self.change.title}"

    @property
    def text(self) -> str:
        """The script with it."""
        text = make(read_script(self.framework, self.model), [self.change])
        assert text is not None
        return text

    def as_fault(self) -> Fault:
        """The same for a scratch copy."""
        script = read_script(self.framework, self.model)
        return Fault(
            self.name, {f"{self.framework}/{self.model}.py": (script, self.text)}, (self.model,)
        )

    def diff(self) -> str:
        """What has changed in the script."""
        before = read_script(self.framework, self.model).splitlines()
        return "\n".join(difflib.unified_diff(before, self.text.splitlines(), lineterm="", n=1))


def make_faults() -> list[Made]:
    """Every mistake that an operator can make, in every script."""
    return [
        Made(framework, model, change)
        for framework in PACKAGES
        for model in MODELS
        for change in find_changes(read_script(framework, model), framework)
    ]


class Player:
    """A process that plays scripts of one framework against the proof.

    Args:
        framework: which.
        folder: what `prepare` has made.
    """

    def __init__(self, framework: str, folder: Path) -> None:
        self.command = [sys.executable, PLAYER, framework, str(folder)]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def find(self, model: str, text: str) -> str | None:
        """What first shows a mistake in a script; None if nothing does.

        Raises:
            UserError: the framework does not start.
        """
        if self._process is None:
            self._process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env={**os.environ, **QUIET},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            if self._answer() != "ready":
                raise UserError(f"{' '.join(self.command)} does not start")
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"model": model, "text": text}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        """A line of the process; why there is none, if it has ended or takes too long."""
        assert self._process is not None
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], LIMIT)
        line = self._process.stdout.readline() if ready else ""
        if line:
            return json.loads(line)
        self._end()
        return "it ends the process" if ready else f"not done after {LIMIT} seconds"

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


QUIET = {
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "",
    "OMP_NUM_THREADS": "1",
}


def prepare(models: Iterable[str], folder: Path) -> None:
    """Make what every player needs: checkpoints to start from, and the reference's numbers."""
    environment = {**os.environ, "QUARTET_MODELS": ",".join(models)}
    command = [sys.executable, "tests/proof/parity.py", str(folder), str(STEPS)]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


def play(faults: list[Made]) -> list[Made]:
    """Plant faults that operators have made, and print what became of each; those missed.

    Raises:
        UserError: a script without a fault is not what it should be.
    """
    missed: list[Made] = []
    with (
        tempfile.TemporaryDirectory(prefix="quartet-faults-") as scratch,
        tqdm(total=len(faults), unit="fault") as bar,
    ):
        prepare({fault.model for fault in faults}, Path(scratch))
        for framework in dict.fromkeys(fault.framework for fault in faults):
            some = [fault for fault in faults if fault.framework == framework]
            with Player(framework, Path(scratch)) as player:
                for model in dict.fromkeys(fault.model for fault in some):
                    wrong = player.find(model, read_script(framework, model))
                    if wrong:
                        raise UserError(f"{framework}/{model}.py without a fault: {wrong}")
                for fault in some:
                    start = time.perf_counter()
                    catch = player.find(fault.model, fault.text)
                    if catch is None:
                        with scratch_copy() as folder:
                            planted = fault.as_fault()
                            planted.plant(folder)
                            catch = find_catch(planted, folder)
                    seconds = time.perf_counter() - start
                    verdict = f"caught in {seconds:.1f} s by {catch}" if catch else "MISSED"
                    tqdm.write(f"{fault.name}: {verdict}")
                    if catch is None:
                        missed.append(fault)
                        tqdm.write(fault.diff())
                    bar.update()
    return missed


def summarise(faults: list[Made], missed: list[Made]) -> str:
    """How many were caught of how many, by operator and framework, as a table in Markdown."""
    made = Counter((f.change.operator, f.framework) for f in faults)
    gone = Counter((f.change.operator, f.framework) for f in missed)
    rows = [["operator", *PACKAGES], ["---"] * (len(PACKAGES) + 1)]
    for operator in dict.fromkeys(fault.change.operator for fault in faults):
        cells = [made[operator, f] - gone[operator, f] for f in PACKAGES]
        rows.append(
            [
                operator,
                *(f"{n} of {made[operator, f]}" for n, f in zip(cells, PACKAGES, strict=True)),
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def plant_table(faults: list[Fault]) -> int:
    """Plant the table's faults, and print what became of each; how many were missed.

    Raises:
        UserError: tests fail without a fault.
    """
    models = {model for fault in faults for model in fault.models}
    frameworks = {framework for fault in faults for framework in fault.frameworks}
    with scratch_copy() as folder:
        failed = run_quick(models, frameworks, folder)
    if failed:
        raise UserError(f"tests fail without a fault: {', '.join(failed)}")
    missed = 0
    for fault in tqdm(faults, unit="fault"):
        with scratch_copy() as folder:
            fault.plant(folder)
            start = time.perf_counter()
            catch = find_catch(fault, folder)
        seconds = time.perf_counter() - start
        missed += catch is None
        where = ", ".join(fault.edits)
        verdict = f"caught in {seconds:.0f} s by {catch}" if catch else "MISSED"
        tqdm.write(f"{fault.name} ({where}): {verdict}")
    return missed


def main() -> None:
    """Plant faults as the command line says; exit with status 1 if one is not caught."""
    parser = argparse.ArgumentParser(prog="python -m workshop.faults", description=__doc__)
    parser.add_argument("--only", metavar="TEXT", help="those whose name or files hold it")
    parser.add_argument(
        "--share", type=float, default=1.0, help="of what operators make (default: 1)"
    )
    parser.add_argument("--seed", type=int, default=0, help="which share (default: 0)")
    parser.add_argument("--without-table", action="store_true", help="what operators make alone")
    options = parser.parse_args()
    only = options.only or ""
    chance = random.Random(options.seed)
    made = [f for f in make_faults() if only in f.name and chance.random() < options.share]
    table = [f for f in read_faults() if only in f.name + " ".join(f.edits)]
    table = [] if options.without_table else table
    if not made and not table:
        raise UserError(f"--only {only}: no fault has that")
    missed = play(made) if made else []
    if made:
        print(summarise(made, missed))
    lost = len(missed) + (plant_table(table) if table else 0)
    total = len(made) + len(table)
    print(f"{total - lost} of {total} caught")
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    launch(main)
