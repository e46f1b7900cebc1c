"""The site in a browser, opened from the disk: without a network, and without a server.

Needs Chromium. Where there is none the tests are skipped, unless QUARTET_BROWSER asks for them.
"""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from common.frameworks import PACKAGES
from common.run import checkpoint
from tests.support.ports import FRAMEWORKS, chosen_ports, environment
from tools.library.scripts import MODELS, ROOT
from tools.site import __main__ as site
from tools.site import explorer

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
WANTED = os.environ.get("QUARTET_BROWSER")
if WANTED == "0" or not (CHROMIUM or WANTED):
    pytest.skip("no Chromium is installed, or none is wanted", allow_module_level=True)
WITH_PARTS = ["index", "models/vae", "models/dcgan", "how/freeze-a-network", "results", "search"]
JAPANESE = ["ja/index", "ja/models/vae", "ja/models/dcgan"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "site"
    site.build(out)
    return out


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert CHROMIUM, "install Chromium"
    with sync_playwright() as playwright:
        # A container has no room for its sandbox, and no GPU.
        flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1300, "height": 900})
    opened = context.new_page()
    yield opened
    context.close()


def address(built: Path, name: str) -> str:
    return f"{(built / name).as_uri()}.html"


def all_pages(built: Path) -> list[Path]:
    return sorted(built.rglob("*.html"))


def test_every_page_loads_without_an_error_or_another_host(built: Path, page: Page) -> None:
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(f"{page.url}: {error}"))
    page.on("console", lambda said: faults.append(f"{page.url}: {said.text}")
            if said.type == "error" else None)  # fmt: skip
    page.on("requestfailed", lambda request: faults.append(f"{page.url}: {request.url}"))
    page.on("request", lambda request: faults.append(f"{page.url}: {request.url}")
            if not request.url.startswith(("file:", "data:")) else None)  # fmt: skip
    pages = all_pages(built)
    assert len(pages) > 120
    for path in pages:
        page.goto(path.as_uri())
    assert not faults


def test_links_lead_somewhere(built: Path) -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in all_pages(built)}
    ids = {path: set(re.findall(r'\bid="([^"]+)"', text)) for path, text in texts.items()}
    lost = []
    for path, text in texts.items():
        for link in set(re.findall(r'\b(?:href|src)="([^"]+)"', text)):
            if link.startswith(("http://", "https://", "mailto:", "data:")):
                continue
            name, _, anchor = html.unescape(link).partition("#")
            target = (path.parent / unquote(name.partition("?")[0])).resolve() if name else path
            anchor = unquote(anchor)
            if not target.exists() or (target in ids and anchor and anchor not in ids[target]):
                lost.append(f"{path.relative_to(built)}: {link}")
    assert not lost


def shown(page: Page) -> list[str]:
    """The framework of each set of tabs."""
    return page.eval_on_selector_all(
        ".sd-tab-set > input:checked + label", "labels => labels.map(l => l.dataset.syncId)"
    )


def test_tabs_stay_in_step_across_page_and_visit(built: Path, page: Page) -> None:
    page.goto(address(built, "models/dcgan"))
    assert set(shown(page)) == {"pytorch"}
    assert len(shown(page)) == 6
    page.locator("label.sd-tab-label", has_text="Keras").nth(2).click()
    assert shown(page) == ["keras"] * 6
    assert page.get_by_text("class DiscriminatorTrainer(Trainer)").first.is_visible()
    page.goto(address(built, "models/vae"))
    assert shown(page) == ["keras"] * 6
    page.goto(address(built, "how/freeze-a-network"))
    assert shown(page) == ["keras"]
    page.goto(address(built, "models/gan") + "?framework=chainer")
    assert shown(page) == ["chainer"] * 6


def test_tabs_are_reached_by_the_keyboard(built: Path, page: Page) -> None:
    page.goto(address(built, "models/gan"))
    page.locator(".sd-tab-set > input").first.focus()
    page.keyboard.press("ArrowRight")
    assert set(shown(page)) == {"tensorflow"}
    page.keyboard.press("Tab")  # on, and not caught
    assert page.evaluate("document.activeElement.matches('.sd-tab-set > input')") is False


