"""A folder of the user's own pictures, sub-folders as classes.

What a picture is, its content says, not its name. A sub-folder's pictures, however deep, are a
class of that name; pictures that lie loose are a class of the folder's own name. Hidden files are
left out.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from common.datasets.dataset import Dataset, Split
from common.datasets.sizes import middle_square
from common.errors import UserError, warn

if TYPE_CHECKING:
    from PIL.Image import Image

Picture = TypeVar("Picture")

TEST_EVERY = 10  # one picture in so many is kept for the test
EXIF_ORIENTATION = 0x0112  # the tag; from 5 on, rows and columns are exchanged
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
    """A data set of which every tenth picture is for the test, as `load` says."""
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
    """The pictures in a folder and all below it, by their paths in it, in order of these.

    What is no picture, or cannot be read, is named in a warning.

    Args:
        title: the folder as the user gave it.
        folder: the folder.
        read: reads a picture; raises as the function `read` does.
        hint: ends the message if there is nothing to be read.

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
        except Exception as error:  # Pillow's decoders raise nearly anything on broken files
            broken.append(f"{relative} ({reason(error)})")
    if not pictures:
        count = len(others) + len(broken)
        example = f", for example {(broken + others)[0]}" if count else ""
        raise UserError(
            f"{title}: no readable picture in it ({count} other files{example}); {hint}"
        )
    _tell(folder, others, "is not a picture", "are not pictures")
    _tell(folder, broken, "cannot be read", "cannot be read")
    return pictures


def _walk(folder: Path, broken: list[str]) -> Iterator[Path]:
    """All files that are not hidden, in order, following links once; adds to `broken`."""

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
    """A picture of any size and mode as `uint8` RGB (size, size, 3).

    Turned as its EXIF orientation says, transparency on white, cropped to the square in its middle.

    Raises:
        PIL.UnidentifiedImageError: the file is not a picture.
        Exception: whatever Pillow raises on a broken one.
    """
    from PIL import Image, ImageOps

    with _opened(path) as picture:
        # JPEG alone: decode no more than is needed, several times faster with large photos.
        picture.draft(None, (4 * size, 4 * size))
        square = middle_square(_to_rgb(ImageOps.exif_transpose(picture)))
        return np.asarray(square.resize((size, size), Image.Resampling.LANCZOS))


def read_mask(path: Path, size: int, colours: np.ndarray) -> np.ndarray:
    """A picture as a mask of class indices, `uint8` (size, size); cropped as by `read`.

    The values of a palette or grey picture are the indices if they can be. Else each pixel gets
    the class of the nearest colour.

    Args:
        path: the file.
        size: side in pixels; the mask is resized by taking the nearest pixel.
        colours: of the classes, `uint8` (classes, 3).

    Raises:
        PIL.UnidentifiedImageError: the file is not a picture.
        Exception: whatever Pillow raises on a broken one.
    """
    from PIL import Image, ImageOps

    with _opened(path) as picture:
        upright = ImageOps.exif_transpose(picture)
        if upright.mode not in ("P", "L") or np.asarray(upright).max() >= len(colours):
            upright = _to_rgb(upright)
        square = middle_square(upright).resize((size, size), Image.Resampling.NEAREST)
    if square.mode != "RGB":
        return np.asarray(square)
    differences = np.asarray(square)[..., np.newaxis, :].astype(int) - colours
    return np.square(differences).sum(-1).argmin(-1).astype(np.uint8)


def read_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture in pixels, turned as its EXIF orientation says.

    Raises:
        PIL.UnidentifiedImageError: the file is not a picture.
    """
    with _opened(path) as picture:
        width, height = picture.size
        lying = picture.getexif().get(EXIF_ORIENTATION, 1) >= 5
        return (height, width) if lying else (width, height)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image]:
    from PIL import Image

    Image.init()  # AVIF is not in every Pillow
    formats = [name for name in FORMATS if name in Image.OPEN]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata and of large, but acceptable, sizes
        with Image.open(path, formats=formats) as picture:
            yield picture


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


def reason(error: Exception) -> str:
    """Why a picture cannot be read, in a few words."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text.split("\n")[0][:60] or type(error).__name__


def _tell(folder: Path, files: list[str], one: str, many: str) -> None:
    if files:
        names = ", ".join(files[:3]) + (", …" if len(files) > 3 else "")
        what = f"1 file {one}" if len(files) == 1 else f"{len(files)} files {many}"
        verb = "was" if len(files) == 1 else "were"
        warn(f"{folder}: {what} and {verb} left out: {names}")
