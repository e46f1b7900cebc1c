"""Matplotlib's `Figure`, which needs no screen; import this where one is drawn, since it is slow.

MPLBACKEND chooses a window, which nothing here opens. Where it names a module that is not installed
(a shell that a notebook has started sets one), importing matplotlib would fail.
"""

import os

_given = os.environ.pop("MPLBACKEND", None)
try:
    from matplotlib.figure import Figure
finally:
    if _given is not None:
        os.environ["MPLBACKEND"] = _given

__all__ = ["Figure"]
