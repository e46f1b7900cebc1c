"""Ctrl-C, SIGTERM and SIGHUP, noted before they are obeyed."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

_raised: list[int] = []


@contextlib.contextmanager
def interrupts() -> Iterator[list[int]]:
    """Yield a list that Ctrl-C makes non-empty before it raises KeyboardInterrupt.

    What is raised in the midst of a framework's native code may come out as another error, or not
    at all.
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
    """Yield a list that Ctrl-C, SIGTERM or SIGHUP makes non-empty; a second one acts at once.

    SIGHUP comes when a terminal closes; what `nohup` has started goes on ignoring it. A Ctrl-C that
    was raised before, and by which nothing has ended, is in it already.
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
