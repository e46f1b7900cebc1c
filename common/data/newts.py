"""Newts: synthetic images of newts seen from above, computed with NumPy; they need no files.

Two classes: `akahara`, the fire-bellied newt, is dark and shows its red belly along the flanks;
`madara`, the marbled newt, is black and mottled with green. Each image has a mask of classes.
"""

from __future__ import annotations

import functools

import numpy as np
from tqdm import tqdm

from common.data.dataset import Dataset, Split

CLASS_NAMES = ("akahara", "madara")
TRAIN_SIZE = 4096
TEST_SIZE = 512

# Ranges of poses and colours; wider ones make the data set harder.
ANGLE = 0.4  # largest angle between body and horizontal, in radians
SHIFT = 0.06  # largest shift of the body from the centre, in half widths of the image
SCALE = (0.88, 1.02)  # length of the body, in widths of the image
BEND = 0.25  # largest arch of the spine
SWING = 0.12  # largest sway of the tail
GAIT = 0.05  # how far the legs of one side are ahead of those of the other
GROUND_NAMES = ("sand", "moss", "leaves", "gravel", "water")
GROUNDS = np.array(  # two colours of each, blended by noise
    [
        [(214, 192, 148), (180, 152, 108)],
        [(148, 170, 104), (104, 132, 74)],
        [(196, 146, 96), (146, 100, 64)],
        [(188, 184, 178), (136, 132, 130)],
        [(150, 186, 196), (104, 146, 164)],
    ],
    np.float32,
)


def _colour(red: int, green: int, blue: int) -> np.ndarray:
    return np.array([red, green, blue], np.float32).reshape(3, 1, 1, 1)


BACK, BELLY = _colour(58, 44, 40), _colour(216, 58, 24)  # of akahara
BLACK, GREEN, STRIPE = _colour(26, 32, 26), _colour(116, 204, 62), _colour(232, 130, 40)  # madara
IRIS = _colour(236, 214, 120)

# Half the width of the body along its axis, from the tip of the tail (-1) to the snout (0.9).
AXIS = np.array([-1.0, -0.8, -0.5, -0.27, -0.12, 0.1, 0.3, 0.42, 0.52, 0.64, 0.76, 0.85, 0.9])
WIDTH = np.array([0.0, 0.04, 0.08, 0.11, 0.16, 0.2, 0.17, 0.125, 0.14, 0.17, 0.145, 0.08, 0.0])
# Hip, knee and foot of a fore and a hind leg in the frame of the body; the other side mirrors them.
LEGS = (
    ((0.33, 0.1), (0.30, 0.31), (0.47, 0.4)),
    ((-0.15, 0.09), (-0.10, 0.3), (-0.3, 0.39)),
)
LEG_WIDTH = 0.048
FOOT_WIDTH = 0.07
EYE = (0.73, 0.1, 0.035)  # along, across, radius

TILE = 256  # side of a noise tile in pixels; tiles repeat without a seam
CHUNK = 1 << 16  # pixels computed at a time; their arrays stay in the processor's cache


