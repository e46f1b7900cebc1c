"""Pairs: folders of the user's own, and what a run remembers of their direction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common import start
from common.data import Dataset
from common.data.tasks import Edges, Pairs
from common.errors import UserError
from common.run import Run, flags
from tests.support.little_run import SCRIPT, Bridge, Grey
from tools.library.scripts import ROOT

Colour = tuple[int, int, int]


def write(path: Path, colour: Colour, size: tuple[int, int] = (20, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def write_pairs(home: Path, count: int) -> None:
    for number in range(count):
        write(home / "source" / f"{number:02d}.png", (number, 0, 0))
        write(home / "target" / f"{number:02d}.png", (0, number, 0))


def load(path: Path | str, direction: str = "a2b") -> Dataset:
    return Pairs(direction).load(f"folder:{path}", image_size=16)


def write_joined(home: Path, first: int, count: int) -> None:
    """Pictures whose halves are red and green, of the same level."""
    for number in range(first, first + count):
        picture = Image.new("RGB", (60, 30), (number, 0, 0))
        picture.paste((0, number, 0), (30, 0, 60, 30))
        home.mkdir(parents=True, exist_ok=True)
        picture.save(home / f"{number:03d}.png")


def levels(images: np.ndarray | None, channel: int) -> list[int]:
    """Of images that are of one level in that channel, and black in the others."""
    assert images is not None
    assert np.ptp(images, axis=(1, 2)).max() == 0
    assert not np.delete(images, channel, axis=-1).any()
    return images[:, 0, 0, channel].tolist()


def refused(path: Path | str) -> str:
    with pytest.raises(UserError) as error:
        load(path)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("count", "train", "test"), [(1, 1, 1), (2, 1, 1), (9, 8, 1), (10, 9, 1), (25, 23, 2)]
)
def test_pairs_stay_together(tmp_path: Path, count: int, train: int, test: int) -> None:
    write_pairs(tmp_path, count)
    dataset = load(tmp_path)
    assert dataset.name == f"folder:{tmp_path}"
    assert dataset.class_names == ("pairs",)
    assert dataset.image_shape == (16, 16, 3)
    assert not dataset.augment
    assert (len(dataset.train), len(dataset.test)) == (train, test)
    seen = []
    for split in (dataset.train, dataset.test):
        assert split.sources is not None
        assert split.sources.shape == split.images.shape == (len(split), 16, 16, 3)
        assert split.images.dtype == split.sources.dtype == np.uint8
        assert split.labels.tolist() == [0] * len(split)
        assert split.masks is None
        assert (split.sources[..., 0] == split.images[..., 1]).all()
        assert not split.sources[..., 1:].any()
        seen += np.unique(split.images[..., 1]).tolist()
    assert sorted(set(seen)) == list(range(count))


def test_both_are_cropped_to_the_middle_alike(tmp_path: Path) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (48, 80, 3), np.uint8)
    for side in ("source", "target"):
        (tmp_path / side / "deep").mkdir(parents=True)
        Image.fromarray(levels).save(tmp_path / side / "deep" / "a.png")
    dataset = load(tmp_path)
    assert dataset.test.sources is not None
    assert (dataset.test.sources == dataset.test.images).all()
    direct = Image.fromarray(levels[:, 16:64]).resize((16, 16), Image.Resampling.LANCZOS)
    assert (dataset.test.images[0] == np.asarray(direct)).all()


def test_an_upright_photo_and_a_turned_one_are_of_the_same_size(tmp_path: Path) -> None:
    write(tmp_path / "target" / "a.jpg", (9, 9, 9), (20, 30))
    orientation = Image.Exif()
    orientation[0x0112] = 6  # to be turned by a quarter
    (tmp_path / "source").mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "source" / "a.jpg", exif=orientation)
    assert len(load(tmp_path).train) == 1


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_missing_sub_folder(tmp_path: Path, side: str) -> None:
    write_pairs(tmp_path, 2)
    (tmp_path / side).rename(tmp_path / "other")
    message = refused(tmp_path)
    assert f"folder:{tmp_path} has no sub-folder {side}" in message
    assert "source/ and target/" in message


def test_a_missing_folder(tmp_path: Path) -> None:
    assert "folder:nowhere is no folder" in refused("nowhere")
    assert "folder: is no folder" in refused("")
    (tmp_path / "source").mkdir()
    assert "has no sub-folder target" in refused(tmp_path)


@pytest.mark.parametrize(("side", "other"), [("source", "target"), ("target", "source")])
def test_a_picture_without_its_partner(tmp_path: Path, side: str, other: str) -> None:
    write_pairs(tmp_path, 3)
    (tmp_path / other / "01.png").unlink()
    message = refused(tmp_path)
    assert f"{side}/01.png has no partner" in message
    assert f"no readable picture {other}/01.png" in message
    (tmp_path / other / "02.png").unlink()
    assert f"{side}/01.png (and 1 more) has no partner" in refused(tmp_path)


def test_partners_of_different_size(tmp_path: Path) -> None:
    write_pairs(tmp_path, 2)
    write(tmp_path / "target" / "01.png", (0, 0, 0), (40, 60))
    message = refused(tmp_path)
    assert "source/01.png has 20 x 30 pixels, target/01.png 40 x 60" in message


def test_nothing_in_it(tmp_path: Path) -> None:
    for side in ("source", "target"):
        (tmp_path / side).mkdir()
    assert f"folder:{tmp_path}/source: no readable picture in it (0 other files)" in refused(
        tmp_path
    )


def test_what_is_no_picture_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_pairs(tmp_path, 2)
    (tmp_path / "source" / "notes.txt").write_text("mine")
    assert len(load(tmp_path).train) == 1
    assert "notes.txt" in capsys.readouterr().err


def test_other_data_sets_have_no_pairs() -> None:
    with pytest.raises(UserError, match=r"--dataset newts has no pairs; choose facades, maps, .*"):
        Pairs().load("newts", image_size=16)


def test_other_tasks_take_both_folders_as_classes(tmp_path: Path) -> None:
    write_pairs(tmp_path, 5)
    dataset = Edges().load(f"folder:{tmp_path}", image_size=16)
    assert dataset.class_names == ("source", "target")
    assert len(dataset.train) == 8
    assert dataset.train.sources is None


# Both images of a pair in one picture.


@pytest.mark.parametrize(("direction", "source"), [("a2b", 0), ("b2a", 1)])
def test_halves_of_a_picture_are_a_pair(tmp_path: Path, direction: str, source: int) -> None:
    write_joined(tmp_path, 1, 10)
    dataset = load(tmp_path, direction)
    assert dataset.image_shape == (16, 16, 3)
    for split, numbers in ((dataset.train, [*range(1, 10)]), (dataset.test, [10])):
        assert levels(split.sources, source) == numbers
        assert levels(split.images, 1 - source) == numbers


@pytest.mark.parametrize(
    ("folders", "train", "test"),
    [
        (("train", "test", "val"), [1, 2, 3], [11, 12, 13]),
        (("train", "val"), [1, 2, 3], [11, 12, 13]),
        (("test", "val"), [1, 2, 3, 11, 12], [13]),
        (("train",), [1, 2], [3]),
    ],
)
def test_folders_of_pairs_are_splits(
    tmp_path: Path, folders: tuple[str, ...], train: list[int], test: list[int]
) -> None:
    for place, name in enumerate(folders):
        write_joined(tmp_path / name, 1 + 10 * place, 3)
    dataset = load(tmp_path)
    assert levels(dataset.train.sources, 0) == levels(dataset.train.images, 1) == train
    assert levels(dataset.test.sources, 0) == levels(dataset.test.images, 1) == test


@pytest.mark.parametrize(("direction", "source"), [("a2b", 0), ("b2a", 1)])
def test_either_folder_can_be_the_source(tmp_path: Path, direction: str, source: int) -> None:
    write_pairs(tmp_path, 3)
    split = load(tmp_path, direction).train
    assert levels(split.sources, source) == levels(split.images, 1 - source) == [0, 1]


def test_a_picture_that_is_not_twice_as_wide_as_high(tmp_path: Path) -> None:
    write_joined(tmp_path, 1, 2)
    Image.new("RGB", (61, 30)).save(tmp_path / "odd.png")
    message = refused(tmp_path)
    assert f"folder:{tmp_path}: odd.png has 61 x 30 pixels; both images of a pair" in message
    assert "put pictures there that hold both images" in message
    (tmp_path / "odd.png").unlink()
    write_joined(tmp_path / "train", 1, 2)
    write(tmp_path / "test" / "deep" / "square.png", (0, 0, 0), (30, 30))
    message = refused(tmp_path)
    assert f"folder:{tmp_path}/test: deep/square.png has 30 x 30 pixels" in message


def test_each_half_is_resized_by_itself(tmp_path: Path) -> None:
    """Nothing of one half may bleed into the other."""
    levels = np.random.default_rng(0).integers(0, 256, (48, 96, 3), np.uint8)
    Image.fromarray(levels).save(tmp_path / "a.png")
    split = load(tmp_path).train
    assert split.sources is not None
    for half, found in ((levels[:, :48], split.sources), (levels[:, 48:], split.images)):
        alone = Image.fromarray(half).resize((16, 16), Image.Resampling.LANCZOS)
        assert (found[0] == np.asarray(alone)).all()


# The direction, which belongs to a run.


PIX2PIX, CYCLEGAN = (
    start.read(ROOT / "pytorch" / f"{model}.py")[0] for model in ("pix2pix", "cyclegan")
)


def make(arguments: str) -> Run:
    small = ["--image-size", "32", "--batch-size", "2", "--out", "run"]
    run = Run(PIX2PIX, SCRIPT, "A model.", [*small, *arguments.split()])
    run.connect(Bridge(), {"net": {"w": np.zeros(3)}}, {"net": {"m": np.zeros(3)}}, Grey())
    return run


def test_a_run_keeps_its_direction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_joined(tmp_path / "mine", 1, 4)
    run = make("--task pairs --dataset folder:mine --direction b2a --steps 0")
    assert levels(run.data.train.sources, 1) == levels(run.data.train.images, 0) == [1, 2, 3]
    assert list(run.batches()) == []
    again = "--from run/checkpoint.safetensors --generate"
    for arguments in ("--resume", "--resume --direction b2a", again, f"{again} --direction b2a"):
        later = make(arguments)
        assert (later.config.task, later.config.direction) == ("pairs", "b2a")
        assert levels(later.data.test.sources, 1) == [4]
        later.folder.unlock()
    for arguments in ("--resume", again):
        with pytest.raises(UserError, match="--direction a2b: the checkpoint was made with b2a"):
            make(f"{arguments} --direction a2b")


def test_only_pairs_have_two_directions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    message = "--direction b2a and --task edges contradict each other"
    with pytest.raises(UserError, match=message):
        Edges("b2a")
    with pytest.raises(UserError, match=message):  # before a framework is imported
        flags.fill(PIX2PIX, {"task": "edges", "direction": "b2a"}, {})
    assert flags.fill(PIX2PIX, {"direction": "a2b"}, {}).direction == "a2b"
    assert list(tmp_path.iterdir()) == []


def test_a_direction_without_a_default_is_for_generate_alone() -> None:
    assert "direction" in PIX2PIX.architecture()
    assert "direction" not in CYCLEGAN.architecture()
    with pytest.raises(UserError, match="--direction needs --generate and --from FILE"):
        flags.fill(CYCLEGAN, {"direction": "a2b"}, {})
    generating = {"direction": "b2a", "generate": 1, "from_": "a"}
    assert flags.fill(CYCLEGAN, generating, {}).direction == "b2a"
