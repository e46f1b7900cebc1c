"""The documentation: links lead somewhere, every model has its page, and nothing is left open."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from common.frameworks import PACKAGES
from tools.library.scripts import MODELS, ROOT

PAGES = [ROOT / "README.md", ROOT / "README.ja.md", *sorted((ROOT / "docs").rglob("*.md"))]
MODEL_PAGES = ROOT / "docs" / "models"
LINK = re.compile(r"\]\(([^)\s]+)\)|<img [^>]*src=\"([^\"]+)\"")
COMMAND = re.compile(r"python (?:-m (tools\.\w+)|([\w/]+\.py))")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
each_model = pytest.mark.parametrize("model", MODELS)


def prose(page: Path) -> str:
    """A page's text without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)


def anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings: lower case, no punctuation, hyphens for spaces."""
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for link in (first or second for first, second in LINK.findall(prose(page))):
        if link.startswith(("https://", "http://")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert ROOT in target.parents, link
        assert not anchor or anchor in anchors(target), link


@each_page
def test_commands_name_what_exists(page: Path) -> None:
    for module, script in COMMAND.findall(page.read_text(encoding="utf-8")):
        path = module.replace(".", "/")
        known = [script] if script else [f"{path}.py", f"{path}/__main__.py"]
        assert any((ROOT / each).exists() for each in known), module or script


@each_page
def test_nothing_is_left_open(page: Path) -> None:
    assert "TODO(" not in page.read_text(encoding="utf-8")


def test_model_pages_have_the_same_headings() -> None:
    assert {page.stem for page in MODEL_PAGES.glob("*.md")} == set(MODELS)
    headings = {
        model: re.findall(r"^## .+$", prose(MODEL_PAGES / f"{model}.md"), flags=re.M)
        for model in MODELS
    }
    for model, found in headings.items():
        assert found == headings[MODELS[0]], model


@each_model
@pytest.mark.parametrize("framework", PACKAGES)
def test_a_script_and_its_page_name_each_other(framework: str, model: str) -> None:
    script = ROOT / framework / f"{model}.py"
    docstring = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
    assert f"docs/models/{model}.md" in docstring
    links = [link for link, _ in LINK.findall(prose(MODEL_PAGES / f"{model}.md"))]
    assert f"../../{framework}/{model}.py" in links
    assert f"{framework}/{model}.py" in (ROOT / "README.md").read_text(encoding="utf-8")
