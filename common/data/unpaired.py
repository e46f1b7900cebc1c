"""The unpaired photos of CycleGAN's authors, such as horses and zebras, of 256 x 256 pixels.

From https://people.eecs.berkeley.edu/~taesung_park/CycleGAN/datasets/ (Zhu, Park, Isola, Efros
2017). The checksums are those that TensorFlow Datasets has for these files.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from common.data import download, folder
from common.data.archive import AGAIN, unpack
from common.data.dataset import Dataset, Split
from common.data.domains import join

URLS = (
    "https://people.eecs.berkeley.edu/~taesung_park/CycleGAN/datasets/",
    "http://efrosgans.eecs.berkeley.edu/cyclegan/datasets/",
)
SHA256 = {
    "horse2zebra": "a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1",
    "apple2orange": "845a191e9af8926408ea597001cd03a452e3300a1f44a79fe329b3d59f6e3eb8",
    "summer2winter_yosemite": "167fe1726807a9d22bd106b4a6c0bd7953b688af924ac1bf967439c4961e49f9",
    "monet2photo": "88f91b00fc228f97c9411fbf1880ec1d119c98f1722e4cfcfaa2fb35fac05b04",
}
NAMES = tuple(SHA256)
PARTS = ("trainA", "trainB", "testA", "testB")


def load(name: str, data_dir: Path, image_size: int) -> Dataset:
    """One of `NAMES`: images `uint8` (N, H, W, 3), resized by Lanczos; domain A is class 0.

    A folder NAME that holds `PARTS`, in `data_dir/NAME/` or `data_dir`, is used as it is.
    Otherwise NAME.zip is unpacked, which is downloaded unless it lies in one of the two.

    Args:
        name: of the data set.
        data_dir: the folder of data sets.
        image_size: side of the images in pixels.

    Raises:
        UserError: the photos can neither be found nor downloaded, or cannot be read.
    """
    home = _find(name, data_dir)
    parts = []
    for label, part in zip((0, 1, 0, 1), PARTS, strict=True):
        images = folder.read_all(
            str(home / part), home / part, lambda file: folder.read(file, image_size), AGAIN
        )
        parts.append(Split(np.stack([*images.values()]), np.full(len(images), label, np.int64)))
    first, second = name.split("_")[0].split("2")
    shape = (image_size, image_size, 3)
    return Dataset(name, (first, second), join(parts[:2]), join(parts[2:]), shape)


def _find(name: str, data_dir: Path) -> Path:
    """The folder of the photos, downloaded and unpacked if needed."""
    home = data_dir / name
    places, archive = (home, data_dir), f"{name}.zip"
    for place in places:
        if all((place / name / part).is_dir() for part in PARTS):
            return place / name
    target = home / name
    with download.into(home):
        if target.is_dir():  # another run has made it
            return target
        for place in places:
            if (place / archive).is_file():
                unpack(place / archive, target, name, PARTS)
                return target
        download.fetch([url + archive for url in URLS], home / archive, f"sha256:{SHA256[name]}")
        unpack(home / archive, target, name, PARTS)
        (home / archive).unlink()  # as large as the photos
    return target
