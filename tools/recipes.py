"""Recipes: the settings at which each model draws well on two cores, from recipes.toml.

Trials train with them, the results page and the gallery show what comes of it, and `make demo` is
the conditional GAN's.
"""

from __future__ import annotations

import tomllib
from typing import Any

from tools.scripts import ROOT

TABLE = ROOT / "tools" / "recipes.toml"


def read_recipes() -> dict[str, dict[str, Any]]:
    """The settings of each model that are not its defaults, by the names in its `Config`."""
    with open(TABLE, "rb") as file:
        return tomllib.load(file)


def to_flags(settings: dict[str, Any]) -> list[str]:
    """Settings as a script's command line has them."""
    flags = []
    for name, value in settings.items():
        flags += ["--" + name.rstrip("_").replace("_", "-"), str(value)]
    return flags
