"""Downloads that go on where they broke off, turn to the next mirror, and are verified.

A file grows as `NAME.part` and gets its name once its checksum is right, so a broken transfer is
resumed, even in a later run, and a dead network fails soon.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from common.errors import UserError
from common.files import disk_errors

if TYPE_CHECKING:
    from requests import Response

ANSWER_SECONDS = 9.0  # to a mirror's first answer: two dead mirrors fail within 20 seconds
READ_SECONDS = 20.0  # without a byte
PAUSES = (1.0, 2.0)  # seconds before another attempt at the same mirror
CHUNK = 1 << 16  # bytes

# What requests says at length, in a few words; the first that occurs.
REASONS = {
    "failed to resolve": "host name not found",
    "refused": "connection refused",
    "unreachable": "network unreachable",
    "timed out": "timed out",
    "certificate": "certificate not accepted",
    "proxy": "the proxy failed",
}


class _MirrorError(Exception):
    """A mirror does not deliver; the message is the reason in a few words."""


class _BrokenError(_MirrorError):
    """A mirror did not deliver, but may if asked again."""


@contextlib.contextmanager
def into(folder: Path) -> Iterator[None]:
    """Make a folder to download into, and keep other runs out of it meanwhile.

    Two scripts started side by side want the same data: the second waits here for the first, and
    must then look again for what it came for. Folders made here that stay empty are removed.

    Raises:
        UserError: the folder cannot be made.
    """
    with disk_errors(folder, "--data-dir"):
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with _lock(folder):
                yield
        finally:
            with contextlib.suppress(OSError):  # not empty: a file or its part is in it
                for path in made:
                    path.rmdir()


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
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


def fetch(urls: Sequence[str], path: Path, checksum: str, by_hand: str | None = None) -> None:
    """Download a file into a folder that exists; see `into`.

    Args:
        urls: the mirrors of the file, first to last choice.
        path: where it goes. It appears whole and verified, or not at all; a transfer that broke
            leaves `path` with `.part` added, where the next one goes on.
        checksum: `sha256:` or `md5:`, then the hexadecimal digits.
        by_hand: what to do if no mirror can be reached; by default to put the first URL's file
            at `path`.

    Raises:
        UserError: no mirror delivered the file as it should be, or the disk refused it.
    """
    part = path.with_name(path.name + ".part")
    reasons = []
    with disk_errors(path, "--data-dir"):
        for url in urls:
            try:
                _fetch_verified(url, part, checksum)
            except _MirrorError as error:
                reasons.append(f"{urlsplit(url).netloc}: {error}")
            else:
                os.replace(part, path)
                return
    if by_hand is None:
        by_hand = f"get {urls[0]} by hand and put it at {path}"
    raise UserError(f"cannot download {path.name} ({'; '.join(reasons)}); {by_hand}")


def _fetch_verified(url: str, part: Path, checksum: str) -> None:
    """Complete `part` from `url`; one whose checksum is wrong is removed."""
    import pooch

    algorithm, digest = checksum.split(":")
    # What an earlier transfer left may itself be wrong, which is not this mirror's fault: then
    # the file is asked for once more from the start.
    for _ in range(2 if _length(part) else 1):
        _transfer(url, part)
        if pooch.file_hash(str(part), alg=algorithm) == digest:
            return
        part.unlink()
    raise _MirrorError("its file has a wrong checksum")


def _transfer(url: str, part: Path) -> None:
    """Complete `part`, with new attempts as long as they bring something, and a few more."""
    attempts = 0
    started = False
    longest = _length(part)
    while True:
        try:
            _attempt(url, part)
            return
        except _MirrorError as error:
            length = _length(part)
            if length > longest:
                attempts, started, longest = 0, True, length
            # A mirror that cannot be reached at all is left at once for the next.
            hopeful = started or isinstance(error, _BrokenError)
            if not hopeful or attempts == len(PAUSES):
                raise
            time.sleep(PAUSES[attempts])
            attempts += 1


def _attempt(url: str, part: Path) -> None:
    """Ask for what `part` lacks and append it."""
    from tqdm import tqdm
    from urllib3.exceptions import HTTPError

    have = _length(part)
    # The bytes as they are: some servers would otherwise hand a .gz file over decompressed.
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with _answer(url, headers) as response:
        status = response.status_code
        span = response.headers.get("Content-Range", "")
        if status == 416 and span == f"bytes */{have}":
            return  # nothing is lacking
        if status == 416 or (status == 206 and not span.startswith(f"bytes {have}-")):
            part.unlink(missing_ok=True)
            raise _BrokenError("it could not resume")
        if status not in (200, 206):
            kind = _BrokenError if status >= 500 or status == 429 else _MirrorError
            raise kind(f"HTTP status {status}")
        if status == 200:
            have = 0  # a server that does not resume sends all from the start
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        name = part.name.removesuffix(".part")
        with (
            open(part, "ab" if have else "wb") as file,
            tqdm(total=total, initial=have, desc=name, unit="B", unit_scale=True, delay=2) as bar,
        ):
            try:
                for chunk in response.raw.stream(CHUNK, decode_content=False):
                    file.write(chunk)
                    bar.update(len(chunk))
            except HTTPError as error:
                raise _BrokenError("the connection broke") from error


def _answer(url: str, headers: dict[str, str]) -> Response:
    """The server's answer, its body still to be read.

    Looking up a name, and trying each of its addresses, have no time limit of their own: hence a
    thread, that is left behind if it takes too long.
    """
    import requests

    answers: queue.Queue[Response | Exception] = queue.Queue()

    def ask() -> None:
        timeout = (ANSWER_SECONDS, READ_SECONDS)
        try:
            answers.put(requests.get(url, headers=headers, stream=True, timeout=timeout))
        except Exception as error:  # whatever it is belongs to the one who asked
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
    """Bytes in a file; 0 if there is none."""
    return path.stat().st_size if path.exists() else 0
