"""Perceptual path length: how abruptly pictures change on the way from one noise to another.

Karras, Laine, Aila (2019), A style-based generator architecture for generative adversarial
networks, https://arxiv.org/abs/1812.04948, section 4.1, there of VGG's features. Of Quartet's
features it is another figure.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from common.errors import UserError
from common.measures.features import extract

# The length of a step, as a share of the way. The paper's 1e-4 moves pixels by hundredths of a
# grey level, and rounding to whole levels then makes the figure up to twenty times too large. At
# 0.03 rounding added 2 per cent at most to that of three made-up smooth generators, and the chord
# was at most 5 per cent short of the arc.
STEP = 0.03


def path_length(
    draw: Callable[[np.ndarray], np.ndarray],
    starts: np.ndarray,
    ends: np.ndarray,
    random: np.random.Generator,
) -> float:
    """The mean of |f(G(z)) - f(G(z'))|^2 / step^2, with z and z' near each other on a way.

    The ways are straight, as fits uniform noise; between two of Gaussian noise a straight way
    passes where the generator was never trained. 0 if all pictures are the same: a collapsed
    generator has the shortest path of all, so read it beside recall.

    Args:
        draw: noise (M, ...) to `uint8` images (M, H, W, C); called twice, with all the noise.
        starts: noise, shape (N, ...).
        ends: noise of the same shape.
        random: draws the place on each way.

    Returns:
        The figure, in the features' units squared per way squared.

    Raises:
        UserError: the noises differ in shape, or what is drawn are no images.
    """
    if starts.shape != ends.shape or not starts.size:
        raise UserError(
            f"path length: expected noise of one shape (N, ...) twice, found {starts.shape} and "
            f"{ends.shape}; draw as many ends as starts"
        )
    places = random.random(len(starts)) * (1 - STEP)
    places = places.reshape(-1, *[1] * (starts.ndim - 1))
    images = [draw(_between(starts, ends, at)) for at in (places, places + STEP)]
    near, far = (extract(batch) for batch in images)
    return float(np.sum((near - far) ** 2, axis=1).mean() / STEP**2)


def _between(starts: np.ndarray, ends: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Noise at places of ways, 0 their starts and 1 their ends, in the noise's own precision."""
    return (starts + (ends - starts) * places).astype(starts.dtype)
