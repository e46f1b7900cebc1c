"""The measures: closed forms, naive versions of their formulas, known cases, and refusals."""

from __future__ import annotations

import numpy as np
import pytest

from common.data import newts
from common.errors import UserError
from common.measures import checks, features, frechet, kernel, neighbours, sliced
from common.measures.features import DIMENSIONS, extract
from common.measures.frechet import frechet_distance
from common.measures.kernel import kernel_distance
from common.measures.neighbours import nearest, precision_and_recall
from common.measures.path_length import STEP, path_length
from common.measures.similarity import (
    absolute_error,
    peak_signal_to_noise,
    structural_similarity,
)
from common.measures.sliced import sliced_distance


def normal(count, dimensions, seed=0):
    return np.random.default_rng(seed).standard_normal((count, dimensions))


def whitened(samples):
    """Samples whose mean is exactly 0 and whose covariance is exactly 1."""
    centred = samples - samples.mean(axis=0)
    root = np.linalg.cholesky(np.cov(centred, rowvar=False))
    return np.linalg.solve(root, centred.T).T


def flat(level, count=1, side=32, channels=3):
    return np.full((count, side, side, channels), level, np.uint8)


def noise_images(count, side=32, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, channels), np.uint8)


# Features.


def test_features_are_those_of_the_formula():
    image = newts.draw(np.arange(1), 32).images
    weights = features.load_weights()
    x = image[0].transpose(2, 0, 1) / 127.5 - 1
    for i in range(1, 5):
        kernels, side = weights[f"conv{i}.weight"], x.shape[1] // 2
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
        y = np.empty((len(kernels), side, side))
        for row in range(side):
            for column in range(side):
                window = padded[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
                y[:, row, column] = np.tensordot(kernels, window, 3) + weights[f"conv{i}.bias"]
        x = np.where(y > 0, y, features.SLOPE * y)
    expected = weights["dense.weight"] @ x.reshape(-1) + weights["dense.bias"]
    np.testing.assert_allclose(extract(image)[0], expected, atol=1e-4)


def test_features_have_the_promised_shape_and_do_not_depend_on_company():
    images = noise_images(features.BATCH + 3)
    found = extract(images)
    assert found.shape == (len(images), DIMENSIONS)
    assert found.dtype == np.float64
    np.testing.assert_allclose(extract(images[-2:]), found[-2:], atol=1e-4)
    np.testing.assert_array_equal(extract(images), found)


def test_grey_is_repeated_and_other_sizes_are_resized():
    grey = noise_images(3, channels=1)
    np.testing.assert_array_equal(extract(grey), extract(np.repeat(grey, 3, axis=-1)))
    np.testing.assert_allclose(extract(flat(90, side=45)), extract(flat(90)), atol=1e-4)
    large, small = (newts.draw(np.arange(50), side).images for side in (64, 32))
    apart = np.linalg.norm(extract(large) - extract(small), axis=1)
    strangers = np.linalg.norm(extract(large) - extract(small[::-1]), axis=1)
    assert np.median(apart) < 0.3 * np.median(strangers)


def test_the_control_has_the_same_shapes_and_other_weights():
    trained, control = features.load_weights(), features.random_weights()
    assert {n: a.shape for n, a in trained.items()} == {n: a.shape for n, a in control.items()}
    images = noise_images(2)
    assert not np.allclose(extract(images), extract(images, trained=False))
    size = features.WEIGHTS.stat().st_size
    assert size < 400_000  # bytes: it lies in the repository


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 32, 32, 3), np.float32),
        np.zeros((32, 32, 3), np.uint8),
        np.zeros((2, 3, 32, 32), np.uint8),
        np.zeros((0, 32, 32, 3), np.uint8),
    ],
    ids=["floats", "one image", "channels first", "none"],
)
def test_what_is_no_batch_of_images_is_refused(images):
    with pytest.raises(UserError, match="images: expected"):
        extract(images)


# The Fréchet distance.


def test_frechet_of_known_moments():
    """Diagonal covariances commute: then the distance is that of the deviations."""
    base = whitened(normal(500, 4))
    first, second = np.array([1.0, 2, 3, 0.5]), np.array([2.0, 2, 1, 0.1])
    shift = np.array([1.0, -2, 0, 0.5])
    expected = np.sum(shift**2) + np.sum((first - second) ** 2)
    found = frechet_distance(base * first, whitened(normal(300, 4, 1)) * second + shift)
    assert found == pytest.approx(expected, rel=1e-9)


