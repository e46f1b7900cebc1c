"""Makes sources, the inputs of an image-to-image model, from masks and images."""

from __future__ import annotations

import numpy as np

# Colours of a label map: unknown background, the two newts, and the kinds of background. They are
# Okabe and Ito's, which colour-blind people can tell apart: https://jfly.uni-koeln.de/color/
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
FIRST_GROUND = 3  # index of the first background in MASK_COLOURS
EDGE_CONTRAST = 8  # darkness in grey levels at a gradient of one grey level per pixel


def colour_masks(masks: np.ndarray, grounds: np.ndarray | None) -> np.ndarray:
    """Masks (N, H, W) in `MASK_COLOURS`: `uint8`, shape (N, H, W, 3).

    Args:
        masks: `uint8`, a class index per pixel, 0 for the background.
        grounds: `uint8`, shape (N,), the kind of background in each image, or None if unknown.
    """
    if grounds is not None:
        masks = np.where(masks == 0, FIRST_GROUND + grounds[:, None, None], masks)
    return MASK_COLOURS[masks]


def to_rgb(grey: np.ndarray) -> np.ndarray:
    """Repeat grey images in three channels: (N, H, W) -> (N, H, W, 3)."""
    return np.repeat(grey[..., np.newaxis], 3, axis=-1)


def to_grey(images: np.ndarray) -> np.ndarray:
    """RGB images (N, H, W, 3) to their brightness (N, H, W), both `uint8` (ITU-R BT.601).

    Computed in integers, so that halves are rounded alike on all processors.
    """
    weights = np.array([299, 587, 114], np.int32)
    return ((images.astype(np.int32) @ weights + 500) // 1000).astype(np.uint8)


def draw_edges(grey: np.ndarray) -> np.ndarray:
    """Edges of grey images as dark lines on white: (N, H, W) -> (N, H, W), both `uint8`.

    Darkness is proportional to the magnitude of the gradient after a Gaussian blur with a standard
    deviation of one pixel.
    """
    from scipy.ndimage import gaussian_filter

    levels = grey.astype(np.float32)
    down, right = (
        gaussian_filter(levels, (0, 1, 1), order=order)  # type: ignore[arg-type]
        for order in ((0, 1, 0), (0, 0, 1))
    )
    return (255 - np.clip(EDGE_CONTRAST * np.hypot(down, right), 0, 255)).astype(np.uint8)
