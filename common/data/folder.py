"""The user's own folder of pictures, with sub-folders as classes.

All pictures below a sub-folder, at any depth, form a class named after it. Pictures directly in the
folder form a class named after the folder. Pictures are recognised by content, not by file name.
Hidden files are skipped.
"""

from __future__ import annotations

import contextlib
import math
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from common.data.dataset import Dataset, Split
from common.data.sizes import central_square
from common.errors import UserError, warn

if TYPE_CHECKING:
    from PIL.Image import Image

Picture = TypeVar("Picture")

MOST = 100  # megapixels of a picture, which takes up to 8 bytes per pixel in memory
LONGEST = 65_535  # pixels of a side, as in JPEG
TEST_EVERY = 10  # every tenth picture is in the test split
EXIF_ORIENTATION = 0x0112  # the tag; values of 5 and more swap rows and columns
# Formats that Pillow identifies by a file's first bytes and decodes without other programs.
FORMATS = (
    "AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM", "QOI",
    "SGI", "TIFF", "WEBP",
)  # fmt: skip


def load(path: str, image_size: int) -> Dataset:
    """Load the pictures in a folder: `uint8` (N, H, W, 3), central squares resized by Lanczos.

    In the order of paths, every tenth picture goes to the test split. Of fewer than ten, the last
    one does; a single picture is in both splits. A warning names files that are not pictures or
    cannot be read.

    Args:
        path: the folder.
        image_size: side of the images in pixels.

    Raises:
        UserError: there is no such folder, or no readable picture in it.
    """
    folder = Path(path)
    if not path or not folder.is_dir():
        found = "is a file" if path and folder.exists() else "there is no such folder"
        raise UserError(f"folder:{path}: {found}; give folder:PATH, PATH a folder of pictures")
    images = read_all(
        f"folder:{path}",
        folder,
        lambda file: read(file, image_size),
        "put pictures (JPEG, PNG, …) there, loose or in a sub-folder for each class",
    )
    names = [file.parts[0] if len(file.parts) > 1 else folder.resolve().name for file in images]
    class_names = tuple(sorted(set(names)))
    labels = np.array([class_names.index(name) for name in names], np.int64)
    return split(f"folder:{path}", class_names, Split(np.stack([*images.values()]), labels))


def split(name: str, class_names: tuple[str, ...], everything: Split) -> Dataset:
    """Divide images into a training and a test split, as `load` says.

    Args:
        name: of the data set.
        class_names: one per label.
        everything: all items in order, at least one.
    """
    indices = np.arange(len(everything))
    test = indices[TEST_EVERY - 1 :: TEST_EVERY] if len(indices) >= TEST_EVERY else indices[-1:]
    train = np.setdiff1d(indices, test) if len(indices) > 1 else indices
    height, width, channels = everything.images.shape[1:]
    return Dataset(
        name,
        class_names,
        everything.take(train),
        everything.take(test),
        (height, width, channels),
    )


def read_all(
    title: str, folder: Path, read: Callable[[Path], Picture], hint: str
) -> dict[Path, Picture]:
    """Read all pictures in and below a folder, in the order of their paths.

    A warning names files that are not pictures or cannot be read.

    Args:
        title: the folder as the user gave it, for messages.
        folder: the folder.
        read: reads one picture, with the errors of this module's `read`.
        hint: what the user can do if there is no readable picture; ends the error message.

    Returns:
        The results of `read`, by path relative to the folder.

    Raises:
        UserError: there is no readable picture.
    """
    from PIL import UnidentifiedImageError
    from tqdm import tqdm

    pictures: dict[Path, Picture] = {}
    others, broken = [], []
    files = list(_walk(folder, broken))
    for file in tqdm(files, desc="reading pictures", unit="file", delay=2, leave=False):
        relative = file.relative_to(folder)
        try:
            if file.exists() and not file.is_file():  # a pipe or a device would block
                raise UnidentifiedImageError
            pictures[relative] = read(file)
        except UnidentifiedImageError:
            others.append(str(relative))
        except Exception as error:  # Pillow raises many kinds of errors for broken files
            broken.append(f"{relative} ({reason(error)})")
    if not pictures:
        count = len(others) + len(broken)
        example = f", for example {(broken + others)[0]}" if count else ""
        raise UserError(
            f"{title}: no readable picture in it ({count} other files{example}); {hint}"
        )
    _warn_left_out(folder, others, "is not a picture", "are not pictures")
    _warn_left_out(folder, broken, "cannot be read", "cannot be read")
    return pictures


def _walk(folder: Path, broken: list[str]) -> Iterator[Path]:
    """All files that are not hidden, in order; links are followed, each folder is visited once.

    Folders that cannot be listed are added to `broken`.
    """

    def refused(error: OSError) -> None:
        broken.append(f"{os.path.relpath(error.filename, folder)} ({reason(error)})")

    seen = set()
    for here, folders, files in os.walk(folder, followlinks=True, onerror=refused):
        status = os.stat(here)
        if (status.st_dev, status.st_ino) in seen:  # a link that leads in a circle
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(here, name)


