"""MNIST, Fashion-MNIST and Kuzushiji-MNIST: 60 000 training and 10 000 test images, 28 x 28.

MNIST: http://yann.lecun.com/exdb/mnist/ (LeCun, Cortes and Burges), which also defines the IDX
format. Fashion-MNIST: https://github.com/zalandoresearch/fashion-mnist (Xiao, Rasul and Vollgraf,
2017) and Kuzushiji-MNIST: http://codh.rois.ac.jp/kmnist/ (Clanuwat and others, 2018, CC BY-SA 4.0)
have four files of the same names and format.
"""

from __future__ import annotations

import gzip
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.data import download
from common.data.dataset import Dataset, Split
from common.errors import UserError

FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
_AGAIN = "remove it and it will be downloaded again"


@dataclass(frozen=True)
class Source:
    """The origin of a data set.

    Attributes:
        mirrors: URLs without the file's name, in the order in which they are tried.
        md5s: checksums of `FILES` on the mirrors, in hexadecimal.
        class_names: one per label.
        packaged: the folder where a package of the operating system puts the files, or None.
    """

    mirrors: tuple[str, ...]
    md5s: tuple[str, ...]
    class_names: tuple[str, ...]
    packaged: Path | None = None


SOURCES = {
    "mnist": Source(
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        md5s=(
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
        class_names=tuple("0123456789"),
    ),
    "fashion_mnist": Source(
        mirrors=(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        md5s=(
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
        class_names=(
            "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
            "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
        ),
        packaged=Path("/usr/share/datasets/fashion-mnist"),  # Debian: dataset-fashion-mnist
    ),
    "kmnist": Source(
        mirrors=(
            "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
            "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        ),
        md5s=(
            "bdb82020997e1d708af4cf47b453dcf7",
            "e144d726b3acfaa3e44228e80efcd344",
            "5c965bf0a639b31b8f53240b1b52f4d7",
            "7320c461ea6c1c855c0b718fb2a4b134",
        ),
        class_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    ),
}  # fmt: skip


LARGEST = 200_000_000  # bytes of a decompressed file


def load(name: str, data_dir: Path) -> Dataset:
    """A data set of `SOURCES`: images `uint8` (N, 28, 28, 1), grey on black.

    The files, with or without gzip, are looked for in `data_dir/NAME/`, then in the folder of the
    operating system's package. As all these data sets use the same file names, `data_dir` itself is
    searched only if it is called NAME. Missing files are downloaded to `data_dir/NAME/`.

    Args:
        name: `mnist`, `fashion_mnist` or `kmnist`.
        data_dir: the folder of data sets.

    Raises:
        UserError: a file can neither be found nor downloaded, or its content is wrong.
    """
    source = SOURCES[name]
    paths = _find(name, data_dir, source)
    train = _read_split(paths[0], paths[1])
    test = _read_split(paths[2], paths[3])
    return Dataset(name, source.class_names, train, test, (28, 28, 1))


def _find(name: str, data_dir: Path, source: Source) -> list[Path]:
    """The paths of the four files, in the order of `FILES`; missing ones are downloaded."""
    home = data_dir / name
    places = [home]
    if data_dir.resolve().name == name:
        places.append(data_dir)
    if source.packaged:
        places.append(source.packaged)
    for place in places:
        found = [_present(place, file) for file in FILES]
        if all(found):
            return [path for path in found if path]
    with download.into(home):
        missing = [file for file in FILES if not _present(home, file)]
        for file in missing:
            download.fetch(
                [mirror + file for mirror in source.mirrors],
                home / file,
                "md5:" + source.md5s[FILES.index(file)],
                f"get {', '.join(missing)} from {source.mirrors[0]} by hand and put them in {home}",
            )
    return [_present(home, file) or home / file for file in FILES]


def _present(folder: Path, file: str) -> Path | None:
    """The path of the file in the folder, compressed or not; None if it is not there."""
    for path in (folder / file, folder / file.removesuffix(".gz")):
        if path.is_file():
            return path
    return None


def _read_split(images_path: Path, labels_path: Path) -> Split:
    images = read_idx(images_path, 3)
    labels = read_idx(labels_path, 1)
    if images.shape[1:] != (28, 28):
        size = " x ".join(map(str, images.shape[1:]))
        raise UserError(f"{images_path}: expected images of 28 x 28, found {size}; {_AGAIN}")
    if len(images) != len(labels) or not len(images):
        raise UserError(
            f"{labels_path}: expected a label for each of the {len(images)} images in "
            f"{images_path.name}, found {len(labels)}; {_AGAIN}"
        )
    if labels.max() > 9:
        raise UserError(f"{labels_path}: expected labels 0 to 9, found {labels.max()}; {_AGAIN}")
    return Split(images[..., np.newaxis], labels.astype(np.int64))


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """The `uint8` array in an IDX file, compressed with gzip or not, whatever its name says.

    Its header is two zero bytes, 8 for `uint8`, the number of dimensions, then each dimension as
    a big-endian 32-bit number.

    Args:
        path: the file.
        dimensions: how many the array must have.

    Raises:
        UserError: the file cannot be read, is not such an IDX file, or is longer or shorter than
            its header says.
    """
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            content = (gzip.GzipFile(fileobj=file) if packed else file).read(LARGEST + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(
            f"{path}: expected a whole gzip file, found a damaged one ({error}); {_AGAIN}"
        ) from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    if len(content) > LARGEST:
        raise UserError(f"{path}: more than {LARGEST // 10**6} MB unpacked, MNIST has 47; {_AGAIN}")
    magic = bytes([0, 0, 8, dimensions])
    start = 4 + 4 * dimensions
    if content[:4] != magic or len(content) < start:
        raise UserError(
            f"{path}: expected an IDX file that begins with {magic.hex()}, "
            f"found {content[:4].hex() or 'an empty file'}; {_AGAIN}"
        )
    shape = np.frombuffer(content, ">u4", dimensions, offset=4).tolist()
    expected = start + math.prod(shape)
    if len(content) != expected:
        raise UserError(
            f"{path}: expected {expected} bytes as its header says, found {len(content)}; {_AGAIN}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
