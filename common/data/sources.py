"""Sources: what an image-to-image model translates from, made from masks and images."""

from __future__ import annotations

import numpy as np

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


def colour_masks(masks: np.ndarray, grounds: np.ndarray | None) -> np.ndarray:
    """Masks (N, H, W) in `MASK_COLOURS`: `uint8`, shape (N, H, W, 3).

    Args:
        masks: `uint8`, a class index per pixel, 0 for the ground.
        grounds: `uint8`, shape (N,), the kind of ground in each image, or None if it is unknown.
    """
    if grounds is not None:
        masks = np.where(masks == 0, FIRST_GROUND + grounds[:, None, None], masks)
    return MASK_COLOURS[masks]


def to_rgb(grey: np.ndarray) -> np.ndarray:
    """Grey images as RGB, all channels alike: (N, H, W) -> (N, H, W, 3)."""
    return np.repeat(grey[..., np.newaxis], 3, axis=-1)


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
