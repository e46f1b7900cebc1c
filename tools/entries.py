"""The models' entries: what is made of a model beside its scripts, a file in tools/models/ each.

The README's tables, the site's order, recipes, comparisons, the gallery, the results and the
exercises all take a model from here. `python -m tools.entries` writes the README's tables, and says
of each model what it still lacks.
"""

from __future__ import annotations

import argparse
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.files import write_text
from common.frameworks import PACKAGES
from common.run import launch
from tools.scripts import ROOT

FOLDER = ROOT / "tools" / "models"
LANGUAGES = ("en", "ja")
READMES = {"en": ROOT / "README.md", "ja": ROOT / "README.ja.md"}
PAGES = {"en": "docs/models", "ja": "docs/ja/models"}
ROW = re.compile(r'^\| <img src="docs/gallery/.*\n', re.MULTILINE)  # of a README's table
FAULTS = ROOT / "tests" / "faults.toml"


@dataclass(frozen=True)
class Entry:
    """What a model's file says.

    Attributes:
        model: its scripts' name.
        order: its place among the models, in the order in which a learner meets them.
        title: its name, by language.
        shows: what its picture shows, for those who do not see it, by language.
        recipe: the settings, by the names in its `Config`, at which it draws well within minutes on
            one core, where they are not its defaults: of what was tried, those that draw best.
        comparison: `flags` of few steps in double precision, so that the frameworks' curves
            coincide. Where those would show noise, they go on from the recipe's run, and `from`
            names its data set.
        exercise: `part` that level 1 takes out unless another is named, small `settings` that a
            file is graded with, and the question by language.
        published: what others report of the same model, nearly always on other data or by another
            measure: `figure`, `source`, `url`, and whether it is `comparable`.
    """

    model: str
    order: int
    title: dict[str, str]
    shows: dict[str, str]
    recipe: dict[str, Any]
    comparison: dict[str, str]
    exercise: dict[str, Any]
    published: tuple[dict[str, str], ...] = ()

    def row(self, language: str) -> str:
        """The model's row in a README's table: picture, page and scripts."""
        picture = f"docs/gallery/{self.model}.png"
        page = f"{PAGES[language]}/{self.model}.md"
        scripts = [f"[{self.model}.py]({name}/{self.model}.py)" for name in PACKAGES]
        image = f'<img src="{picture}" width="160" alt="{self.shows[language]}">'
        return f"| {' | '.join([image, f'[{self.title[language]}]({page})', *scripts])} |\n"


@lru_cache
def read_entries() -> dict[str, Entry]:
    """All entries by model, in their order.

    Raises:
        UserError: a file is no entry.
    """
    entries = []
    for path in sorted(FOLDER.glob("*.toml")):
        try:
            with open(path, "rb") as file:
                found = tomllib.load(file)
            published = tuple(found.pop("published", ()))
            entries.append(Entry(path.stem, published=published, **found))
        except (tomllib.TOMLDecodeError, TypeError) as error:
            raise UserError(f"{path}: no model's entry ({error}); see tools/entries.py") from error
    return {entry.model: entry for entry in sorted(entries, key=lambda entry: entry.order)}


def read_recipes() -> dict[str, dict[str, Any]]:
    """The recipe of each model."""
    return {model: entry.recipe for model, entry in read_entries().items()}


def to_flags(settings: dict[str, Any]) -> list[str]:
    """Settings as a script's command line has them."""
    flags = []
    for name, value in settings.items():
        flags += ["--" + name.rstrip("_").replace("_", "-"), str(value)]
    return flags


def find_names() -> list[str]:
    """The models of which there is anything: a script, an entry, a page or a description."""
    places = [*PACKAGES, *PAGES.values(), "tools/models", "tests/models"]
    files = [path for place in places for path in (ROOT / place).iterdir()]
    beside = {"__init__", "description"}  # of the descriptions
    for framework in PACKAGES:  # what it lacks stands beside its scripts, and is no program
        scripts = (ROOT / framework).glob("*.py")
        beside |= {path.stem for path in scripts if "__main__" not in path.read_text("utf-8")}
    return sorted({path.stem for path in files if path.is_file()} - beside)


def find_missing(model: str) -> list[str]:
    """What there has to be of a model, and is not, by the names of files."""
    files = [f"{framework}/{model}.py" for framework in PACKAGES]
    files += [f"{folder}/{model}.md" for folder in PAGES.values()]
    files += [f"tests/models/{model}.py", f"tools/models/{model}.toml", f"docs/gallery/{model}.png"]
    files += [f"docs/results/{model}/{name}.csv" for name in ("curves", "figures", "runs")]
    missing = [name for name in files if not (ROOT / name).is_file()]
    if f"/{model}.py" not in FAULTS.read_text(encoding="utf-8"):
        missing.append("a fault in tests/faults.toml")
    return missing


def with_rows(text: str, rows: Iterable[str]) -> str:
    """A README with the rows of its table of models anew."""
    first = ROW.search(text)
    assert first is not None
    return text[: first.start()] + "".join(rows) + ROW.sub("", text[first.start() :])


def write_tables(readmes: dict[str, Path]) -> None:
    """Write the tables of models in the READMEs, by language.

    Raises:
        UserError: a file cannot be written.
    """
    for language, path in readmes.items():
        rows = [entry.row(language) for entry in read_entries().values()]
        write_text(path, with_rows(path.read_text(encoding="utf-8"), rows))


def main() -> None:
    """Write the tables, and say what is missing."""
    argparse.ArgumentParser(prog="python -m tools.entries", description=__doc__).parse_args()
    write_tables(READMES)
    for model in find_names():
        for name in find_missing(model):
            print(f"{model} lacks {name}")


if __name__ == "__main__":
    launch(main)
