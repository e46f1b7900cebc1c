"""The plumbing by itself: batches, noise, images, tables, checkpoints, plots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common import checkpoint, images, metrics, plots
from common.batches import CROPS, Batches
from common.checkpoint import Checkpoint
from common.datasets.dataset import Dataset, Split
from common.errors import UserError
from common.run import uniform_noise


def numbered(count: int, augment: bool = False) -> Dataset:
    """A data set whose picture i is of the one colour i."""
    size = 6 if augment else 4
    pictures = np.broadcast_to(
        np.arange(count, dtype=np.uint8)[:, None, None, None], (count, size, size, 1)
    ).copy()
    split = Split(pictures, np.arange(count))
    return Dataset("numbered", ("all",), split, split, (4, 4, 1), augment)


def test_an_epoch_shows_each_image_once() -> None:
    batches = Batches(numbered(10), 4, np.random.default_rng(0))
    seen = np.concatenate([batches.next()[0][:, 0, 0, 0] for _ in range(5)])
    assert sorted(seen[:10]) == list(range(10))
    assert sorted(seen[10:]) == list(range(10))
    assert list(seen[:10]) != list(seen[10:])


def test_labels_follow_their_images() -> None:
    batches = Batches(numbered(10), 3, np.random.default_rng(1))
    for _ in range(8):
        pictures, labels = batches.next()
        assert (pictures[:, 0, 0, 0] == labels).all()


def test_augmented_images_count_many_times_in_an_epoch() -> None:
    batches = Batches(numbered(4, augment=True), 16, np.random.default_rng(0))
    drawn = [batches.next()[0] for _ in range(4 * CROPS // 16)]
    assert drawn[0].shape == (16, 4, 4, 1)
    values, counts = np.unique(np.concatenate(drawn)[:, 0, 0, 0], return_counts=True)
    assert list(values) == [0, 1, 2, 3]
    assert set(counts) == {CROPS}


def test_batches_go_on_from_their_state() -> None:
    first = Batches(numbered(10), 4, np.random.default_rng(0))
    first.next()
    order, state = first.state()
    expected = [first.next()[0] for _ in range(6)]
    second = Batches(numbered(10), 4, np.random.default_rng(99))
    second.restore(order, state)
    for batch in expected:
        assert (second.next()[0] == batch).all()


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(UserError, match="only 10 training images; give at most 10"):
        Batches(numbered(10), 11, np.random.default_rng(0))


def test_noise_is_uniform_below_1() -> None:
    noise = uniform_noise(np.random.default_rng(0), 200, 100)
    assert noise.dtype == np.float32
    assert noise.min() >= -1
    assert noise.max() < 1
    assert abs(noise.mean()) < 0.01
    assert noise.std() == pytest.approx(3**-0.5, abs=0.01)


@pytest.mark.parametrize(("low", "high"), [(-1, 1), (0, 1)])
def test_images_come_back_unchanged(low: float, high: float) -> None:
    levels = np.arange(256, dtype=np.uint8)
    floats = images.to_floats(levels, low, high)
    assert floats.dtype == np.float32
    assert floats[0] == low
    assert floats[-1] == high
    assert (images.to_bytes(floats, low, high) == levels).all()
    assert list(images.to_bytes(np.array([low - 1, high + 1], np.float32), low, high)) == [0, 255]


def test_a_grid_lays_images_out_by_rows() -> None:
    pictures = np.stack([np.full((4, 6, 3), value, np.uint8) for value in range(5)])
    sheet = images.grid(pictures, columns=3, border=2)
    assert sheet.shape == (2 * 6 + 2, 3 * 8 + 2, 3)
    assert (sheet[2:6, 18:24] == 2).all()
    assert (sheet[8:12, 10:16] == 4).all()
    assert (sheet[:2] == 255).all()
    assert (sheet[8:12, 18:24] == 255).all()  # no sixth image


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
    assert metrics.diversity(real, real) == pytest.approx(1)
    assert metrics.diversity(np.repeat(real[:1], 64, axis=0), real) == 0


def test_a_table_is_appended_cut_and_read(tmp_path: Path) -> None:
    table = metrics.Table(tmp_path / "metrics.csv")
    assert table.read() == {}
    for step in (1, 2, 3):
        table.append({"step": step, "loss": step / 3, "diversity": None if step < 3 else 0.5})
    table.cut(2)
    table.append({"step": 3, "loss": 1.0, "diversity": 0.25})
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert lines == ["step,loss,diversity", "1,0.333333,", "2,0.666667,", "3,1,0.25"]
    columns = table.read()
    assert columns["step"] == [1, 2, 3]
    assert np.isnan(columns["diversity"][0])


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    arrays = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3).T, "t": np.array(3)}
    about = {"model": "dcgan", "step": 7, "config": {"latent_dim": 100}}
    checkpoint.save(path, Checkpoint(arrays, about))
    read = checkpoint.load(path)
    assert read.metadata == about
    assert read.arrays["t"].shape == ()
    assert (read.arrays["a.weight"] == arrays["a.weight"]).all()


def test_a_checkpoint_names_the_first_tensor_that_does_not_fit() -> None:
    expected = {"a": np.zeros((2, 3)), "b": np.zeros(4)}
    path = Path("file")
    with pytest.raises(UserError, match=r"tensor b has shape \(5,\), this network needs \(4,\)"):
        checkpoint.check_fit(path, {"a": np.zeros((2, 3)), "b": np.zeros(5)}, expected)
    with pytest.raises(UserError, match="tensor b is missing"):
        checkpoint.check_fit(path, {"a": np.zeros((2, 3))}, expected)
    with pytest.raises(UserError, match="tensor c is not part"):
        checkpoint.check_fit(path, expected | {"c": np.zeros(1)}, expected)


def test_curves_are_drawn(tmp_path: Path) -> None:
    columns = {
        "step": [1.0, 2.0, 3.0],
        "discriminator_loss": [1.4, 1.2, 1.0],
        "generator_loss": [0.7, 1.0, 1.5],
        "images_per_second": [10.0, 10.0, 10.0],
        "diversity": [float("nan"), 0.2, 0.6],
    }
    plots.losses(tmp_path / "losses.png", "a title", columns)
    picture = np.asarray(Image.open(tmp_path / "losses.png").convert("RGB"))
    for colour in plots.COLOURS[:3]:  # two losses and the diversity
        rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(picture.astype(int) - rgb).sum(axis=-1) < 12).sum() > 50, colour
