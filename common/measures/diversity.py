"""Diversity: detects generators that generate the same image each time."""

from __future__ import annotations

import numpy as np

COLLAPSED = 0.1  # below this diversity, all generated images look alike


def spread(images: np.ndarray) -> float:
    """Standard deviation across images (N, H, W, C), averaged over pixels, in grey levels."""
    return float(images.astype(np.float32).std(axis=0).mean())


def diversity(samples: np.ndarray, real: np.ndarray) -> float:
    """The spread of samples divided by that of real images; 1 is as diverse as the data.

    Noise is very diverse: this figure does not measure quality.

    Args:
        samples: `uint8`, shape (N, H, W, C), N at least 2.
        real: `uint8`, shape (N, H, W, C), the same number of real images.
    """
    return spread(samples) / max(spread(real), 1e-6)
