"""What a peer with networks of its own offers: its step, its images, its codes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.pictures.base import portions

TOGETHER = 50  # images drawn at once: some networks are wide at 64 pixels

Random = np.random.Generator


@dataclass
class Learner:
    """A peer's own networks, and how they learn and draw.

    Attributes:
        side: pixels of a side that its networks see; images of other sizes are resized.
        batch_size: images that a step takes.
        step: learns from `uint8` images (N, side, side, C) and labels (N,); its losses by name.
        draw: `uint8` images (N, side, side, C) in inference mode, of labels (N,).
        weights: what it trains, by network, copied.
        encode: of a VAE, images in [0, 1] to means and log variances (N, Z); else None.
        decode: of a VAE, codes (N, Z) to logits (N, H, W, C); else None.
    """

    side: int
    batch_size: int
    step: Callable[[np.ndarray, np.ndarray], dict[str, Any]]
    draw: Callable[[Random, np.ndarray], np.ndarray]
    weights: Callable[[], dict[str, list[np.ndarray]]]
    encode: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]] | None = None
    decode: Callable[[np.ndarray], np.ndarray] | None = None


def drawing_from(
    render: Callable[[np.ndarray, np.ndarray], np.ndarray],
    latent_dim: int,
    uniform: bool = False,
) -> Callable[[Random, np.ndarray], np.ndarray]:
    """A `Learner.draw`.

    Args:
        render: noise `float32` (N, Z) and labels (N,) to pixels (N, H, W, C) of 0 to 255, floats.
        latent_dim: Z.
        uniform: noise is uniform on [-1, 1), else standard normal.
    """

    def draw(random: Random, labels: np.ndarray) -> np.ndarray:
        shape = (len(labels), latent_dim)
        noise = random.uniform(-1, 1, shape) if uniform else random.standard_normal(shape)
        noise = noise.astype(np.float32)
        parts = [render(noise[p], labels[p]) for p in portions(len(labels), TOGETHER)]
        return np.rint(np.concatenate(parts)).clip(0, 255).astype(np.uint8)

    return draw
