"""The user's own folder of pictures, with sub-folders as classes.

All pictures below a sub-folder, at any depth, form a class named after it. Pictures directly in the
folder form a class named after the folder. If the sub-folders are called `train` and `val` or the
like, they are splits, and the classes lie in them. Pictures are recognised by content, not by file
name. Hidden files are skipped, and so are those that systems and cameras add.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import warnings
from collections.abc import Callable, Collection, Iterator
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
TEST_EVERY = 10  # every tenth picture of a class is in the test split
TRAINING = ("train", "training")  # names of folders, in lower case
TESTING = ("test", "testing", "val", "valid", "validation")  # the first that is there is taken
SYSTEM = {"@eadir", "__macosx", "thumbs.db", "desktop.ini"}  # of a NAS, a Mac and Windows
FLAT = 8  # grey levels: pictures with fewer show nothing
EXIF_ORIENTATION = 0x0112  # the tag; values of 5 and more swap rows and columns
# Formats that Pillow identifies by a file's first bytes and decodes without other programs.
FORMATS = (
    "AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM", "QOI",
    "SGI", "TIFF", "WEBP",
)  # fmt: skip


def load(path: str, image_size: int) -> Dataset:
    """Load the pictures in a folder: `uint8` (N, H, W, 3), central squares resized by Lanczos.

    If the folder holds `train/` and perhaps `test/` or `val/`, these are the splits. Otherwise
    every tenth picture of each class, in the order of paths, goes to the test split, and of fewer
    than ten the last one. A class of one picture is not tested; if all classes are so small, the
    last picture is in both splits. Warnings name files that are not pictures or cannot be read,
    classes that are not tested, and pictures that show nothing.

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
    title, own = f"folder:{path}", folder.resolve().name
    _warn_if_empty(title, np.stack([*images.values()]))
    parts = _find_splits(images)
    if parts is None:
        _warn_if_reversed(title, images)
        dataset = split(title, *_label(images, own))
    else:
        train, test = ({file: images[file] for file in part} for part in parts)
        class_names, everything = _label(train, own, depth=1)
        if test:
            held_out = _label(test, own, 1, class_names)[1]
            dataset = Dataset(title, class_names, everything, held_out, everything.images.shape[1:])
        else:
            dataset = split(title, class_names, everything)
        used = dict.fromkeys(file.parts[0] for file in (*train, *test))
        others = sorted({file.parts[0] for file in images} - used.keys())
        left_out = f"; {', '.join(f'{name}/' for name in others)} left out" if others else ""
        print(f"{title}: {' and '.join(used)} are its splits{left_out}", file=sys.stderr)
    shown = ", ".join(dataset.class_names[:10]) + (", …" if len(dataset.class_names) > 10 else "")
    print(
        f"{title}: {len(dataset.train)} training and {len(dataset.test)} test pictures; "
        f"classes: {shown}",
        file=sys.stderr,
    )
    return dataset


def _label(
    images: dict[Path, np.ndarray], own: str, depth: int = 0, class_names: tuple[str, ...] = ()
) -> tuple[tuple[str, ...], Split]:
    """Class names and labelled images; a class is named by the part of a path at `depth`."""
    names = [file.parts[depth] if len(file.parts) > depth + 1 else own for file in images]
    class_names = class_names or tuple(sorted(set(names)))
    labels = np.array([class_names.index(name) for name in names], np.int64)
    return class_names, Split(np.stack([*images.values()]), labels)


def _find_splits(files: Collection[Path]) -> tuple[list[Path], list[Path]] | None:
    """The pictures for training and for testing, or None unless folders are named for splits.

    Of several folders for testing the first is taken whose classes are those for training: those of
    a competition's `test/` are often unknown.
    """
    parts: dict[str, list[Path]] = {}
    for file in files:
        parts.setdefault(file.parts[0].lower() if len(file.parts) > 1 else "", []).append(file)
    if not parts.keys() <= {*TRAINING, *TESTING} or not parts.keys() & {*TRAINING}:
        return None

    def classes(part: list[Path]) -> set[str]:
        return {file.parts[1] if len(file.parts) > 2 else "" for file in part}

    train = [file for name in TRAINING for file in parts.get(name, [])]
    for name in TESTING:
        if name in parts and classes(parts[name]) <= classes(train):
            return train, parts[name]
    return train, []


