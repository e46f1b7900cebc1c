"""Batches: every image once in an epoch, and the same again after a restart."""

from __future__ import annotations

import numpy as np
import pytest

from common.data import Dataset, Split
from common.data.batches import CROPS, Batches, every_image, stack
from common.errors import UserError


def numbered(count: int, augment: bool = False) -> Dataset:
    """A data set whose image i is of the one colour i."""
    size = 6 if augment else 4
    images = np.broadcast_to(
        np.arange(count, dtype=np.uint8)[:, None, None, None], (count, size, size, 1)
    ).copy()
    split = Split(images, np.arange(count))
    return Dataset("numbered", ("all",), split, split, (4, 4, 1), augment)


def test_an_epoch_shows_each_image_once() -> None:
    batches = Batches(numbered(10), 4, np.random.default_rng(0))
    seen = np.concatenate([batches.next().images[:, 0, 0, 0] for _ in range(5)])
    assert sorted(seen[:10]) == list(range(10))
    assert sorted(seen[10:]) == list(range(10))
    assert list(seen[:10]) != list(seen[10:])


def test_labels_follow_their_images() -> None:
    batches = Batches(numbered(10), 3, np.random.default_rng(1))
    for _ in range(8):
        batch = batches.next()
        assert (batch.images[:, 0, 0, 0] == batch.labels).all()


def test_augmented_images_count_many_times_in_an_epoch() -> None:
    batches = Batches(numbered(4, augment=True), 16, np.random.default_rng(0))
    drawn = [batches.next().images for _ in range(4 * CROPS // 16)]
    assert drawn[0].shape == (16, 4, 4, 1)
    values, counts = np.unique(np.concatenate(drawn)[:, 0, 0, 0], return_counts=True)
    assert list(values) == [0, 1, 2, 3]
    assert set(counts) == {CROPS}


def test_batches_go_on_from_their_state() -> None:
    first = Batches(numbered(10), 4, np.random.default_rng(0))
    first.next()
    order, state = first.state()
    expected = [first.next().images for _ in range(6)]
    second = Batches(numbered(10), 4, np.random.default_rng(99))
    second.restore(order, state)
    for batch in expected:
        assert (second.next().images == batch).all()


def test_several_batches_are_stacked() -> None:
    batches = Batches(numbered(10), 4, np.random.default_rng(0))
    joined = stack([batches.next() for _ in range(3)])
    assert joined.images.shape == (3, 4, 4, 4, 1)
    assert (joined.images[..., 0, 0, 0] == joined.labels).all()
    assert joined.sources is None


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(UserError, match="only 10 training images; give at most 10"):
        Batches(numbered(10), 11, np.random.default_rng(0))


def test_every_image_of_an_epoch() -> None:
    assert (every_image(numbered(10)) == numbered(10).train.images).all()
    cropped = every_image(numbered(10, augment=True))
    assert cropped.shape == (10 * CROPS, 4, 4, 1)
    assert (np.bincount(cropped[:, 0, 0, 0]) == CROPS).all()


def test_two_orders_share_one_source_of_chance() -> None:
    """Two domains, each in an order of its own, go on from their states as if never stopped."""
    random = np.random.default_rng(0)
    pair = [Batches(numbered(count), 4, random) for count in (10, 7)]
    for batches in pair:
        batches.next()
    states = [batches.state() for batches in pair]
    expected = [batches.next().images for _ in range(6) for batches in pair]
    random = np.random.default_rng(99)
    again = [Batches(numbered(count), 4, random) for count in (10, 7)]
    for batches, state in zip(again, states, strict=True):
        batches.restore(*state)
    found = [batches.next().images for _ in range(6) for batches in again]
    for one, other in zip(expected, found, strict=True):
        assert (one == other).all()
