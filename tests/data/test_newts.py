"""Newts: the same picture however it is asked for, of the class it says, where its mask says."""

from __future__ import annotations

import numpy as np
import pytest

from common.data import newts


def draw(indices: np.ndarray, size: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Images, labels and masks."""
    return newts.draw(indices, size, seed).arrays()[:3]  # type: ignore[return-value]


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, ...]:
    return draw(np.arange(200), 64)


def largest_part(mask: np.ndarray) -> int:
    """Pixels in the largest connected part: each part is flooded from its first pixel."""
    best, left = 0, mask.copy()
    while left.any():
        reached = np.zeros_like(left)
        reached[tuple(np.argwhere(left)[0])] = True
        while True:
            grown = reached.copy()
            grown[1:] |= reached[:-1]
            grown[:-1] |= reached[1:]
            grown[:, 1:] |= reached[:, :-1]
            grown[:, :-1] |= reached[:, 1:]
            grown &= left
            if (grown == reached).all():
                break
            reached = grown
        best = max(best, int(reached.sum()))
        left &= ~reached
    return best


def widened(masks: np.ndarray, times: int) -> np.ndarray:
    """Masks (N, H, W) with this many more pixels on every side."""
    for _ in range(times):
        grown = masks.copy()
        grown[:, 1:] |= masks[:, :-1]
        grown[:, :-1] |= masks[:, 1:]
        grown[:, :, 1:] |= masks[:, :, :-1]
        grown[:, :, :-1] |= masks[:, :, 1:]
        masks = grown
    return masks


def mean_where(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Each picture's mean over the pixels that a mask marks, (N, H, W) -> (N,)."""
    return (values * where).sum(axis=(1, 2)) / where.sum(axis=(1, 2))


def test_shapes_and_types(drawn: tuple[np.ndarray, ...]) -> None:
    images, labels, masks = drawn
    assert (images.shape, images.dtype) == ((200, 64, 64, 3), np.uint8)
    assert (labels.shape, labels.dtype) == ((200,), np.int64)
    assert (masks.shape, masks.dtype) == ((200, 64, 64), np.uint8)


def test_a_picture_depends_on_seed_and_number_alone(drawn: tuple[np.ndarray, ...]) -> None:
    order = np.array([150, 3, 3, 77])
    for whole, part in zip(drawn, draw(order, 64), strict=True):
        assert (whole[order] == part).all()
    assert (draw(order, 64, seed=1)[0] != drawn[0][order]).any(axis=(1, 2, 3)).all()


def test_no_two_pictures_are_alike(drawn: tuple[np.ndarray, ...]) -> None:
    assert len({image.tobytes() for image in drawn[0]}) == 200


def test_classes_are_equally_frequent() -> None:
    _, labels, _ = draw(np.arange(2000), 8)
    assert abs(labels.mean() - 0.5) < 0.04  # three and a half standard errors


def test_masks_hold_one_whole_newt_of_its_class(drawn: tuple[np.ndarray, ...]) -> None:
    _, labels, masks = drawn
    for label, mask in zip(labels, masks, strict=True):
        assert set(np.unique(mask)) == {0, label + 1}
        newt = mask > 0
        assert 0.08 < newt.mean() < 0.4
        assert largest_part(newt) > 0.97 * newt.sum()


def test_colours_are_those_of_the_class(drawn: tuple[np.ndarray, ...]) -> None:
    """Inside the mask: akahara shows red, madara green; both are darker than their ground."""
    images, labels, masks = drawn
    red, green, _ = np.moveaxis(images.astype(int), -1, 0)
    newt = masks > 0
    reddish = (red > 1.8 * green) & (red > 110) & newt
    greenish = (green > 1.4 * red) & (green > 110) & newt
    area = newt.sum(axis=(1, 2))
    for mark, own in ((reddish, labels == 0), (greenish, labels == 1)):
        share = mark.sum(axis=(1, 2)) / area
        assert share[own].min() > 0.08
        assert share[~own].max() < 0.08
    grey = images.mean(axis=-1)
    assert (mean_where(grey, newt) < mean_where(grey, ~newt)).all()


def test_eyes_are_seen_where_there_is_room() -> None:
    """The iris is the only pale yellow: neither marking, ground nor stripe passes for it."""
    images, _, masks = draw(np.arange(40), 128)
    red, green, blue = np.moveaxis(images.astype(int), -1, 0)
    pale = (red > 170) & (green > 150) & (blue > 80) & (red > green) & (green > blue + 40)
    assert (pale & (masks > 0)).sum(axis=(1, 2)).min() >= 4


def test_ground_varies_and_is_textured_and_shaded(drawn: tuple[np.ndarray, ...]) -> None:
    images, _, masks = drawn
    newt = masks > 0
    near, far = widened(newt, 1) & ~newt, ~widened(newt, 8)
    grey = images.mean(axis=-1)
    assert (mean_where(grey, near) < 0.8 * mean_where(grey, far)).all()  # the shadow
    assert min(picture[ground].std() for picture, ground in zip(grey, far, strict=True)) > 6
    colours = np.stack([mean_where(images[..., channel], far) for channel in range(3)])
    assert (colours.std(axis=1) > 12).all()  # one kind of ground alone gives 6 to 9


def test_edges_are_smooth() -> None:
    """On the outline a pixel is the mean of the sixteen that it is at four times the size."""
    images, _, _ = draw(np.arange(40), 64)
    fine_images, _, fine_masks = draw(np.arange(40), 256)
    means = fine_images.reshape(40, 64, 4, 64, 4, 3).mean(axis=(2, 4))
    cover = (fine_masks > 0).reshape(40, 64, 4, 64, 4).mean(axis=(2, 4))
    outline = (cover > 0.2) & (cover < 0.8)
    assert np.abs(means - images)[outline].mean() < 9  # hard edges give 18


def test_the_same_newt_at_another_size(drawn: tuple[np.ndarray, ...]) -> None:
    _, labels, masks = drawn
    _, small_labels, small_masks = draw(np.arange(200), 32)
    assert (labels == small_labels).all()
    large = (masks > 0).reshape(200, 32, 2, 32, 2).mean(axis=(2, 4)) > 0.5
    small = small_masks > 0
    overlap = (large & small).sum(axis=(1, 2)) / (large | small).sum(axis=(1, 2))
    assert overlap.min() > 0.7
    assert overlap.mean() > 0.85


def test_poses_vary(drawn: tuple[np.ndarray, ...]) -> None:
    """The silhouettes of two newts share less than the same newt at two sizes."""
    newt = drawn[2] > 0
    overlap = (newt[:-1] & newt[1:]).sum(axis=(1, 2)) / (newt[:-1] | newt[1:]).sum(axis=(1, 2))
    assert overlap.mean() < 0.5


def test_newts_are_long_and_bent(drawn: tuple[np.ndarray, ...]) -> None:
    """The middle line of the newt spans the picture and is no straight line."""
    rows, arches = np.arange(64), []
    for newt in drawn[2] > 0:
        columns = np.flatnonzero(newt.any(axis=0))
        assert np.ptp(columns) > 0.7 * 64  # tailless ones span 0.55 to 0.7
        middle = rows @ newt[:, columns] / newt[:, columns].sum(axis=0)
        arches.append(np.polyfit(columns / 32 - 1, middle / 32 - 1, 2)[0])
    assert np.std(arches) > 0.1  # straight spines give 0.05


def test_loading_gives_what_is_drawn() -> None:
    data, some = newts.load(16), 100
    for split, first in ((data.train, 0), (data.test, newts.TRAIN_SIZE)):
        images, labels, masks = draw(np.arange(first, first + some), 16)
        assert split.masks is not None
        assert (split.images[:some] == images).all()
        assert (split.labels[:some] == labels).all()
        assert (split.masks[:some] == masks).all()
        assert len(split.images) == len(split.labels) == len(split.masks)
        assert abs(split.labels.mean() - 0.5) < 0.08  # three and a half standard errors of 512


def test_splits_are_apart() -> None:
    data = newts.load(16)
    assert data.image_shape == (16, 16, 3)
    assert data.class_names == ("akahara", "madara")
    assert len(data.train) == newts.TRAIN_SIZE
    assert len(data.test) == newts.TEST_SIZE
    train = {image.tobytes() for image in data.train.images}
    assert not any(image.tobytes() in train for image in data.test.images)
    assert data.fingerprint() == newts.load(16).fingerprint()


def test_a_newt_as_the_other_kind() -> None:
    """In place and pose and on its ground, in the other skin."""
    own, other = (newts.draw(np.arange(60), 64, other_kind=kind) for kind in (False, True))
    assert (own.labels == 1 - other.labels).all()
    assert own.masks is not None
    assert other.masks is not None
    assert ((own.masks > 0) == (other.masks > 0)).all()
    assert (own.grounds == other.grounds).all()
    ground = ~widened(own.masks > 0, 2)
    same = own.images[ground] == other.images[ground]
    assert same.mean() > 0.999, "all but the tip of a tail that is thinner than a pixel"
    skin = own.masks > 0
    assert np.abs(own.images[skin].astype(int) - other.images[skin]).mean() > 40
