"""Data sets by name: `load` finds a data set, downloads it if need be, and fits its size.

A data set called NAME is looked for in `data_dir/NAME/`, then in `data_dir/` itself unless its
files could be mistaken for another data set's; failing that it is downloaded to `data_dir/NAME/`.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from common.data import crops, domains, paired, pairs, sizes, sources, unpaired
from common.data.dataset import Dataset
from common.errors import UserError
from common.files import user_path

# The side of each data set's images in pixels when the user asks for none: their own, except that
# photos are made small.
OWN_SIZES = {
    "newts": 64,
    "digits": 28,
    "cifar10": 32,
    "mnist": 28,
    "fashion_mnist": 28,
    "kmnist": 28,
    "imori": 64,
    "hymenoptera": 64,
    **dict.fromkeys((*unpaired.NAMES, *paired.NAMES), 64),
}
FOLDER = "folder:"
FOLDER_SIZE = 64
NAMES = tuple(OWN_SIZES)


def default_data_dir() -> Path:
    """Where data sets lie if the user names no folder: `$QUARTET_DATA`, else the user's cache."""
    given = os.environ.get("QUARTET_DATA")
    if given:
        try:
            return user_path(given)
        except ValueError as error:
            raise UserError(f"QUARTET_DATA={given}: {error}; name a folder") from error
    import pooch

    return Path(pooch.os_cache("quartet"))


def load(
    name: str,
    data_dir: str | Path | None = None,
    image_size: int | None = None,
    multiple: int | None = 1,
    task: str | None = None,
    direction: str = "a2b",
) -> Dataset:
    """Load a data set, downloading it if need be.

    Args:
        name: one of `NAMES`, or `folder:PATH` for a folder of pictures.
        data_dir: where data sets lie or are downloaded to; None means `default_data_dir()`.
        image_size: side of the images in pixels; None means the data set's own, rounded up to
            `multiple`. Newts are drawn and photos are cropped at this size. Images of a fixed
            size are padded with zeros if it is theirs rounded up to `multiple`, else resized.
        multiple: what the side has to be a multiple of, as `sizes.multiple_at` takes it.
        task: what the model translates from (one of `common.data.sources.TASKS`), or `domains` if
            it translates between two classes, `labels` if it tells classes apart, or None. For
            `pairs` the data set is one of `paired.NAMES`, or a folder as `pairs.load` takes it; for
            `domains` a folder holds `a/` and `b/`.
        direction: of pairs, `a2b` or `b2a`: which of the two is the source of the other.

    Raises:
        UserError: the name or the size is not accepted, the data cannot be found, downloaded or
            read, they do not fit into memory, or they lack what the task needs.
    """
    own = FOLDER_SIZE if name.startswith(FOLDER) else OWN_SIZES.get(name)
    if own is None:
        close = difflib.get_close_matches(name.lower().replace("-", "_"), NAMES, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise UserError(
            f"unknown data set {name!r}: {hint}accepted are {', '.join(NAMES)} and folder:PATH"
        )
    sources.check_direction(task, direction)
    if name in paired.NAMES and task != "pairs":
        given = f", not --task {task}" if task in sources.TASKS else ""
        raise UserError(
            f"--dataset {name}: it holds pairs of images, which are for pix2pix with --task pairs"
            f"{given}; add --task pairs there, or choose another data set"
        )
    size = sizes.choose(own, image_size, multiple)
    try:
        if task == "pairs":
            dataset = _load_pairs(name, data_dir, size, direction)
        elif task == "domains" and name.startswith(FOLDER):
            dataset = domains.load(name.removeprefix(FOLDER), size)
        elif task == "labels":
            larger = _load(name, data_dir, crops.enlarged(size), 1)
            dataset = crops.prepare(larger, size)
            crops.check(dataset)
        else:
            dataset = _load(name, data_dir, size, multiple)
    except MemoryError:
        raise UserError(
            f"--image-size {size}: {name}'s images do not fit into memory; choose a smaller one"
        ) from None
    if task == "domains":
        domains.check(dataset)
    elif task and task != "labels":
        sources.check(task, dataset)
    return dataset


def _load_pairs(name: str, data_dir: str | Path | None, size: int, direction: str) -> Dataset:
    if name in paired.NAMES:
        return paired.load(name, _find_data_dir(data_dir), size, direction)
    if not name.startswith(FOLDER):
        raise UserError(
            f"--task pairs: --dataset {name} has no pairs; choose {', '.join(paired.NAMES)}, or "
            "folder:PATH with source/ and target/ in it, or with pictures that hold both side by "
            "side"
        )
    return pairs.load(name.removeprefix(FOLDER), size, direction)


def _find_data_dir(data_dir: str | Path | None) -> Path:
    where = default_data_dir() if data_dir is None else Path(data_dir)
    return where.absolute()  # messages say where to put a file


def _load(name: str, data_dir: str | Path | None, size: int, multiple: int | None) -> Dataset:
    if name.startswith(FOLDER):
        from common.data import folder

        return folder.load(name.removeprefix(FOLDER), size)
    if name == "newts":
        from common.data import newts

        return newts.load(size)
    if name == "digits":
        from common.data import digits

        return sizes.fit(digits.load(), size, multiple)
    where = _find_data_dir(data_dir)
    if name == "imori":
        from common.data import imori

        return imori.load(where, size)
    if name == "hymenoptera":
        from common.data import hymenoptera

        return hymenoptera.load(where, size)
    if name in unpaired.NAMES:
        return unpaired.load(name, where, size)
    if name == "cifar10":
        from common.data import cifar10

        return sizes.fit(cifar10.load(where), size, multiple)
    from common.data import mnist

    return sizes.fit(mnist.load(name, where), size, multiple)
