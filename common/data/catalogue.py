"""Data sets by name: finds a data set, downloads it if need be, and fits its size.

A data set called NAME is looked for in `data_dir/NAME/`, then in `data_dir/` itself unless its
files could be mistaken for another data set's; failing that it is downloaded to `data_dir/NAME/`.
"""

from __future__ import annotations

import os
from pathlib import Path

from common.data import paired, sizes, unpaired
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


def find_own_size(name: str) -> int | None:
    """The side of a data set's images if the user asks for none; None for an unknown name."""
    return FOLDER_SIZE if name.startswith(FOLDER) else OWN_SIZES.get(name)


def find_data_dir(data_dir: str | Path | None) -> Path:
    """Where data sets lie, as an absolute path: messages say where to put a file."""
    where = default_data_dir() if data_dir is None else Path(data_dir)
    return where.absolute()


def load_images(name: str, data_dir: str | Path | None, size: int, multiple: int | None) -> Dataset:
    """Load a data set that does not hold pairs.

    Args:
        name: one of `NAMES`, or `folder:PATH`.
        data_dir: where data sets lie or are downloaded to; None means `default_data_dir()`.
        size: side of the images in pixels.
        multiple: what `size` is a multiple of, as `sizes.multiple_at` takes it.

    Raises:
        UserError: the data cannot be found, downloaded or read.
    """
    if name.startswith(FOLDER):
        from common.data import folder

        return folder.load(name.removeprefix(FOLDER), size)
    if name == "newts":
        from common.data import newts

        return newts.load(size)
    if name == "digits":
        from common.data import digits

        return sizes.fit(digits.load(), size, multiple)
    where = find_data_dir(data_dir)
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
