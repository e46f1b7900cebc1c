"""Two domains of unpaired images, between which a model translates.

They are the two classes of a data set: domain a is the first, b the second. The user's own folder
has them in `a/` and `b/`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from common.data import folder
from common.data.dataset import Dataset, Split
from common.errors import UserError

NAMES = ("a", "b")


def load(path: str, image_size: int) -> Dataset:
    """Load the pictures in the two sub-folders of a folder, `uint8` (N, H, W, 3).

    Pictures are cropped and resized as by `folder.load`; each domain is split separately.

    Args:
        path: the folder that holds `a/` and `b/`.
        image_size: side of the images in pixels.

    Raises:
        UserError: a sub-folder is missing, or holds no readable picture.
    """
    parts = []
    for label, name in enumerate(NAMES):
        home = Path(path) / name
        if not path or not home.is_dir():
            raise UserError(
                f"folder:{path} has no sub-folder {name}; give folder:PATH with a/ and b/ in it, "
                "the pictures of one domain in each"
            )
        images = folder.read_all(
            f"folder:{path}/{name}",
            home,
            lambda file: folder.read(file, image_size),
            "put pictures (JPEG, PNG, …) there",
        )
        labels = np.full(len(images), label, np.int64)
        everything = Split(np.stack([*images.values()]), labels)
        parts.append(folder.split(f"folder:{path}", NAMES, everything))
    train, test = (join([getattr(part, name) for part in parts]) for name in ("train", "test"))
    return replace(parts[0], train=train, test=test)


def join(parts: list[Split]) -> Split:
    """Concatenate splits, without their masks and sources."""
    return Split(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.labels for part in parts]),
    )


def divide(split: Split) -> tuple[Split, Split]:
    """Divide a split into domain a and domain b."""
    first, second = (split.take(np.flatnonzero(split.labels == label)) for label in (0, 1))
    return first, second
