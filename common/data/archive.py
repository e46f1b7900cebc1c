"""Extracts the photos (JPEG) of a data set, and nothing else, from a zip or tar.gz archive."""

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
SLACK = 100_000_000  # bytes that the photos may have beyond twice their archive's
CHUNK = 1 << 20  # bytes
AGAIN = "remove it and it will be downloaded again"

Member = tuple[str, int, Callable[[], IO[bytes]]]  # path, size in bytes, function that opens it
# Exceptions that damaged archives raise in zipfile, tarfile and gzip.
DAMAGES = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError),
    *(NotImplementedError, RuntimeError, ValueError, OverflowError),
)


class UnfitError(UserError):
    """An archive's content is not as expected.

    Attributes:
        reason: what is wrong, in a few words.
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
    """Extract the photos into the folder `target`, atomically.

    Other files, links, and paths outside the folder are ignored.

    Args:
        archive: the file; a tar.gz if `.gz` is in its name, else a zip.
        target: the folder to create, with the sub-folders `parts`.
        top: the archive's folder that contains `parts`.
        parts: paths of folders of photos.
        needed: parts that must exist; None means all.
        most: the largest number of photos accepted.
        find_fault: says in a few words what is wrong with the extracted folder, or None.

    Raises:
        UnfitError: the archive is damaged, incomplete or too large, or `find_fault` objects.
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
    """Extract the photos into an empty folder."""
    from tqdm import tqdm

    either = "|".join(map(re.escape, parts))
    wanted = re.compile(rf"(?:\./)?{re.escape(top)}/({either})/([\w-][\w.() -]*\.jpg)")
    left = 2 * archive.stat().st_size + SLACK  # archives hardly compress photos
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
                    raise UnfitError(archive, "holds too many photos, or too large ones")
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
    """The members of an archive; a member can be opened until the next one is requested."""
    if ".gz" in archive.suffixes:
        with _Content(archive) as content, tarfile.open(fileobj=content, mode="r:") as tar:
            yield _walk(tar, content)
    else:
        with zipfile.ZipFile(archive) as file:
            yield [(m.filename, m.file_size, partial(file.open, m)) for m in file.infolist()]


def _walk(tar: tarfile.TarFile, content: _Content) -> Iterator[Member]:
    """The regular files in a tar archive; also reads the end, to verify gzip's checksum."""
    while member := tar.next():
        tar.members.clear()  # type: ignore[attr-defined]  # otherwise the list grows with the archive
        source = tar.extractfile(member) if member.isreg() else None
        if source:
            yield member.name, member.size, lambda source=source: source
    # A damaged header also ends `next`; gzip checks its checksum at the end of the file.
    while rest := content.read(CHUNK):
        if rest.strip(b"\0"):
            raise tarfile.ReadError("a member is damaged")


class _Content(gzip.GzipFile):
    """The content of a gzip file, read forwards only, up to the size limit of photos."""

    def __init__(self, archive: Path) -> None:
        super().__init__(archive, "rb")
        self._limit = 2 * archive.stat().st_size + SLACK

    def read(self, size: int | None = -1) -> bytes:
        """Read bytes; raise ValueError for more than a photo may have, as a forged header asks."""
        if size is None or not 0 <= size <= LARGEST:
            raise ValueError("a member is too large")
        self._check(self.tell() + size)
        return super().read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Seek forwards; raise ValueError for a seek backwards, which a forged size causes."""
        if whence == os.SEEK_SET:  # `tell` seeks by 0 from the current position
            if offset < self.tell():
                raise ValueError("a member has no size")
            self._check(offset)
        return super().seek(offset, whence)

    def _check(self, offset: int) -> None:
        if offset > self._limit:
            raise ValueError("it is too large")
