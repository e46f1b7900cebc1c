"""Diversity: a warning light for generators that draw one picture."""

from __future__ import annotations

import numpy as np

COLLAPSED = 0.1  # the diversity under which a generator draws one picture


def spread(images: np.ndarray) -> float:
    """Standard deviation across images (N, H, W, C), averaged over pixels, in grey levels."""
    return float(images.astype(np.float32).std(axis=0).mean())


def diversity(samples: np.ndarray, real: np.ndarray) -> float:
    """How unlike each other samples are: their spread over the data's. 1 is the data's own.

    Noise is as diverse as can be: this figure says nothing of whether samples are good.

    Args:
        samples: `uint8`, shape (N, H, W, C), N at least 2.
        real: `uint8`, as many real images.
    """
    return spread(samples) / max(spread(real), 1e-6)
