"""The results page and its cards, from the committed figures of the trials.

`python -m workshop.results` writes docs/results.md, docs/results/MODEL/card.png and, on each
model's page, which losses are normal.
"""

from __future__ import annotations

import argparse
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.files import write_text
from common.frameworks import PACKAGES
from common.run import launch
from tools.evaluate import best, mean_and_spread
from tools.library import cards
from tools.library.entries import read_entries, read_recipes, to_flags
from tools.library.ledger import Ledger, ledger
from tools.library.scripts import ROOT
from workshop import normal

PAGE = ROOT / "docs" / "results.md"
NAMES = {"pytorch": "PyTorch", "tensorflow": "TensorFlow", "keras": "Keras", "chainer": "Chainer"}
SHUFFLES = 9999
LEVEL = 0.05  # of the test, for all models together

INTRODUCTION = """\
# Results

<!-- Written by `python -m workshop.results` from docs/results/. Do not edit. -->

What each model reaches in each framework, by its recipe in `tools/models/`: the settings that draw
best of what was tried in a few minutes on one core. They are mostly narrower and shorter than the
scripts' defaults, which follow the papers. They were chosen with PyTorch, some by several seeds,
some by one; a model's page says what else was tried.

```
python -m workshop.trials            # trains what is missing; all of it takes hours
python -m workshop.results           # makes this page and its pictures of what was found
```

{runs}

## How to read the tables

A figure is the mean over the runs of a framework, ± their standard deviation. The runs of a
framework differ in their seed: initial weights, noise and order of images. With the same seed the
frameworks see the same images and noise, but begin with different weights. What each figure means,
and what it is blind to: [evaluating](evaluating.md), [measures](measures.md). *Real images* have
the same figure, put in the place of the model's: what a perfect model would get, or, of
reconstructions and translations, what any image gets whatever it was to show. *Minutes* are the
whole program's, from its start to its last file: of alphagan and pix2pix those of the processor, of
the other models those of the clock, beside other work at times, so that a quiet machine takes fewer
than they show. The runs are of several days and of machines that differ in speed. "Not yet" says
that a framework has not been run since a model's networks or its data changed.

*p* is for the question whether the frameworks differ by more than seeds do. It is the share of
shuffles in which runs that are dealt to the four frameworks by chance differ as much as the real
ones: a permutation test with the F statistic of a one-way analysis of variance, {shuffles}
shuffles. Where all frameworks are alike, one row of twenty has a *p* under 0.05 all the same. With
so few runs only large differences can be seen; that the frameworks compute the same is not shown
here but in the [proof of equality](equality.md).

{verdict}

## Is this loss normal?

Each model has a card below. In nineteen of twenty cases a loss of the runs above was in the blue
band, at that step; the line in it is their median. To see a run of your own in it:

```
python -m tools.compare cgan --run runs/cgan-pytorch-digits
```

draws its losses over the card and says what share of them lies in the band, and what share of each
of our runs lies in the band of the others. Normal is what nine in ten of ours reach. It warns where
your settings are not the card's.

"""


@dataclass(frozen=True)
class Row:
    """One figure of a model.

    Attributes:
        name: of the figure.
        values: by framework, of each of its runs.
        floor: the mean over all runs of what real images get; None if they have none.
        p: of the test whether the frameworks differ; None if they cannot be compared.
    """

    name: str
    values: dict[str, list[float]]
    floor: float | None
    p: float | None


def p_value(groups: list[list[float]]) -> float | None:
    """The permutation test of a one-way analysis of variance.

    Fisher (1935), *The design of experiments*; SciPy's `permutation_test` deals the runs.

    Args:
        groups: the values of each framework.

    Returns:
        The share of deals whose F is as large; None for fewer than two groups or values in one.
    """
    from scipy import stats

    if len(groups) < 2 or min(map(len, groups)) < 2 or np.ptp(np.concatenate(groups)) == 0:
        return None
    found = stats.permutation_test(
        groups,
        lambda *dealt, axis: stats.f_oneway(*dealt, axis=axis).statistic,
        vectorized=True,
        n_resamples=SHUFFLES,
        alternative="greater",
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)


def holm(values: dict[str, float]) -> dict[str, float]:
    """Values of p corrected for their number (Holm 1979), by the same names."""
    corrected = {}
    largest = 0.0
    for rank, name in enumerate(sorted(values, key=lambda name: values[name])):
        largest = max(largest, min(1.0, (len(values) - rank) * values[name]))
        corrected[name] = largest
    return corrected


