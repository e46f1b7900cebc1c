"""Plots of losses and figures, drawn with matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.files import replacing

# Okabe and Ito's palette: colours that colour-blind people can tell apart.
# https://jfly.uni-koeln.de/color/
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")

# Figures measured with pictures, with the label of their axis.
MEASURED = {"diversity": "diversity\n(data = 1)", "accuracy": "test accuracy"}
NOT_LOSSES = ("step", "images_per_second", *MEASURED)  # columns of metrics.csv


@dataclass(frozen=True)
class Band:
    """The usual range of a loss at each step; arrays of shape (N,).

    Attributes:
        steps: increasing.
        low: lower end.
        middle: median.
        high: upper end.
    """

    steps: np.ndarray
    low: np.ndarray
    middle: np.ndarray
    high: np.ndarray


def losses(path: Path, title: str, columns: dict[str, list[float]]) -> None:
    """Plot a run's losses over its steps, and below them the figure measured with its pictures.

    Args:
        path: the PNG file to write.
        title: the title.
        columns: `step`, each loss by name, and at most one of `MEASURED`, as from `Table.read`.

    Raises:
        UserError: the file cannot be written.
    """
    from common.pictures.figure import Figure

    names = [name for name in columns if name not in NOT_LOSSES]
    measure = next((name for name in MEASURED if name in columns), "")
    sampled = [
        (step, value)
        for step, value in zip(columns["step"], columns.get(measure, []), strict=False)
        if not math.isnan(value)
    ]
    figure = Figure(figsize=(8, 5.5 if sampled else 4), layout="constrained")
    heights = {"height_ratios": [3, 1]} if sampled else {}
    axes = figure.subplots(2 if sampled else 1, sharex=True, squeeze=False, gridspec_kw=heights)
    upper = axes[0, 0]
    for name, colour in zip(names, COLOURS, strict=False):
        upper.plot(columns["step"], columns[name], color=colour, label=name.replace("_", " "))
    upper.set_title(title, parse_math=False)  # the name of a folder may contain a $
    upper.set(ylabel="loss")
    upper.grid(alpha=0.3)
    upper.legend()
    if measure and sampled:
        lower = axes[1, 0]
        lower.plot(*zip(*sampled, strict=True), color=COLOURS[2], marker=".")
        lower.axhline(1, color="grey", linewidth=0.8, linestyle="--")
        lower.set(ylabel=MEASURED[measure])
        lower.set_ylim(bottom=0, top=1.05 if measure == "accuracy" else None)
        lower.grid(alpha=0.3)
    axes[-1, 0].set_xlabel("step")
    with replacing(path) as aside:
        figure.savefig(aside, dpi=110)


def confusion(path: Path, title: str, counts: np.ndarray, names: Sequence[str]) -> None:
    """Plot a confusion matrix.

    Args:
        path: the PNG file to write.
        title: the title.
        counts: integers (K, K): rows are true classes, columns are predicted ones.
        names: names of the classes.

    Raises:
        UserError: the file cannot be written.
    """
    from common.pictures.figure import Figure

    side = min(12.0, 2.4 + 0.5 * len(names))
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        if count and len(names) <= 20:
            shade = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=shade)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", parse_math=False)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set(xlabel="taken for", ylabel="is")
    axes.set_title(title, parse_math=False, fontsize=10)
    with replacing(path) as aside:
        figure.savefig(aside, dpi=110)


def comparison(
    path: Path,
    title: str,
    losses: dict[str, dict[str, np.ndarray]],
    pictures: dict[str, Path],
    rows: list[dict[str, str]],
) -> None:
    """Plot several runs of one model: losses, samples, and a table of figures.

    Args:
        path: the PNG file to write.
        title: the title.
        losses: by run and by name, the values of each step from step 1.
        pictures: by run, the file of its sample grid.
        rows: the table, a row per run, as text by column.

    Raises:
        UserError: the file cannot be written.
    """
    from PIL import Image

    from common.pictures.figure import Figure

    names = list(next(iter(losses.values())))
    figure = Figure(figsize=(12, 9.5), layout="constrained")
    figure.suptitle(title, parse_math=False)
    parts: Any = figure.subfigures(3, 1, height_ratios=[4, 3.6, 1.4])
    upper, middle, lower = parts
    styles = ("-", "--", "-.", ":")
    for axes, name in zip(upper.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for index, (run, values) in enumerate(losses.items()):
            steps = range(1, len(values[name]) + 1)
            style = styles[index % len(styles)]
            axes.plot(steps, values[name], style, color=COLOURS[index], label=run, linewidth=1.5)
        axes.set(title=name.replace("_", " "), xlabel="step")
        axes.grid(alpha=0.3)
        axes.legend()
    for axes, (run, file) in zip(
        middle.subplots(1, len(pictures), squeeze=False)[0], pictures.items(), strict=True
    ):
        with Image.open(file) as picture:
            axes.imshow(picture.convert("RGB"), interpolation="nearest")
        axes.set_title(run)
        axes.axis("off")
    axes = lower.subplots()
    axes.axis("off")
    grid = axes.table([list(row.values()) for row in rows], colLabels=list(rows[0]), loc="center")
    grid.auto_set_font_size(False)
    grid.set_fontsize(10)
    grid.scale(1, 1.5)
    with replacing(path) as aside:
        figure.savefig(aside, dpi=110)


def groups(
    path: Path,
    title: str,
    found: dict[str, dict[str, list[tuple[np.ndarray, np.ndarray]]]],
) -> None:
    """Plot groups of curves: single runs as thin lines, the mean of a group as a thick one.

    Args:
        path: the PNG file to write.
        title: the title.
        found: by figure and by group, curves of steps and values, each of shape (N,); the steps
            of a group are equal.

    Raises:
        UserError: the file cannot be written.
    """
    from common.pictures.figure import Figure

    figure = Figure(figsize=(5 * len(found), 4), layout="constrained")
    figure.suptitle(title, parse_math=False)
    panels = figure.subplots(1, len(found), squeeze=False)[0]
    for (measure, curves), axes in zip(found.items(), panels, strict=True):
        for (group, runs), colour in zip(curves.items(), COLOURS, strict=False):
            for steps, values in runs:
                axes.plot(steps, values, color=colour, linewidth=0.7, alpha=0.35)
            mean = np.mean([values for _, values in runs], axis=0)
            axes.plot(runs[0][0], mean, color=colour, linewidth=2.2, label=group)
        axes.set(title=measure.replace("_", " "), xlabel="step")
        axes.grid(alpha=0.3)
        axes.legend()
    with replacing(path) as aside:
        figure.savefig(aside, dpi=110)


def bands(
    path: Path,
    title: str,
    found: dict[str, Band],
    lines: dict[str, tuple[np.ndarray, np.ndarray]],
) -> None:
    """Plot the usual range of each loss, and one run's losses over it.

    Args:
        path: the PNG file to write.
        title: the title.
        found: the ranges by loss.
        lines: the run's steps and values by loss, each of shape (N,); may be empty.

    Raises:
        UserError: the file cannot be written.
    """
    from common.pictures.figure import Figure

    columns = min(len(found), 3)
    rows = math.ceil(len(found) / columns)
    figure = Figure(figsize=(4 * columns, 0.5 + 2.7 * rows), layout="constrained")
    figure.suptitle(title, parse_math=False)
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for (name, band), axes in zip(found.items(), panels, strict=False):
        axes.fill_between(band.steps, band.low, band.high, color=COLOURS[5], alpha=0.4, linewidth=0)
        axes.plot(band.steps, band.middle, color=COLOURS[0], linewidth=1)
        axes.set(title=name.replace("_", " "), xlabel="step")
        axes.grid(alpha=0.3)
        if name in lines:
            steps, values = lines[name]
            marker = "o" if len(steps) < 30 else None  # a single point is no line
            axes.plot(steps, values, color=COLOURS[1], linewidth=1, marker=marker, markersize=3)
            axes.set_xlim(0, max([band.steps[-1], *steps]))
    for axes in panels:  # unused ones
        axes.axis("off")
    with replacing(path) as aside:
        figure.savefig(aside, dpi=90)
