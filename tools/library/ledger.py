"""The committed figures of models' trials, in docs/results/."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.files import disk_errors, write_text
from common.frameworks import PACKAGES, find_version
from common.run.folder import RunFolder
from tools.library.scripts import ROOT

RESULTS = ROOT / "docs" / "results"
RUNS = ROOT / "runs" / "trials"


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
                f"there are no trials of {model}; python -m workshop.trials {model} makes them"
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
