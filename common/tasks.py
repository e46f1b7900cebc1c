"""What an image-to-image model translates from: the source that belongs to each image."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from common.datasets import folder
from common.datasets.dataset import Dataset, Split
from common.errors import UserError

TASKS = ("segmentation", "colorization", "edges", "pairs")
# Colours of a mask's classes, told apart by colour-blind people too: ground, akahara, madara.
MASK_COLOURS = np.array([(0, 0, 0), (213, 94, 0), (0, 158, 115)], np.uint8)
EDGE_CONTRAST = 8  # grey levels of ink for a slope of one grey level per pixel


def check(task: str, dataset: Dataset) -> None:
    """Raise UserError if a data set has not what a task's sources are made of."""
    split = dataset.train
    if task == "segmentation" and split.masks is None:
        raise UserError(
            f"--task segmentation: {dataset.name} has no masks (newts and imori have); "
            "choose one of these, or for pictures in colour --task colorization or edges"
        )
    if task in ("colorization", "edges") and split.images.shape[-1] != 3:
        raise UserError(
            f"--task {task}: the images of {dataset.name} have no colours; "
            "choose cifar10, newts, imori or folder:PATH"
        )


def make_sources(task: str, split: Split) -> np.ndarray:
    """The sources of a split's images: `uint8`, shape (N, H, W, 3).

    Args:
        task: `segmentation` (the mask in `MASK_COLOURS`), `colorization` (the image in grey),
            `edges` (dark lines on white) or `pairs` (the split's own sources).
        split: of a data set that `check` has passed.
    """
    if task == "pairs":
        assert split.sources is not None
        return split.sources
    if task == "segmentation":
        assert split.masks is not None
        return MASK_COLOURS[split.masks]
    grey = to_grey(split.images)
    return np.repeat((draw_edges(grey) if task == "edges" else grey)[..., np.newaxis], 3, axis=-1)


def read_sources(task: str, path: str, size: int) -> dict[str, np.ndarray]:
    """The sources, `uint8` (size, size, 3), that a picture or a folder of pictures makes, by name.

    For `segmentation` a picture is a mask, for `pairs` the source itself, else a photo that the
    source is derived from. A name is the path in the folder, without the suffix if no two pictures
    differ in that alone.

    Args:
        task: one of `TASKS`.
        path: what `--input` gives.
        size: side of the sources in pixels; pictures are cropped to the square in their middle.

    Raises:
        UserError: there is no such file, or no readable picture.
    """
    from PIL import UnidentifiedImageError

    given = Path(path).expanduser()
    accepted = "give a picture (JPEG, PNG, …) or a folder of pictures"
    if not path or not (given.is_file() or given.is_dir()):
        raise UserError(f"--input {path}: there is no such file or folder; {accepted}")

    def read(file: Path) -> np.ndarray:
        if task == "segmentation":
            return MASK_COLOURS[folder.read_mask(file, size, MASK_COLOURS)]
        image = folder.read(file, size)
        if task == "pairs":
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


def to_grey(images: np.ndarray) -> np.ndarray:
    """RGB images (N, H, W, 3) to their brightness (N, H, W), both `uint8` (ITU-R BT.601)."""
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    return np.rint(images @ weights).astype(np.uint8)


def draw_edges(grey: np.ndarray) -> np.ndarray:
    """Grey images (N, H, W) to their edges, the darker the steeper, on white; both `uint8`.

    The slope of the image after a Gaussian blur of one pixel.
    """
    from scipy.ndimage import gaussian_filter

    levels = grey.astype(np.float32)
    down, right = (
        gaussian_filter(levels, (0, 1, 1), order=order)  # type: ignore[arg-type]
        for order in ((0, 1, 0), (0, 0, 1))
    )
    return (255 - np.clip(EDGE_CONTRAST * np.hypot(down, right), 0, 255)).astype(np.uint8)
