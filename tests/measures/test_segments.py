"""Masks that are estimated from images: near the true ones, whatever the pose and the ground."""

from __future__ import annotations

import numpy as np
import pytest

from common.data import newts
from common.errors import UserError
from common.measures import segments

SIZE = 48


@pytest.fixture(scope="module")
def segment() -> segments.Segment:
    known = newts.draw(np.arange(200), SIZE)
    assert known.masks is not None
    return segments.fit(known.images, known.masks)


def test_newts_are_found_and_told_apart(segment: segments.Segment) -> None:
    unseen = newts.draw(np.arange(5000, 5060), SIZE)
    images, labels, masks = unseen.images, unseen.labels, unseen.masks
    assert masks is not None
    found = segment(images)
    assert found.shape == masks.shape
    assert found.dtype == np.uint8
    assert segments.overlap(found, masks) > 0.8
    assert segments.overlap(found, np.roll(masks, 1, axis=0)) < 0.55
    assert segments.share(found, labels + 1) > 0.95
    assert segments.share(found, 2 - labels) < 0.05
    assert (segment(images) == found).all()
    # Of another size, and moved: the neighbourhood of a pixel counts, not its place.
    moved = segment(np.roll(images, 3, axis=2)[:, 5:, 6:])
    assert (moved[:, 4:-4, 4:-4] == np.roll(found, 3, axis=2)[:, 9:-4, 10:-4]).all()


def test_without_a_newt_nothing_is_shared(segment: segments.Segment) -> None:
    ground = np.full((2, SIZE, SIZE, 3), 190, np.uint8)
    assert segments.share(segment(ground), np.array([1, 2])) < 0.01


def test_overlap_is_the_shared_part_of_either() -> None:
    first, second = np.zeros((2, 2, 4, 4), np.uint8)
    first[0, :2], second[0, 1:3] = 1, 2  # a row of three is shared
    first[1, 0], second[1, 0] = 1, 1
    assert segments.overlap(first, second) == pytest.approx((1 / 3 + 1) / 2)
    assert segments.overlap(first, first) == 1
    assert segments.overlap(first, np.zeros_like(first)) == 0
    with pytest.raises(UserError):
        segments.overlap(first, second[:1])


def test_share_is_that_of_the_newt_s_pixels() -> None:
    masks = np.zeros((3, 4, 4), np.uint8)
    masks[0, 0], masks[0, 1], masks[1, 0, 0] = 1, 2, 2
    assert segments.share(masks, np.array([1, 2, 1])) == pytest.approx((0.5 + 1 + 0) / 3)
