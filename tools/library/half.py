"""Weights in half precision, for files that ship."""

from __future__ import annotations

import numpy as np


def to_16_bits(array: np.ndarray, name: str) -> np.ndarray:
    """A weight in 16 bits.

    Raises:
        OverflowError: it does not fit; the message gives `name`.
    """
    with np.errstate(over="ignore"):
        small = array.astype(np.float16)
    if not np.isfinite(small).all():
        raise OverflowError(f"{name} does not fit into 16 bits")
    return small
