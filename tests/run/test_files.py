"""The plumbing by itself: images, tables, checkpoints, plots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from common.measures import pca
from common.measures.diversity import diversity
from common.pictures import images, latent, plots
from common.run import checkpoint
from common.run.checkpoint import Checkpoint, Header
from common.run.table import Table


def test_a_grid_lays_images_out_by_rows() -> None:
    pictures = np.stack([np.full((32, 40, 3), value, np.uint8) for value in range(5)])
    sheet = images.grid(pictures, columns=3, border=2)
    assert sheet.shape == (2 * 34 + 2, 3 * 42 + 2, 3)
    assert (sheet[2:34, 86:126] == 2).all()
    assert (sheet[36:68, 44:84] == 4).all()
    assert (sheet[:2] == 255).all()
    assert (sheet[36:68, 86:126] == 255).all()  # no sixth image


def test_a_grid_of_tiny_images_is_enlarged() -> None:
    pictures = np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1)
    sheet = images.grid(pictures, border=0)
    assert sheet.shape == (32, 32, 1)
    assert (sheet[::4, ::4] == pictures[0]).all()
    assert (sheet[3::4, 3::4] == pictures[0]).all()


def test_rows_stand_over_their_counterparts() -> None:
    upper = np.stack([np.full((32, 32, 1), value, np.uint8) for value in range(5)])
    sheet = images.rows_over_rows(upper, upper + 100, 3)
    middles = sheet[18::34, 18::34, 0]
    assert middles.tolist() == [[0, 1, 2], [100, 101, 102], [3, 4, 255], [103, 104, 255]]


def test_counterparts_stand_side_by_side() -> None:
    one = np.stack([np.full((32, 32, 3), value, np.uint8) for value in range(3)])
    sheet = images.beside(one, one + 10, one + 20)
    assert sheet[18::34, 18::34, 0].tolist() == [[0, 10, 20, 1, 11, 21], [2, 12, 22, 255, 255, 255]]


def test_rows_get_their_names() -> None:
    sheet = images.grid(np.full((4, 32, 32, 3), 128, np.uint8), 2)
    named = images.label_rows(sheet, ["first", "second"])
    margin = named.shape[1] - sheet.shape[1]
    assert margin > 10
    assert (named[:, margin:] == sheet).all()
    for row in (0, 1):
        assert named[2 + 34 * row : 34 + 34 * row, :margin].min() < 100


def test_pca_is_what_scikit_learn_says_of_a_line() -> None:
    """Images along one line need one component, images off it are as far from it as they are."""
    along = np.arange(0, 200, 10, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), "B")
    beside = np.full((1, 2, 2, 1), 100, np.uint8)
    beside[0, 0, 0], beside[0, 1, 1] = 110, 90  # a right angle to the line
    error = 2 * (10 / 127.5) ** 2 / 4  # of pixels in [-1, 1]
    assert pca.test_error(along, beside, 1) == pytest.approx(error, rel=1e-3)
    assert pca.test_error(along, beside, 4) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_is_written_and_read(tmp_path: Path, channels: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, channels), np.uint8)
    images.save(tmp_path / "picture.png", picture)
    read = np.asarray(Image.open(tmp_path / "picture.png"))
    assert (read.reshape(picture.shape) == picture).all()


def test_an_animation_has_its_frames_in_order(tmp_path: Path) -> None:
    paths = []
    for index in range(100):
        paths.append(tmp_path / f"{index:03d}.png")
        images.save(paths[-1], np.full((16, 16, 3), 2 * index, np.uint8))
    images.animate(paths, tmp_path / "all.webp", most=5)
    with Image.open(tmp_path / "all.webp") as animation:
        found = []
        for index in range(animation.n_frames):  # type: ignore[attr-defined]
            animation.seek(index)
            found.append(np.asarray(animation.convert("L")).mean())
    np.testing.assert_allclose(found, [0, 50, 100, 148, 198], atol=4)


def test_diversity_is_1_for_the_data_and_0_for_one_picture() -> None:
    real = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3), np.uint8)
    assert diversity(real, real) == pytest.approx(1)
    assert diversity(np.repeat(real[:1], 64, axis=0), real) == 0


def test_a_table_is_appended_cut_and_read(tmp_path: Path) -> None:
    table = Table(tmp_path / "metrics.csv")
    assert table.read() == {}
    for step in (1, 2, 3):
        table.append({"step": step, "loss": step / 3, "diversity": None if step < 3 else 0.5})
    table.cut(2)
    table.append({"step": 3, "loss": 1.0, "diversity": 0.25})
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert lines == ["step,loss,diversity", "1,0.333333,", "2,0.666667,", "3,1.0,0.25"]
    columns = table.read()
    assert columns["step"] == [1, 2, 3]
    assert np.isnan(columns["diversity"][0])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "does not name the columns, from step on"),
        ("\nstep,loss\n1,2\n", "does not name the columns, from step on"),
        ("loss,step\n1,2\n", "does not name the columns, from step on"),
        ("step,loss,loss\n1,2,3\n", "does not name the columns, from step on"),
        ("step,loss\n,2\n", "line 2 begins with no step"),
        ("step,loss\nnan,2\n", "line 2 begins with no step"),
        ("step,loss\n1,2\n\n", "line 3 has 0 cells, not 2"),
        ("step,loss\n1,2,3\n", "line 2 has 3 cells, not 2"),
        ("step,loss\n1,two\n", "could not convert string to float: 'two'"),
        ("\xff", "can't decode byte"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "metrics.csv"
    path.write_bytes(text.encode("latin-1"))
    for use in (Table(path).read, lambda: Table(path).cut(1)):
        with pytest.raises(UserError, match=reason):
            use()
        assert path.read_bytes() == text.encode("latin-1")


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    arrays = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3).T, "t": np.array(3)}
    about = {"model": "dcgan", "framework": "keras", "step": 7, "batches": {}, "fingerprint": "x"}
    checkpoint.save(path, Checkpoint(arrays, about))
    read = checkpoint.load(path, checkpoint.STATE)
    assert read.metadata == about
    assert read.arrays["t"].shape == ()
    assert (read.arrays["a.weight"] == arrays["a.weight"]).all()


def test_a_checkpoint_names_the_first_tensor_that_does_not_fit() -> None:
    expected = {"a": np.zeros((2, 3)), "b": np.zeros(4)}

    def check(**shapes: tuple[int, ...]) -> None:
        checkpoint.check_fit(Header(Path("file"), {}, shapes, {}, {}), expected)

    with pytest.raises(UserError, match=r"tensor b has shape \(5,\), this network needs \(4,\)"):
        check(a=(2, 3), b=(5,))
    with pytest.raises(UserError, match="tensor b is missing"):
        check(a=(2, 3))
    with pytest.raises(UserError, match="tensor c is not part"):
        check(a=(2, 3), b=(4,), c=(1,))


def test_a_class_may_have_any_name(tmp_path: Path) -> None:
    codes, labels = np.zeros((2, 2)), np.array([0, 1])
    latent.scatter(tmp_path / "latent.png", r"$\x{$", codes, labels, (r"$\y{$", "plain"))
    assert (tmp_path / "latent.png").exists()


def test_curves_are_drawn(tmp_path: Path) -> None:
    columns = {
        "step": [1.0, 2.0, 3.0],
        "discriminator_loss": [1.4, 1.2, 1.0],
        "generator_loss": [0.7, 1.0, 1.5],
        "images_per_second": [10.0, 10.0, 10.0],
        "diversity": [float("nan"), 0.2, 0.6],
    }
    # No formula, though matplotlib would take it for one.
    plots.losses(tmp_path / "losses.png", r"gan in keras on folder:$\x{$", columns)
    picture = np.asarray(Image.open(tmp_path / "losses.png").convert("RGB"))
    for colour in plots.COLOURS[:3]:  # two losses and the diversity
        rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(picture.astype(int) - rgb).sum(axis=-1) < 12).sum() > 50, colour
