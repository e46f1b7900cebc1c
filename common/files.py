"""Files that are whole or not there: written aside first, then put into place."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from common.errors import UserError


@contextlib.contextmanager
def disk_errors(path: Path, option: str = "--out") -> Iterator[None]:
    """Turn what the operating system refuses (full disk, no permission) into a UserError.

    Args:
        path: what is being written.
        option: the flag that would put it elsewhere.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(
            f"cannot write {path}: {reason}; free some space or use another {option}"
        ) from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; put it in `path`'s place if the block succeeds.

    Raises:
        UserError: the disk is full, or the folder cannot be written; `path` is as it was.
    """
    with disk_errors(path):
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent
        )
        os.close(handle)
        aside = Path(name)
        try:
            yield aside
            with open(aside, "rb+") as file:
                os.fsync(file.fileno())
            os.chmod(aside, 0o666 & ~_umask())
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Write a small text file whole."""
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8")
