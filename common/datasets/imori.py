"""Imori: 22 photos of newts with the newt's pixels marked, 16 to train and 6 to test.

From https://github.com/yoyoyo-yo/DeepLearningMugenKnock, folder `Dataset` (yoyoyo-yo, MIT licence).
So few pictures only teach anything when each batch shows them cropped and turned anew.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from common import download
from common.datasets.dataset import Dataset, Split
from common.datasets.sizes import middle_square
from common.errors import UserError

REPOSITORY = "yoyoyo-yo/DeepLearningMugenKnock"
COMMIT = "bcec0d3cde2d7288c0e2d233aa502154bf8f0547"
URL = f"https://raw.githubusercontent.com/{REPOSITORY}/{COMMIT}/"
ARCHIVE = f"https://github.com/{REPOSITORY}/archive/{COMMIT}.zip"
CHECKSUMS = Path(__file__).with_suffix(".sha256")  # as the command sha256sum writes them
CLASS_NAMES = ("akahara", "madara")
_AGAIN = "remove it and it will be downloaded again"
MARGIN = 5 / 4  # side of a training picture over that of the crops taken from it


def load(data_dir: Path, image_size: int) -> Dataset:
    """The newts of `data_dir`, with masks of 0 ground, 1 akahara, 2 madara.

    The folder `Dataset` is looked for in `data_dir/imori/`, then in `data_dir`; else its files are
    downloaded. Pictures are cropped to the square in their middle, then resized.

    Args:
        data_dir: where data sets lie.
        image_size: side in pixels of the test images, and of the crops from the training images,
            which are themselves larger by `MARGIN`.

    Raises:
        UserError: a file can neither be found nor fetched, or it is no picture or no mask.
    """
    home = _find(data_dir)
    return Dataset(
        "imori",
        CLASS_NAMES,
        _read_split(home, "train", round(image_size * MARGIN)),
        _read_split(home, "test", image_size),
        (image_size, image_size, 3),
        augment=True,
    )


def checksums() -> dict[str, str]:
    """SHA-256 by path, `Dataset/train/…`, of every file."""
    lines = CHECKSUMS.read_text(encoding="ascii").splitlines()
    return {path: digest for digest, path in (line.split() for line in lines)}


def _find(data_dir: Path) -> Path:
    """The folder that holds `Dataset` with all its files."""
    from tqdm import tqdm

    known = checksums()
    home = data_dir / "imori"
    for place in (home, data_dir):
        if all((place / path).is_file() for path in known):
            return place
    with download.into(home):
        missing = [path for path in known if not (home / path).is_file()]
        for path in tqdm(missing, desc="imori", unit="file", delay=2, leave=False):
            with download.into((home / path).parent):
                download.fetch(
                    [URL + path],
                    home / path,
                    f"sha256:{known[path]}",
                    f"get {ARCHIVE} by hand and put its folder Dataset at {home / 'Dataset'}",
                )
    return home


def _read_split(home: Path, part: str, size: int) -> Split:
    images, labels, masks = [], [], []
    for label, name in enumerate(CLASS_NAMES):
        for path in checksums():
            if not path.startswith(f"Dataset/{part}/images/{name}/"):
                continue
            mask = path.replace("/images/", "/seg_images/").replace(".jpg", ".png")
            pair = _read_pair(home / path, home / mask, label + 1, size)
            images.append(pair[0])
            masks.append(pair[1])
            labels.append(label)
    return Split(np.stack(images), np.array(labels, np.int64), np.stack(masks))


def _read_pair(photo: Path, mask: Path, index: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A photo `uint8` (size, size, 3) and its mask (size, size), cropped and resized alike."""
    from PIL import Image

    try:
        with Image.open(photo) as picture, Image.open(mask) as marked:
            if marked.mode != "P" or marked.size != picture.size:
                raise UserError(
                    f"{mask}: expected a palette picture as large as {photo.name} "
                    f"{picture.size}, found mode {marked.mode} of {marked.size}; {_AGAIN}"
                )
            found = {value for _, value in marked.getcolors() or ()}
            if not found <= {0, index}:
                raise UserError(
                    f"{mask}: expected the palette indices 0 and {index}, "
                    f"found {sorted(found)}; {_AGAIN}"
                )
            photo_square = middle_square(picture.convert("RGB"))
            mask_square = middle_square(marked)
            return (
                np.asarray(photo_square.resize((size, size), Image.Resampling.LANCZOS)),
                np.asarray(mask_square.resize((size, size), Image.Resampling.NEAREST)),
            )
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"cannot read {photo} or its mask: {error}; {_AGAIN}") from error
