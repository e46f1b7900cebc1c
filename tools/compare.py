"""One model in every framework from one start: losses, samples, speed and memory side by side.

`python -m tools.compare dcgan` runs each framework's script in a process of its own, one after the
other, and leaves `compare.png`, `compare.csv` and a run folder per framework. With `--run DIR` it
trains nothing, and draws the losses of that run over those of the committed trials.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import UserError, warn
from common.files import disk_errors, write_text
from common.frameworks import PACKAGES, find_version
from common.pictures import plots
from common.run import flags, launch
from common.run.flags import Parser
from common.run.folder import RunFolder
from common.run.table import Table
from tools.library import cards
from tools.library.ledger import ledger
from tools.library.scripts import ROOT, check_model, choose_frameworks


@dataclass(frozen=True)
class Outcome:
    """What one framework's run left.

    Attributes:
        framework: its folder.
        version: of its package.
        columns: `metrics.csv`, by name; see `metrics.Table.read`.
        picture: the path of its last sample grid.
        memory: peak of its process, in MiB.
        start_up: seconds from the start of its process to the first files of its run folder: all
            imports, the data set and the networks.
    """

    framework: str
    version: str
    columns: dict[str, list[float]]
    picture: Path
    memory: float
    start_up: float

    @property
    def losses(self) -> dict[str, np.ndarray]:
        """Each loss over the steps."""
        return {n: np.array(v) for n, v in self.columns.items() if n not in plots.NOT_LOSSES}

    @property
    def speed(self) -> float:
        """Median images a second, without the first row, in which functions are compiled."""
        rates = self.columns["images_per_second"]
        return float(np.median(rates[1:] or rates))


def run_script(framework: str, model: str, out: Path, arguments: list[str]) -> tuple[float, float]:
    """Run a script to its end; return its peak memory in MiB and its start-up time in seconds.

    Raises:
        UserError: the script failed; what it said has been shown.
    """
    script = ROOT / framework / f"{model}.py"
    command = [sys.executable, str(script), "--out", str(out), *arguments]
    started = time.time()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise UserError(f"{framework} failed with exit status {process.returncode}; see above")
    return usage.ru_maxrss / 1024, RunFolder(out).config.stat().st_mtime - started


def compare(options: argparse.Namespace) -> list[Outcome]:
    """Train with all frameworks from the first one's initial weights."""
    out = Path(options.out)
    shared = [*options.others, "--seed", str(options.seed), "--precision", options.precision]
    shared += ["--dataset", options.dataset] if options.dataset else []
    start = RunFolder(out / "start")
    first = options.frameworks[0]
    print(f"start: the initial weights of {first}", file=sys.stderr)
    run_script(first, options.model, start.path, [*shared, "--steps", "0"])
    outcomes = []
    for number, framework in enumerate(options.frameworks, start=1):
        print(f"{number}/{len(options.frameworks)}: {framework}", file=sys.stderr)
        folder = RunFolder(out / framework)
        training = ["--steps", str(options.steps), "--log-every", "1"]
        never = ["--sample-every", str(options.steps), "--checkpoint-every", str(options.steps)]
        begin = ["--init-from", str(start.checkpoint)]
        memory, start_up = run_script(
            framework, options.model, folder.path, [*shared, *training, *never, *begin]
        )
        outcomes.append(
            Outcome(
                framework,
                find_version(framework) or "",
                Table(folder.metrics).read(),
                sorted(folder.samples.iterdir())[-1],
                memory,
                start_up,
            )
        )
    return outcomes