def test_frechet_of_covariances_that_do_not_commute():
    """In two dimensions Tr A^(1/2) is (Tr A + 2 det(A)^(1/2))^(1/2)."""
    one, two = np.array([[2.0, 0], [1, 1]]), np.array([[1.0, 0.5], [-1, 3]])
    first, second = one @ one.T, two @ two.T
    assert not np.allclose(first @ second, second @ first)
    product = first @ second
    cross = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    base = whitened(normal(400, 2))
    found = frechet_distance(base @ one.T, base @ two.T)
    assert found == pytest.approx(np.trace(first + second) - 2 * cross, rel=1e-9)


def test_frechet_is_zero_for_the_same_set_and_symmetric():
    first, second = normal(200, 8), normal(150, 8, 1) * 2 + 1
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first))


def test_frechet_of_few_samples_is_too_large_though_their_covariance_is_not():
    """Hence the floor, and the rule to compare figures of equally many samples."""
    few = [frechet_distance(normal(6000, 3, s), 3 * normal(4, 3, 100 + s)) for s in range(400)]
    many = frechet_distance(normal(6000, 3), 3 * normal(6000, 3, 1))
    variance = np.mean([np.trace(frechet._moments(3 * normal(4, 3, s))[1]) for s in range(400)])
    assert variance == pytest.approx(27, rel=0.1)
    assert np.mean(few) > many + 2


@pytest.mark.parametrize("short", ["real", "generated"])
def test_frechet_of_too_few_samples_is_refused(short):
    sets = {"real": normal(65, 64), "generated": normal(65, 64, 1)}
    assert frechet_distance(**sets) > 0
    sets[short] = sets[short][:64]
    with pytest.raises(UserError, match=f"{short} features: 64 samples .* at least 65"):
        frechet_distance(**sets)


# The kernel distance.


def naive_kernel(real, drawn):
    def k(x, y):
        return (x @ y / len(x) + 1) ** 3

    within = [
        np.mean([k(x, y) for i, x in enumerate(s) for j, y in enumerate(s) if i != j])
        for s in (real, drawn)
    ]
    return sum(within) - 2 * np.mean([k(x, y) for x in real for y in drawn])


def test_kernel_distance_is_that_of_the_formula(monkeypatch):
    real, drawn = normal(30, 5), normal(23, 5, 1) * 1.5 + 0.5
    expected = naive_kernel(real, drawn)
    assert kernel_distance(real, drawn) == pytest.approx(expected, rel=1e-10)
    assert kernel_distance(drawn, real) == pytest.approx(expected, rel=1e-10)
    monkeypatch.setattr(kernel, "BLOCK", 7)
    assert kernel_distance(real, drawn) == pytest.approx(expected, rel=1e-10)


def test_kernel_distance_is_unbiased():
    """Small samples of one distribution: 0 on average, which the biased one is far from."""
    found = [kernel_distance(normal(8, 3, 2 * s), normal(8, 3, 2 * s + 1)) for s in range(2000)]
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found)) < 4 * error
    assert min(found) < 0
    bias = 2 / 8 * (np.mean([(x @ x / 3 + 1) ** 3 for x in normal(4000, 3)]) - 1)
    assert bias > 20 * error


# Precision, recall, nearest.


def cloud(centre, count=50, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, 2)) + centre


def test_precision_and_recall_of_a_subset_and_a_superset():
    left, right = cloud((0, 0)), cloud((100, 0), seed=1)
    assert precision_and_recall(np.concatenate([left, right]), left) == (1.0, 0.5)
    assert precision_and_recall(left, np.concatenate([left, right])) == (0.5, 1.0)
    assert precision_and_recall(left, right) == (0.0, 0.0)
    assert precision_and_recall(left, left) == (1.0, 1.0)


def test_a_ball_reaches_to_the_third_neighbour(monkeypatch):
    line = np.array([0.0, 1, 2, 3, 100, 200, 300, 400])[:, None]
    inside, outside = [[-2.9], [5.9]], [[-3.1], [6.1]]
    probe = np.array(inside + outside)
    assert precision_and_recall(line[:4], probe)[0] == 0.5
    monkeypatch.setattr(neighbours, "BLOCK", 3)
    assert precision_and_recall(line[:4], probe)[0] == 0.5


def test_nearest():
    real = cloud((0, 0), 40)
    chosen = np.array([3, 39, 0, 3])
    found = nearest(real, real[chosen] + 1e-6)
    np.testing.assert_array_equal(found, chosen)
    assert found.dtype == np.int64