def read(path: Path, size: int) -> np.ndarray:
    """Read a picture of any size and mode as RGB: `uint8`, shape (size, size, 3).

    Its EXIF orientation is applied, transparency becomes white, and it is cropped to its central
    square.

    Raises:
        PIL.UnidentifiedImageError: the file is not a picture.
        Exception: anything that Pillow raises for a broken picture.
    """
    from PIL import Image, ImageOps

    with _opened(path) as picture:
        # Decodes large JPEG photos at a reduced size, which is several times faster.
        picture.draft(None, (4 * size, 4 * size))
        square = _to_rgb(central_square(ImageOps.exif_transpose(picture)))
        return np.asarray(square.resize((size, size), Image.Resampling.LANCZOS))


def read_mask(path: Path, size: int, colours: np.ndarray, indices: int) -> np.ndarray:
    """Read a picture as a mask: class indices, `uint8`, shape (size, size); cropped as by `read`.

    The values of a palette or grey picture are class indices if all are below `indices`. In any
    other picture, each pixel gets the class of the nearest colour.

    Args:
        path: the file.
        size: side in pixels; the mask is resized to the nearest pixel.
        colours: one per class, `uint8`, shape (classes, 3).
        indices: how many of the classes a picture may name by index.

    Raises:
        PIL.UnidentifiedImageError: the file is not a picture.
        Exception: anything that Pillow raises for a broken picture.
    """
    from PIL import Image, ImageOps

    with _opened(path) as picture:
        upright = ImageOps.exif_transpose(picture)
        if upright.mode not in ("P", "L") or np.asarray(upright).max() >= indices:
            upright = _to_rgb(upright)
        square = central_square(upright).resize((size, size), Image.Resampling.NEAREST)
    if square.mode != "RGB":
        return np.asarray(square)
    differences = np.asarray(square)[..., np.newaxis, :].astype(int) - colours
    return np.square(differences).sum(-1).argmin(-1).astype(np.uint8)


def read_halves(path: Path, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Read the left and the right half of a picture, each as by `read`.

    Raises:
        PIL.UnidentifiedImageError: the file is not a picture.
        Exception: anything that Pillow raises for a broken picture.
    """
    from PIL import Image, ImageOps

    with _opened(path) as picture:
        whole = _to_rgb(ImageOps.exif_transpose(picture))
    middle = whole.width // 2
    boxes = ((0, 0, middle, whole.height), (whole.width - middle, 0, whole.width, whole.height))
    squares = [central_square(whole.crop(box)) for box in boxes]
    left, right = (s.resize((size, size), Image.Resampling.LANCZOS) for s in squares)
    return np.asarray(left), np.asarray(right)


def read_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture in pixels, after its EXIF orientation.

    Raises:
        PIL.UnidentifiedImageError: the file is not a picture.
        Exception: anything that Pillow raises for a broken picture.
    """
    with _opened(path) as picture:
        width, height = picture.size
        swapped = picture.getexif().get(EXIF_ORIENTATION, 1) >= 5
        return (height, width) if swapped else (width, height)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image]:
    from PIL import Image

    Image.init()  # registers the formats; not every Pillow has AVIF
    formats = [name for name in FORMATS if name in Image.OPEN]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd metadata, and large sizes that are accepted
        with Image.open(path, formats=formats) as picture:
            pixels = math.prod(picture.size) / 1e6
            if pixels > MOST:
                raise ValueError(f"{pixels:.0f} megapixels, at most {MOST}")
            if max(picture.size) > LONGEST:
                raise ValueError(f"a side of {max(picture.size)} pixels, at most {LONGEST}")
            yield picture


def _to_rgb(picture: Image) -> Image:
    """Convert a picture from any of Pillow's modes to RGB.

    Raises:
        ValueError: it has 16 or 32 bits per channel, and values out of range.
    """
    from PIL import Image

    if picture.mode.startswith(("I", "F")):  # 16 or 32 bits per pixel
        values = np.asarray(picture)
        highest = 1.0 if picture.mode == "F" else 65535.0
        if not (values.min() >= 0 and values.max() <= highest):
            raise ValueError(f"values outside 0 to {highest:.0f}")
        picture = Image.fromarray(np.rint(values * (255 / highest)).astype(np.uint8))
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    return picture.convert("RGB")


def reason(error: Exception) -> str:
    """A short reason why a picture cannot be read."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text.split("\n")[0][:60] or type(error).__name__


def _warn_left_out(folder: Path, files: list[str], one: str, many: str) -> None:
    if files:
        names = ", ".join(files[:3]) + (", …" if len(files) > 3 else "")
        what = f"1 file {one}" if len(files) == 1 else f"{len(files)} files {many}"
        verb = "was" if len(files) == 1 else "were"
        warn(f"{folder}: {what} and {verb} left out: {names}")
