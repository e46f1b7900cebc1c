"""Downloads with checksums, resumption and mirrors.

A file is written as `NAME.part` and renamed once its checksum is right, so that a later run can
resume a broken transfer. Without a network, a download fails within seconds. If no checksum is
known, a file's length and content are checked instead.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from common.errors import UserError
from common.files import disk_errors

if TYPE_CHECKING:
    from requests import Response

ANSWER_SECONDS = 9.0  # for a mirror to answer: two dead mirrors fail within 20 seconds
READ_SECONDS = 20.0  # between two bytes
SLOW_SECONDS = 60.0  # a transfer of less than SLOW_BYTES in this time is given up (1 kB per second)
SLOW_BYTES = 60_000
PAUSES = (1.0, 2.0)  # seconds before another attempt at the same mirror
CHUNK = 1 << 16  # bytes

# Short reasons, by a part of requests' long messages; the first match counts.
REASONS = {
    "failed to resolve": "host name not found",
    "refused": "connection refused",
    "unreachable": "network unreachable",
    "timed out": "timed out",
    "certificate": "certificate not accepted",
    "proxy": "the proxy failed",
    "redirects": "it redirects in a circle",
}


class _MirrorError(Exception):
    """A mirror did not deliver the file; the message is a short reason."""


class _BrokenError(_MirrorError):
    """A mirror did not deliver the file, but another attempt may succeed."""


class _SlowError(_MirrorError):
    """A mirror delivers the file, but would take hours."""


@contextlib.contextmanager
def into(folder: Path) -> Iterator[None]:
    """Create a folder for downloads, and lock it against other runs during the block.

    A second run that needs the same data waits here for the first; it must then check again which
    files are missing. Folders created here are removed if they stay empty.

    Raises:
        UserError: the folder cannot be created, or (inside the block) written to.
    """
    with disk_errors(folder, "--data-dir"):
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with _lock(folder):
                yield
        finally:
            with contextlib.suppress(OSError):  # not empty
                for path in made:
                    path.rmdir()


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Lock a folder; does nothing without file locks (Windows, some file systems)."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another run that downloads into {folder}", file=sys.stderr)
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(handle)


def fetch(
    urls: Sequence[str],
    path: Path,
    checksum: str | None,
    by_hand: str | None = None,
    find_fault: Callable[[Path], str | None] | None = None,
) -> None:
    """Download a file into a folder made by `into`.

    Args:
        urls: mirrors, in the order in which they are tried.
        path: the file to write, which appears only once it is complete and verified. A broken
            transfer leaves `path` with `.part` added, which the next one resumes.
        checksum: `sha256:` or `md5:`, then the hexadecimal digits. None if unknown: then the file
            must have the length that the mirror states and pass `find_fault`, and its SHA-256 is
            printed.
        by_hand: what the user can do instead; ends the error message. By default: get the file from
            the first URL and put it at `path`.
        find_fault: checks the complete file, whose name still ends in `.part`; says in a few words
            what is wrong, or None. Used only without a checksum.

    Raises:
        UserError: no mirror delivered the right file, or it could not be written.
    """
    part = path.with_name(path.name + ".part")
    reasons = []
    with disk_errors(path, "--data-dir"):
        for url in urls:
            try:
                _fetch_verified(url, part, checksum, find_fault)
            except _MirrorError as error:
                reasons.append(f"{urlsplit(url).netloc}: {error}")
            else:
                os.replace(part, path)
                if checksum is None:
                    _print_checksum(path)
                return
    if by_hand is None:
        by_hand = f"get {urls[0]} by hand and put it at {path}"
    raise UserError(f"cannot download {path.name} ({'; '.join(reasons)}); {by_hand}")


def _print_checksum(path: Path) -> None:
    """Print a file's SHA-256, for users to compare."""
    import pooch

    digest = pooch.file_hash(str(path), alg="sha256")
    print(f"{path.name}: no checksum of it is known; its SHA-256 is {digest}", file=sys.stderr)


def _fetch_verified(
    url: str,
    part: Path,
    checksum: str | None,
    find_fault: Callable[[Path], str | None] | None,
) -> None:
    """Complete `part` from `url`; remove it if it is not the right file.

    Raises:
        _MirrorError: the mirror did not deliver the right file.
    """
    fault = None
    # If an earlier transfer left a wrong part, request the file once more from the start.
    for _ in range(2 if _length(part) else 1):
        _transfer(url, part, measured=checksum is None)
        if checksum:
            fault = _compare(part, checksum)
        elif find_fault:
            fault = find_fault(part)
        if fault is None:
            return
        part.unlink()
    raise _MirrorError(f"its file {fault}")


