"""Handlers for Ctrl-C, SIGTERM and SIGHUP that record a signal before it takes effect."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

_raised: list[int] = []


@contextlib.contextmanager
def interrupts() -> Iterator[list[int]]:
    """Yield a list to which Ctrl-C appends before it raises KeyboardInterrupt.

    Native code of a framework may turn the exception into another one, or swallow it.
    """

    def note(number: int, _: Any) -> None:
        _raised.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield _raised
    finally:
        signal.signal(signal.SIGINT, before)
        _raised.clear()


@contextlib.contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Yield a list to which the first Ctrl-C, SIGTERM or SIGHUP appends; a second one acts at once.

    A closing terminal sends SIGHUP; a run that `nohup` started goes on ignoring it. The list begins
    with earlier Ctrl-Cs that were swallowed.
    """
    received = _raised.copy()

    def note(number: int, _: Any) -> None:
        received.append(number)
        signal.signal(number, before[number])

    names = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP
    numbers = [int(getattr(signal, name)) for name in names if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    before = {number: each for number, each in before.items() if each != signal.SIG_IGN}
    for number in before:
        signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
