"""Plants faults in a scratch copy of the suite, and shows that the quick tests catch them.

`python -m workshop.faults` takes each fault of tests/proof/faults.toml in turn: small mistakes of
the kinds that people make, in one framework's script or in all four alike.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from common.errors import UserError
from common.run import launch
from tools.library.scripts import ROOT

TABLE = ROOT / "tests" / "proof" / "faults.toml"
PROOF = [f"tests/proof/test_{name}.py" for name in ("parity", "dropout", "frozen")]
QUICK = [*PROOF, "tests/scripts/test_twins.py", "tests/scripts/test_settings.py"]
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
        "QUARTET_STEPS": "3",
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


def main() -> None:
    """Plant faults as the command line says; exit with status 1 if one is not caught."""
    parser = argparse.ArgumentParser(prog="python -m workshop.faults", description=__doc__)
    parser.add_argument("--only", metavar="TEXT", help="those whose name or files hold it")
    options = parser.parse_args()
    faults = [
        fault
        for fault in read_faults()
        if options.only is None or options.only in fault.name + " ".join(fault.edits)
    ]
    if not faults:
        raise UserError(f"--only {options.only}: no fault of {TABLE.name} has that")
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
    print(f"{len(faults) - missed} of {len(faults)} caught")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    launch(main)
