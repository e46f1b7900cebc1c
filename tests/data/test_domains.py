"""Two domains without pairs: folders, batches in which each is shuffled by itself, and the pool."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.data import Data, Dataset, Domains, Split, Task
from common.data.batches import CROPS, Batches, DomainBatches
from common.data.domains import divide
from common.data.pool import ImagePool
from common.data.tasks import Edges
from common.errors import UserError
from common.pictures import DomainTranslations

PLACES = {"a": 0, "b": 100}  # where the levels of a domain begin


def write(path: Path, level: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 30), (level, level, level)).save(path)


def write_domains(home: Path, **counts: int) -> None:
    """Pictures of one grey level each, from 0 on in a/, from 100 on in b/."""
    for name, count in counts.items():
        for number in range(count):
            write(home / name / f"{number:02d}.png", PLACES[name] + number)


def load(path: Path | str) -> Dataset:
    return Domains().load(f"folder:{path}", image_size=16)


def refused(path: Path | str) -> str:
    with pytest.raises(UserError) as error:
        load(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def levels(images: np.ndarray | None) -> list[int]:
    assert images is not None
    return images[:, 0, 0, 0].tolist()


def make_domains(first: int, second: int, augment: bool = False) -> Dataset:
    """Images of domain a are of the levels 0, 1, …, those of b of 100, 101, …, in turn."""
    labels = np.array([0, 1] * max(first, second))
    numbers = np.arange(len(labels)) // 2
    kept = numbers < np.where(labels, second, first)
    labels, numbers = labels[kept], numbers[kept]
    size = 6 if augment else 4
    images = np.zeros((len(labels), size, size, 3), np.uint8)
    images[:] = (100 * labels + numbers)[:, None, None, None]
    split = Split(images, labels)
    return Dataset("twofold", ("one", "other"), split, split, (4, 4, 3), augment)


# Folders.


def test_each_domain_of_a_folder_is_split_by_itself(tmp_path: Path) -> None:
    """With the classes' own split, the few pictures of b would all be for training."""
    write_domains(tmp_path, a=20, b=3)
    dataset = load(tmp_path)
    assert dataset.name == f"folder:{tmp_path}"
    assert dataset.class_names == ("a", "b")
    assert dataset.image_shape == (16, 16, 3)
    assert not dataset.augment
    assert [levels(part.images) for part in divide(dataset.test)] == [[9, 19], [102]]
    a, b = divide(dataset.train)
    assert levels(a.images) == [number for number in range(20) if number not in (9, 19)]
    assert levels(b.images) == [100, 101]
    assert dataset.train.images.dtype == np.uint8
    assert dataset.train.labels.dtype == np.int64


@pytest.mark.parametrize(("there", "missing"), [("a", "b"), ("b", "a")])
def test_a_missing_domain(tmp_path: Path, there: str, missing: str) -> None:
    write_domains(tmp_path, **{there: 2})
    assert f"folder:{tmp_path} has no sub-folder {missing}; give" in refused(tmp_path)
    (tmp_path / missing).mkdir()
    assert f"folder:{tmp_path}/{missing}: no readable picture in it" in refused(tmp_path)


def test_a_missing_folder() -> None:
    assert "folder:nowhere has no sub-folder a" in refused("nowhere")
    assert "has no sub-folder a" in refused("")


def test_data_sets_of_two_classes_are_domains() -> None:
    newts = Domains().load("newts", image_size=16)
    assert newts.class_names == ("akahara", "madara")
    for split in (newts.train, newts.test):
        a, b = divide(split)
        assert len(a) + len(b) == len(split)
        assert min(len(a), len(b)) > len(split) // 3
        assert set(a.labels) == {0}
        assert set(b.labels) == {1}
        assert b.masks is not None


def test_other_numbers_of_classes_are_refused() -> None:
    with pytest.raises(UserError, match=r"--dataset digits: it has 10 classes, and two domains"):
        Domains().load("digits")
    whole = make_domains(3, 3)
    lacking = whole.test.take(whole.test.labels == 0)
    with pytest.raises(UserError, match="too few images of other"):
        Domains().check(replace(whole, test=lacking))


# Batches.


def test_an_epoch_of_each_domain_shows_each_of_its_images_once() -> None:
    batches = DomainBatches(make_domains(12, 8), 4, np.random.default_rng(0))
    drawn = [batches.next() for _ in range(6)]
    first = [level for batch in drawn for level in levels(batch.sources)]
    second = [level for batch in drawn for level in levels(batch.images)]
    for start in (0, 12):
        assert sorted(first[start : start + 12]) == list(range(12))
    for start in (0, 8, 16):
        assert sorted(second[start : start + 8]) == list(range(100, 108))
    assert first[:12] != first[12:]
    assert [level - 100 for level in second[:8]] != first[:8]  # no pairs
    assert all((batch.labels == 1).all() for batch in drawn)


def test_domains_go_on_from_their_state() -> None:
    first = DomainBatches(make_domains(10, 7), 4, np.random.default_rng(0))
    first.next()
    order, state = first.state()
    assert order.shape == (17,)
    expected = [first.next() for _ in range(6)]
    random = np.random.default_rng(99)
    second = DomainBatches(make_domains(10, 7), 4, random)
    second.restore(order, state)
    for batch in expected:
        found = second.next()
        assert (found.images == batch.images).all()
        assert (found.sources == batch.sources).all()
    assert random.random() == first.parts[0].random.random()


