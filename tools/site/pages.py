"""The sources of the site: the pages of docs/, with what is made from the scripts put into them."""

from __future__ import annotations

import html
import json
import re
import shutil
from itertools import permutations
from pathlib import Path

from common.frameworks import PACKAGES
from tools.answer import look_up_task, read_tasks
from tools.library.entries import LANGUAGES, read_entries
from tools.library.scripts import MODELS, ROOT
from tools.site import translations
from tools.site.links import english_name, is_japanese, japanese_name, join_lines, resolve
from tools.site.sections import Section, differ, find_traps, split
from tools.site.words import read_words

DOCS = ROOT / "docs"
TITLES = {"pytorch": "PyTorch", "tensorflow": "TensorFlow", "keras": "Keras", "chainer": "Chainer"}
# Before which heading of a model's page each part goes, by language.
PLACES = {
    "script": {"en": "## What the numbers mean", "ja": "## 数値の意味"},
    "card": {"en": "## Settings", "ja": "## 設定"},
    "explore": {"en": "## How long it takes", "ja": "## 所要時間"},
    "exercise": {"en": "## Further reading", "ja": "## 参考文献"},
}
FENCE = "`" * 8
EXPLORED = "vae"
OTHER = re.compile(r"^\[(?:日本語|English)\]\(README\S*\)\n\n", re.M)  # at the side of each page


def write_sources(folder: Path) -> None:
    """Write the sources of both languages into `folder/en` and `folder/ja`, anew.

    Every page that is linked to is there, each file that one links to has a listing.
    """
    shutil.rmtree(folder, ignore_errors=True)
    listed: set[Path] = {ROOT / name / f"{model}.py" for name in PACKAGES for model in MODELS}
    english = [page for page in sorted(DOCS.rglob("*.md")) if not is_japanese(page)]
    japanese = sorted((DOCS / "ja").rglob("*.md"))
    for page in [ROOT / "README.md", *english, ROOT / "README.ja.md", *japanese]:
        language = "ja" if is_japanese(page) else "en"
        name = japanese_name(page) if language == "ja" else english_name(page)
        text = page.read_text(encoding="utf-8")
        if name == "index":
            text = OTHER.sub("", text)
        if language == "ja":
            text = join_lines(text)
        text = resolve(text, page, name, listed)
        if page.stem in MODELS:
            text = add_parts(text, page.stem, language)
        if language == "ja" and not translations.is_current(page):
            text = say_stale(text, page, name)
        if name == "index":
            guides = [english_name(page) for page in english if page.parent == DOCS]
            text += contents(language, guides)
        write(folder / language / f"{name}.md", text)
    write_tasks(folder / "en" / "how")
    for file in sorted(listed):
        write(folder / "en" / f"{english_name(file)}.md", listing(file))
    for language in LANGUAGES:
        for pictures in ("gallery", "results"):
            shutil.copytree(DOCS / pictures, folder / language / pictures, ignore=_all_but_pictures)


def _all_but_pictures(folder: str, names: list[str]) -> list[str]:
    kept = (".png", ".webp")
    return [name for name in names if not name.endswith(kept) and Path(folder, name).is_file()]


def write(path: Path, text: str) -> None:
    """Write a source file, and the folders that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def add_parts(text: str, model: str, language: str) -> str:
    """A model's page with its script, card and exercise, and the VAE's with its latent space."""
    words = read_words()[language]
    up = "../" if language == "ja" else ""  # to the English part
    card = (
        f"### {words['card']}\n\n{words['card_text'].format(model=model)}\n\n"
        f"![{words['card']}](../results/{model}/card.png)\n\n"
    )
    parts = {
        "script": show_script(model, language, up),
        "card": card,
        "exercise": show_exercise(model, language),
    }
    if model == EXPLORED:
        parts["explore"] = show_explorer(words)
    for part, made in parts.items():
        heading = PLACES[part][language]
        before, found, after = text.partition(f"\n{heading}\n")
        assert found, f"{model}: no heading {heading!r}"
        text = f"{before}\n{made}{heading}\n{after}"
    return text


def show_script(model: str, language: str, up: str) -> str:
    """The sections of a script, each with a tab for every framework."""
    words = read_words()[language]
    files = ", ".join(
        f'<a href="{up}../code/{name}/{model}.py.html">{name}/{model}.py</a>' for name in PACKAGES
    )
    parts = [f"## {words['script']}\n\n{words['script_intro']} {files}\n"]
    scripts = {name: split(name, model) for name in PACKAGES}
    for place, section in enumerate(scripts["pytorch"]):
        sections = {name: scripts[name][place] for name in PACKAGES}
        parts.append(f"### {words[section.name]}\n")
        parts.append(
            show_tabs({name: annotate(name, model, sections[name], language) for name in PACKAGES})
        )
        parts.append(show_differences(sections, words))
    return "\n".join(parts) + "\n"


def show_tabs(texts: dict[str, str]) -> str:
    """A tab for each framework; all of a visit show the same one."""
    lines = ["::::::{tab-set}", ":sync-group: framework", ""]
    for name, text in texts.items():
        lines += [f":::::{{tab-item}} {TITLES[name]}", f":sync: {name}", "", text, ":::::", ""]
    return "\n".join([*lines, "::::::", ""])


def annotate(framework: str, model: str, section: Section, language: str) -> str:
    """A section's code, each trap right below the line that it is about."""
    traps = find_traps(framework, model)
    parts, start = [], 0
    for place in range(len(section.lines)):
        trap = traps.get(section.first + place)
        if trap:
            parts.append(show_code(section.lines[start : place + 1], section.first + start))
            word = read_words()[language]["trap"]
            parts.append(f"::::{{div}} trap\n**{word}** {trap.texts[language]}\n::::\n")
            start = place + 1
    if start < len(section.lines):
        parts.append(show_code(section.lines[start:], section.first + start))
    return "\n".join(parts)


