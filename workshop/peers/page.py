"""The page of how well peers and Quartet's scripts draw, from the committed figures."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from common.errors import UserError, warn
from common.files import write_text
from common.frameworks import PACKAGES
from common.pictures import images
from tools.evaluate import best
from tools.library.scripts import ROOT
from workshop.peers import quality
from workshop.peers.quality import FIGURES, FOLDER, Quality, Trial, find
from workshop.results import NAMES

PAGE = ROOT / "docs" / "peers.md"
SHOWN = 16  # samples in a row
Values = dict[str, list[float]]  # of a figure, by seed in order

INTRODUCTION = """\
# Drawing, against what else there is

<!-- Written by `python -m workshop.peers --quality --page` from docs/results/peers/. -->

Quartet's scripts beside examples that many start from, which keep their own networks and settings
and are rebuilt in our words (`workshop/peers/own_*.py`). All learn from the same training images,
for the same minutes of one core. They then draw 1 000 images, which are measured against as many of
the test split.

```
python -m workshop.peers --quality           # trains who is missing
python -m workshop.peers --quality --page    # makes this page and its pictures
```

- *Minutes* are the processor's, of the training alone: imports, the first step (which compiles),
  pictures and checkpoints are left out on both sides.
- Everyone gets batches that are ready, in an order from the seed. Peers that are made for 32 or 64
  pixels see the images resized, and what they draw is resized back before it is measured.
- Networks draw in inference mode. A figure is the median of the seeds, with the lowest and the
  highest.
- Figures are `tools.evaluate`'s, of one draw: see [measures](measures.md). They are not
  comparable with published ones.
- Ours have the settings of `tools/models/`, which were chosen on these digits, within
  minutes. The peers' were chosen by their authors, often for more time, more images or a GPU.
  So the tables say what a user gets in these minutes, not whose networks are best.
"""
OF_VAE = """\

## How VAEs are compared

