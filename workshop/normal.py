"""Which losses are normal: a table on each model's page, made from the committed curves.

`python -m workshop.results` writes the tables, in both languages, between the two comments that
mark their place.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import numpy as np

from common.errors import UserError
from common.files import write_text
from tools.library.entries import read_recipes, to_flags
from tools.library.ledger import ledger
from tools.library.scripts import ROOT
from tools.site import translations

BEGIN = "<!-- Normal losses, made by `python -m workshop.results`. Do not edit. -->"
END = "<!-- End of normal losses. -->"
SHARE = 0.9  # of the values that a range holds
PARTS = (0, 0.1, 0.5, 1)  # of a run, where its ranges begin and end
WORDS = {
    "en": (
        "In the {count} runs of [the results](../results.md#{model}), by `{command}`, nine in ten "
        "values are in these ranges:",
        "number",
        "steps {first} to {last}",
        "{low} to {high}",
    ),
    "ja": (
        "[結果](../../results.md#{model})の {count} 回の学習（`{command}`）では、"
        "値の九割がこの範囲に入ります。",
        "数値",
        "ステップ {first}～{last}",
        "{low} ～ {high}",
    ),
}


def ranges(model: str) -> dict[str, list[tuple[float, float] | None]]:
    """By each number of `metrics.csv`, the range of `SHARE` of its values in each part of the runs.

    None stands for a part in which no run has a value.
    """
    rows = ledger(model).require("curves")
    names = [name for name in rows[0] if name not in ("framework", "seed", "step")]
    bounds = [part * int(ledger(model).settings()["steps"]) for part in PARTS]
    tails = ((1 - SHARE) / 2, (1 + SHARE) / 2)
    found: dict[str, list[tuple[float, float] | None]] = {}
    for name in names:
        found[name] = []
        for low, high in pairwise(bounds):
            values = [
                float(row[name]) for row in rows if row[name] and low < int(row["step"]) <= high
            ]
            ends = np.quantile(values, tails) if values else None
            found[name].append(None if ends is None else (float(ends[0]), float(ends[1])))
    return found


def table(model: str, language: str) -> str:
    """The table of a model's page, with a line that says whose losses these are."""
    sentence, head, part, cell = WORDS[language]
    command = f"python pytorch/{model}.py {' '.join(to_flags(read_recipes()[model]))}"
    steps = int(ledger(model).settings()["steps"])
    ends = [round(share * steps) for share in PARTS]
    heads = [part.format(first=first + 1, last=last) for first, last in pairwise(ends)]
    lines = [[head, *heads], ["---"] * (1 + len(heads))]
    for name, found in ranges(model).items():
        cells = [
            "" if ends is None else cell.format(low=_short(ends[0]), high=_short(ends[1]))
            for ends in found
        ]
        lines.append([f"`{name}`", *cells])
    count = len(ledger(model).require("runs"))
    said = sentence.format(count=count, model=model, command=command)
    return said + "\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _short(value: float) -> str:
    """A number to two digits, without an exponent."""
    return np.format_float_positional(value, 2, unique=False, fractional=False, trim="-")


def with_table(page: str, model: str, language: str) -> str:
    """A page's text with the table as it now is.

    Raises:
        UserError: the page does not have the two comments once each.
    """
    made = f"{BEGIN}\n\n{table(model, language)}\n\n{END}"
    text, count = re.subn(
        f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: made, page, flags=re.DOTALL
    )
    if count != 1:
        raise UserError(f"the page of {model} ({language}) needs once: {BEGIN} … {END}")
    return text


def pages(model: str) -> dict[str, Path]:
    """A model's pages, by language."""
    page = Path("models") / f"{model}.md"
    return {"en": ROOT / "docs" / page, "ja": ROOT / "docs" / "ja" / page}


def write_tables() -> None:
    """Bring the table of each page up to date; a translation that was current stays so.

    Raises:
        UserError: a file cannot be written.
    """
    for model in read_recipes():
        both = pages(model)
        current = translations.is_current(both["ja"])
        for language, page in both.items():
            text = page.read_text(encoding="utf-8")
            made = with_table(text, model, language)
            if made != text:
                write_text(page, made)
        if current:
            translations.mark_current(both["ja"])
