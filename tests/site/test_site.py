"""The sources of the site: sections hold every line, traps hit, translations are whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from common.errors import UserError
from common.frameworks import PACKAGES
from tools.library.definitions import read_script
from tools.library.scripts import MODELS, ROOT
from tools.site import translations
from tools.site.links import join_lines, resolve
from tools.site.pages import PLACES, TITLES, annotate, write_sources
from tools.site.search import split as split_terms
from tools.site.sections import NAMES, differ, find_traps, read_traps, split
from tools.site.words import read_words

each_model = pytest.mark.parametrize("model", MODELS)
each_framework = pytest.mark.parametrize("framework", PACKAGES)
PAIRS = [(ROOT / "README.md", ROOT / "README.ja.md")] + [
    (ROOT / "docs" / "models" / f"{model}.md", ROOT / "docs" / "ja" / "models" / f"{model}.md")
    for model in MODELS
]
each_pair = pytest.mark.parametrize(
    ("english", "japanese"), PAIRS, ids=[english.stem for english, _ in PAIRS]
)


@each_model
@each_framework
def test_sections_hold_every_line_of_a_script(framework: str, model: str) -> None:
    lines = read_script(framework, model).splitlines()
    sections = split(framework, model)
    assert [section.name for section in sections] == list(NAMES)
    held: list[int] = []
    for section in sections:
        assert section.lines
        numbers = range(section.first, section.first + len(section.lines))
        assert [lines[number - 1] for number in numbers] == list(section.lines)
        held += numbers
    assert held == sorted(set(held))
    assert all(not lines[number - 1] for number in set(range(1, len(lines) + 1)) - set(held))


def test_what_belongs_together_stands_together() -> None:
    def text(framework: str, model: str, name: str) -> str:
        (section,) = [each for each in split(framework, model) if each.name == name]
        return "\n".join(section.lines)

    for framework in PACKAGES:
        assert "class Config(" in text(framework, "dcgan", "settings")
        assert "class Discriminator(" in text(framework, "dcgan", "networks")
        assert text(framework, "dcgan", "losses").startswith("def discriminator_loss(")
        assert "def train_step(" in text(framework, "dcgan", "update")
        assert "def sample(" in text(framework, "dcgan", "drawing")
        assert text(framework, "dcgan", "start").startswith("def build(")
    assert text("keras", "vae", "update").startswith("class AutoencoderTrainer(")
    assert text("tensorflow", "gan", "update").startswith("@tf.function")


def test_every_trap_is_at_a_line_of_each_framework_it_is_for() -> None:
    met: dict[str, set[str]] = {}  # by what is said
    for framework in PACKAGES:
        for model in MODELS:
            traps = find_traps(framework, model)
            assert len(traps) >= 3, f"{framework}/{model}.py"
            for trap in traps.values():
                met.setdefault(trap.texts["en"], set()).add(framework)
    for trap in read_traps():
        assert met[trap.texts["en"]] == set(trap.frameworks), trap.find
        assert re.search("[ぁ-ん]", trap.texts["ja"])
        code = re.compile("`[^`]+`")
        assert sorted(code.findall(trap.texts["en"])) == sorted(code.findall(trap.texts["ja"]))


def test_a_trap_stands_right_below_its_line() -> None:
    (section,) = [each for each in split("keras", "dcgan") if each.name == "networks"]
    text = annotate("keras", "dcgan", section, "en")
    before, _, after = text.partition("One initialiser used for two layers")
    code = [line for line in before.splitlines() if line and not line.startswith((":", "`", "*"))]
    assert code[-1].strip() == "seed = keras.random.SeedGenerator()"
    first = section.first + list(section.lines).index(code[-1]) + 1
    assert f":lineno-start: {first}\n" in after
    shown = re.findall(r"python\n:lineno-start: \d+\n\n(.*?)\n`{8}", text, flags=re.S)
    assert "\n".join(shown) == "\n".join(section.lines)


def test_rows_of_a_difference_hold_every_line() -> None:
    ours, theirs = split("pytorch", "dcgan")[3], split("chainer", "dcgan")[3]
    rows = differ(ours, theirs)
    for tag, first, last, start, end in rows:
        if tag == "equal":
            assert ours.lines[first:last] == theirs.lines[start:end]  # type: ignore[misc]
    assert {"equal", "replace"} <= {row[0] for row in rows}
    assert sum(row[2] - row[1] for row in rows) == len(ours.lines)  # type: ignore[operator]
    assert sum(row[4] - row[3] for row in rows) == len(theirs.lines)  # type: ignore[operator]


# Translations.


def count(text: str) -> dict[str, object]:
    """What two pages have to have in common, whatever their language."""
    fences = re.findall(r"^```.*?^```$", text, flags=re.S | re.M)
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M)
    codes = [re.sub(r"#.*| --language ja", "", fence) for fence in fences]
    return {
        "headings": [len(marks) for marks in re.findall(r"^(#+) ", prose, flags=re.M)],
        "columns": [row.count("|") for row in re.findall(r"^\|.*$", prose, flags=re.M)],
        "code": [" ".join(code.split()) for code in codes],
        "formulas": sorted(re.findall(r"\$[^$\n]+\$", re.sub("`[^`]*`", "", prose))),
        "pictures": [Path(link).name for link in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", prose)],
        "links": sorted(
            Path(link.partition("#")[0]).name
            for link in re.findall(r"\]\(([^)\s]+)\)", prose)
            if not link.startswith("README")  # each leads to the other
        ),
        "items": len(re.findall(r"^(?:- |\d\. )", prose, flags=re.M)),
    }


@each_pair
def test_a_translation_has_the_same_parts(english: Path, japanese: Path) -> None:
    text = japanese.read_text(encoding="utf-8")
    assert translations.HEADER.match(text), "whose translation it is stands in the first line"
    if not translations.is_current(japanese):
        return  # its page says so; see below
    assert count(translations.HEADER.sub("", text)) == count(english.read_text(encoding="utf-8"))
    assert len(re.findall("[ぁ-ん]", text)) > len(text) / 20, "it is hardly Japanese"


@pytest.mark.parametrize("language", ["en", "ja"])
def test_pages_of_models_have_the_headings_that_parts_go_before(language: str) -> None:
    for english, japanese in PAIRS[1:]:
        text = (english if language == "en" else japanese).read_text(encoding="utf-8")
        for places in PLACES.values():
            assert f"\n{places[language]}\n" in text


def test_languages_have_the_same_words() -> None:
    words = read_words()
    only = {"en": {"guides", "how", "how_intro", "also"}, "ja": {"stale"}}
    assert set(words["en"]) - only["en"] == set(words["ja"]) - only["ja"]


def test_a_page_older_than_its_original_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sources(tmp_path / "sources")
    page = tmp_path / "sources" / "ja" / "models" / "vae.md"
    says = ":::{div} stale"
    current = translations.is_current(ROOT / "docs" / "ja" / "models" / "vae.md")
    assert (says in page.read_text(encoding="utf-8")) is not current
    monkeypatch.setattr(translations, "digest", lambda _: "0" * 16)
    write_sources(tmp_path / "sources")
    title, _, banner = page.read_text(encoding="utf-8").partition(says)
    assert len(re.findall(r"^# ", title, flags=re.M)) == 1
    assert "../../models/vae.html" in banner.partition(":::")[0]


def test_a_translation_is_marked_as_of_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translations, "ROOT", tmp_path)
    original = tmp_path / "docs" / "x.md"
    page = tmp_path / "docs" / "ja" / "x.md"
    page.parent.mkdir(parents=True)
    original.write_text("# One\n", encoding="utf-8")
    page.write_text("# 一\n", encoding="utf-8")
    assert not translations.is_current(page)
    translations.mark_current(page)
    assert translations.is_current(page)
    original.write_text("# Two\n", encoding="utf-8")
    assert not translations.is_current(page)
    translations.mark_current(page)
    text = page.read_text(encoding="utf-8")
    assert text.endswith("-->\n# 一\n")
    assert text.count("<!--") == 1
    with pytest.raises(UserError, match="not a translation"):
        translations.mark_current(original)


# Links and search.


def test_links_lead_to_the_same_place_in_the_site() -> None:
    listed: set[Path] = set()
    page = ROOT / "docs" / "models" / "vae.md"
    text = (
        "[a](ae.md#idea) [b](../measures.md) [c](../../pytorch/vae.py) [d](https://x.org/a.md) "
        "![e](../gallery/vae.png) [`f`](../../README.md)\n```\n[g](ae.md)\n```\n"
    )
    assert resolve(text, page, "models/vae", listed) == (
        "[a](ae.md#idea) [b](../measures.md) [c](../code/pytorch/vae.py.md) "
        "[d](https://x.org/a.md) "
        "![e](../gallery/vae.png) [`f`](../index.md)\n```\n[g](ae.md)\n```\n"
    )
    assert listed == {ROOT / "pytorch" / "vae.py"}


def test_links_of_a_translation_lead_to_english_where_there_is_nothing_else() -> None:
    page = ROOT / "docs" / "ja" / "models" / "vae.md"
    text = "[a](ae.md#考え方) [b](../../measures.md#x) [c](../../../pytorch/vae.py)"
    assert resolve(text, page, "models/vae", set()) == (
        '[a](ae.md#考え方) <a href="../../measures.html#x" hreflang="en">b</a> '
        '<a href="../../code/pytorch/vae.py.html">c</a>'
    )


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("train_step", ["train_step"]),
        ("転置畳み込み", ["転置", "置畳", "畳み", "み込", "込み"]),
        ("DCGANの生成器、Adam", ["DCGAN", "の生", "生成", "成器", "Adam"]),
        ("層 (conv1)", ["層", "conv1"]),
    ],
)
def test_japanese_is_searched_by_pairs_and_identifiers_whole(text: str, terms: list[str]) -> None:
    assert split_terms(text) == terms


def test_lines_of_japanese_are_joined_without_a_space() -> None:
    text = "一行。\n二行。\nDCGAN の\n層\n\n- 項。\n- 項。\n\n```\n層\n層\n```\n一。\n1. 二。\n"
    joined = "一行。二行。DCGAN の層\n\n- 項。\n- 項。\n\n```\n層\n層\n```\n一。\n1. 二。\n"
    assert join_lines(text) == joined


def test_frameworks_have_titles() -> None:
    assert list(TITLES) == list(PACKAGES)