The ELBO is in nats an image, on the test split: the cross-entropy of pixels in [0, 1] and the
divergence of codes, both estimated from 50 codes an image, in the same way for all. Our VAE, and
all peers here, are trained with that likelihood. It is a bound on log p(x) only if pixels are 0 or
1; TensorFlow's tutorial makes them so, and is trained on grey ones here, so that all have the same
data. Codes of 20 numbers tell far more of an image than codes of 2, whoever trains them. Our recipe
has 2, which can be drawn as a map, so it stands beside the same script with 20.
"""


def values_of(rows: list[dict[str, str]]) -> dict[Quality, Values]:
    """The values by who, then by figure, those of a seed at the same place."""
    found: dict[Quality, Values] = {}
    for row in rows:
        who = find(row["model"], row["framework"], row["who"])
        if who is not None:
            found.setdefault(who, {}).setdefault(row["figure"], []).append(float(row["value"]))
    return found


def median_seed(seeds: Sequence[int], distances: Sequence[float]) -> int:
    """The seed of the median distance; of two in the middle, the lower distance's."""
    pairs = sorted(zip(distances, seeds, strict=True))
    return pairs[(len(pairs) - 1) // 2][1]


def spread(values: list[float]) -> str:
    """Median, lowest and highest."""
    if len(values) == 1:
        return f"{values[0]:.4g}"
    return f"{statistics.median(values):.4g} ({min(values):.4g} to {max(values):.4g})"


def verdict(model: str, found: dict[Quality, Values], framework: str) -> str | None:
    """Who is better in a framework, in words; None where nobody is to compare with."""
    first = FIGURES[model][0]
    sign = 1 if best(first) == "lower" else -1

    def order(who: Quality) -> float:
        return sign * statistics.median(found[who][first])

    here = [who for who in found if who.framework == framework]
    mine = sorted((who for who in here if who.ours), key=order)
    theirs = sorted((who for who in here if not who.ours), key=order)
    if not mine or not theirs:
        return None
    peer = theirs[0]
    parts = []
    for one in sorted(mine, key=lambda who: who.name):
        better = order(one) < order(peer)
        worst = max(sign * value for value in found[one if better else peer][first])
        least = min(sign * value for value in found[peer if better else one][first])
        word = "better" if better else "worse"
        text = f"{one.title} is {word} than {peer.title}, the best peer"
        parts.append(text + ("" if worst < least else ", but not by every seed"))
    return f"- {NAMES[framework]}: {'; '.join(parts)}."


def section(
    model: str, dataset: str, minutes: str, rows: list[dict[str, str]], picture: str | None
) -> str:
    """What the page says of a model on a data set; `picture` is the file that shows samples."""
    found = values_of(rows)
    names = FIGURES[model]
    heads = ["framework", "who", "steps", *(f"{n} ({best(n)} is better)" for n in names)]
    lines = [heads, ["---"] * len(heads)]
    for who, values in found.items():
        mine = [
            row
            for row in rows
            if find(row["model"], row["framework"], row["who"]) == who and row["figure"] == names[0]
        ]
        steps = f"{statistics.median(int(row['steps']) for row in mine):.0f}"
        name = f"**{who.title}**" if who.ours else who.title
        lines.append([NAMES[who.framework], name, steps, *(spread(values[n]) for n in names)])
    seeds = sorted({row["seed"] for row in rows}, key=int)
    unit = "minute" if minutes == "1" else "minutes"
    text = f"\n## {model} on {dataset}, {minutes} {unit}\n\n"
    text += f"Seeds: {', '.join(seeds)}. Steps are of whatever each calls one.\n\n"
    text += "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"
    said = [verdict(model, found, framework) for framework in PACKAGES]
    text += "".join(f"{line}\n" for line in said if line) + "\n"
    if picture is not None and (FOLDER / picture).exists():
        text += f"![Samples of {model}](results/peers/{picture})\n\n"
    abouts = [f"- {NAMES[o.framework]}, {o.title}: {o.about}." for o in found if not o.ours]
    return text + "".join(f"{line}\n" for line in abouts)


def picture_name(model: str, dataset: str) -> str:
    """Of the picture's file."""
    name = model if dataset == "digits" else f"{model}-{dataset}"
    return re.sub(r"[^\w-]", "_", name) + ".png"


def draw_picture(model: str, dataset: str, minutes: str, rows: list[dict[str, str]]) -> bool:
    """Draw a row of samples for each, of the seed of the median Fréchet distance.

    Returns:
        Whether all samples that it needs are still there; else the picture is left as it was.
    """
    sheets, names = [], []
    for who in values_of(rows):
        mine = [
            row
            for row in rows
            if find(row["model"], row["framework"], row["who"]) == who
            and row["figure"] == "Fréchet distance"
        ]
        seed = median_seed([int(r["seed"]) for r in mine], [float(r["value"]) for r in mine])
        path = Trial(who, dataset, seed, float(minutes)).folder / "samples.npy"
        if not path.exists():
            warn(f"{path} is missing: the picture of {model} is left as it is")
            return False
        sheets.append(np.load(path)[:SHOWN])
        names.append(f"{NAMES[who.framework]}: {who.title}")
    sheet = images.grid(np.concatenate(sheets), SHOWN)
    images.save(FOLDER / picture_name(model, dataset), images.label_rows(sheet, names))
    return True


def write() -> None:
    """Write the page and the pictures.

    Raises:
        UserError: there are no figures, or a file cannot be written.
    """
    write_text(PAGE, make(draw=True))
    print(f"page: {PAGE}")


def make(draw: bool = False) -> str:
    """The page's text; the pictures too, if asked for.

    Raises:
        UserError: there are no figures.
    """
    groups: dict[tuple[Any, ...], list[dict[str, str]]] = {}
    for row in quality.read_table():
        groups.setdefault((row["model"], row["dataset"], row["minutes"]), []).append(row)
    if not groups:
        raise UserError("there are no figures yet; python -m workshop.peers --quality makes them")
    # Of several minutes, which stand in order, the picture is of the longest.
    longest = {(model, dataset): minutes for model, dataset, minutes in groups}
    if draw:
        for (model, dataset), minutes in longest.items():
            draw_picture(model, dataset, minutes, groups[model, dataset, minutes])
    text = INTRODUCTION + (OF_VAE if any(model == "vae" for model, *_ in groups) else "")
    for (model, dataset, minutes), rows in groups.items():
        shown = minutes == longest[model, dataset]
        name = picture_name(model, dataset) if shown else None
        text += section(model, dataset, minutes, rows, name)
    return text.rstrip("\n") + "\n"
