"""One picture with a model's images, real images, and a table of figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from common.files import replacing

WIDTH = 10  # inches


def draw(
    path: Path,
    title: str,
    sheets: dict[str, np.ndarray],
    strips: dict[str, np.ndarray],
    rows: list[dict[str, str]],
) -> None:
    """Draw square sheets side by side, strips below each other, and a table.

    Args:
        path: the PNG file to write.
        title: the title.
        sheets: square pictures (H, W, C), `uint8`, by their titles.
        strips: pictures of full width, by their titles.
        rows: the table, as text by column.

    Raises:
        UserError: the file cannot be written.
    """
    from common.pictures.figure import Figure

    heights = [WIDTH / 2] if sheets else []
    heights += [0.4 + WIDTH * len(one) / one.shape[1] for one in strips.values()]
    heights += [0.3 * (len(rows) + 2)]
    figure = Figure(figsize=(WIDTH, sum(heights) + 0.5), layout="constrained")
    figure.suptitle(title, fontsize=13, parse_math=False)
    parts: Any = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)
    parts = list(parts[:, 0])
    if sheets:
        axes = parts.pop(0).subplots(1, len(sheets))
        for one, (name, sheet) in zip(axes, sheets.items(), strict=True):
            _show(one, name, sheet)
    for name, strip in strips.items():
        _show(parts.pop(0).subplots(), name, strip)
    axes = parts.pop(0).subplots()
    axes.axis("off")
    grid = axes.table(
        [list(row.values()) for row in rows],
        colLabels=list(rows[0]),
        colWidths=[0.4, 0.23, 0.25, 0.12],
        cellLoc="left",
        bbox=[0.02, 0, 0.96, 1],
    )
    grid.auto_set_font_size(False)
    grid.set_fontsize(10)
    for (row, _), cell in grid.get_celld().items():
        cell.set_edgecolor("#BBBBBB")
        cell.set_text_props(ha="left", weight="bold" if row == 0 else "normal")
        cell.PAD = 0.03
    with replacing(path) as aside:
        figure.savefig(aside, dpi=110)


def _show(axes: Any, title: str, sheet: np.ndarray) -> None:
    grey = {"cmap": "gray", "vmin": 0, "vmax": 255} if sheet.shape[-1] == 1 else {}
    axes.imshow(sheet, interpolation="nearest", **grey)
    axes.set_title(title, fontsize=11)
    axes.axis("off")
