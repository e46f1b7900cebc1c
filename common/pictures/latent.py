"""Plots of a two-dimensional latent space, drawn with matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from common.files import replacing

WALK = 17  # images on a walk from (-2, -2) to (2, 2)
SIDE = 21  # images on a side of the grid from -4 to 4
# Paul Tol's muted scheme, which colour-blind people can tell apart, and a mark for each colour.
# https://sronpersonalpages.nl/~pault/
COLOURS = (
    "#332288", "#88CCEE", "#44AA99", "#117733", "#999933",
    "#DDCC77", "#CC6677", "#882255", "#AA4499", "#888888",
)  # fmt: skip
MARKS = "osD^v<>PX*"


def scatter(
    path: Path, title: str, codes: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]
) -> None:
    """Plot latent vectors as points, with a colour and a marker for each class.

    Args:
        path: the PNG file to write.
        title: the title.
        codes: latent vectors, shape (N, 2).
        labels: shape (N,), indices into `class_names`.
        class_names: for the legend.

    Raises:
        UserError: the file cannot be written.
    """
    figure, axes = _figure(title, 8, 7)
    for label, name in enumerate(class_names):
        points = codes[labels == label]
        colour, mark = COLOURS[label % len(COLOURS)], MARKS[label % len(MARKS)]
        axes.scatter(*points.T, s=14, color=colour, marker=mark, alpha=0.7, lw=0, label=name)
    axes.set(xlabel="first latent dimension", ylabel="second latent dimension", aspect="equal")
    axes.grid(alpha=0.3)
    key = axes.legend(title="class", markerscale=2, loc="center left", bbox_to_anchor=(1, 0.5))
    for name in key.get_texts():
        name.set_parse_math(False)  # the name of a folder may contain a $
    _write(path, figure)


def walk(path: Path, title: str, generated: np.ndarray) -> None:
    """Draw images (`WALK`, H, W, C), decoded along the line from (-2, -2) to (2, 2), in a row.

    Raises:
        UserError: the file cannot be written.
    """
    figure, axes = _figure(f"{title}: a walk from (-2, -2) to (2, 2)", 12, 1.5)
    edges = 2 + 2 / (WALK - 1)  # the first image's middle is at -2
    height = 2 * edges / WALK
    row = np.concatenate(_framed(generated), axis=1)
    axes.imshow(row, extent=(-edges, edges, 0, height), **_grey(generated))
    axes.set(xlabel="both latent dimensions", yticks=[], xticks=np.linspace(-2, 2, 9))
    _write(path, figure)


def manifold(path: Path, title: str, generated: np.ndarray) -> None:
    """Draw images (`SIDE` * `SIDE`, H, W, C), decoded over the square from -4 to 4, as a map.

    The second coordinate grows upwards.

    Raises:
        UserError: the file cannot be written.
    """
    figure, axes = _figure(f"{title}: decoded over the latent space", 9, 9)
    edges = 4 + 4 / (SIDE - 1)
    framed = _framed(generated)
    rows = [np.concatenate(framed[start : start + SIDE], 1) for start in range(0, SIDE**2, SIDE)]
    sheet = np.concatenate(rows)
    axes.imshow(sheet, extent=(-edges, edges, -edges, edges), **_grey(generated))
    axes.set(xlabel="first latent dimension", ylabel="second latent dimension")
    _write(path, figure)


def _figure(title: str, width: float, height: float) -> tuple[Any, Any]:
    from common.pictures.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, parse_math=False)
    return figure, axes


def _framed(generated: np.ndarray) -> np.ndarray:
    """Images (N, H, W, C), each with a grey line around it."""
    zoom = max(1, 32 // generated.shape[1])
    enlarged = generated.repeat(zoom, axis=1).repeat(zoom, axis=2)
    return np.pad(enlarged, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=90)


def _grey(generated: np.ndarray) -> dict[str, Any]:
    """Arguments of matplotlib's imshow for images with one channel or three."""
    return {"cmap": "gray", "vmin": 0, "vmax": 255} if generated.shape[-1] == 1 else {}


def _write(path: Path, figure: Any) -> None:
    with replacing(path) as aside:
        figure.savefig(aside, dpi=110)
