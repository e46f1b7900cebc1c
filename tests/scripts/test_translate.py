"""`--generate --input PATH`: pictures of the user's own, translated with a checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from PIL import Image

from common.data.inputs import read_inputs
from common.data.tasks import Domains, Edges
from tests.support.ports import run_script

SIZE = 32


def draw(path: Path, size: tuple[int, int], mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = np.random.default_rng(0).integers(0, 256, (size[1] // 5, size[0] // 5, 3), np.uint8)
    Image.fromarray(levels).resize(size).convert(mode).save(path)


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a model that has learned nothing, from photos that are gone."""
    home = tmp_path_factory.mktemp("checkpoint")
    for number in range(3):
        draw(home / "photos" / f"{number}.png", (40, 40))
    small = ["--image-size", SIZE, "--batch-size", 2, "--steps", 0, "--out", "run"]
    arguments = ["--dataset", f"folder:{home / 'photos'}", "--task", "edges", *small]
    run = run_script("pytorch", *arguments, cwd=home, model="pix2pix")
    assert run.returncode == 0, run.stderr
    shutil.rmtree(home / "photos")
    return home / "run" / "checkpoint.safetensors"


@pytest.fixture
def translate(checkpoint: Path, tmp_path: Path) -> Callable[..., CompletedProcess[str]]:
    """Run the script on `--input`, in `tmp_path`."""

    def run(path: object) -> CompletedProcess[str]:
        arguments = ["--generate", "--from", checkpoint, "--out", "made", "--input", path]
        return run_script("pytorch", *arguments, cwd=tmp_path, model="pix2pix")

    return run


def test_a_folder_is_translated_without_its_data_set(
    translate: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    """Pictures of any size and mode, each on its own and all in an overview beside the sources."""
    draw(tmp_path / "mine" / "wide.png", (90, 50))
    draw(tmp_path / "mine" / "grey.jpg", (20, 40), "L")
    draw(tmp_path / "mine" / "deep" / "wide.gif", (SIZE, SIZE), "P")
    (tmp_path / "mine" / "notes.txt").write_text("no picture")
    run = translate("mine")
    assert run.returncode == 0, run.stderr
    assert "notes.txt" in run.stderr
    assert run.stdout == "picture:    made/generated.png\n"
    singles = tmp_path / "made" / "generated"
    found = sorted(str(p.relative_to(singles)) for p in singles.rglob("*") if p.is_file())
    assert found == ["deep/wide.png", "grey.png", "wide.png"]

    border, columns = 2, 4  # source and translation, twice in a row
    overview = read(tmp_path / "made" / "generated.png")
    assert overview.shape == (2 * (SIZE + border) + border, columns * (SIZE + border) + border, 3)
    sources = read_inputs(str(tmp_path / "mine"), SIZE, Edges().read_input)
    assert list(sources) == ["grey", "wide", "deep/wide"]
    for index, (name, source) in enumerate(sources.items()):
        y = border + index // 2 * (SIZE + border)
        x = border + index % 2 * 2 * (SIZE + border)
        row = overview[y : y + SIZE]
        assert (row[:, x : x + SIZE] == source).all()
        translation = read(singles / f"{name}.png")
        assert (row[:, x + SIZE + border : x + 2 * SIZE + border] == translation).all()
        assert translation.std() > 0

    # One picture alone is translated to the same: nothing is left to chance.
    before = read(singles / "wide.png").astype(int)
    run = translate("mine/wide.png")
    assert run.returncode == 0, run.stderr
    assert np.abs(read(singles / "wide.png") - before).max() <= 1


def test_input_that_is_no_picture(
    translate: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text("no picture")
    run = translate("text.txt")
    assert run.returncode == 2
    assert run.stdout == ""
    assert run.stderr.startswith("error: --input text.txt: it is not a picture; ")
    assert run.stderr.count("\n") == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["text.txt"]


def test_input_without_generate(tmp_path: Path) -> None:
    run = run_script("pytorch", "--input", "photo.jpg", cwd=tmp_path, model="pix2pix")
    assert run.returncode == 2
    assert run.stderr == ("error: --input needs --generate and --from FILE\n")
    assert list(tmp_path.iterdir()) == []


# Between two domains.


@pytest.fixture(scope="module")
def domains(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a model that translates both ways, from pictures that are gone."""
    home = tmp_path_factory.mktemp("domains")
    for number in range(4):
        draw(home / "mine" / "ab"[number % 2] / f"{number}.png", (40, 40))
    small = ["--image-size", SIZE, "--width", 2, "--blocks", 1, "--steps", 0, "--out", "run"]
    arguments = ["--dataset", f"folder:{home / 'mine'}", *small]
    run = run_script("pytorch", *arguments, cwd=home, model="cyclegan")
    assert run.returncode == 0, run.stderr
    shutil.rmtree(home / "mine")
    return home / "run" / "checkpoint.safetensors"


def test_a_direction_says_what_is_made_of_a_picture(domains: Path, tmp_path: Path) -> None:
    draw(tmp_path / "mine" / "wide.png", (90, 50))
    draw(tmp_path / "mine" / "grey.jpg", (20, 40), "L")
    given = ["--generate", "--from", domains, "--input", "mine"]
    made = []
    for direction in ("a2b", "b2a"):
        arguments = [*given, "--direction", direction, "--out", direction]
        run = run_script("pytorch", *arguments, cwd=tmp_path, model="cyclegan")
        assert run.returncode == 0, run.stderr
        overview = read(tmp_path / direction / "generated.png")
        assert overview.shape == (2 * (SIZE + 2) + 2, 3 * (SIZE + 2) + 2, 3)
        source = read_inputs(str(tmp_path / "mine"), SIZE, Domains().read_input)["wide"]
        assert (overview[SIZE + 4 : 2 * SIZE + 4, 2 : SIZE + 2] == source).all()
        made.append(read(tmp_path / direction / "generated" / "wide.png"))
        assert made[-1].shape == (SIZE, SIZE, 3)
        shown = overview[SIZE + 4 : 2 * SIZE + 4, SIZE + 4 : 2 * SIZE + 4]
        assert (shown == made[-1]).all()
    assert (made[0] != made[1]).any()  # each direction has a generator of its own
    run = run_script("pytorch", *given, "--out", "none", cwd=tmp_path, model="cyclegan")
    assert run.returncode == 2
    assert run.stderr == "error: --input mine: give the direction, --direction a2b or b2a\n"
    assert not (tmp_path / "none").exists()


def test_direction_without_generate(tmp_path: Path) -> None:
    run = run_script("pytorch", "--direction", "a2b", cwd=tmp_path, model="cyclegan")
    assert run.returncode == 2
    assert run.stderr == "error: --direction needs --generate and --from FILE\n"
