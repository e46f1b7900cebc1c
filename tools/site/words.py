"""What the site says besides what its pages do, and how Japanese is told from the rest."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from pathlib import Path

TABLE = Path(__file__).with_name("words.toml")
JAPANESE = "\u3040-\u30ff\u3400-\u9fff\uff66-\uff9f々〆"


@lru_cache
def read_words() -> dict[str, dict[str, str]]:
    """The words by language and name."""
    with open(TABLE, "rb") as file:
        return tomllib.load(file)
