"""Imori: 22 photos of newts with masks of the newts, 16 for training and 6 for testing.

From https://github.com/yoyoyo-yo/DeepLearningMugenKnock, folder `Dataset` (yoyoyo-yo, MIT licence).
So few photos are enough only if each batch crops and turns them at random.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from common.data import download
from common.data.dataset import Dataset, Split
from common.data.sizes import central_square
from common.errors import UserError

REPOSITORY = "yoyoyo-yo/DeepLearningMugenKnock"
COMMIT = "bcec0d3cde2d7288c0e2d233aa502154bf8f0547"
URL = f"https://raw.githubusercontent.com/{REPOSITORY}/{COMMIT}/"
ARCHIVE = f"https://github.com/{REPOSITORY}/archive/{COMMIT}.zip"
CHECKSUMS = Path(__file__).with_suffix(".sha256")  # as the command sha256sum writes them
CLASS_NAMES = ("akahara", "madara")
_AGAIN = "remove it and it will be downloaded again"
MARGIN = 5 / 4  # side of a training image, divided by that of the crops taken from it


def load(data_dir: Path, image_size: int) -> Dataset:
    """Imori: images `uint8` (N, H, W, 3), masks with 0 for the background, 1 akahara, 2 madara.

    The folder `Dataset` is looked for in `data_dir/imori/`, then in `data_dir`; failing that, its
    files are downloaded. Photos are cropped to their central square, then resized.

    Args:
        data_dir: the folder of data sets.
        image_size: side in pixels of test images and of crops of training images, whose own side
            is `MARGIN` times longer.

    Raises:
        UserError: a file can neither be found nor downloaded, or is not a photo or a mask.
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
    """The SHA-256 of every file, by its path, `Dataset/train/…`."""
    lines = CHECKSUMS.read_text(encoding="ascii").splitlines()
    return {path: digest for digest, path in (line.split() for line in lines)}


def _find(data_dir: Path) -> Path:
    """The folder that holds `Dataset` with all its files, downloaded if needed."""
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
    """A photo (size, size, 3) and its mask (size, size), both `uint8`, cropped and resized alike.

    Raises:
        UserError: one of them cannot be read, or the mask does not belong to the photo.
    """
    from PIL import Image

    try:
        with Image.open(photo) as picture, Image.open(mask) as marked:
            if marked.mode != "P" or marked.size != picture.size:
                raise UserError(
                    f"{mask}: expected a palette picture of the size of {photo.name}, "
                    f"{picture.size}, found mode {marked.mode} of {marked.size}; {_AGAIN}"
                )
            found = {value for _, value in marked.getcolors() or ()}
            if not found <= {0, index}:
                raise UserError(
                    f"{mask}: expected the palette indices 0 and {index}, "
                    f"found {sorted(found)}; {_AGAIN}"
                )
            photo_square = central_square(picture.convert("RGB"))
            mask_square = central_square(marked)
            return (
                np.asarray(photo_square.resize((size, size), Image.Resampling.LANCZOS)),
                np.asarray(mask_square.resize((size, size), Image.Resampling.NEAREST)),
            )
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"cannot read {photo} or its mask: {error}; {_AGAIN}") from error
