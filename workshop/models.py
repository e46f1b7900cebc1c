"""The README's tables of models, and what a model still lacks.

`python -m workshop.models` writes the tables of both languages from the entries in tools/models/,
and names what there has to be of a model and is not.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from pathlib import Path

from common.files import write_text
from common.frameworks import PACKAGES
from common.run import launch
from tools.library.entries import Entry, read_entries
from tools.library.scripts import ROOT

READMES = {"en": ROOT / "README.md", "ja": ROOT / "README.ja.md"}
PAGES = {"en": "docs/models", "ja": "docs/ja/models"}
ROW = re.compile(r'^\| <img src="docs/gallery/.*\n', re.MULTILINE)  # of a README's table
FAULTS = ROOT / "tests" / "proof" / "faults.toml"


def make_row(entry: Entry, language: str) -> str:
    """A model's row in a README's table: picture, page and scripts."""
    model = entry.model
    page = f"{PAGES[language]}/{model}.md"
    scripts = [f"[{model}.py]({framework}/{model}.py)" for framework in PACKAGES]
    image = f'<img src="docs/gallery/{model}.png" width="160" alt="{entry.shows[language]}">'
    return f"| {' | '.join([image, f'[{entry.title[language]}]({page})', *scripts])} |\n"


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
        missing.append("a fault in tests/proof/faults.toml")
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
        rows = [make_row(entry, language) for entry in read_entries().values()]
        write_text(path, with_rows(path.read_text(encoding="utf-8"), rows))


def main() -> None:
    """Write the tables, and say what is missing."""
    argparse.ArgumentParser(prog="python -m workshop.models", description=__doc__).parse_args()
    write_tables(READMES)
    for model in find_names():
        for name in find_missing(model):
            print(f"{model} lacks {name}")


if __name__ == "__main__":
    launch(main)
