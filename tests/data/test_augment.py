"""Random crops, flips and quarter turns."""

import time

import numpy as np
import pytest

from common.data.augment import augment

POSITIONS = 8  # of a square: four quarter turns, each mirrored or not


def pictures(count, size):
    """Images whose every pixel is unlike the others of its image."""
    codes = np.arange(size * size, dtype=np.uint16).reshape(size, size)
    image = np.stack([codes // 256, codes % 256, np.zeros_like(codes)], axis=-1).astype(np.uint8)
    return np.tile(image, (count, 1, 1, 1))


def positions(image):
    for mirrored in (image, image[:, ::-1]):
        for turns in range(4):
            yield np.rot90(mirrored, turns)


def test_shape_type_and_input_untouched():
    images = pictures(7, 20)
    before = images.copy()
    changed, _ = augment(images, 16, np.random.default_rng(0))
    assert changed.shape == (7, 16, 16, 3)
    assert changed.dtype == np.uint8
    np.testing.assert_array_equal(images, before)


def test_all_eight_positions_are_equally_likely():
    images = pictures(4000, 6)
    changed, _ = augment(images, 6, np.random.default_rng(0))
    wanted = list(positions(images[0]))
    counts = [int((changed == want).all(axis=(1, 2, 3)).sum()) for want in wanted]
    assert sum(counts) == 4000
    assert min(counts) > 0.8 * 4000 / POSITIONS


def test_every_crop_occurs():
    images = pictures(2000, 6)
    changed, _ = augment(images, 4, np.random.default_rng(0))
    crops = {image[..., :2].astype(int).sum(axis=-1).min() for image in changed}
    assert len(crops) == 3 * 3


def test_masks_go_the_same_way():
    images = pictures(50, 20)
    masks = images[..., 1].copy()
    changed, changed_masks = augment(images, 16, np.random.default_rng(3), masks)
    np.testing.assert_array_equal(changed[..., 1], changed_masks)
    without, _ = augment(images, 16, np.random.default_rng(3))
    np.testing.assert_array_equal(changed, without)


def test_only_the_generator_decides():
    images = pictures(32, 20)
    first, _ = augment(images, 16, np.random.default_rng(5))
    np.random.seed(1)  # noqa: NPY002
    np.testing.assert_array_equal(first, augment(images, 16, np.random.default_rng(5))[0])
    assert (first != augment(images, 16, np.random.default_rng(6))[0]).any()


def test_images_differ_from_each_other():
    changed, _ = augment(pictures(64, 20), 16, np.random.default_rng(0))
    assert len({image.tobytes() for image in changed}) > 32


def test_too_small_images():
    with pytest.raises(ValueError, match="high"):
        augment(pictures(1, 8), 16, np.random.default_rng(0))


def test_fast_enough():
    images = np.zeros((64, 80, 80, 3), np.uint8)
    rng = np.random.default_rng(0)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        augment(images, 64, rng)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.01  # seconds; 0.001 where it was written
