"""The data sets by name, their default sizes, and their loaders.

Loaders look for the data set NAME in `data_dir/NAME/`, then in `data_dir/` itself, unless its files
could be another data set's. Otherwise they download it to `data_dir/NAME/`.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from common.data import paired, sizes, unpaired
from common.data.dataset import Dataset
from common.errors import UserError
from common.files import user_path

# Default side of each data set's images in pixels: their own, or less for photos.
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
    """The default folder of data sets: `$QUARTET_DATA`, or else the user's cache.

    Raises:
        UserError: `$QUARTET_DATA` is not a path.
    """
    given = os.environ.get("QUARTET_DATA")
    if given:
        try:
            return user_path(given)
        except ValueError as error:
            raise UserError(f"QUARTET_DATA={given}: {error}; name a folder") from error
    import pooch

    return Path(pooch.os_cache("quartet"))


def find_own_size(name: str) -> int:
    """The default side of a data set's images in pixels.

    Raises:
        UserError: there is no data set of this name.
    """
    if name.startswith(FOLDER):
        return FOLDER_SIZE
    if name not in OWN_SIZES:
        close = difflib.get_close_matches(name.lower().replace("-", "_"), NAMES, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise UserError(
            f"unknown data set {name!r}: {hint}accepted are {', '.join(NAMES)} and folder:PATH"
        )
    return OWN_SIZES[name]


def find_data_dir(data_dir: str | Path | None) -> Path:
    """The folder of data sets as an absolute path, which messages show."""
    where = default_data_dir() if data_dir is None else Path(data_dir)
    return where.absolute()


def load_images(name: str, data_dir: str | Path | None, size: int, multiple: int | None) -> Dataset:
    """Load a data set that does not hold pairs.

    Args:
        name: one of `NAMES`, or `folder:PATH`.
        data_dir: the folder of data sets and downloads; None means `default_data_dir()`.
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
