"""Perceptual path length: how abruptly images change between two latent vectors.

Karras, Laine, Aila (2019), A style-based generator architecture for generative adversarial
networks, https://arxiv.org/abs/1812.04948, section 4.1, which uses VGG's features. With Quartet's
features it is another figure.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from common.errors import UserError
from common.measures.features import extract

# The step as a fraction of the path. The paper's 1e-4 moves pixels by hundredths of a grey level,
# so rounding to integers makes the figure up to twenty times too large. At 0.03, for three
# synthetic smooth generators, rounding added at most 2 per cent, and the chord was at most 5 per
# cent shorter than the arc.
STEP = 0.03


def path_length(
    draw: Callable[[np.ndarray], np.ndarray],
    starts: np.ndarray,
    ends: np.ndarray,
    random: np.random.Generator,
) -> float:
    """The mean of |f(G(z)) - f(G(z'))|^2 / step^2, with z and z' one step apart on a path.

    Paths are straight lines, which suits uniform noise; lines between Gaussian vectors pass through
    regions where the generator was never trained. A collapsed generator has length 0, so read the
    figure together with recall.

    Args:
        draw: latent vectors (M, ...) to `uint8` images (M, H, W, C); called twice, with all.
        starts: latent vectors, shape (N, ...).
        ends: latent vectors of the same shape.
        random: draws the position on each path.

    Returns:
        The figure, in the features' units squared per path squared.

    Raises:
        UserError: `starts` and `ends` differ in shape, or `draw` does not return images.
    """
    if starts.shape != ends.shape or not starts.size:
        raise UserError(
            f"path length: expected noise of one shape (N, ...) twice, found {starts.shape} and "
            f"{ends.shape}; draw as many ends as starts"
        )
    positions = random.random(len(starts)) * (1 - STEP)
    positions = positions.reshape(-1, *[1] * (starts.ndim - 1))
    images = [draw(_between(starts, ends, at)) for at in (positions, positions + STEP)]
    near, far = (extract(batch) for batch in images)
    return float(np.sum((near - far) ** 2, axis=1).mean() / STEP**2)


def _between(starts: np.ndarray, ends: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Latent vectors at positions from 0 (starts) to 1 (ends), in the dtype of `starts`."""
    return (starts + (ends - starts) * positions).astype(starts.dtype)
