"""What transfer learning gains: its three modes over each other, over several seeds.

`python -m workshop.transfer_modes --dataset imori` trains with each mode and seed, one after the
other, and leaves `modes.png`, the curves, and `modes.csv`, the figures of the test split.
"""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from common.errors import UserError
from common.files import write_text
from common.pictures import plots
from common.run import flags, launch
from common.run.flags import Parser
from common.run.folder import RunFolder
from common.run.table import Table
from tools.library.entries import to_flags
from tools.library.scripts import ROOT, choose_frameworks

MODES = ("finetune", "frozen", "scratch")
SEEDS = 5
LOSS, ACCURACY = "classification_loss", "accuracy"


def train(framework: str, out: Path, arguments: list[str]) -> RunFolder:
    """Run the script to its end.

    Raises:
        UserError: it failed; what it said has been shown.
    """
    script = ROOT / framework / "transfer.py"
    command = [sys.executable, str(script), "--out", str(out), *arguments]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.stderr.write(done.stderr[-2000:])
        raise UserError(f"{framework} failed with exit status {done.returncode}; see above")
    return RunFolder(out)


def read(folder: RunFolder, name: str) -> tuple[np.ndarray, np.ndarray]:
    """A column of `metrics.csv` over its steps, without the rows that lack it."""
    columns = Table(folder.metrics).read()
    steps, values = np.array(columns["step"]), np.array(columns[name])
    there = ~np.isnan(values)
    return steps[there], values[there]


def compare(out: Path, framework: str, settings: dict[str, Any], seeds: int) -> None:
    """Train, and write the picture and the table.

    Args:
        out: the folder for them, and for the runs.
        framework: that trains.
        settings: of all runs.
        seeds: runs of each mode.

    Raises:
        UserError: a script failed, or a file cannot be written.
    """
    runs: dict[str, list[RunFolder]] = {mode: [] for mode in MODES}
    every = ["--log-every", "5", "--sample-every", "5", "--checkpoint-every", "1000000"]
    tasks = [(mode, seed) for seed in range(1, seeds + 1) for mode in MODES]
    for mode, seed in tqdm(tasks, unit="run"):
        own = ["--mode", mode, "--seed", str(seed)]
        folder = out / f"{mode}-{seed}"
        runs[mode].append(train(framework, folder, [*to_flags(settings), *every, *own]))
    rows = []
    for mode, folders in runs.items():
        found = [json.loads(folder.evaluation.read_text(encoding="utf-8")) for folder in folders]
        for figure in (f"test {LOSS}", f"test {ACCURACY}"):
            values = [one[figure] for one in found]
            rows.append(
                [mode, figure, *(f"{value:.4g}" for value in values), f"{np.mean(values):.4g}"]
            )
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["mode", "figure", *(f"seed {seed}" for seed in range(1, seeds + 1)), "mean"])
    table.writerows(rows)
    write_text(out / "modes.csv", text.getvalue())
    curves = {
        name: {mode: [read(folder, name) for folder in folders] for mode, folders in runs.items()}
        for name in (LOSS, ACCURACY)
    }
    curves = {"training loss": curves[LOSS], "test accuracy": curves[ACCURACY]}
    title = f"transfer in {framework} on {settings['dataset']}: {seeds} runs of each mode"
    plots.groups(out / "modes.png", title, curves)
    for row in rows:
        print("  ".join(cell.ljust(24 if column == 1 else 9) for column, cell in enumerate(row)))
    print(f"picture: {out / 'modes.png'}")


def main() -> None:
    """Compare as the command line says."""
    parser = Parser(
        prog="python -m workshop.transfer_modes",
        description="Train transfer.py in each of its modes, and draw the curves over each other.",
        allow_abbrev=False,
    )
    parser.add_argument("--framework", default="pytorch", metavar="NAME", help="default: pytorch")
    parser.add_argument("--dataset", default="imori", metavar="NAME", help="default: imori")
    parser.add_argument("--data-dir", type=flags.path, metavar="DIR", help="where data sets lie")
    parser.add_argument("--steps", type=int, default=100, metavar="N", help="default: 100")
    parser.add_argument("--seeds", type=int, default=SEEDS, metavar="N", help=f"default: {SEEDS}")
    parser.add_argument("--out", type=flags.path, default="runs/modes-transfer", metavar="DIR")
    options = parser.parse_args()
    for name in ("steps", "seeds"):
        if getattr(options, name) < 1:
            raise UserError(f"--{name} {getattr(options, name)}: must be at least 1")
    framework = choose_frameworks(options.framework)[0]
    settings = {name: getattr(options, name) for name in ("dataset", "data_dir", "steps")}
    settings = {name: value for name, value in settings.items() if value is not None}
    compare(Path(options.out), framework, settings, options.seeds)


if __name__ == "__main__":
    launch(main)