def draw(indices: np.ndarray, size: int, seed: int = 0, other_kind: bool = False) -> Split:
    """Compute images of newts; image i depends only on `seed` and i.

    Args:
        indices: integers from 0, shape (N,).
        size: height and width in pixels.
        seed: seed of the random numbers.
        other_kind: swap the two kinds, but keep position, pose and background: the result of a
            perfect translation.

    Returns:
        N images, labels, masks and grounds, which are indices into `GROUND_NAMES`.
    """
    indices = np.asarray(indices)
    images = np.empty((len(indices), size, size, 3), np.uint8)
    labels = np.empty(len(indices), np.int64)
    masks = np.empty((len(indices), size, size), np.uint8)
    grounds = np.empty(len(indices), np.uint8)
    with tqdm(total=len(indices), desc="drawing newts", unit="image", delay=2, leave=False) as bar:
        count = max(1, CHUNK // size**2)
        for start in range(0, len(indices), count):
            part = slice(start, start + count)
            images[part], labels[part], masks[part], grounds[part] = _draw_chunk(
                indices[part], size, seed, other_kind
            )
            bar.update(len(labels[part]))
    return Split(images, labels, masks, grounds=grounds)


@functools.lru_cache(maxsize=2)
def load(image_size: int) -> Dataset:
    """Compute the data set: always the same newts, at the given size; once in a process.

    Args:
        image_size: height and width of the images in pixels.
    """
    newts = draw(np.arange(TRAIN_SIZE + TEST_SIZE), image_size)
    return Dataset(
        name="newts",
        class_names=CLASS_NAMES,
        train=newts.take(slice(None, TRAIN_SIZE)),
        test=newts.take(slice(TRAIN_SIZE, None)),
        image_shape=(image_size, image_size, 3),
    )


class _Random:
    """Uniform random numbers, one per image in each call, hashed from seed, index and call."""

    def __init__(self, indices: np.ndarray, seed: int) -> None:
        self.state = _mix(indices.astype(np.uint64) + _mix(np.array([seed], np.uint64)))

    def uniform(self, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        """The next number in [low, high) for each image, `float32`, shape (N, 1, 1)."""
        self.state = _mix(self.state)
        unit = (self.state >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24)
        return (np.float32(low) + np.float32(high - low) * unit)[:, None, None]

    def below(self, limit: int) -> np.ndarray:
        """The next integer from 0 to `limit` - 1 for each image, `int64`, shape (N,)."""
        return (self.uniform() * np.float32(limit)).astype(np.int64)[:, 0, 0]


def _mix(x: np.ndarray) -> np.ndarray:
    """SplitMix64 (Steele, Lea, Flood 2014, https://doi.org/10.1145/2660193.2660195)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@functools.cache
def _noise_tile(period: int) -> np.ndarray:
    """Smooth noise, uniformly distributed in [0, 1]: `float32`, shape (TILE, TILE).

    Args:
        period: bumps along a side.
    """
    cells = np.random.default_rng(period).random((period, period))
    spectrum = np.zeros((TILE, TILE // 2 + 1), complex)
    half = period // 2
    found = np.fft.rfft2(cells)
    spectrum[:half, :half] = found[:half, :half]
    spectrum[-half:, :half] = found[-half:, :half]
    smooth = np.fft.irfft2(spectrum, (TILE, TILE))
    ranks = np.argsort(np.argsort(smooth, axis=None))
    return (ranks / (TILE * TILE - 1)).reshape(TILE, TILE).astype(np.float32)


def _noise(random: _Random, x: np.ndarray, y: np.ndarray, period: int, scale: float) -> np.ndarray:
    """A noise tile at `scale` times x and y, with a random offset for each image."""
    dx, dy = random.uniform(0, TILE), random.uniform(0, TILE)
    columns = (x * scale + dx).astype(np.int32) & (TILE - 1)
    rows = (y * scale + dy).astype(np.int32) & (TILE - 1)
    return _noise_tile(period).ravel()[rows * TILE + columns]


def _segment(x: np.ndarray, y: np.ndarray, a: tuple, b: tuple) -> np.ndarray:
    """Distance of the points x, y from the segment between a and b."""
    along = (b[0] - a[0], b[1] - a[1])
    length = along[0] ** 2 + along[1] ** 2
    px, py = x - a[0], y - a[1]
    t = np.clip((px * along[0] + py * along[1]) / length, 0, 1)
    return np.sqrt((px - t * along[0]) ** 2 + (py - t * along[1]) ** 2)


def _body(axis: np.ndarray) -> np.ndarray:
    """Half the width of the body at positions along its axis; negative beyond its ends."""
    fine = np.linspace(-2, 2, 2049)
    table = np.interp(fine, AXIS, WIDTH)
    table = np.where(fine < AXIS[0], fine - AXIS[0], table)
    table = np.where(fine > AXIS[-1], AXIS[-1] - fine, table).astype(np.float32)
    smooth = np.convolve(np.pad(table, 16, "edge"), np.hanning(33) / 16, "valid").astype(np.float32)
    return smooth[np.clip((axis + 2) * 512, 0, 2048).astype(np.int32)]


def _blend(low: np.ndarray, high: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """A colour between `low` (at a `weight` of 0) and `high` (at 1), shape (3, N, S, S)."""
    return low + (high - low) * weight


def _draw_chunk(
    indices: np.ndarray, size: int, seed: int, other_kind: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    random = _Random(indices, seed)
    labels = random.below(len(CLASS_NAMES))
    if other_kind:
        labels = 1 - labels
    line = ((np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1)[None]
    x, y = line[:, None, :], line[:, :, None]

    # Coordinates in the frame of the body, its spine straight; in units of half an image.
    angle = random.uniform(-ANGLE, ANGLE)
    scale = random.uniform(*SCALE)
    px, py = x - random.uniform(-SHIFT, SHIFT), y - random.uniform(-SHIFT, SHIFT)
    axis = (px * np.cos(angle) + py * np.sin(angle)) / scale
    across = (py * np.cos(angle) - px * np.sin(angle)) / scale
    bend, swing = random.uniform(-BEND, BEND), random.uniform(-SWING, SWING)
    tail = np.minimum(axis + 0.2, 0)
    across = across - bend * (axis * axis - 0.2) - swing * np.sin(6 * tail)
    gait = random.uniform(-GAIT, GAIT)
    side = np.abs(across)

    # Depth of each pixel inside the outline; negative outside.
    width = _body(axis)
    inside = width - side
    stepped = axis + gait * np.sign(across)
    legs = np.full_like(inside, -9)
    for hip, knee, foot in LEGS:
        stretch = stepped if hip[0] > 0 else 2 * axis - stepped  # diagonal pairs move together
        legs = np.maximum(legs, LEG_WIDTH - _segment(stretch, side, hip, knee))
        legs = np.maximum(legs, LEG_WIDTH - _segment(stretch, side, knee, foot))
        reach = np.sqrt((stretch - foot[0]) ** 2 + (side - foot[1]) ** 2)
        legs = np.maximum(legs, FOOT_WIDTH - reach)
    depth = np.maximum(inside, legs)
    pixel = np.float32(2 / size) / scale
    cover = np.clip(depth / pixel + 0.5, 0, 1)

    # The ground: two colours mixed by coarse noise, shaded by fine noise and the newt's shadow.
    grounds = random.below(len(GROUNDS))
    ground = GROUNDS[grounds].transpose(1, 2, 0)[..., None, None]
    coarse = _noise(random, x, y, 16, 40)
    fine = _noise(random, x, y, 128, 90)
    shadow = np.clip(1 + depth / 0.16, 0, 1)
    light = (0.86 + 0.28 * fine) * random.uniform(0.9, 1.05) * (1 - 0.5 * shadow * shadow)
    ground = _blend(ground[0], ground[1], coarse) * light

    # The skin: light makes it look round, with flanks darker than the back.
    spots = _noise(random, axis, across, 32, 55)
    flank = np.clip(side / np.maximum(width, 1e-3), 0, 1)
    belly = np.clip((flank - 0.62 + 0.3 * (spots - 0.5)) * 6, 0, 1)
    feet = np.where(side > 0.34, np.float32(0.9), np.float32(0))
    akahara = _blend(BACK, BELLY, np.where(inside > legs, belly, feet))
    madara = _blend(BLACK, GREEN, np.clip((spots - 0.5) * 7 + 0.5, 0, 1))
    stripe = (random.uniform() < 0.5) & (side < 0.022) & (axis > -0.8) & (axis < 0.5)
    madara = np.where(stripe, STRIPE, madara)
    shade = (1.12 - 0.35 * flank * flank) * random.uniform(0.9, 1.15)
    skin = np.where((labels == 0)[:, None, None], akahara, madara) * shade
    to_eye = np.sqrt((axis - EYE[0]) ** 2 + (side - EYE[1]) ** 2)
    skin = _blend(skin, IRIS, np.clip((EYE[2] - to_eye) / pixel + 0.5, 0, 1))
    skin = _blend(skin, BLACK, np.clip((EYE[2] * 0.55 - to_eye) / pixel + 0.5, 0, 1))

    planes = np.clip(_blend(ground, skin, cover) + 0.5, 0, 255).astype(np.uint8)
    masks = np.where(cover > 0.5, labels[:, None, None] + 1, 0).astype(np.uint8)
    return planes.transpose(1, 2, 3, 0), labels, masks, grounds
