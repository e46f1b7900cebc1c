"""Hymenoptera: photos of ants and bees, 244 for training and 153 for testing.

The data of PyTorch's tutorial on transfer learning,
https://pytorch.org/tutorials/beginner/transfer_learning_tutorial.html, from ImageNet.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from common.data import archive, download, folder
from common.data.dataset import Dataset, Split

NAME = "hymenoptera"
ARCHIVE = "hymenoptera_data.zip"
URLS = (f"https://download.pytorch.org/tutorial/{ARCHIVE}",)
SHA256 = "fbc41b31d544714d18dd1230b1e2b455e1557766e13e67f9f5a7a23af7c02209"
TOP = "hymenoptera_data"  # the archive's folder
CLASS_NAMES = ("ants", "bees")
SPLITS = ("train", "val")
PARTS = tuple(f"{split}/{name}" for split in SPLITS for name in CLASS_NAMES)


def load(data_dir: Path, image_size: int) -> Dataset:
    """Hymenoptera: images `uint8` (N, H, W, 3), central squares resized by Lanczos.

    Folders that hold `PARTS`, in `data_dir/hymenoptera/` or in a folder `hymenoptera_data` there or
    in `data_dir`, are used as they are. Otherwise the archive is unpacked, which is downloaded
    unless it lies in one of the two. A warning names files that are not pictures.

    Args:
        data_dir: the folder of data sets.
        image_size: side of the images in pixels.

    Raises:
        UserError: the photos can neither be found nor downloaded, or cannot be read.
    """
    home = _find(data_dir)
    splits = []
    for split in SPLITS:
        images, labels = [], []
        for label, name in enumerate(CLASS_NAMES):
            place = home / split / name
            read = folder.read_all(
                str(place), place, lambda file: folder.read(file, image_size), archive.AGAIN
            )
            images += read.values()
            labels += [label] * len(read)
        splits.append(Split(np.stack(images), np.array(labels, np.int64)))
    train, test = splits
    return Dataset(NAME, CLASS_NAMES, train, test, (image_size, image_size, 3))


def _find(data_dir: Path) -> Path:
    """The folder that holds the parts, downloaded and unpacked if needed."""
    home = data_dir / NAME
    places = (home, home / TOP, data_dir / TOP)
    for place in places:
        if all((place / part).is_dir() for part in PARTS):
            return place
    target = home / TOP
    with download.into(home):
        if target.is_dir():  # another run has made it
            return target
        for place in (home, data_dir):
            if (place / ARCHIVE).is_file():
                archive.unpack(place / ARCHIVE, target, TOP, PARTS)
                return target
        download.fetch(URLS, home / ARCHIVE, f"sha256:{SHA256}")
        archive.unpack(home / ARCHIVE, target, TOP, PARTS)
        (home / ARCHIVE).unlink()  # as large as the photos
    return target
