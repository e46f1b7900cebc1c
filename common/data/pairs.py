"""The user's own folder of pairs: images a and b, one of which a model translates into the other.

Either `source/` holds images a and `target/` images b, with the same path for both of a pair. Or
each picture is twice as wide as high and holds both side by side, a on the left, as in the data
sets of pix2pix' authors. Pictures are recognised by content, not by file name.
"""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

import numpy as np

from common.data import folder
from common.data.dataset import Dataset, Split
from common.errors import UserError

SIDES = ("source", "target")
TESTS = ("test", "val")  # folders of test pictures; the first that exists is used
CLASS_NAMES = ("pairs",)
_APART_HINT = "put pictures (JPEG, PNG, …) there"
_JOINED_HINT = (
    "put pictures there that hold both images of a pair side by side, or source/ and target/"
)


def load(path: str, image_size: int, direction: str = "a2b") -> Dataset:
    """Load the pairs in a folder: targets as images, and sources, both `uint8` (N, H, W, 3).

    Pictures are cropped and resized as by `folder.load`. If pictures that hold both images are in
    `train/` and `test/` (or `val/`), these are the splits; otherwise pairs are split as by
    `folder.load`.

    Args:
        path: the folder.
        image_size: side of the images in pixels.
        direction: `a2b` if the sources are images a, `b2a` if they are images b.

    Raises:
        UserError: there is no such folder, or no readable picture in it; a sub-folder is missing;
            a picture lacks its partner, differs from it in size, or is not twice as wide as high.
    """
    home = Path(path)
    there = [side for side in SIDES if (home / side).is_dir()]
    if not path or not home.is_dir() or len(there) == 1:
        lacking = f"has no sub-folder {({*SIDES} - {*there}).pop()}" if there else "is no folder"
        raise UserError(
            f"--task pairs: folder:{path} {lacking}; give folder:PATH with source/ and target/ in "
            "it, and the two pictures of a pair under the same name, or with pictures that hold "
            "both side by side"
        )
    name = f"folder:{path}"
    if there:
        return folder.split(name, CLASS_NAMES, _read_apart(path, home, image_size, direction))
    parts = find_parts(home)
    if parts:
        return load_parts(name, parts, image_size, direction, name, _JOINED_HINT)
    everything = _read_joined(name, home, image_size, direction, _JOINED_HINT)
    return folder.split(name, CLASS_NAMES, everything)


def find_parts(home: Path) -> tuple[Path, Path] | None:
    """The sub-folders for training and for testing, or None unless both exist."""
    train = home / "train"
    held_out = next((home / part for part in TESTS if (home / part).is_dir()), None)
    return (train, held_out) if held_out and train.is_dir() else None


def load_parts(
    name: str,
    parts: tuple[Path, Path],
    image_size: int,
    direction: str,
    title: str,
    hint: str,
) -> Dataset:
    """Load pictures that hold both images, from one folder per split.

    Args:
        name: the data set's.
        parts: the folders for training and for testing.
        image_size: side of the images in pixels.
        direction: as `load` takes it.
        title: the parent folder as messages name it.
        hint: what the user can do if pictures are missing or unfit; ends the error message.

    Raises:
        UserError: a folder holds no readable picture, or one that is not twice as wide as high.
    """
    train, test = (
        _read_joined(f"{title}/{part.name}", part, image_size, direction, hint) for part in parts
    )
    return Dataset(name, CLASS_NAMES, train, test, (image_size, image_size, 3))


def _pair_up(a: list[np.ndarray], b: list[np.ndarray], direction: str) -> Split:
    """Images a and b, each (H, W, 3), as a split."""
    sources, targets = (a, b) if direction == "a2b" else (b, a)
    labels = np.zeros(len(a), np.int64)
    return Split(np.stack(targets), labels, sources=np.stack(sources))


def _read_joined(title: str, home: Path, image_size: int, direction: str, hint: str) -> Split:
    """Pictures that hold both images side by side."""
    found = folder.read_all(
        title,
        home,
        lambda file: (folder.read_halves(file, image_size), folder.read_size(file)),
        hint,
    )
    for name, (_, size) in found.items():
        if not is_joined(size):
            raise UserError(
                f"{title}: {name} has {_text(size)} pixels; both images of a pair side by side are "
                f"twice as wide as high; {hint}"
            )
    halves = [both for both, _ in found.values()]
    return _pair_up([left for left, _ in halves], [right for _, right in halves], direction)


def is_joined(size: tuple[int, int]) -> bool:
    """True if a picture of this width and height can hold two squares side by side."""
    width, height = size
    return width == 2 * height


def _read_apart(path: str, home: Path, image_size: int, direction: str) -> Split:
    """Pictures in `source/` and `target/`."""
    sources, targets = (
        folder.read_all(
            f"folder:{path}/{side}",
            home / side,
            lambda file: (folder.read(file, image_size), folder.read_size(file)),
            _APART_HINT,
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
    a = [image for image, _ in sources.values()]
    return _pair_up(a, [targets[name][0] for name in sources], direction)


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
