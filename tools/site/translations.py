"""Pages in Japanese: whose translation each is, and whether that has changed since."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from common.errors import UserError
from common.files import write_text
from tools.library.scripts import ROOT

HEADER = re.compile(r"<!-- Translation of (\S+), sha256 ([0-9a-f]{16}) -->\n")


def find_original(page: Path) -> Path:
    """The English page that a Japanese one is to be the translation of."""
    if page == ROOT / "README.ja.md":
        return ROOT / "README.md"
    return ROOT / "docs" / page.relative_to(ROOT / "docs" / "ja")


def find_translation(page: Path) -> Path | None:
    """The Japanese page of an English one, if it has one."""
    if page == ROOT / "README.md":
        return ROOT / "README.ja.md"
    docs = ROOT / "docs"
    there = docs / "ja" / page.relative_to(docs) if docs in page.parents else None
    return there if there and there.exists() else None


def digest(page: Path) -> str:
    """What tells one state of a page from another."""
    return hashlib.sha256(page.read_bytes()).hexdigest()[:16]


def header(page: Path) -> str:
    """The first line that a translation has while its original is as it is now."""
    original = find_original(page)
    return f"<!-- Translation of {original.relative_to(ROOT)}, sha256 {digest(original)} -->\n"


def is_current(page: Path) -> bool:
    """Whether a translation was made, or looked through, since its original last changed."""
    return page.read_text(encoding="utf-8").startswith(header(page))


def mark_current(page: Path) -> None:
    """Say in a translation's first line that it is of its original as that is now.

    Raises:
        UserError: it is no translation.
    """
    page = page.resolve()
    translated = (ROOT / "docs" / "ja") in page.parents or page == ROOT / "README.ja.md"
    if not translated or not page.is_file() or not find_original(page).is_file():
        raise UserError(f"{page}: not a translation of a page of docs/ or of README.md")
    text = HEADER.sub("", page.read_text(encoding="utf-8"), count=1)
    write_text(page, header(page) + text)
