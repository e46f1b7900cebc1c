"""The models' entries: what is made of them, and what a model lacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import UserError
from tools.library import entries
from tools.library.entries import LANGUAGES, read_entries
from tools.library.scripts import MODELS
from workshop.models import (
    READMES,
    find_missing,
    find_names,
    make_row,
    with_rows,
    write_tables,
)


def test_every_model_is_whole() -> None:
    """Of a name that is anywhere there is everything; what is not is named."""
    assert {name: find_missing(name) for name in find_names()} == {name: [] for name in MODELS}


def test_what_a_model_lacks_is_named() -> None:
    missing = find_missing("dragon")
    assert "keras/dragon.py" in missing
    assert "tests/models/dragon.py" in missing
    assert "docs/ja/models/dragon.md" in missing
    assert "a fault in tests/proof/faults.toml" in missing


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_readme_has_the_table_of_the_entries(language: str) -> None:
    text = READMES[language].read_text(encoding="utf-8")
    assert with_rows(text, [make_row(entry, language) for entry in read_entries().values()]) == text
    assert text.count('\n| <img src="docs/gallery/') == len(MODELS)


def test_rows_are_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text('before\n| <img src="docs/gallery/old.png"> |\n\nafter\n')
    write_tables({"en": path})
    text = path.read_text()
    assert "old.png" not in text
    assert text.startswith("before\n| <img")
    assert text.endswith("|\n\nafter\n")
    assert text.count("<img") == len(MODELS)


def test_entries_are_in_the_order_in_which_a_learner_meets_them() -> None:
    found = list(read_entries().values())
    assert [entry.order for entry in found] == list(range(1, len(MODELS) + 1))
    for entry in found:
        assert set(entry.title) == set(entry.shows) == set(LANGUAGES)
        assert entry.recipe["steps"] > 0
        assert entry.comparison["flags"]


@pytest.mark.parametrize("text", ["order = 1\n", "order = \n", "colour = 3\n"])
def test_what_is_no_entry(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dragon.toml").write_text(text)
    monkeypatch.setattr(entries, "FOLDER", tmp_path)
    read_entries.cache_clear()
    with pytest.raises(UserError, match=r"dragon\.toml: no model's entry"):
        read_entries()
    read_entries.cache_clear()
