"""A folder of the user's own pairs: `source/` holds what to translate from, `target/` into what.

The two pictures of a pair have the same path in their folders. Pictures are recognised by their
content, not by their names.
"""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

import numpy as np

from common.data import folder
from common.data.dataset import Dataset, Split
from common.errors import UserError

SIDES = ("source", "target")


def load(path: str, image_size: int) -> Dataset:
    """The pairs in a folder: targets as images, sources as sources, both `uint8` (N, H, W, 3).

    Pictures are cropped, resized and split as by `folder.load`.

    Args:
        path: the folder that holds `source/` and `target/`.
        image_size: side of the images in pixels.

    Raises:
        UserError: a sub-folder is missing or holds no readable picture, a picture lacks its
            partner, or the partner is of another size.
    """
    home = Path(path)
    for side in SIDES:
        if not path or not (home / side).is_dir():
            raise UserError(
                f"--task pairs: folder:{path} has no sub-folder {side}; give folder:PATH with "
                "source/ and target/ in it, and the two pictures of a pair under the same name"
            )
    sources, targets = (
        folder.read_all(
            f"folder:{path}/{side}",
            home / side,
            lambda file: (folder.read(file, image_size), folder.read_size(file)),
            "put pictures (JPEG, PNG, …) there",
        )
        for side in SIDES
    )
    _check(path, sources.keys(), targets.keys())
    for name, (_, size) in sources.items():
        other = targets[name][1]
        if size != other:
            raise UserError(
                f"folder:{path}: source/{name} has {_text(size)} pixels, target/{name} "
                f"{_text(other)}; the pictures of a pair must be of the same size"
            )
    images = np.stack([targets[name][0] for name in sources])
    everything = Split(
        images,
        np.zeros(len(images), np.int64),
        sources=np.stack([image for image, _ in sources.values()]),
    )
    return folder.split(f"folder:{path}", ("pairs",), everything)


def _check(path: str, sources: Set[Path], targets: Set[Path]) -> None:
    """Raise UserError if a picture lacks its partner."""
    for (side, other), alone in (
        (SIDES, sorted(sources - targets)),
        (SIDES[::-1], sorted(targets - sources)),
    ):
        if alone:
            more = f" (and {len(alone) - 1} more)" if len(alone) > 1 else ""
            raise UserError(
                f"folder:{path}: {side}/{alone[0]}{more} has no partner: there is no readable "
                f"picture {other}/{alone[0]}"
            )


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
