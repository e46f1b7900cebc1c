"""CIFAR-10, the binary version: https://www.cs.toronto.edu/~kriz/cifar.html (Krizhevsky, 2009).

50 000 training and 10 000 test photos of 32 x 32 pixels in ten classes.
"""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path

import numpy as np

from common.data import download
from common.data.dataset import Dataset, Split
from common.errors import UserError, warn
from common.files import disk_errors

ARCHIVE = "cifar-10-binary.tar.gz"
URLS = (
    f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}",
    f"https://cave.cs.toronto.edu/kriz/{ARCHIVE}",
)
SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
FOLDER = "cifar-10-batches-bin"
TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST = "test_batch.bin"
RECORD = 1 + 3 * 32 * 32  # bytes: the label, then red, green and blue by rows
LARGEST = 10_000 * RECORD  # bytes of a batch
_REMEDY = "add or replace it, or remove the folder and it will be downloaded again"
_AGAIN = "remove it and it will be downloaded again"
CLASS_NAMES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip


def load(data_dir: Path) -> Dataset:
    """CIFAR-10: images `uint8` (N, 32, 32, 3).

    A folder `cifar-10-batches-bin` in `data_dir/cifar10/` or `data_dir` is used as it is, with a
    warning if it lacks some of the training batches. Otherwise the archive is unpacked, which is
    downloaded unless it lies in one of the two.

    Args:
        data_dir: the folder of data sets.

    Raises:
        UserError: the files can neither be found nor downloaded, or are not those of CIFAR-10.
    """
    folder = _find(data_dir)
    train = [batch for batch in TRAIN if (folder / batch).is_file()]
    if not train:
        raise UserError(f"{folder}: none of {TRAIN[0]} to {TRAIN[-1]} is there; {_REMEDY}")
    if not (folder / TEST).is_file():
        raise UserError(f"{folder}: {TEST} is missing; {_REMEDY}")
    parts = [_read(folder / batch) for batch in train]
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    if len(train) < len(TRAIN):
        missing = ", ".join(batch for batch in TRAIN if batch not in train)
        warn(f"{folder}: without {missing}; training on {len(images)} images")
    return Dataset(
        "cifar10", CLASS_NAMES, Split(images, labels), Split(*_read(folder / TEST)), (32, 32, 3)
    )


def _find(data_dir: Path) -> Path:
    """The folder of the batches, downloaded and unpacked if needed."""
    home = data_dir / "cifar10"
    for place in (home, data_dir):
        if (place / FOLDER).is_dir():
            return place / FOLDER
    folder = home / FOLDER
    with download.into(home):
        if folder.is_dir():  # another run has made it
            return folder
        for place in (home, data_dir):
            if (place / ARCHIVE).is_file():
                unpack(place / ARCHIVE, folder)
                return folder
        download.fetch(URLS, home / ARCHIVE, f"sha256:{SHA256}")
        unpack(home / ARCHIVE, folder)
        (home / ARCHIVE).unlink()  # 170 MB that are not needed again
    return folder


def unpack(archive: Path, folder: Path) -> None:
    """Unpack the six batches into `folder`, atomically.

    Raises:
        UserError: the archive is damaged, lacks a batch, or holds a path that leads outside; or
            the disk is full or cannot be written to.
    """
    wanted = {f"{FOLDER}/{batch}" for batch in (*TRAIN, TEST)}
    with disk_errors(folder, "--data-dir"):
        aside = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=folder.parent))
        try:
            with tarfile.open(archive, "r:gz") as tar:
                for member in tar:
                    safe = tarfile.data_filter(member, str(aside))
                    if member.size > LARGEST:
                        raise UserError(
                            f"{archive}: {member.name} has {member.size} bytes, expected at most "
                            f"{LARGEST}; {_AGAIN}"
                        )
                    if safe.name in wanted and safe.isreg():
                        tar.extract(safe, aside, filter="data")
                        wanted.discard(safe.name)
                while tar.fileobj.read(1 << 20):  # gzip checks its checksum at the end
                    pass
            if wanted:
                raise UserError(f"{archive}: holds no {min(wanted)}; {_AGAIN}")
            os.replace(aside / FOLDER, folder)
        except tarfile.FilterError as error:
            raise UserError(f"{archive}: refused, a path leads outside: {error}") from error
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UserError(f"{archive}: damaged or cut short ({error}); {_AGAIN}") from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images `uint8` (N, 32, 32, 3) and labels `int64` (N,) of one batch.

    Raises:
        UserError: the file cannot be read or is damaged.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise UserError(
                f"{path}: {size} bytes, a batch has {LARGEST} (10000 images); {_REMEDY}"
            )
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    if not len(data) or len(data) % RECORD:
        raise UserError(
            f"{path}: expected a whole number of {RECORD}-byte records, found {len(data)} bytes; "
            f"{_REMEDY}"
        )
    records = data.reshape(-1, RECORD)
    labels = records[:, 0].astype(np.int64)
    if labels.max() > 9:
        raise UserError(
            f"{path}: expected labels 0 to 9, found {labels.max()} in record {labels.argmax()}; "
            f"{_REMEDY}"
        )
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), labels
