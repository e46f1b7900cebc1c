"""Files written atomically: first to a temporary file, which then replaces the old one."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from common.errors import UserError


def user_path(text: str) -> Path:
    """The path that a user gives; `~` is expanded.

    Raises:
        ValueError: it cannot be a path; the message says why, in a few words.
    """
    if not text:
        raise ValueError("no path is given")
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError("there is no such user") from error
    try:
        os.stat(path)
    except ValueError as error:
        raise ValueError(f"no file has such a name ({error})") from error
    except OSError as error:
        if error.errno in (errno.EACCES, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL):
            raise ValueError(error.strerror) from error
    return path


def check_is_file(path: Path, hint: str) -> None:
    """Raise UserError unless the path is a regular file; `hint` ends the message."""
    if path.is_dir():
        raise UserError(f"{path}: a folder, not a file; {hint}")
    if not path.exists():
        raise UserError(f"{path}: no such file; {hint}")
    if not path.is_file():
        raise UserError(f"{path}: a pipe or a device, not a file; {hint}")


@contextlib.contextmanager
def disk_errors(path: Path, option: str = "--out") -> Iterator[None]:
    """Turn an OSError in the block (full disk, no permission) into a UserError.

    Args:
        path: the file or folder being written.
        option: the flag that chooses another place.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, shutil.Error):  # holds many errors; report the first
            error = OSError(None, str(error.args[0][0][-1]))
        reason = error.strerror or str(error)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        what = "free some space or use another" if full else "use another"
        raise UserError(f"cannot write {path}: {reason}; {what} {option}") from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which replaces `path` if the block succeeds.

    Raises:
        UserError: the disk is full, or the folder cannot be written; `path` is unchanged.
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
    """Write a text file atomically.

    Raises:
        UserError: as `replacing`.
    """
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8")
