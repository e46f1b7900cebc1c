"""Trials: models trained by their recipes in every framework, over several seeds, and evaluated.

`python -m tools.trials dcgan` adds to docs/results/ what is not there yet, and `python -m
tools.results` makes the page of it. Every run has one core to itself, and as many run at once as
there are cores.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import platform
import queue
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from common.errors import UserError
from common.files import disk_errors, write_text
from common.frameworks import PACKAGES, find_version
from common.run import launch
from common.run.flags import ALONE, Parser
from common.run.folder import RunFolder
from common.run.table import Table
from tools.entries import read_recipes, to_flags
from tools.scripts import ROOT, check_model, choose_frameworks

RESULTS = ROOT / "docs" / "results"
RUNS = ROOT / "runs" / "trials"
ROWS = 100  # of the curves, about
DIGITS = 4  # of a loss
# What says nothing of how a model trains.
ELSEWHERE = (*ALONE, "data_dir", "device", "seed", "epochs")
ELSEWHERE += ("log_every", "sample_every", "checkpoint_every")


@dataclass(frozen=True)
class Trial:
    """One training run of a recipe.

    Attributes:
        model: its script's name.
        framework: its script's folder.
        seed: of the run.
    """

    model: str
    framework: str
    seed: int

    @property
    def folder(self) -> RunFolder:
        """Where the run lies."""
        return RunFolder(RUNS / f"{self.model}-{self.framework}-{self.seed}")


@dataclass(frozen=True)
class Ledger:
    """The committed figures of one model, read and written whole.

    Attributes:
        folder: holds `settings.json` and three tables: `runs.csv` has a row for each trial,
            `figures.csv` one for each figure of it, `curves.csv` one for each logged step.
    """

    folder: Path

    def read(self, table: str) -> list[dict[str, str]]:
        """The rows of a table, as text by column; none if it is not there."""
        path = self.folder / f"{table}.csv"
        if not path.exists():
            return []
        with open(path, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def require(self, table: str) -> list[dict[str, str]]:
        """The rows of a table.

        Raises:
            UserError: there are none.
        """
        rows = self.read(table)
        if not rows:
            model = self.folder.name
            raise UserError(
                f"there are no trials of {model}; python -m tools.trials {model} makes them"
            )
        return rows

    def settings(self) -> dict[str, Any]:
        """That all its trials were made with; none if there are no trials."""
        path = self.folder / "settings.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def put(self, trial: Trial, settings: dict[str, Any], found: dict[str, list[dict]]) -> None:
        """Add a trial's rows to each table, in place of those that it had.

        Trials of other settings go: their figures could not stand beside it.

        Raises:
            UserError: a file cannot be written.
        """
        key = {"framework": trial.framework, "seed": str(trial.seed)}
        fresh = settings != self.settings()
        with disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        for table, rows in found.items():
            kept = (
                [] if fresh else [row for row in self.read(table) if not key.items() <= row.items()]
            )
            rows = [key | row for row in rows]
            order = list(PACKAGES)
            merged = sorted(  # in the order of frameworks and seeds; their own rows as they come
                kept + rows, key=lambda row: (order.index(row["framework"]), int(row["seed"]))
            )
            text = io.StringIO()
            writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(merged)
            write_text(self.folder / f"{table}.csv", text.getvalue())
        write_text(self.folder / "settings.json", json.dumps(settings, indent=2) + "\n")

    def has(self, trial: Trial, recipe: dict[str, Any]) -> bool:
        """Whether the trial is there, by this recipe and with the version that is installed."""
        settings = self.settings()
        key = (trial.framework, str(trial.seed), find_version(trial.framework))
        return recipe.items() <= settings.items() and key in {
            (row["framework"], row["seed"], row["version"]) for row in self.read("runs")
        }


def ledger(model: str) -> Ledger:
    """The committed figures of a model; `folder` need not exist."""
    return Ledger(RESULTS / model)


def processor() -> str:
    """The processor's name, as the system gives it."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return " ".join(line.partition(":")[2].split())
    return platform.machine()


def run_program(command: list[str], log: Path) -> float:
    """Run one of the suite's programs on this thread's core; return the seconds that it needed.

    These are seconds of the processor, so that other work on the machine does not count.

    Raises:
        UserError: it failed; what it said is in the log.
    """
    with (
        open(log, "w", encoding="utf-8") as file,
        subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        ) as program,
    ):
        _, status, usage = os.wait4(program.pid, 0)
        program.returncode = os.waitstatus_to_exitcode(status)
    if program.returncode:
        last = log.read_text(encoding="utf-8").strip().splitlines()[-1:]
        raise UserError(f"{' '.join(command[:3])}: {''.join(last)}; all that it said is in {log}")
    return usage.ru_utime + usage.ru_stime


