"""TensorBoard's event files."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.files import disk_errors


def open_writer(folder: Path, step: int) -> Any:
    """A tensorboardX `SummaryWriter` for `folder`; what it held after `step` is struck out.

    Raises:
        UserError: the folder cannot be written.
    """
    with _without_torch():
        from tensorboardX import SummaryWriter
    with disk_errors(folder):
        return SummaryWriter(str(folder), purge_step=step + 1 if step else None)


@contextlib.contextmanager
def _without_torch() -> Iterator[None]:
    """Hide torch for a while: tensorboardX imports it where it can, only to know its tensors.

    Beside another framework that costs seconds, and torch after TensorFlow can crash.
    """
    if "torch" in sys.modules:
        yield
        return
    sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["torch"]