def test_two_frameworks_are_compared_line_by_line(built: Path, page: Page) -> None:
    page.goto(address(built, "models/dcgan"))
    update = page.locator(".differences").nth(3)
    assert update.locator("table").count() == 0
    update.locator("select").select_option("chainer")
    assert update.locator("th").all_inner_texts() == ["PyTorch", "Chainer"]
    marked = update.locator("tr.differs").all_inner_texts()
    assert any("fakes.detach()" in row and "fakes.array" in row for row in marked)
    plain = update.locator("tbody tr:not(.differs)")
    sides = [plain.locator(f"td:nth-child({place})").all_inner_texts() for place in (2, 4)]
    assert sides[0] == sides[1]
    assert "    d_loss.backward()" in sides[0]
    numbers = update.locator("td.number:first-child").all_inner_texts()
    section = [number for number in numbers if number]
    assert section == [str(n) for n in range(int(section[0]), int(section[0]) + len(section))]
    page.locator("label.sd-tab-label", has_text="TensorFlow").first.click()
    assert update.locator("th").all_inner_texts() == ["TensorFlow", "Chainer"]
    page.locator("label.sd-tab-label", has_text="Chainer").first.click()
    assert update.locator("table").count() == 0, "nothing is compared with itself"


@pytest.mark.parametrize(
    ("folder", "query", "expected"),
    [
        ("", "train_step", "DCGAN"),
        ("", "reparameterisation", "Variational autoencoder"),
        ("", "freeze a network", "Freeze a network"),
        ("ja/", "train_step", "DCGAN"),
        ("ja/", "再パラメータ化トリック", "変分オートエンコーダ"),
        ("ja/", "転置畳み込み", "DCGAN"),
    ],
)
def test_search_finds(built: Path, page: Page, folder: str, query: str, expected: str) -> None:
    page.goto(address(built, f"{folder}index"))
    box = page.locator("input[type=search], input.sidebar-search").first
    box.fill(query)
    box.press("Enter")
    page.wait_for_selector("ul.search li")
    page.wait_for_timeout(500)
    found = page.locator("ul.search li a").all_inner_texts()
    assert any(expected in title for title in found), found


def test_search_does_not_find_what_is_not_there(built: Path, page: Page) -> None:
    page.goto(address(built, "ja/search") + "?q=冷蔵庫")
    page.wait_for_selector("#search-results p")
    page.wait_for_timeout(500)
    assert page.locator("ul.search li").count() == 0


# The latent space.


def pixels(page: Page) -> np.ndarray:
    values = page.eval_on_selector(
        ".explorer .digit",
        "c => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)",
    )
    return np.array(values).reshape(28, 28, 4)[..., 0]


@pytest.mark.parametrize("folder", ["", "ja/"])
def test_the_latent_space_is_drawn_where_the_point_is(built: Path, page: Page, folder: str) -> None:
    arrays = checkpoint.load(explorer.WEIGHTS).arrays
    page.goto(address(built, f"{folder}models/vae"))
    plane = page.locator(".explorer .plane")
    plane.scroll_into_view_if_needed()
    box = plane.bounding_box()
    assert box is not None
    before = pixels(page)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + box["height"] * 0.4)
    page.mouse.up()
    said = page.locator(".explorer output").inner_text()
    z = np.array([[float(x) for x in re.findall(r"-?\d+\.\d+", said)]])
    assert np.allclose(z, [[2.1, 0.7]], atol=0.05)
    assert np.abs(pixels(page) - before).max() > 100
    ring = page.evaluate(
        "([x, y]) => document.querySelector('.explorer .plane').getContext('2d')"
        ".getImageData((x / 3.5 + 1) * 192 + 8, (1 - y / 3.5) * 192, 1, 1).data[0]",
        z[0].tolist(),
    )
    assert ring < 100, "the point is drawn where it is"
    expected = 255 * explorer.decode(arrays, z).reshape(28, 28)
    assert np.abs(pixels(page) - expected).max() < 3  # z is said to two digits
    plane.focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    moved = page.locator(".explorer output").inner_text()
    assert float(re.findall(r"-?\d+\.\d+", moved)[0]) == pytest.approx(z[0, 0] - 0.3, abs=0.011)


