"""Numbers in nested dicts and lists: what a check sees of an answer and of a learner's file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

CLOSE = 1e-6  # relative, to the largest number of an array; all is computed in float64


@dataclass(frozen=True)
class Difference:
    """The first place where two trees differ.

    Attributes:
        place: keys that lead there, joined by " / "; empty at the top.
        said: what was expected and what came, in words.
    """

    place: str
    said: str


def differences(
    expected: Any, found: Any, close: float = CLOSE, place: tuple[str, ...] = ()
) -> Iterator[Difference]:
    """Where a tree differs from the one that is expected, from the first place on."""
    at = " / ".join(place)
    if isinstance(expected, dict) and isinstance(found, dict):
        missing, extra = expected.keys() - found.keys(), found.keys() - expected.keys()
        if missing or extra:
            said = []
            if missing:
                said.append("missing: " + _some(missing))
            if extra:
                said.append("not expected: " + _some(extra))
            yield Difference(at, "; ".join(said))
        for key in [key for key in expected if key in found]:
            yield from differences(expected[key], found[key], close, (*place, str(key)))
        return
    if isinstance(expected, list | tuple) and isinstance(found, list | tuple):
        if len(expected) != len(found):
            yield Difference(at, f"expected {len(expected)} of them, came {len(found)}")
            return
        several = len(expected) > 1
        for index, (one, other) in enumerate(zip(expected, found, strict=True)):
            step = (f"number {index + 1}",) if several else ()
            yield from differences(one, other, close, (*place, *step))
        return
    if _is_numbers(expected) and _is_numbers(found):
        said = _compare(np.asarray(expected), np.asarray(found), close)
        if said:
            yield Difference(at, said)
    elif type(expected) is not type(found) or expected != found:
        yield Difference(at, f"expected {_name(expected)}, came {_name(found)}")


def same(expected: Any, found: Any, close: float = CLOSE) -> bool:
    """Whether two trees do not differ."""
    return next(differences(expected, found, close), None) is None


def _is_numbers(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.generic | int | float)


def _name(value: Any) -> str:
    if _is_numbers(value):
        shape = np.shape(value)
        return f"numbers of shape {shape}" if shape else f"{value}"
    if isinstance(value, dict | list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    return repr(value)


def _some(names: Any) -> str:
    shown = sorted(map(str, names))
    more = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
    return ", ".join(shown[:5]) + more


def _compare(expected: np.ndarray, found: np.ndarray, close: float) -> str | None:
    """How an array differs, in words; None if it does not."""
    if expected.shape != found.shape:
        return f"expected the shape {expected.shape}, came {found.shape}"
    if expected.dtype == np.uint8 != found.dtype:
        return f"expected numbers of type uint8, came {found.dtype}"
    if not expected.size:
        return None
    one, other = expected.astype(float), found.astype(float)
    size = np.abs(np.nan_to_num(one)).max()
    apart = np.where(np.isnan(one) & np.isnan(other), 0, np.abs(other - one))
    worst = float(np.nan_to_num(apart, nan=np.inf).max())
    if worst <= close * size + 1e-12:
        return None
    if not np.isfinite(other).all():
        return "came numbers that are not finite"
    if expected.ndim == 0:
        said = f"expected {one:.6g}, came {other:.6g}"
    else:
        at = np.unravel_index(int(apart.argmax()), apart.shape)
        said = f"expected {one[at]:.6g} at {tuple(map(int, at))}, came {other[at]:.6g}"
    return said + _factor(one, other)


def _factor(one: np.ndarray, other: np.ndarray) -> str:
    """Whether all numbers are off by one factor."""
    top = float((one * one).sum())
    factor = float((one * other).sum()) / top if top else 0.0
    if not factor or np.abs(other - factor * one).max() > 1e-4 * np.abs(other).max():
        return ""
    if abs(factor - 1) < 1e-3:
        return f" (apart by {abs(factor - 1):.1g} of the answer's)"
    if abs(factor) < 1:
        return f" (the answer's divided by {1 / factor:.5g})"
    return f" (the answer's times {factor:.5g})"
