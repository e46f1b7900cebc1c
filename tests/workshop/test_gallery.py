"""The gallery: the run in the middle is shown, and the pages name the commands of its pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from common.pictures import images
from tools.library import ledger as ledger_file
from tools.library.entries import read_recipes, to_flags
from tools.library.ledger import Trial
from tools.library.scripts import MODELS, ROOT
from workshop import gallery, trials

each_model = pytest.mark.parametrize("model", MODELS)


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three made-up trials of ae, and the runs of two of them."""
    monkeypatch.setattr(ledger_file, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(ledger_file, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(gallery, "GALLERY", tmp_path)
    for seed, value in ((1, 9.0), (2, 20.0), (3, 10.0)):
        trial = Trial("ae", "pytorch", seed)
        figures = [{"figure": "error", "value": str(value)}, {"figure": "other", "value": "0"}]
        ledger_file.ledger("ae").put(trial, {"steps": 3}, {"figures": figures})
        folder = trial.folder
        (folder.path / "evaluation").mkdir(parents=True)
        (folder.path / "evaluation" / "evaluation.png").touch()
        folder.samples.mkdir()
        for step in (9, 10):
            picture = np.full((4, 4, 3), 10 * seed + step, np.uint8)
            images.save(folder.samples / f"{step:06d}.png", picture)


@pytest.mark.usefixtures("results")
def test_the_last_picture_of_the_middle_run_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gallery.find_typical("ae") == Trial("ae", "pytorch", 3)
    monkeypatch.setattr("sys.argv", ["gallery", "ae"])
    gallery.main()
    assert (np.asarray(Image.open(tmp_path / "ae.png")) == 40).all()


@pytest.mark.usefixtures("results")
def test_a_latent_space_is_shown_in_the_place_of_samples(tmp_path: Path) -> None:
    (Trial("ae", "pytorch", 3).folder.path / "manifold.png").touch()
    assert gallery.draw_run("ae").name == "manifold.png"


@pytest.mark.usefixtures("results")
def test_a_run_that_is_gone_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    monkeypatch.setattr(trials, "run", lambda *arguments: ran.append(arguments))
    gallery.ensure_run("ae")
    assert not ran
    (Trial("ae", "pytorch", 3).folder.path / "evaluation" / "evaluation.png").unlink()
    gallery.ensure_run("ae")
    assert ran == [(Trial("ae", "pytorch", 3), read_recipes()["ae"])]


@pytest.mark.usefixtures("results")
def test_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["gallery", "ae", "dcgam"])
    with pytest.raises(UserError, match=r"unknown picture 'dcgam'; known: ae, compare-ae, "):
        gallery.main()
    assert not (tmp_path / "ae.png").exists()
    with pytest.raises(UserError, match="there are no trials of gan"):
        gallery.find_typical("gan")


@each_model
def test_a_page_names_the_commands_of_its_pictures(model: str) -> None:
    page = (ROOT / "docs" / "models" / f"{model}.md").read_text(encoding="utf-8")
    words = " ".join(page.split())
    if ledger_file.ledger(model).read("figures"):
        trial = gallery.find_typical(model)
        flags = " ".join(to_flags(read_recipes()[model]))
        assert f"`python {trial.framework}/{model}.py {flags} --seed {trial.seed}`" in words
    assert f"`{gallery.comparison_command(model)}`" in words


def test_the_gallery_holds_what_is_drawn_and_nothing_else(tmp_path: Path) -> None:
    there = {path.stem for path in (ROOT / "docs" / "gallery").iterdir()}
    assert there == set(gallery.list_pictures(tmp_path))


def find_blanks(grey: np.ndarray) -> float:
    """The share of 8 x 8 tiles of a picture (H, W) that are all of one value."""
    rows = [np.array_split(part, 8, axis=1) for part in np.array_split(grey, 8)]
    return float(np.mean([tile.max() - tile.min() < 3 for row in rows for tile in row]))


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "docs").rglob("*.png")),
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_no_picture_of_the_docs_is_blank(path: Path) -> None:
    grey = np.asarray(Image.open(path).convert("L")).astype(int)
    assert grey.std() > 10
    assert find_blanks(grey) < 0.5


def test_a_blank_picture_would_be_found() -> None:
    assert find_blanks(np.full((64, 64), 200)) == 1
    half = np.random.default_rng(0).integers(0, 256, (64, 64))
    half[:40] = 255
    assert find_blanks(half) > 0.5
