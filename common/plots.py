"""Curves drawn with matplotlib, without a screen."""

from __future__ import annotations

import math
from pathlib import Path

from common.files import replacing

# Okabe and Ito's palette: colours that colour-blind people can tell apart.
# https://jfly.uni-koeln.de/color/
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")


def losses(path: Path, title: str, columns: dict[str, list[float]]) -> None:
    """Draw a run's losses over its steps, and below them the diversity of its samples.

    Args:
        path: the PNG file to write.
        title: stands above the curves.
        columns: `step`, each loss by name, and perhaps `diversity`, as `metrics.Table.read` gives.

    Raises:
        UserError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    names = [name for name in columns if name.endswith(("loss", "divergence", "wasserstein"))]
    sampled = [
        (step, value)
        for step, value in zip(columns["step"], columns.get("diversity", []), strict=False)
        if not math.isnan(value)
    ]
    figure = Figure(figsize=(8, 5.5 if sampled else 4), layout="constrained")
    heights = {"height_ratios": [3, 1]} if sampled else {}
    axes = figure.subplots(2 if sampled else 1, sharex=True, squeeze=False, gridspec_kw=heights)
    upper = axes[0, 0]
    for name, colour in zip(names, COLOURS, strict=False):
        upper.plot(columns["step"], columns[name], color=colour, label=name.replace("_", " "))
    upper.set(title=title, ylabel="loss")
    upper.grid(alpha=0.3)
    upper.legend()
    if sampled:
        lower = axes[1, 0]
        lower.plot(*zip(*sampled, strict=True), color=COLOURS[2], marker=".")
        lower.axhline(1, color="grey", linewidth=0.8, linestyle="--")
        lower.set(ylabel="diversity\n(data = 1)")
        lower.set_ylim(bottom=0)
        lower.grid(alpha=0.3)
    axes[-1, 0].set_xlabel("step")
    with replacing(path) as aside:
        figure.savefig(aside, dpi=110)
