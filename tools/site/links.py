"""Links of a page as it lies in the repository, made to lead to the same place in the site."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from tools.library.scripts import ROOT
from tools.site.words import JAPANESE

LINK = re.compile(r"(?<!\\)\[((?:[^\[\]`]|`[^`]*`|!\[[^\]]*\]\([^)]*\))*)\]\(([^)\s]+)\)")
IMAGE = re.compile(r"(!\[[^\]]*\]\()([^)\s]+)(\))|(<img [^>]*?src=\")([^\"]+)(\")")
CODE = re.compile(r"(^```.*?^```$|^````.*?^````$)", re.M | re.S)
PICTURES = (".png", ".webp", ".jpg", ".svg")


def english_name(path: Path) -> str:
    """The name that an English page, or the listing of a file, has in the site."""
    inside = path.relative_to(ROOT)
    if inside == Path("README.md"):
        return "index"
    if inside.suffix == ".md":
        return inside.relative_to("docs").with_suffix("").as_posix()
    return f"code/{inside.as_posix()}"


def japanese_name(path: Path) -> str:
    """The name that a Japanese page has in the Japanese part of the site."""
    if path == ROOT / "README.ja.md":
        return "index"
    return path.relative_to(ROOT / "docs" / "ja").with_suffix("").as_posix()


def is_japanese(path: Path) -> bool:
    """Whether a page of the repository is in Japanese."""
    return path == ROOT / "README.ja.md" or ROOT / "docs" / "ja" in path.parents


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """Markdown with its prose changed, its blocks of code as they were."""
    parts = CODE.split(text)
    return "".join(part if place % 2 else change(part) for place, part in enumerate(parts))


def join_lines(text: str) -> str:
    """Japanese Markdown without line breaks inside a paragraph, which would show as spaces."""
    stops = "、。」）？！"
    letters = f"(?<=[{JAPANESE}])\n(?=[{JAPANESE}「（])"
    broken = re.compile(rf"(?<=[{stops}])\n(?!\s|- |\d+\. |[#|>]|:::|$)|{letters}")
    return outside_code(text, lambda part: broken.sub("", part))


def resolve(text: str, page: Path, name: str, listed: set[Path]) -> str:
    """A page's Markdown with each link leading to where its target is in the site.

    Args:
        text: the page.
        page: its file in the repository.
        name: its name in its part of the site, such as `models/vae`.
        listed: receives the files that are neither pages nor pictures, and need a listing.
    """
    ours = is_japanese(page)

    def to(target: str) -> str:
        return os.path.relpath(target, os.path.dirname(name) or ".")

    def change_link(match: re.Match[str]) -> str:
        words, link = match[1], match[2]
        if "://" in link or link.startswith(("#", "mailto:")):
            return match[0]
        file, _, anchor = link.partition("#")
        path = (page.parent / file).resolve()
        anchor = f"#{anchor}" if anchor else ""
        if path.suffix in PICTURES:
            return match[0]
        if path.suffix == ".md" and is_japanese(path) == ours:
            there = japanese_name(path) if ours else english_name(path)
            return f"[{words}]({to(there)}.md{anchor})"
        if path.suffix == ".md" and ours:  # only in English
            there = to(f"../{english_name(path)}")
            return f'<a href="{quote(there)}.html{anchor}" hreflang="en">{words}</a>'
        if path.suffix == ".md":
            there = to(f"ja/{japanese_name(path)}")
            return f'<a href="{quote(there)}.html{anchor}" hreflang="ja">{words}</a>'
        if path.is_dir():
            return words
        listed.add(path)
        if ours:
            there = to(f"../{english_name(path)}")
            return f'<a href="{quote(there)}.html">{words}</a>'
        return f"[{words}]({to(english_name(path))}.md)"

    def change_image(match: re.Match[str]) -> str:
        before, link, after = [each for each in match.groups() if each is not None]
        if "://" in link:
            return match[0]
        path = (page.parent / link).resolve()
        return before + to(path.relative_to(ROOT / "docs").as_posix()) + after

    return outside_code(text, lambda part: LINK.sub(change_link, IMAGE.sub(change_image, part)))
