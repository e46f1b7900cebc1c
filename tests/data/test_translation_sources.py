"""What image-to-image models translate from, made from data sets and from the user's pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.data import Dataset, Split, newts
from common.data.inputs import read_inputs
from common.data.sources import MASK_COLOURS
from common.data.tasks import Colorization, Edges, Pairs, Segmentation, Task, Translation
from common.errors import UserError

COLOURS = MASK_COLOURS.tolist()


def dataset(train: Split, augment: bool = False) -> Dataset:
    size = train.images.shape[1]
    shape = (size, size, train.images.shape[-1])
    return Dataset("some", ("one",), train, train, shape, augment)


def split(images: np.ndarray, masks: np.ndarray | None = None) -> Split:
    return Split(images, np.zeros(len(images), np.int64), masks)


def noise(count: int, size: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, channels), np.uint8)


def half(left: tuple[int, ...], right: tuple[int, ...], size: int = 16) -> np.ndarray:
    """An image of two colours."""
    image = np.empty((size, size, 3), np.uint8)
    image[:, : size // 2], image[:, size // 2 :] = left, right
    return image


def test_segmentation_shows_masks_in_colours() -> None:
    masks = np.random.default_rng(1).integers(0, 3, (5, 8, 8), np.uint8)
    sources = Segmentation().make_sources(split(noise(5, 8), masks))
    assert sources.dtype == np.uint8
    assert sources.shape == (5, 8, 8, 3)
    for value, colour in enumerate(COLOURS):
        assert (sources[masks == value] == colour).all()


def test_colorization_keeps_the_brightness_alone() -> None:
    image = half((255, 0, 0), (255, 255, 255))[np.newaxis]
    source = Colorization().make_sources(split(image))
    assert source.dtype == np.uint8
    assert source.shape == image.shape
    assert (source[0, :, :8] == 76).all()  # 0.299 * 255
    assert (source[0, :, 8:] == 255).all()


def test_edges_are_dark_and_flat_ground_is_white() -> None:
    source = Edges().make_sources(split(half((40, 40, 40), (200, 200, 200))[np.newaxis]))[0]
    assert source.dtype == np.uint8
    assert source.shape == (16, 16, 3)
    assert (source[:, 7:9] == 0).all()
    assert (source[:, :3] == 255).all()
    assert (source[:, -3:] == 255).all()


def test_pairs_are_as_they_are() -> None:
    everything = Split(noise(2, 8), np.zeros(2, np.int64), sources=noise(2, 8)[::-1])
    assert Pairs().make_sources(everything) is everything.sources


@pytest.mark.parametrize("task", [Segmentation(), Colorization(), Edges()])
def test_newts_serve_every_task_but_pairs(task: Translation) -> None:
    data = newts.load(32)
    task.check(data)
    part = data.test.take(slice(3))
    assert task.make_sources(part).shape == part.images.shape


@pytest.mark.parametrize(
    ("task", "channels", "message"),
    [
        (Segmentation(), 3, "some has no masks (newts and imori have)"),
        (Colorization(), 1, "--task colorization: the images of some have no colours"),
        (Edges(), 1, "--task edges: the images of some have no colours"),
    ],
)
def test_a_data_set_that_does_not_serve(task: Translation, channels: int, message: str) -> None:
    with pytest.raises(UserError) as error:
        task.check(dataset(split(noise(2, 8, channels))))
    assert message in str(error.value)


def test_masks_follow_their_images_through_augmentation() -> None:
    masks = np.random.default_rng(2).integers(0, 3, (4, 20, 20), np.uint8)
    images = np.repeat((masks * 100)[..., np.newaxis], 3, axis=-1)
    data = dataset(split(images, masks), augment=True)
    task = Segmentation()
    batches = task.make_batches(data, 8, np.random.default_rng(0))
    small = task.make_batches(
        Dataset("some", ("one",), data.train, data.test, (16, 16, 3), augment=True),
        8,
        np.random.default_rng(0),
    )
    for each, size in ((batches, 20), (small, 16)):
        batch = each.next()
        assert batch.sources is not None
        assert batch.sources.shape == (8, size, size, 3)
        assert (batch.sources == MASK_COLOURS[batch.images[..., 0] // 100]).all()


def test_the_kind_of_ground_is_in_the_label_map() -> None:
    masks = np.random.default_rng(2).integers(0, 3, (5, 8, 8), np.uint8)
    known = Split(noise(5, 8), np.zeros(5, np.int64), masks, grounds=np.arange(5, dtype=np.uint8))
    for source, mask, ground in zip(
        Segmentation().make_sources(known), masks, MASK_COLOURS[3:], strict=True
    ):
        assert (source[mask == 0] == ground).all()
        assert (source[mask == 1] == MASK_COLOURS[1]).all()
        assert (source[mask == 2] == MASK_COLOURS[2]).all()
    unknown = Segmentation().make_sources(split(known.images, masks))
    assert (unknown[masks == 0] == 0).all()


def test_newts_lie_on_the_ground_that_their_label_map_says() -> None:
    drawn = newts.draw(np.arange(300), 16)
    assert drawn.masks is not None
    assert drawn.grounds is not None
    sources = Segmentation().make_sources(drawn)
    for ground, colour in zip(newts.GROUNDS, MASK_COLOURS[3:], strict=True):
        there = (sources == colour).all(axis=-1)
        assert there.mean() > 0.1
        seen = drawn.images[there].mean(axis=0) / ground.mean(axis=0)
        assert np.ptp(seen) < 0.02, "the ground's hue is not the one that the map names"


def test_other_sources_are_made_after_augmentation() -> None:
    data = dataset(split(noise(4, 20), np.zeros((4, 20, 20), np.uint8)), augment=True)
    batch = Edges().make_batches(data, 8, np.random.default_rng(0)).next()
    wanted = Edges().make_sources(split(batch.images))
    assert batch.sources is not None
    assert (batch.sources == wanted).all()


def test_without_a_task_there_are_no_sources() -> None:
    data = dataset(split(noise(4, 8)))
    assert Task().make_batches(data, 2, np.random.default_rng(0)).next().sources is None


def test_a_fingerprint_sees_masks_sources_and_grounds() -> None:
    images, masks = noise(2, 8), np.zeros((2, 8, 8), np.uint8)
    labels = np.zeros(2, np.int64)
    prints = {
        dataset(Split(images, labels, *rest)).fingerprint()
        for rest in (
            (),
            (masks,),
            (masks + 1,),
            (None, images),
            (None, images[::-1]),
            (None, None, masks[:, 0, 0]),
        )
    }
    assert len(prints) == 6


# What --input names.


def read_masks(path: str, size: int) -> dict[str, np.ndarray]:
    return read_inputs(path, size, Segmentation().read_input)


def test_a_palette_picture_is_a_mask_by_index(tmp_path: Path) -> None:
    indices = np.random.default_rng(3).integers(0, 3, (16, 16), np.uint8)
    mask = Image.fromarray(indices, "P")
    mask.putpalette([9, 8, 7] * 256)  # the colours do not count
    mask.save(tmp_path / "mask.png")
    Image.fromarray(indices, "L").save(tmp_path / "grey.png")
    named = read_masks(str(tmp_path), 16)
    assert sorted(named) == ["grey", "mask"]
    for source in named.values():
        assert (source == MASK_COLOURS[indices]).all()


def test_another_picture_becomes_a_mask_by_its_colours(tmp_path: Path) -> None:
    near = np.clip(MASK_COLOURS.astype(int) + np.array([30, -20, 25]), 0, 255).astype(np.uint8)
    Image.fromarray(half(tuple(near[1]), tuple(near[2]))).save(tmp_path / "a.png")
    # More colours than classes: the indices mean nothing.
    Image.fromarray(half(tuple(near[0]), tuple(near[2]))).quantize(8).save(tmp_path / "b.png")
    Image.fromarray(half((0, 0, 0), (0, 0, 0))).convert("P").point(lambda _: 7, "P").save(
        tmp_path / "c.png"
    )
    named = read_masks(str(tmp_path / "a.png"), 16)
    assert (named["a"] == half(COLOURS[1], COLOURS[2])).all()
    for name in ("b", "c"):
        source = read_masks(str(tmp_path / f"{name}.png"), 16)[name]
        assert set(map(tuple, source.reshape(-1, 3))) <= set(map(tuple, COLOURS))


def test_a_mask_is_cropped_and_resized_without_new_classes(tmp_path: Path) -> None:
    indices = np.zeros((40, 60), np.uint8)
    indices[:, 30:] = 2
    mask = Image.fromarray(indices, "P")
    mask.putpalette(range(9))
    mask.save(tmp_path / "mask.png")
    source = read_masks(str(tmp_path / "mask.png"), 16)["mask"]
    assert (source == half(COLOURS[0], COLOURS[2])).all()


@pytest.mark.parametrize("task", [Colorization(), Edges(), Pairs()])
def test_a_photo_becomes_a_source(tmp_path: Path, task: Translation) -> None:
    image = noise(1, 24)
    Image.fromarray(image[0]).save(tmp_path / "photo.png")
    source = read_inputs(str(tmp_path / "photo.png"), 24, task.read_input)["photo"]
    wanted = image if isinstance(task, Pairs) else task.make_sources(split(image))
    assert (source == wanted[0]).all()


def test_names_stay_apart(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("a.png", "deep/a.png"):
        Image.fromarray(noise(1, 8)[0]).save(tmp_path / name)
    named = read_inputs(str(tmp_path), 8, Pairs().read_input)
    assert list(named) == ["a", "deep/a"]
    Image.fromarray(noise(1, 8)[0]).save(tmp_path / "a.bmp")
    named = read_inputs(str(tmp_path), 8, Pairs().read_input)
    assert list(named) == ["a.bmp", "a.png", "deep/a.png"]


def test_input_that_cannot_be_translated(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("no picture")
    Image.fromarray(noise(1, 64)[0]).save(tmp_path / "whole.png")
    broken = tmp_path / "broken.png"
    broken.write_bytes((tmp_path / "whole.png").read_bytes()[:500])
    (tmp_path / "whole.png").unlink()
    for path, message in (
        (tmp_path / "nothing.png", "there is no such file or folder"),
        (tmp_path / "text.txt", "it is not a picture"),
        (broken, "cannot be read ("),
        (tmp_path, "no readable picture in it (2 other files"),
    ):
        with pytest.raises(UserError) as error:
            read_inputs(str(path), 8, Edges().read_input)
        assert str(error.value).startswith(f"--input {path}: ")
        assert message in str(error.value)
        assert "give a picture (JPEG, PNG, …) or a folder of pictures" in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="no such file"):
        read_inputs("", 8, Edges().read_input)