def run(trial: Trial, recipe: dict[str, Any]) -> dict[str, list[dict]]:
    """Train and evaluate; the trial's rows by table.

    Raises:
        UserError: a program failed.
    """
    folder = trial.folder
    folder.lock()  # other trials may be at work on it
    folder.unlock()
    shutil.rmtree(folder.path, ignore_errors=True)  # what an earlier try has left
    folder.make(folder.path)
    script = f"{trial.framework}/{trial.model}.py"
    every = max(1, recipe["steps"] // ROWS)
    flags = to_flags(recipe | {"seed": trial.seed, "log_every": every, "out": folder.path})
    seconds = run_program([script, *flags], folder.path / "training.log")
    arguments = ["-m", "tools.evaluate", trial.model, "--from", str(folder.checkpoint)]
    run_program(arguments, folder.path / "evaluation.log")
    return collect(trial, seconds)


def collect(trial: Trial, seconds: float) -> dict[str, list[dict]]:
    """The rows of a trial that has been run, by table."""
    folder = trial.folder
    path = folder.path / "evaluation" / "evaluation.json"
    figures = json.loads(path.read_text(encoding="utf-8"))["figures"]
    columns = Table(folder.metrics).read()
    columns.pop("images_per_second")
    return {
        "figures": [
            {
                "figure": name,
                "value": f"{np.mean(figure['values']):.8g}",
                "floor": f"{np.mean(figure['floor']):.8g}" if figure["floor"] else "",
            }
            for name, figure in figures.items()
        ],
        "curves": [
            {
                name: str(int(value)) if name == "step" else _number(value)
                for name, value in zip(columns, row, strict=True)
            }
            for row in zip(*columns.values(), strict=True)
        ],
        "runs": [  # the last, for it says that a trial is there
            {
                "version": find_version(trial.framework),
                "python": platform.python_version(),
                "processor": processor(),
                "seconds": f"{seconds:.0f}",
            }
        ],
    }


def _number(value: Any) -> str:
    return "" if np.isnan(value) else f"{value:.{DIGITS}g}"


def settings_of(trial: Trial) -> dict[str, Any]:
    """All the settings that a trial was trained with, defaults included, but its seed."""
    settings = trial.folder.read_config()["settings"]
    return {name: value for name, value in settings.items() if name not in ELSEWHERE}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line, checked.

    Raises:
        UserError: an unknown model or framework, or no seeds.
    """
    parser = Parser(
        prog="python -m tools.trials",
        description="Train models by their recipes over several seeds, and keep the figures.",
        allow_abbrev=False,
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", help="default: all")
    parser.add_argument(
        "--frameworks", default=",".join(PACKAGES), metavar="A,B", help="default: all installed"
    )
    parser.add_argument(
        "--seeds", type=int, default=3, metavar="N", help="seeds 1 to N; default: 3"
    )
    options = parser.parse_args(arguments)
    for model in options.models:
        check_model(model)
    if options.seeds < 1:
        raise UserError(f"--seeds {options.seeds}: must be at least 1")
    options.frameworks = choose_frameworks(options.frameworks)
    return options


def main() -> None:
    """Run the trials that are missing."""
    options = parse()
    recipes = read_recipes()
    trials = [
        Trial(model, framework, seed)
        for model in options.models or recipes
        for seed in range(1, options.seeds + 1)
        for framework in options.frameworks
        if not ledger(model).has(Trial(model, framework, seed), recipes[model])
    ]
    cores: queue.Queue[int] = queue.Queue()
    for core in os.sched_getaffinity(0):
        cores.put(core)

    def pin() -> None:  # a thread, and with it the programs that it starts
        os.sched_setaffinity(0, {cores.get()})

    pool = ThreadPoolExecutor(cores.qsize(), initializer=pin)
    with tqdm(total=len(trials), unit="run") as bar:
        jobs = {pool.submit(run, trial, recipes[trial.model]): trial for trial in trials}
        try:
            for job in as_completed(jobs):
                trial = jobs[job]
                found = job.result()
                ledger(trial.model).put(trial, settings_of(trial), found)
                bar.update()
                tqdm.write(f"{trial.model} in {trial.framework}, seed {trial.seed}: done")
        finally:
            pool.shutdown(cancel_futures=True)
    print(f"figures: {RESULTS}; python -m tools.results makes the page of them")


if __name__ == "__main__":
    launch(main)
