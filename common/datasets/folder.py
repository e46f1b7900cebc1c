"""A folder of the user's own pictures, sub-folders as classes.

What a picture is, its content says, not its name. A sub-folder's pictures, however deep, are a
class of that name; pictures that lie loose are a class of the folder's own name. Hidden files are
left out.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from common.datasets.dataset import Dataset, Split
from common.datasets.sizes import middle_square
from common.errors import UserError, warn

if TYPE_CHECKING:
    from PIL.Image import Image

TEST_EVERY = 10  # one picture in so many is kept for the test
# Only formats whose files begin with a mark of their own, and that need no other program.
FORMATS = (
    "AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM", "QOI",
    "SGI", "TIFF", "WEBP",
)  # fmt: skip


def load(path: str, image_size: int) -> Dataset:
    """The pictures in a folder as RGB, their middle square resized with Pillow's Lanczos filter.

    In the order of their paths every tenth picture is for the test, of fewer than ten the last;
    a single one serves as both. What is no picture, or cannot be read, is named in a warning.

    Args:
        path: the folder.
        image_size: side of the images in pixels.

    Raises:
        UserError: there is no such folder, or no readable picture in it.
    """
    folder = Path(path).expanduser()
    if not path or not folder.is_dir():
        found = "is a file" if path and folder.is_file() else "there is no such folder"
        raise UserError(f"folder:{path}: {found}; give folder:PATH, PATH a folder of pictures")
    images, names, others, broken = _read_all(folder, image_size)
    if not images:
        count = len(others) + len(broken)
        example = f", for example {(broken + others)[0]}" if count else ""
        raise UserError(
            f"folder:{path}: no readable picture in it ({count} other files{example}); "
            "put pictures (JPEG, PNG, …) there, loose or in a sub-folder for each class"
        )
    _tell(folder, others, "is not a picture", "are not pictures")
    _tell(folder, broken, "cannot be read", "cannot be read")

    class_names = tuple(sorted(set(names)))
    labels = np.array([class_names.index(name) for name in names], np.int64)
    stacked = np.stack(images)
    indices = np.arange(len(stacked))
    test = indices[TEST_EVERY - 1 :: TEST_EVERY] if len(indices) >= TEST_EVERY else indices[-1:]
    train = np.setdiff1d(indices, test) if len(indices) > 1 else indices
    return Dataset(
        f"folder:{path}",
        class_names,
        Split(stacked[train], labels[train]),
        Split(stacked[test], labels[test]),
        (image_size, image_size, 3),
    )


def _read_all(folder: Path, size: int) -> tuple[list[np.ndarray], list[str], list[str], list[str]]:
    """The images and their classes; the files that are no pictures, and the broken ones."""
    from PIL import UnidentifiedImageError
    from tqdm import tqdm

    images, names, others, broken = [], [], [], []
    files = list(_walk(folder, broken))
    for file in tqdm(files, desc="reading pictures", unit="file", delay=2, leave=False):
        parts = file.relative_to(folder).parts
        relative = os.path.join(*parts)
        try:
            if file.exists() and not file.is_file():  # a pipe or a device would block
                raise UnidentifiedImageError
            image = read(file, size)
        except UnidentifiedImageError:
            others.append(relative)
        except Exception as error:  # Pillow's decoders raise nearly anything on broken files
            broken.append(f"{relative} ({_reason(error)})")
        else:
            images.append(image)
            names.append(parts[0] if len(parts) > 1 else folder.resolve().name)
    return images, names, others, broken


def _walk(folder: Path, broken: list[str]) -> Iterator[Path]:
    """All files that are not hidden, in order, following links once; adds to `broken`."""

    def refused(error: OSError) -> None:
        broken.append(f"{os.path.relpath(error.filename, folder)} ({_reason(error)})")

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
    """A picture of any size and mode as `uint8` RGB (size, size, 3).

    Turned as its EXIF orientation says, transparency on white, cropped to the square in its middle.

    Raises:
        PIL.UnidentifiedImageError: the file is not a picture.
        Exception: whatever Pillow raises on a broken one.
    """
    from PIL import Image, ImageOps

    Image.init()  # AVIF is not in every Pillow
    formats = [name for name in FORMATS if name in Image.OPEN]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata and of large, but acceptable, sizes
        with Image.open(path, formats=formats) as picture:
            # JPEG alone: decode no more than is needed, several times faster with large photos.
            picture.draft(None, (4 * size, 4 * size))
            upright = ImageOps.exif_transpose(picture)
            square = middle_square(_to_rgb(upright))
            return np.asarray(square.resize((size, size), Image.Resampling.LANCZOS))


def _to_rgb(picture: Image) -> Image:
    """Any of Pillow's modes to RGB."""
    from PIL import Image

    if picture.mode.startswith(("I", "F")):  # 16 or 32 bits to a pixel
        values = np.asarray(picture)
        most = 1.0 if picture.mode == "F" else 65535.0
        if not (values.min() >= 0 and values.max() <= most):
            raise ValueError(f"values outside 0 to {most:.0f}")
        picture = Image.fromarray(np.rint(values * (255 / most)).astype(np.uint8))
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    return picture.convert("RGB")


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text.split("\n")[0][:60] or type(error).__name__


def _tell(folder: Path, files: list[str], one: str, many: str) -> None:
    if files:
        names = ", ".join(files[:3]) + (", …" if len(files) > 3 else "")
        what = f"1 file {one}" if len(files) == 1 else f"{len(files)} files {many}"
        verb = "was" if len(files) == 1 else "were"
        warn(f"{folder}: {what} and {verb} left out: {names}")