DECODE = """
import json, sys
import numpy as np
sys.path.insert(0, {root!r})
from tools.library.scripts import load_script
script = load_script({framework!r}, "vae")
run = script.start(["--generate", "1", "--from", {weights!r}, "--out", {out!r}])
z = np.array(json.loads(sys.stdin.read()), np.float32)
logits = run.bridge.apply(run.networks["decoder"], z)[0]
np.save({out!r} + ".npy", 1 / (1 + np.exp(-logits)))
"""


@pytest.fixture(scope="module")
def codes() -> np.ndarray:
    return np.random.default_rng(0).uniform(-3, 3, (20, 2)).astype(np.float32)


@pytest.mark.parametrize("framework", [name for name in FRAMEWORKS if name in chosen_ports()])
def test_the_page_decodes_as_the_scripts_do(
    built: Path, page: Page, codes: np.ndarray, framework: str, tmp_path: Path
) -> None:
    page.goto(address(built, "models/vae"))
    drawn = page.evaluate("codes => codes.map(z => Array.from(decode(z)))", codes.tolist())
    program = DECODE.format(
        root=str(ROOT), framework=framework, weights=str(explorer.WEIGHTS), out=str(tmp_path / "x")
    )
    subprocess.run(
        [sys.executable, "-c", program],
        input=str(codes.tolist()),
        text=True,
        env=environment(),
        check=True,
        cwd=tmp_path,
    )
    scripts = np.load(tmp_path / "x.npy").reshape(20, -1)
    assert np.abs(np.array(drawn) - scripts).max() < 1e-5
    assert scripts.std(0).max() > 0.1


# For everyone.


@pytest.mark.parametrize("name", WITH_PARTS + JAPANESE)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_and_labels(built: Path, browser: Browser, name: str, scheme: Any) -> None:
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1300, "height": 900})
    opened = context.new_page()
    opened.goto(address(built, name))
    opened.wait_for_timeout(200)
    found = Axe().run(opened).response["violations"]
    context.close()
    said = [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]
    assert not said, "\n".join(said[:20])


@pytest.mark.parametrize("name", WITH_PARTS + JAPANESE)
def test_a_telephone_shows_it_without_scrolling_sideways(
    built: Path, browser: Browser, name: str
) -> None:
    context = browser.new_context(viewport={"width": 375, "height": 700})
    opened = context.new_page()
    opened.goto(address(built, name))
    wide = opened.evaluate("document.documentElement.scrollWidth")
    context.close()
    assert wide <= 375


def test_a_page_is_printed_without_what_is_only_for_the_screen(built: Path, page: Page) -> None:
    page.goto(address(built, "models/dcgan"))
    page.emulate_media(media="print")
    assert not page.locator(".sidebar-drawer").is_visible()
    assert not page.locator(".differences").first.is_visible()
    assert page.get_by_text("def train_step(").first.is_visible()


def test_each_language_leads_to_the_other(built: Path, page: Page) -> None:
    page.goto(address(built, "models/vae"))
    assert page.evaluate("document.documentElement.lang") == "en"
    page.locator("a.language").click()
    assert page.url.endswith("/ja/models/vae.html")
    assert page.evaluate("document.documentElement.lang") == "ja"
    page.locator("a.language").click()
    assert page.url.endswith("/site/models/vae.html")


def test_formulas_are_shown_in_the_font_that_came_with_the_page(built: Path, page: Page) -> None:
    page.goto(address(built, "models/wgan"))
    page.evaluate("document.fonts.ready")
    fonts = page.evaluate("[...document.fonts].map((font) => [font.family, font.status])")
    assert [family.strip('"') for family, status in fonts if status == "loaded"] == ["Formulas"]
    assert page.locator("math[display=block]").count() >= 2


def test_every_model_has_its_page(built: Path) -> None:
    for model in MODELS:
        for folder in ("", "ja/"):
            text = (built / f"{folder}models/{model}.html").read_text(encoding="utf-8")
            assert text.count("sd-tab-set") >= 6
            assert re.search(r"_images/card\d*\.png", text)
            assert f"tools.exercise start {model}" in html.unescape(re.sub("<[^>]+>", "", text))
        for framework in PACKAGES:
            assert (built / f"code/{framework}/{model}.py.html").exists()
