"""The user's own pictures, given with `--input`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from common.data import folder
from common.errors import UserError


def read_inputs(
    path: str, size: int, read_input: Callable[[Path, int], np.ndarray]
) -> dict[str, np.ndarray]:
    """Read a picture, or all pictures in a folder, by name: `uint8`, shape (size, size, 3) each.

    A name is the path within the folder, without its suffix unless two pictures differ only in
    their suffixes.

    Args:
        path: the value of `--input`.
        size: side in pixels; pictures are cropped to their central square.
        read_input: `Task.read_input`.

    Raises:
        UserError: there is no such file or folder, or no readable picture in it.
    """
    from PIL import UnidentifiedImageError

    given = Path(path)
    accepted = "give a picture (JPEG, PNG, …) or a folder of pictures"
    if not path or not (given.is_file() or given.is_dir()):
        raise UserError(f"--input {path}: there is no such file or folder; {accepted}")

    def read(file: Path) -> np.ndarray:
        return read_input(file, size)

    if given.is_dir():
        images = folder.read_all(f"--input {path}", given, read, accepted)
    else:
        try:
            images = {Path(given.name): read(given)}
        except UnidentifiedImageError:
            raise UserError(f"--input {path}: it is not a picture; {accepted}") from None
        except Exception as error:  # Pillow raises many kinds of errors for broken files
            reason = folder.reason(error)
            raise UserError(f"--input {path}: cannot be read ({reason}); {accepted}") from None
    short = [name.with_suffix("") for name in images]
    names = short if len(set(short)) == len(short) else list(images)
    return {str(name): image for name, image in zip(names, images.values(), strict=True)}