def _compare(part: Path, checksum: str) -> str | None:
    """Check a file's checksum; return what is wrong, or None."""
    import pooch

    algorithm, digest = checksum.split(":")
    right = pooch.file_hash(str(part), alg=algorithm) == digest
    return None if right else "has a wrong checksum"


def _transfer(url: str, part: Path, measured: bool) -> None:
    """Complete `part`: retry while attempts bring bytes, then a few times more.

    If `measured`, the mirror must state the file's length.
    """
    attempts = 0
    started = False
    longest = _length(part)
    while True:
        try:
            _attempt(url, part, measured)
            return
        except _SlowError:
            raise
        except _MirrorError as error:
            length = _length(part)
            if length > longest:
                attempts, started, longest = 0, True, length
            # After no answer at all, try the next mirror at once.
            worth_retrying = started or isinstance(error, _BrokenError)
            if not worth_retrying or attempts == len(PAUSES):
                raise
            time.sleep(PAUSES[attempts])
            attempts += 1


def _attempt(url: str, part: Path, measured: bool) -> None:
    """Request the bytes that are missing from `part`, and append them."""
    from tqdm import tqdm

    have = _length(part)
    # Without this header some servers send a .gz file decompressed.
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with _answer(url, headers) as response:
        status = response.status_code
        span = response.headers.get("Content-Range", "")
        if status == 416 and span == f"bytes */{have}":
            return  # it is complete
        if status == 416 or (status == 206 and not span.startswith(f"bytes {have}-")):
            part.unlink(missing_ok=True)
            raise _BrokenError("it could not resume")
        if status not in (200, 206):
            kind = _BrokenError if status >= 500 or status == 429 else _MirrorError
            raise kind(f"HTTP status {status}")
        if status == 200:
            have = 0  # a server that cannot resume sends everything
        length = response.headers.get("Content-Length")
        total = have + int(length) if length and length.isdecimal() else None
        if measured and total is None:
            raise _MirrorError("it does not state the file's length")
        name = part.name.removesuffix(".part")
        with (
            open(part, "ab" if have else "wb") as file,
            tqdm(total=total, initial=have, desc=name, unit="B", unit_scale=True, delay=2) as bar,
        ):
            _copy(response, file, bar)
            if total is not None and file.tell() < total:
                raise _BrokenError("the connection broke")


def _copy(response: Response, file: IO[bytes], bar: Any) -> None:
    """Write the body of an answer to a file as it arrives."""
    from urllib3.exceptions import HTTPError

    started, count = time.monotonic(), 0
    while True:
        try:
            # Not `stream`, which waits for a whole chunk.
            chunk = response.raw.read1(CHUNK, decode_content=False)
        except HTTPError as error:
            raise _BrokenError("the connection broke") from error
        if not chunk:
            return
        file.write(chunk)
        bar.update(len(chunk))
        count += len(chunk)
        if time.monotonic() > started + SLOW_SECONDS:
            if count < SLOW_BYTES:
                raise _SlowError(f"only {count} bytes in {SLOW_SECONDS:.0f} seconds")
            started, count = time.monotonic(), 0


def _answer(url: str, headers: dict[str, str]) -> Response:
    """The server's answer, without its body.

    Looking up a host name and connecting to its addresses have no time limit, so they run in a
    thread, which is abandoned after `ANSWER_SECONDS`.

    Raises:
        _MirrorError: there is no connection, or no answer in time.
    """
    import requests

    answers: queue.Queue[Response | Exception] = queue.Queue()

    def ask() -> None:
        timeout = (ANSWER_SECONDS, READ_SECONDS)
        try:
            answers.put(requests.get(url, headers=headers, stream=True, timeout=timeout))
        except Exception as error:  # raised again in the waiting thread
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=ANSWER_SECONDS)
    except queue.Empty:
        raise _MirrorError(f"no answer within {ANSWER_SECONDS:.0f} seconds") from None
    if isinstance(answer, Exception):
        text = str(answer).lower()
        reason = next((short for sign, short in REASONS.items() if sign in text), "no connection")
        raise _MirrorError(reason) from answer
    return answer


def _length(path: Path) -> int:
    """Length of a file in bytes; 0 if there is none."""
    return path.stat().st_size if path.exists() else 0
