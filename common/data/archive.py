"""Photos (JPEG) out of a zip or tar.gz archive: those that a data set needs, nothing else in it."""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO

from common.errors import UserError
from common.files import disk_errors

LARGEST = 4_000_000  # bytes of a photo
MOST = 20_000  # photos
SLACK = 100_000_000  # bytes by which the photos may be more than twice as large as their archive
CHUNK = 1 << 20  # bytes
AGAIN = "remove it and it will be downloaded again"

Member = tuple[str, int, Callable[[], IO[bytes]]]  # its path, its bytes, what opens it
# What the readers of damaged archives raise, besides UserError.
DAMAGES = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError),
    *(NotImplementedError, RuntimeError, ValueError, OverflowError),
)


class UnfitError(UserError):
    """An archive does not hold what it should.

    Attributes:
        reason: why, in a few words.
    """

    def __init__(self, archive: Path, reason: str) -> None:
        super().__init__(f"{archive}: {reason}; {AGAIN}")
        self.reason = reason


def unpack(
    archive: Path,
    target: Path,
    top: str,
    parts: Sequence[str],
    needed: Sequence[str] | None = None,
    most: int = MOST,
    find_fault: Callable[[Path], str | None] | None = None,
) -> None:
    """Unpack the photos into the folder `target`, which appears complete or not at all.

    All else that is in the archive is left there: other files, links, paths that lead outside.

    Args:
        archive: the file, a tar.gz if `.gz` is in its name, else a zip.
        target: gets the folders `parts`.
        top: the folder of the archive that they are in.
        parts: paths of folders of photos.
        needed: those that must be there; None means all.
        most: how many photos there may be.
        find_fault: says in a few words what is wrong with the folder of the photos, or None.

    Raises:
        UnfitError: the archive is damaged, lacks a part or is too large, or has such a fault.
        UserError: the disk is full or cannot be written to.
    """
    with disk_errors(target, "--data-dir"):
        aside = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=target.parent))
        try:
            _unpack_photos(archive, aside, top, parts, most)
            for part in parts if needed is None else needed:
                if not (aside / part).is_dir():
                    raise UnfitError(archive, f"holds no {top}/{part}")
            fault = find_fault(aside) if find_fault else None
            if fault:
                raise UnfitError(archive, fault)
            aside.chmod(0o755)
            os.replace(aside, target)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _unpack_photos(archive: Path, folder: Path, top: str, parts: Sequence[str], most: int) -> None:
    """Unpack the photos into an empty folder."""
    from tqdm import tqdm

    either = "|".join(map(re.escape, parts))
    wanted = re.compile(rf"(?:\./)?{re.escape(top)}/({either})/([\w-][\w.() -]*\.jpg)")
    left = 2 * archive.stat().st_size + SLACK  # photos do not get smaller by it
    count = 0
    try:
        with _opened(archive) as members:
            name = archive.name.removesuffix(".part")
            for path, size, opened in tqdm(members, desc=f"unpacking {name}", delay=2, leave=False):
                found = wanted.fullmatch(path)
                if not found:
                    continue
                count, left = count + 1, left - size
                if count > most or size > LARGEST or left < 0:
                    raise UnfitError(archive, "holds more than such photos")
                place = folder / found[1] / found[2]
                if place.exists():
                    raise UnfitError(archive, f"holds {path} twice")
                place.parent.mkdir(parents=True, exist_ok=True)
                with opened() as source, open(place, "xb") as photo:
                    shutil.copyfileobj(source, photo)
    except DAMAGES as error:
        raise UnfitError(archive, f"damaged or cut short ({error})") from error


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[Iterable[Member]]:
    """The members of an archive; each must be opened, if at all, before the next is asked for."""
    if ".gz" in archive.suffixes:
        with _Content(archive) as content, tarfile.open(fileobj=content, mode="r:") as tar:
            yield _walk(tar, content)
    else:
        with zipfile.ZipFile(archive) as file:
            yield [(m.filename, m.file_size, partial(file.open, m)) for m in file.infolist()]


def _walk(tar: tarfile.TarFile, content: _Content) -> Iterator[Member]:
    """The files in a tar archive, without links; the end of the archive is read too."""
    while member := tar.next():
        tar.members.clear()  # type: ignore[attr-defined]  # else all stay in memory
        source = tar.extractfile(member) if member.isreg() else None
        if source:
            yield member.name, member.size, lambda source=source: source
    # A damaged header ends an archive too; and behind the end stands gzip's checksum.
    while rest := content.read(CHUNK):
        if rest.strip(b"\0"):
            raise tarfile.ReadError("a member is damaged")


class _Content(gzip.GzipFile):
    """What is in a gzip file, read forwards only, and not farther than photos may reach."""

    def __init__(self, archive: Path) -> None:
        super().__init__(archive, "rb")
        self._limit = 2 * archive.stat().st_size + SLACK

    def read(self, size: int | None = -1) -> bytes:
        """Some bytes; raise ValueError for more than a photo may have, as a forged header may."""
        if size is None or not 0 <= size <= LARGEST:
            raise ValueError("a member is too large")
        self._check(self.tell() + size)
        return super().read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go on; raise ValueError for a place before this one, to which a forged size may lead."""
        if whence == os.SEEK_SET:  # else it is how `tell` asks where it is
            if offset < self.tell():
                raise ValueError("a member has no size")
            self._check(offset)
        return super().seek(offset, whence)

    def _check(self, offset: int) -> None:
        if offset > self._limit:
            raise ValueError("larger than such photos")
