"""The models' entries: what is made of a model beside its scripts, a file in tools/models/ each.

The README's tables, the site's order, recipes, comparisons, the gallery, the results and the
exercises all take a model from here.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from common.errors import UserError
from tools.library.scripts import ROOT

FOLDER = ROOT / "tools" / "models"
LANGUAGES = ("en", "ja")


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
            raise UserError(
                f"{path}: no model's entry ({error}); see tools/library/entries.py"
            ) from error
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