def test_few_images_are_augmented_in_each_domain() -> None:
    batches = DomainBatches(make_domains(2, 1, augment=True), 2, np.random.default_rng(0))
    drawn = [batches.next() for _ in range(CROPS)]
    assert drawn[0].sources is not None
    assert drawn[0].images.shape == drawn[0].sources.shape == (2, 4, 4, 3)
    counts = np.bincount(np.concatenate([levels(batch.sources) for batch in drawn]))
    assert counts.tolist() == [CROPS, CROPS]


def test_a_batch_larger_than_a_domain_is_refused() -> None:
    message = "--batch-size 5: domain b of twofold has only 4 training images; give at most 4"
    with pytest.raises(UserError, match=message):
        DomainBatches(make_domains(12, 4), 5, np.random.default_rng(0))


def test_the_task_chooses_the_batches() -> None:
    dataset, random = make_domains(4, 4), np.random.default_rng(0)
    assert isinstance(Domains().make_batches(dataset, 2, random), DomainBatches)
    assert Edges().make_batches(dataset, 2, random).next().sources is not None
    assert type(Task().make_batches(dataset, 2, random)) is Batches


# The pool.


def test_a_pool_shows_new_images_until_it_is_full() -> None:
    pool = ImagePool(5, np.random.default_rng(0))
    before = pool.random.bit_generator.state
    for start in (0, 3):
        images = np.arange(start, start + 2.0)
        assert (pool.swap(images) == images).all()
    assert pool.random.bit_generator.state == before
    assert [float(image) for image in pool.images] == [0, 1, 3, 4]


def test_half_of_the_images_are_older_ones_each_shown_once() -> None:
    """And then never again, for the new one has its place."""
    count, size = 4000, 50
    pool = ImagePool(size, np.random.default_rng(0))
    pool.swap(np.arange(size) - size)
    shown = np.concatenate([pool.swap(np.arange(n, n + 2)) for n in range(0, count, 2)])
    older = shown < np.arange(count)
    assert abs(older.mean() - 0.5) < 0.03
    values, counts = np.unique(shown, return_counts=True)
    assert counts.max() == 1
    assert len(values) == count
    assert len(pool.images) == size
    # What is swapped out has waited for 2 x 50 images on average.
    assert 80 < (np.arange(count) - shown)[older].mean() < 120


def test_a_pool_of_none_is_no_pool() -> None:
    pool = ImagePool(0, np.random.default_rng(0))
    images = np.arange(4.0)
    assert pool.swap(images) is images
    assert pool.state() == {}


def test_a_pool_goes_on_from_its_state() -> None:
    pools = [ImagePool(3, np.random.default_rng(seed)) for seed in (0, 1)]
    images = np.random.default_rng(2).normal(size=(9, 2, 4, 4, 3))
    for batch in images[:4]:
        pools[0].swap(batch)
    state = pools[0].state()
    assert state["images"].shape == (3, 4, 4, 3)
    pools[1].restore(state)
    pools[1].random.bit_generator.state = pools[0].random.bit_generator.state
    for batch in images[4:]:
        assert (pools[0].swap(batch) == pools[1].swap(batch)).all()
    pools[1].restore({})  # of a run from before its first step
    assert pools[1].images == []


# Pictures.


class Known(Data):
    """A data set that is there already."""

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(dataset.name, task=Domains())
        self.dataset = dataset  # type: ignore[misc]


def translate(given: np.ndarray, direction: str) -> tuple[np.ndarray, np.ndarray]:
    """100 levels up or down; back, one level is lost."""
    made = given + 100 if direction == "a2b" else given - 100
    return made, given + 1


def make_pictures(folder: Path, path: str | None = None, direction: str | None = None):
    known = Known(make_domains(9, 9))
    return DomainTranslations(known, translate, path, direction, folder)


def read_grid(picture: np.ndarray, columns: int) -> list[list[int]]:
    """The levels of a grid's images, which are shown with 32 pixels a side, row by row."""
    rows = (len(picture) - 2) // 34
    assert picture.shape == (34 * rows + 2, 34 * columns + 2, 3)
    return [[int(picture[34 * y + 9, 34 * x + 9, 0]) for x in range(columns)] for y in range(rows)]


def test_a_row_shows_both_directions_there_and_back(tmp_path: Path) -> None:
    picture, figures = make_pictures(tmp_path).draw()
    assert figures == {}
    rows = read_grid(picture, 6)
    assert len(rows) == 8
    for a, as_b, back, b, as_a, again in rows:
        assert a < 100 <= b
        assert (as_b, back, as_a, again) == (a + 100, a + 1, b - 100, b + 1)
    again, _ = make_pictures(tmp_path).draw()
    assert (again == picture).all()


def test_the_first_test_images_are_generated(tmp_path: Path) -> None:
    rows = read_grid(make_pictures(tmp_path).generate(2), 6)
    assert rows == [[0, 100, 1, 100, 0, 101], [1, 101, 2, 101, 1, 102]]
    one_way = make_pictures(tmp_path, direction="b2a").generate(2)
    assert read_grid(one_way, 3) == [[100, 0, 101], [101, 1, 102]]
    with pytest.raises(UserError, match="twofold has only 9 test images of a domain"):
        make_pictures(tmp_path).generate(10)


def test_the_user_s_own_picture_needs_a_direction(tmp_path: Path) -> None:
    write(tmp_path / "mine.png", 7)
    path = str(tmp_path / "mine.png")
    with pytest.raises(UserError, match="give the direction, --direction a2b or b2a"):
        make_pictures(tmp_path, path).generate(1)
    picture = make_pictures(tmp_path / "run", path, "a2b").generate(1)
    assert read_grid(picture, 3) == [[7, 107, 8]]
    with Image.open(tmp_path / "run" / "generated" / "mine.png") as single:
        assert (np.asarray(single) == 107).all()
