"""What pages lack for those who do not see them, or have no mouse: found by axe, put in here."""

from __future__ import annotations

import re
from pathlib import Path

WORDS = {  # of Furo, which speaks no Japanese
    "Skip to content": "本文へ",
    "Toggle site navigation sidebar": "ページの一覧を開閉する",
    "Toggle table of contents sidebar": "目次を開閉する",
    "Toggle Light / Dark / Auto color theme": "明暗を切り替える",
    "On this page": "このページの内容",
    "<span>Back to top</span>": "<span>先頭へ戻る</span>",
    "<span>Next</span>": "<span>次</span>",
    "<span>Previous</span>": "<span>前</span>",
}
NAMES = {
    "en": {"sidebar": "Pages", "contents": "On this page", "search": "Search"},
    "ja": {"sidebar": "ページの一覧", "contents": "このページの内容", "search": "検索"},
}


def finish(page: Path, language: str) -> None:
    """Name a page's regions and levels, which Sphinx and Furo leave out, in its language."""
    names = NAMES[language]
    text = page.read_text(encoding="utf-8")
    sidebar, contents = (f'<aside class="{name}">' for name in ("sidebar-drawer", "toc-drawer"))
    heading = '<p class="caption" role="heading">'
    results = '<div id="search-results"></div>'
    for old, new in {
        sidebar: sidebar.replace(">", f' aria-label="{names["sidebar"]}">'),
        contents: contents.replace(">", f' aria-label="{names["contents"]}">'),
        heading: heading.replace(">", ' aria-level="2">'),
        results: f"<h1>{names['search']}</h1>\n{results}",
    }.items():
        text = text.replace(old, new)
    if language == "ja":
        for english, japanese in WORDS.items():
            text = text.replace(english, japanese)
    page.write_text(text, encoding="utf-8")


def finish_all(folder: Path, language: str) -> None:
    """Finish every page of a language; those of another in a folder of it are left alone."""
    ours = re.compile(f'<!doctype html>\\s*<html class="no-js" lang="{language}"')
    for page in folder.rglob("*.html"):
        if ours.match(page.read_text(encoding="utf-8")):
            finish(page, language)
