"""Trials: models trained by their recipes in every framework, over several seeds, and evaluated.

`python -m workshop.trials dcgan` adds to docs/results/ what is not there yet, and `python -m
workshop.results` makes the page of it. Every run has one core to itself, and as many run at once as
there are cores.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import queue
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from common.errors import UserError
from common.frameworks import PACKAGES, find_version
from common.run import launch
from common.run.flags import OF_COMMAND, Parser
from common.run.table import Table
from tools.library.entries import read_recipes, to_flags
from tools.library.ledger import RESULTS, Trial, ledger
from tools.library.scripts import ROOT, check_model, choose_frameworks

ROWS = 100  # of the curves, about
DIGITS = 4  # of a loss
# What says nothing of how a model trains.
ELSEWHERE = (*OF_COMMAND, "class_", "input", "direction", "data_dir", "device", "seed", "epochs")
ELSEWHERE += ("log_every", "sample_every", "checkpoint_every")


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
        prog="python -m workshop.trials",
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
    print(f"figures: {RESULTS}; python -m workshop.results makes the page of them")


if __name__ == "__main__":
    launch(main)