@pytest.mark.parametrize("measure", [frechet_distance, kernel_distance, precision_and_recall])
def test_features_that_do_not_fit_are_refused(measure):
    with pytest.raises(UserError, match="same D"):
        measure(normal(100, 8), normal(100, 9))
    with pytest.raises(UserError, match="too few"):
        measure(normal(100, 8), normal(1, 8))
    broken = normal(100, 8)
    broken[3, 4] = np.nan
    with pytest.raises(UserError, match="generated features: some are not finite"):
        measure(normal(100, 8), broken)


# The sliced Wasserstein distance.


def test_sliced_distance_of_equal_sets_is_zero_at_every_level():
    images = noise_images(16, side=64)
    found = sliced_distance(images, images, np.random.default_rng(0))
    assert found == {64: 0.0, 32: 0.0, 16: 0.0}
    wide = images[:, :32]
    assert sliced_distance(wide, wide, np.random.default_rng(0)) == {32: 0.0, 16: 0.0}
    others = sliced_distance(images, noise_images(16, 64, seed=1), np.random.default_rng(0))
    assert all(value > 0 for value in others.values())


def test_sliced_distance_does_not_count_brightness_and_contrast():
    images = (newts.draw(np.arange(12), 32).images // 4) * 2  # at most 126, and even
    changed = images // 2 + 100
    found = sliced_distance(images, changed, np.random.default_rng(0))
    assert max(found.values()) < 0.01


def test_sliced_distance_of_constant_patches_is_exact():
    """Halves of the images at two levels, in other shares: one coordinate, known transport."""
    real = np.concatenate([flat(0, 10, 16, 1), flat(200, 10, 16, 1)])
    drawn = np.concatenate([flat(90, 15, 16, 1), flat(50, 5, 16, 1)])
    rng = np.random.default_rng(3)
    found = sliced_distance(real, drawn, rng)[16]
    # Scaled: -1 and 1 in equal shares, against -3^0.5 in a quarter and 3^-0.5 in the rest.
    quarter, rest = 3**0.5 - 1, 3**-0.5
    expected = quarter * 0.25 + (1 + rest) * 0.25 + (1 - rest) * 0.5
    again = np.random.default_rng(3)
    for _ in range(2):
        again.integers(0, 16 - 7 + 1, (20, sliced.PER_IMAGE))
    directions = again.standard_normal((49, sliced.DIRECTIONS)).astype(np.float32)
    lengths = np.abs(directions.sum(axis=0)) / np.linalg.norm(directions, axis=0)
    assert found == pytest.approx(1000 * expected * lengths.mean(), rel=1e-4)


def test_a_laplacian_pyramid_adds_up_and_leaves_flat_images_nothing():
    images = noise_images(2, 32)
    fine, coarse = sliced._pyramid(images, 2)
    assert fine.shape == (2, 32, 32, 3)
    assert coarse.shape == (2, 16, 16, 3)
    spread = np.zeros_like(fine)
    spread[:, ::2, ::2] = 4 * coarse
    np.testing.assert_allclose(fine + sliced._filtered(spread), images, atol=1e-3)
    fine, coarse = sliced._pyramid(flat(80), 2)
    np.testing.assert_allclose(fine, 0, atol=1e-3)
    np.testing.assert_allclose(coarse, 80, atol=1e-3)


@pytest.mark.parametrize(
    ("side", "levels"), [(16, [16]), (28, [28]), (48, [48, 24]), (32, [32, 16])]
)
def test_levels_of_the_pyramid(side, levels):
    assert sliced._sides((side, side)) == levels


@pytest.mark.parametrize("side", [15, 33])
def test_sliced_distance_refuses_sizes(side):
    with pytest.raises(UserError, match=rf"{side} x {side}.* resize"):
        sliced_distance(noise_images(2, side), noise_images(2, side), np.random.default_rng(0))


# Path length.


def test_path_length_of_a_known_way():
    """Grey levels that follow the noise: the features' own way, measured in its steps."""

    def draw(noise):
        return np.broadcast_to(np.rint(noise)[:, None, None], (len(noise), 32, 32, 1)).astype(
            np.uint8
        )

    starts, ends = np.full((40, 1), 20.0), np.full((40, 1), 220.0)
    found = path_length(draw, starts, ends, np.random.default_rng(0))
    places = np.random.default_rng(0).random(40) * (1 - STEP)
    near, far = (extract(draw(20 + 200 * at[:, None])) for at in (places, places + STEP))
    assert found == pytest.approx(np.sum((near - far) ** 2) / 40 / STEP**2)
    half = path_length(draw, starts, (starts + ends) / 2, np.random.default_rng(0))
    assert half < 0.5 * found


def test_path_length_takes_straight_ways_and_short_steps():
    seen = []

    def draw(noise):
        seen.append(noise)
        return flat(7, len(noise))

    rng = np.random.default_rng(0)
    starts, ends = rng.uniform(-1, 1, (2, 300, 4)).astype(np.float32)
    assert path_length(draw, starts, ends, rng) == 0  # a generator that draws one picture
    near, far = seen
    np.testing.assert_allclose(far - near, STEP * (ends - starts), atol=1e-6)
    places = ((near - starts) / (ends - starts)).mean(axis=1)
    assert places.min() > -1e-3
    assert places.max() < 1 - STEP + 1e-3
    assert places.mean() == pytest.approx((1 - STEP) / 2, abs=0.06)
    assert near.dtype == np.float32


def test_path_length_refuses_noises_that_do_not_fit():
    with pytest.raises(UserError, match="as many ends as starts"):
        path_length(lambda noise: flat(0, len(noise)), np.zeros((3, 2)), np.zeros((2, 2)), None)  # type: ignore[arg-type]


# Pairs.


def test_absolute_error_and_peak_signal_to_noise_of_a_known_difference():
    real, drawn = flat(250, 4), flat(250, 4)
    drawn[:2] -= 10
    drawn[2:] -= 20
    assert absolute_error(real, drawn) == absolute_error(drawn, real) == 15
    expected = np.mean(20 * np.log10([255 / 10, 255 / 20]))
    assert peak_signal_to_noise(real, drawn) == pytest.approx(expected)
    assert peak_signal_to_noise(drawn, real) == pytest.approx(expected)
    assert peak_signal_to_noise(real, real) == np.inf


def test_structural_similarity_is_scikit_images():
    """Figures of scikit-image's, with `gaussian_weights=True, use_sample_covariance=False`."""
    rng = np.random.default_rng(0)
    first = rng.integers(0, 256, (2, 24, 20, 3)).astype(np.uint8)
    second = np.clip(first + rng.normal(0, 40, first.shape), 0, 255).astype(np.uint8)
    assert structural_similarity(first, second) == pytest.approx(0.8777453580602981, abs=1e-9)
    y, x = np.mgrid[0:32, 0:32]
    first = (127.5 + 100 * np.sin(x / 5) * np.cos(y / 7)).astype(np.uint8)
    second = (110 + 80 * np.sin(x / 5 + 0.3) * np.cos(y / 7)).astype(np.uint8)
    first, second = first[None, ..., None], second[None, ..., None]
    assert structural_similarity(first, second) == pytest.approx(0.9043891970848473, abs=1e-9)


def test_structural_similarity_of_known_cases():
    images = newts.draw(np.arange(3), 32).images
    assert structural_similarity(images, images) == pytest.approx(1)
    # Of flat images luminance alone is left.
    c1 = (0.01 * 255) ** 2
    expected = (2 * 100 * 50 + c1) / (100**2 + 50**2 + c1)
    assert structural_similarity(flat(100), flat(50)) == pytest.approx(expected)
    assert structural_similarity(images, 255 - images) < 0


def test_structural_similarity_refuses_images_smaller_than_its_window():
    assert structural_similarity(flat(3, side=11), flat(3, side=11)) == pytest.approx(1)
    with pytest.raises(UserError, match=r"10 x 10 .* smallest accepted is 11 x 11"):
        structural_similarity(flat(3, side=10), flat(3, side=10))


@pytest.mark.parametrize("measure", [absolute_error, peak_signal_to_noise, structural_similarity])
def test_pairs_that_do_not_fit_are_refused(measure):
    with pytest.raises(UserError, match="cannot be compared"):
        measure(flat(0, 2), flat(0, 3))
    with pytest.raises(UserError, match="generated images: expected uint8"):
        measure(flat(0, 2), flat(0, 2).astype(np.float32))


def test_messages_say_which_set_is_meant():
    with pytest.raises(UserError, match=r"^real images: expected uint8 .* found int64"):
        checks.check_like(flat(0).astype(np.int64), flat(0))
    with pytest.raises(UserError, match=r"\(1, 32, 32, 3\) .* \(1, 16, 16, 3\)"):
        checks.check_like(flat(0), flat(0, side=16))
