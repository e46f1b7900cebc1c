"""Cards of normal curves: between which values the trials of a model have each of its losses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.pictures import plots
from common.pictures.plots import Band
from tools.library.ledger import ledger

KEYS = ("framework", "seed", "step")
NEIGHBOURS = 1  # rows on each side that a step's band takes its values from as well
INSIDE = 0.95  # of the trials' values lie between the ends of the band
NORMAL = 0.9  # of the trials have as many points in the band of the others as a normal run


@dataclass(frozen=True)
class Curve:
    """One loss of one trial, or of a user's run.

    Attributes:
        steps: shape (N,).
        values: shape (N,), of the loss at each step.
    """

    steps: np.ndarray
    values: np.ndarray


def read_curves(model: str) -> dict[str, list[Curve]]:
    """The curves of a model's trials: by the name of the loss, one for each trial.

    Raises:
        UserError: there are no trials of the model.
    """
    rows = ledger(model).require("curves")
    trials: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in rows:
        trials.setdefault((row["framework"], row["seed"]), []).append(row)
    return {
        name: [
            to_curve([(float(row["step"]), float(row[name] or "nan")) for row in trial])
            for trial in trials.values()
        ]
        for name in rows[0]
        if name not in KEYS
    }


def to_curve(points: Iterable[tuple[float, float]]) -> Curve:
    """A curve of its points (step, value), without those where there is no value."""
    found = np.array([point for point in points if not np.isnan(point[1])]).reshape(-1, 2)
    return Curve(found[:, 0], found[:, 1])


def to_band(curves: list[Curve]) -> Band:
    """Between which values `INSIDE` of the trials' lie at each step.

    Args:
        curves: of the trials, all at the same steps.
    """
    values = np.stack([curve.values for curve in curves])
    low, middle, high = [], [], []
    for place in range(values.shape[1]):
        near = values[:, max(place - NEIGHBOURS, 0) : place + NEIGHBOURS + 1]
        tail = (1 - INSIDE) / 2
        for found, share in ((low, tail), (middle, 0.5), (high, 1 - tail)):
            found.append(np.quantile(near, share))
    return Band(curves[0].steps, np.array(low), np.array(middle), np.array(high))


def share_inside(curve: Curve, band: Band) -> float:
    """The share of a curve's points that lie in the band, of those at steps that it has."""
    known = (curve.steps >= band.steps[0]) & (curve.steps <= band.steps[-1])
    steps, values = curve.steps[known], curve.values[known]
    low, high = (np.interp(steps, band.steps, end) for end in (band.low, band.high))
    return float(np.mean((values >= low) & (values <= high))) if len(steps) else float("nan")


def shares_left_out(curves: list[Curve]) -> list[float]:
    """The share of each trial's points that lie in the band of all the others."""
    return [
        share_inside(curve, to_band([other for other in curves if other is not curve]))
        for curve in curves
    ]


def draw_card(path: Path, title: str, model: str, own: dict[str, Curve] | None = None) -> None:
    """Draw the bands of a model's trials, and a user's own run into them.

    Args:
        path: the PNG file to write.
        title: stands above all.
        model: whose trials.
        own: the run's curves by name.

    Raises:
        UserError: there are no trials, or the file cannot be written.
    """
    bands = {name: to_band(curves) for name, curves in read_curves(model).items()}
    lines = {name: (curve.steps, curve.values) for name, curve in (own or {}).items()}
    plots.bands(path, title, bands, lines)