def table(outcomes: list[Outcome]) -> list[dict[str, str]]:
    """The figures of each framework, as text by column."""
    first = outcomes[0]
    rows = []
    for one in outcomes:
        apart = [
            np.abs(one.losses[name] - loss) / np.abs(loss).max()
            for name, loss in first.losses.items()
        ]
        rows.append(
            {
                "framework": one.framework,
                "version": one.version,
                "losses apart, step 1": f"{max(a[0] for a in apart):.1g}",
                "losses apart, largest": f"{max(a.max() for a in apart):.1g}",
                "images/s": f"{one.speed:.0f}",
                "memory MiB": f"{one.memory:.0f}",
                "start-up s": f"{one.start_up:.1f}",
            }
        )
    return rows


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line, checked.

    Raises:
        UserError: an unknown model or framework, none that is installed, or a folder in use.
    """
    parser = Parser(
        prog="python -m tools.compare",
        description="Train a model in every framework from one start, and show the results.",
        epilog="Every other flag goes to the scripts: --image-size, --batch-size, --task, …",
        allow_abbrev=False,
    )
    parser.add_argument("model", help="such as dcgan")
    parser.add_argument("--dataset", metavar="NAME", help="default: the model's own")
    parser.add_argument("--steps", type=int, default=100, metavar="N", help="default: 100")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument(
        "--precision",
        choices=("float32", "float64"),
        default="float32",
        help="float64 takes twice the time; all frameworks then agree to a rounding",
    )
    parser.add_argument(
        "--frameworks", default=",".join(PACKAGES), metavar="A,B", help="default: all installed"
    )
    parser.add_argument(
        "--out", metavar="DIR", type=flags.path, help="default: runs/compare-MODEL-DATASET"
    )
    parser.add_argument(
        "--run",
        metavar="DIR",
        type=flags.path,
        help="train nothing; show how normal the losses of this run are",
    )
    options, options.others = parser.parse_known_args(arguments)
    check_model(options.model)
    if options.run:
        check_alone(arguments if arguments is not None else sys.argv[1:])
        return options
    if options.steps < 1:
        raise UserError(f"--steps {options.steps}: must be at least 1")
    options.frameworks = choose_frameworks(options.frameworks)
    names = [options.model, *([options.dataset] if options.dataset else [])]
    name = "-".join(names).replace(":", "-").replace(os.sep, "-")
    options.out = options.out or str(Path("runs") / f"compare-{name}")
    if Path(options.out).exists() and any(Path(options.out).iterdir()):
        raise UserError(f"{options.out} is not empty; choose another folder with --out")
    return options


def check_alone(arguments: list[str]) -> None:
    """Raise UserError if other flags are given with `--run`."""
    flags = [one.partition("=")[0] for one in arguments if one.startswith("-")]
    if flags != ["--run"]:
        others = ", ".join(sorted({*flags} - {"--run"})) or "a second --run"
        raise UserError(f"--run trains nothing, so leave out {others}")


def compare_with_trials(model: str, folder: RunFolder) -> None:
    """Draw a run's losses over the bands of its model's trials, and say what lies in them.

    Raises:
        UserError: it is no run of this model, or has no losses, or there are no trials.
    """
    config = folder.read_config()
    if config["model"] != model:
        raise UserError(f"--run {folder.path}: this is a run of {config['model']}, not of {model}")
    columns = Table(folder.metrics).read()
    if not columns:
        raise UserError(f"--run {folder.path}: no step of it has been logged yet")
    trials = cards.read_curves(model)
    for name, usual in ledger(model).settings().items():
        if name not in ("steps", "precision") and (own := config["settings"].get(name)) != usual:
            warn(f"the trials have {name} {usual}, this run {own}: its losses may differ for that")
    own = {
        name: cards.to_curve(zip(columns["step"], columns[name], strict=True))
        for name in trials
        if name in columns
    }
    picture = folder.path / "compare.png"
    cards.draw_card(picture, f"{folder.path} over the trials of {model}", model, own)
    for name, curve in own.items():
        inside = cards.share_inside(curve, cards.to_band(trials[name]))
        if np.isnan(inside):
            print(f"{name}: the run has no value at the steps of the trials")
            continue
        others = cards.shares_left_out(trials[name])
        normal = inside >= np.quantile(others, 1 - cards.NORMAL)
        print(
            f"{name}: {inside:.0%} in the band (the trials, each in the band of the others: "
            f"{min(others):.0%} to {max(others):.0%}): "
            + ("normal" if normal else "unlike most of them")
        )
    print(f"picture: {picture}")


def main() -> None:
    """Compare as the command line says."""
    options = parse()
    if options.run:
        compare_with_trials(options.model, RunFolder(Path(options.run)))
        return
    with disk_errors(Path(options.out)):
        Path(options.out).mkdir(parents=True, exist_ok=True)
    outcomes = compare(options)
    rows = table(outcomes)
    out = Path(options.out)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(out / "compare.csv", text.getvalue())
    data = RunFolder(out / "start").read_config()["dataset"]["name"]
    title = f"{options.model} on {data}: one start, {options.steps} steps, {options.precision}"
    plots.comparison(
        out / "compare.png",
        title,
        {one.framework: one.losses for one in outcomes},
        {one.framework: one.picture for one in outcomes},
        rows,
    )
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    for row in [dict(zip(widths, widths, strict=True)), *rows]:
        print("  ".join(row[name].ljust(width) for name, width in widths.items()))
    print(f"picture: {out / 'compare.png'}")


if __name__ == "__main__":
    launch(main)