def _warn_if_reversed(title: str, files: Collection[Path]) -> None:
    """Warn if the classes may lie a level deeper: each folder holds nothing but the same ones."""
    inside: dict[str, set[str]] = {}
    for file in files:
        if len(file.parts) < 3:
            return
        inside.setdefault(file.parts[0], set()).add(file.parts[1])
    first = next(iter(inside.values()))
    if len(inside) > 1 and len(first) > 1 and all(names == first for names in inside.values()):
        warn(
            f"{title}: {', '.join(sorted(inside)[:5])} are taken as classes, and each holds the "
            f"same sub-folders, {', '.join(sorted(first)[:5])}; if those are the classes, put them "
            "directly into the folder"
        )


def _warn_if_empty(title: str, images: np.ndarray) -> None:
    """Warn if images `uint8` (N, H, W, C) are flat, all the same or have little contrast."""
    lowest, highest = int(images.min()), int(images.max())
    if all(np.ptp(image, (0, 1)).max() < FLAT for image in images):
        warn(f"{title}: every picture is of one colour; a model has nothing to learn from them")
    elif len(images) > 1 and (images == images[0]).all():
        warn(f"{title}: all {len(images)} pictures are the same; a model can only repeat it")
    elif highest - lowest < 64:
        warn(
            f"{title}: pixels are between {lowest} and {highest} of 0 to 255; what models make of "
            "such pictures is as pale"
        )


def split(name: str, class_names: tuple[str, ...], everything: Split) -> Dataset:
    """Divide images into a training and a test split, each class by itself, as `load` says.

    Args:
        name: of the data set.
        class_names: one per label.
        everything: all items in order, at least one.
    """
    indices = np.arange(len(everything))
    classes = {int(label): indices[everything.labels == label] for label in set(everything.labels)}
    held_out = [
        one[TEST_EVERY - 1 :: TEST_EVERY] if len(one) >= TEST_EVERY else one[-1:]
        for one in classes.values()
        if len(one) > 1
    ]
    test = np.sort(np.concatenate(held_out)) if held_out else indices[-1:]
    train = np.setdiff1d(indices, test) if held_out else indices
    untested = [class_names[label] for label, one in classes.items() if len(one) < 2]
    if untested and len(classes) > 1:
        named = ", ".join(sorted(untested)[:5]) + (", …" if len(untested) > 5 else "")
        warn(f"{name}: no figure is of {named}: a class needs two pictures to be tested")
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
        folders[:] = sorted(filter(_is_users, folders))
        for name in sorted(filter(_is_users, files)):
            yield Path(here, name)


def _is_users(name: str) -> bool:
    """Whether a file or folder is the user's own: not hidden, and not a system's."""
    return not name.startswith(".") and name.lower() not in SYSTEM


def read(path: Path, size: int) -> np.ndarray:
    """Read a picture of any size and mode as RGB: `uint8`, shape (size, size, 3).

    Its EXIF orientation is applied, and it is cropped to its central square. Transparency becomes
    white, or black if most of the picture is white itself.

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
        if picture.mode != "F":  # cameras and microscopes put 10, 12 or 14 bits into 16
            highest = next(2.0**bits - 1 for bits in (8, 10, 12, 14, 16) if values.max() < 2**bits)
        picture = Image.fromarray(np.rint(values * (255 / highest)).astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        pixels = np.asarray(picture)
        seen = pixels[pixels[..., 3] > 127][:, :3]
        white = len(seen) > 0 and (seen.min(-1) > 223).mean() > 0.5
        ground = Image.new("RGBA", picture.size, "black" if white else "white")
        picture = Image.alpha_composite(ground, picture)
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