def read_rows(figures: Ledger) -> list[Row]:
    """The figures of a model, in the order that `tools.evaluate` has them."""
    values: dict[str, dict[str, list[float]]] = {}
    floors: dict[str, list[float]] = {}
    for row in figures.read("figures"):
        values.setdefault(row["figure"], {}).setdefault(row["framework"], []).append(
            float(row["value"])
        )
        if row["floor"]:
            floors.setdefault(row["figure"], []).append(float(row["floor"]))
    return [
        Row(
            name,
            found,
            float(np.mean(floors[name])) if name in floors else None,
            p_value(list(found.values())),
        )
        for name, found in values.items()
    ]


def table(figures: Ledger, rows: list[Row]) -> str:
    """The figures and times of a model, in Markdown."""
    minutes: dict[str, list[float]] = {}
    for run in figures.read("runs"):
        minutes.setdefault(run["framework"], []).append(float(run["seconds"]) / 60)
    frameworks = [framework for framework in PACKAGES if framework in minutes]
    heads = ["figure", *(NAMES[name] for name in frameworks), "real images", "better", "*p*"]
    lines = [heads, ["---"] * len(heads)]
    for row in rows:
        cells = [mean_and_spread(row.values.get(name, [])) for name in frameworks]
        floor = "–" if row.floor is None else f"{row.floor:.4g}"
        lines.append([row.name, *cells, floor, best(row.name), _share(row.p)])
    cells = [mean_and_spread(minutes[name]) for name in frameworks]
    lines.append(["minutes", *cells, "–", "lower", "–"])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _share(p: float | None) -> str:
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def section(model: str, recipe: dict[str, Any], published: Sequence[dict[str, str]]) -> str:
    """What the page says of a model."""
    figures = ledger(model)
    seeds = Counter(run["framework"] for run in figures.read("runs"))
    runs = ", ".join(f"{NAMES[name]} {seeds[name] or 'not yet'}" for name in PACKAGES)
    command = f"python pytorch/{model}.py {' '.join(to_flags(recipe))}"
    text = f"## {model}\n\n```\n{command}\n```\n\n"
    text += f"and likewise in the others. Runs: {runs}. [Its page](models/{model}.md)\n\n"
    if seeds:
        text += table(figures, read_rows(figures)) + "\n"
        text += f"![Bands of the losses of {model}](results/{model}/card.png)\n\n"
    for one in published:
        text += f"- {one['figure']} ([{one['source']}]({one['url']})). {one['comparable']}\n"
    return text + "\n"


def verdict(first: dict[str, Row]) -> str:
    """Whether the frameworks differ, in words.

    Args:
        first: by model, the figure that its table begins with.
    """
    found = holm({model: row.p for model, row in first.items() if row.p is not None})
    apart = [model for model, p in found.items() if p < LEVEL]
    smallest = min(found, key=lambda model: found[model])
    text = (
        f"Over the first figure of each of {len(found)} models, with Holm's correction for so many "
    )
    text += f"tests, the smallest *p* is {found[smallest]:.2f} ({smallest}): "
    if apart:
        return text + f"the frameworks differ by more than seeds do in {', '.join(apart)}."
    return text + "no model is seen to depend on its framework."


def write_page() -> None:
    """Write the page and the cards.

    Raises:
        UserError: a file cannot be written.
    """
    recipes = read_recipes()
    runs = [run for model in recipes for run in ledger(model).read("runs")]
    versions = sorted({(run["framework"], run["version"]) for run in runs}, key=_order)
    first = {m: rows[0] for m in recipes if (rows := read_rows(ledger(m)))}
    machines = "; ".join(sorted({run["processor"] for run in runs}))
    shown = ", ".join(f"{NAMES[name]} {version}" for name, version in versions)
    text = INTRODUCTION.format(
        runs=_wrapped(f"{len(runs)} runs, each on one core of: {machines}. Versions: {shown}."),
        shuffles=SHUFFLES,
        verdict=_wrapped(verdict(first)),
    )
    for model, recipe in recipes.items():
        text += section(model, recipe, read_entries()[model].published)
        if model in first:
            title = f"{model}: {' '.join(to_flags(recipe))}"
            cards.draw_card(ledger(model).folder / "card.png", title, model)
    write_text(PAGE, text.rstrip("\n") + "\n")


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False)


def _order(pair: tuple[str, str]) -> int:
    return list(PACKAGES).index(pair[0])


def main() -> None:
    """Make the page."""
    argparse.ArgumentParser(prog="python -m workshop.results", description=__doc__).parse_args()
    write_page()
    normal.write_tables()
    print(f"page: {PAGE}; and the tables of normal losses on the models' pages")


if __name__ == "__main__":
    launch(main)
