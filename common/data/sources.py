"""Sources: what an image-to-image model translates from, made from a data set's images.

A task says what the sources are: a mask in colours, the image in grey, its edges, or the other
half of a pair.
"""

from __future__ import annotations

import numpy as np

from common.data.dataset import Dataset, Split
from common.errors import UserError

TASKS = ("segmentation", "colorization", "edges", "pairs")
# The colours of a label map: any ground, the two newts, and the kinds of ground. They are those of
# Okabe and Ito, which colour-blind people can tell apart, and grey: https://jfly.uni-koeln.de/color/
MASK_COLOURS = np.array(
    [
        (0, 0, 0),
        (213, 94, 0),  # akahara
        (0, 158, 115),  # madara
        (240, 228, 66),  # sand
        (204, 121, 167),  # moss
        (230, 159, 0),  # leaves
        (153, 153, 153),  # gravel
        (86, 180, 233),  # water
    ],
    np.uint8,
)
FIRST_GROUND = 3  # in MASK_COLOURS
EDGE_CONTRAST = 8  # grey levels of ink for a slope of one grey level per pixel


def check(task: str, dataset: Dataset) -> None:
    """Raise UserError if a data set lacks what a task's sources are made from.

    Args:
        task: one of `TASKS`; for `pairs` the loader has checked everything.
        dataset: whose training split is looked at.
    """
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


def check_direction(task: str | None, direction: str | None) -> None:
    """Raise UserError if a task has no second direction.

    Args:
        task: one of `TASKS`, or any other that has directions or none.
        direction: `a2b`, `b2a` or None.
    """
    if direction == "b2a" and task in TASKS and task != "pairs":
        raise UserError(
            f"--direction b2a and --task {task} contradict each other: only of --task pairs can "
            "either image be the source"
        )


def make_sources(task: str, split: Split) -> np.ndarray:
    """The sources of a split's images: `uint8`, shape (N, H, W, 3), values 0 to 255.

    Args:
        task: `segmentation` (the mask in `MASK_COLOURS`, with the kind of ground where it is
            known), `colorization` (the image in grey), `edges` (dark lines on white) or `pairs`
            (the split's own sources).
        split: part of a data set that has passed `check`.
    """
    if task == "pairs":
        assert split.sources is not None
        return split.sources
    if task == "segmentation":
        assert split.masks is not None
        masks = split.masks
        if split.grounds is not None:
            masks = np.where(masks == 0, FIRST_GROUND + split.grounds[:, None, None], masks)
        return MASK_COLOURS[masks]
    grey = to_grey(split.images)
    return np.repeat((draw_edges(grey) if task == "edges" else grey)[..., np.newaxis], 3, axis=-1)


def to_grey(images: np.ndarray) -> np.ndarray:
    """RGB images (N, H, W, 3) to their brightness (N, H, W), both `uint8` (ITU-R BT.601).

    In whole numbers, so that halves are rounded alike on all processors.
    """
    weights = np.array([299, 587, 114], np.int32)
    return ((images.astype(np.int32) @ weights + 500) // 1000).astype(np.uint8)


def draw_edges(grey: np.ndarray) -> np.ndarray:
    """Edges of grey images, the steeper the darker, on white: (N, H, W) -> (N, H, W), both `uint8`.

    The magnitude of the image's gradient after a Gaussian blur with a deviation of one pixel.
    """
    from scipy.ndimage import gaussian_filter

    levels = grey.astype(np.float32)
    down, right = (
        gaussian_filter(levels, (0, 1, 1), order=order)  # type: ignore[arg-type]
        for order in ((0, 1, 0), (0, 0, 1))
    )
    return (255 - np.clip(EDGE_CONTRAST * np.hypot(down, right), 0, 255)).astype(np.uint8)
