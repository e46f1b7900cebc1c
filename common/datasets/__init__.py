"""Data sets by name: `load` finds, downloads and fits them.

A data set called NAME is looked for in `data_dir/NAME/`, then in `data_dir/` itself where its files
cannot be taken for another's, and is otherwise downloaded into `data_dir/NAME/`.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from common import tasks
from common.datasets import sizes
from common.datasets.dataset import Dataset, Split
from common.errors import UserError

__all__ = ["NAMES", "Dataset", "Split", "default_data_dir", "load"]

# The side in pixels of each data set's images, where the user asks for none: their own, but for
# the digits, which are enlarged from 8.
OWN_SIZES = {
    "newts": 64,
    "digits": 32,
    "cifar10": 32,
    "mnist": 28,
    "fashion_mnist": 28,
    "imori": 64,
}
FOLDER = "folder:"
FOLDER_SIZE = 64
NAMES = tuple(OWN_SIZES)


def default_data_dir() -> Path:
    """Where data sets lie if the user names no folder: `$QUARTET_DATA`, else the user's cache."""
    given = os.environ.get("QUARTET_DATA")
    if given:
        return Path(given).expanduser()
    import pooch

    return Path(pooch.os_cache("quartet"))


def load(
    name: str,
    data_dir: str | Path | None = None,
    image_size: int | None = None,
    multiple: int = 1,
    task: str | None = None,
) -> Dataset:
    """Load a data set, downloading it where needed.

    Args:
        name: one of `NAMES`, or `folder:PATH` for a folder of pictures.
        data_dir: where data sets lie or are downloaded to; None takes `default_data_dir()`.
        image_size: side of the images in pixels; None takes the data set's own.
        multiple: what the model needs the side to be a multiple of. Without `image_size`, or with
            one that says the same, smaller images are padded with zeros; else they are resized.
        task: what the model translates from (see `common.tasks`); with `pairs`, the folder holds
            `source/` and `target/`.

    Raises:
        UserError: the name or size is not known, or the data cannot be found, fetched or read.
    """
    own = FOLDER_SIZE if name.startswith(FOLDER) else OWN_SIZES.get(name)
    if own is None:
        close = difflib.get_close_matches(name.lower().replace("-", "_"), NAMES, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise UserError(
            f"unknown data set {name!r}: {hint}accepted are {', '.join(NAMES)} and folder:PATH"
        )
    size = sizes.choose(own, image_size, multiple)
    try:
        if task == "pairs":
            dataset = _load_pairs(name, size)
        else:
            dataset = _load(name, data_dir, size, multiple)
    except MemoryError:
        raise UserError(
            f"--image-size {size}: {name}'s images do not fit into memory; choose a smaller one"
        ) from None
    if task:
        tasks.check(task, dataset)
    return dataset


def _load_pairs(name: str, size: int) -> Dataset:
    from common.datasets import pairs

    if not name.startswith(FOLDER):
        raise UserError(
            f"--task pairs: --dataset {name} has no pairs; give folder:PATH with source/ and "
            "target/ in it"
        )
    return pairs.load(name.removeprefix(FOLDER), size)


def _load(name: str, data_dir: str | Path | None, size: int, multiple: int) -> Dataset:
    if name.startswith(FOLDER):
        from common.datasets import folder

        return folder.load(name.removeprefix(FOLDER), size)
    if name == "newts":
        from common.datasets import newts

        return newts.load(size)
    if name == "digits":
        from common.datasets import digits

        return sizes.fit(digits.load(), size, multiple)
    where = default_data_dir() if data_dir is None else Path(data_dir).expanduser()
    where = where.absolute()  # for messages that say where to put a file
    if name == "imori":
        from common.datasets import imori

        return imori.load(where, size)
    if name == "cifar10":
        from common.datasets import cifar10

        return sizes.fit(cifar10.load(where), size, multiple)
    from common.datasets import mnist

    return sizes.fit(mnist.load(name, where), size, multiple)