def show_code(lines: tuple[str, ...], first: int, marked: tuple[int, ...] = ()) -> str:
    """Lines of Python with their numbers; `marked` are numbers of lines that matter most."""
    options = [f":lineno-start: {first}"]
    if marked:
        options.append(f":emphasize-lines: {','.join(str(line - first + 1) for line in marked)}")
    return "\n".join([f"{FENCE}{{code-block}} python", *options, "", *lines, FENCE, ""])


def show_differences(sections: dict[str, Section], words: dict[str, str]) -> str:
    """Where differences.js puts two frameworks beside each other, and which lines differ."""
    rows = {
        f"{ours} {theirs}": differ(sections[ours], sections[theirs])
        for ours, theirs in permutations(PACKAGES, 2)
    }
    data = {"titles": TITLES, "rows": rows} | {
        word: words[word] for word in ("differences", "nothing", "same")
    }
    text = html.escape(json.dumps(data, ensure_ascii=False, separators=(",", ":")))
    return f'<div class="differences" data-differences="{text}"></div>\n'


def show_exercise(model: str, language: str) -> str:
    """The question in a learner's words, and how to start."""
    words = read_words()[language]
    flag = " --language ja" if language == "ja" else ""
    commands = (
        f"python -m tools.exercise start {model} --framework pytorch --level 1{flag}\n"
        f"python -m tools.exercise check exercises/level-1/pytorch/{model}.py"
    )
    return (
        f"## {words['exercise']}\n\n{read_entries()[model].exercise[language]}\n\n"
        f"{words['exercise_text']}\n\n```\n{commands}\n```\n\n"
    )


def show_explorer(words: dict[str, str]) -> str:
    """Where explorer.js draws."""
    return (
        f"### {words['explore']}\n\n{words['explore_text']}\n\n"
        f'<div class="explorer" data-plane="{words["plane"]}" data-drawn="{words["drawn"]}">'
        "</div>\n\n"
    )


def say_stale(text: str, page: Path, name: str) -> str:
    """A translation that says below its title that its original has changed since."""
    there = english_name(translations.find_original(page))
    link = "../" * (name.count("/") + 1) + f"{there}.html"
    said = read_words()["ja"]["stale"].format(link=link)
    title = re.compile(r"^(# .+\n)", re.M)
    return title.sub(rf"\1\n:::{{div}} stale\n{said}\n:::\n", text, count=1)


def contents(language: str, guides: list[str]) -> str:
    """What stands at the side: the models, and in English the guides and tasks."""
    words = read_words()[language]
    trees = {words["models"]: [f"models/{model}" for model in read_entries()]}
    if language == "en":
        trees[words["guides"]] = ["how/index", *guides]
    blocks = [
        "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *names, "```", ""])
        for caption, names in trees.items()
    ]
    return "\n" + "\n".join(blocks)


def write_tasks(folder: Path) -> None:
    """A page for each task of `tools.answer`, and one that lists them."""
    words = read_words()["en"]
    names = []
    for task in read_tasks():
        name = "-".join(re.findall(r"\w+", task.title.lower()))
        names.append(name)
        texts = {
            passage.framework: f"`{passage.file}`\n\n"
            + show_code(
                tuple(passage.lines), passage.definition.first, tuple(sorted(passage.marked))
            )
            for passage in look_up_task(task, list(PACKAGES))
        }
        title = task.title[0].upper() + task.title[1:]
        intro = f"From [{task.model}](../models/{task.model}.md); {words['also']}: {task.words}."
        write(folder / f"{name}.md", f"# {title}\n\n{intro}\n\n{show_tabs(texts)}")
    tree = "\n".join(["```{toctree}", ":maxdepth: 1", "", *names, "```", ""])
    write(folder / "index.md", f"# {words['how']}\n\n{words['how_intro']}\n\n{tree}")


def listing(file: Path) -> str:
    """The page of a file that is neither a page nor a picture."""
    inside = file.relative_to(ROOT)
    language = {".py": "python", ".toml": "toml"}.get(file.suffix, "text")
    text = file.read_text(encoding="utf-8")
    return (
        f"---\norphan: true\nnosearch: true\n---\n\n# {inside}\n\n"
        f"{FENCE}{{code-block}} {language}\n:linenos:\n\n{text.rstrip()}\n{FENCE}\n"
    )
