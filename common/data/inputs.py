"""The user's own pictures as sources: what `--input` names, read for an image-to-image model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from common.data import crops, folder
from common.data.dataset import Split
from common.data.sources import FIRST_GROUND, MASK_COLOURS, make_sources
from common.errors import UserError


def read_sources(task: str, path: str, size: int) -> dict[str, np.ndarray]:
    """The sources made from a picture or a folder of pictures, by name; `uint8` (size, size, 3).

    For `segmentation` a picture is a mask, for `pairs` and `domains` the source itself, otherwise a
    photo that the source is derived from, for `labels` its middle. A name is the path within the
    folder, without its suffix unless two pictures differ only in that.

    Args:
        task: one of `common.data.sources.TASKS`, or `domains` or `labels`.
        path: what `--input` gives.
        size: side of the sources in pixels; pictures are cropped to their central square.

    Raises:
        UserError: there is no such file or folder, or no readable picture in it.
    """
    from PIL import UnidentifiedImageError

    given = Path(path)
    accepted = "give a picture (JPEG, PNG, …) or a folder of pictures"
    if not path or not (given.is_file() or given.is_dir()):
        raise UserError(f"--input {path}: there is no such file or folder; {accepted}")

    def read(file: Path) -> np.ndarray:
        if task == "segmentation":
            return MASK_COLOURS[folder.read_mask(file, size, MASK_COLOURS, FIRST_GROUND)]
        if task == "labels":
            return crops.take_middle(folder.read(file, crops.enlarged(size)), size)
        image = folder.read(file, size)
        if task in ("pairs", "domains"):
            return image
        return make_sources(task, Split(image[np.newaxis], np.zeros(1, np.int64)))[0]

    if given.is_dir():
        sources = folder.read_all(f"--input {path}", given, read, accepted)
    else:
        try:
            sources = {Path(given.name): read(given)}
        except UnidentifiedImageError:
            raise UserError(f"--input {path}: it is not a picture; {accepted}") from None
        except Exception as error:  # Pillow's decoders raise nearly anything on broken files
            reason = folder.reason(error)
            raise UserError(f"--input {path}: cannot be read ({reason}); {accepted}") from None
    short = [name.with_suffix("") for name in sources]
    names = short if len(set(short)) == len(short) else list(sources)
    return {str(name): source for name, source in zip(names, sources.values(), strict=True)}
