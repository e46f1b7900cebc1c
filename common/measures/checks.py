"""What the measures accept: images and features, checked before anything is computed."""

from __future__ import annotations

import numpy as np

from common.errors import UserError


def check_images(images: np.ndarray, name: str = "images") -> None:
    """Refuse what is not a batch of images.

    Args:
        images: should be `uint8`, shape (N, H, W, C), C 1 or 3.
        name: what the message calls them.

    Raises:
        UserError: the type or the shape is another, or there is no image.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise UserError(
            f"{name}: expected uint8 images (N, H, W, 1 or 3) of grey levels 0 to 255, found "
            f"{images.dtype} of shape {images.shape}; scale, round and convert them first"
        )
    if not images.size:
        raise UserError(f"{name}: expected at least one image, found shape {images.shape}")


def check_like(real: np.ndarray, drawn: np.ndarray, equal_numbers: bool = False) -> None:
    """Refuse two batches of images that cannot be compared.

    Args:
        real: `uint8`, shape (N, H, W, C).
        drawn: `uint8`, shape (M, H, W, C).
        equal_numbers: whether M must be N.

    Raises:
        UserError: one is no batch of images, or their shapes differ.
    """
    check_images(real, "real images")
    check_images(drawn, "drawn images")
    if real.shape[1:] != drawn.shape[1:] or (equal_numbers and len(real) != len(drawn)):
        raise UserError(
            f"real images of shape {real.shape} cannot be compared with drawn ones of shape "
            f"{drawn.shape}; give images of the same height, width and channels"
            + (", and as many" if equal_numbers else "")
        )


def check_features(real: np.ndarray, drawn: np.ndarray, fewest: int, why: str) -> None:
    """Refuse features that a measure cannot use.

    Args:
        real: should be of shape (N, D).
        drawn: should be of shape (M, D).
        fewest: how many samples each must have.
        why: the reason for that number.

    Raises:
        UserError: a shape does not fit, there are too few samples, or a number is not finite.
    """
    for features, name in ((real, "real"), (drawn, "drawn")):
        if features.ndim != 2 or features.shape[1:] != real.shape[1:]:
            raise UserError(
                f"{name} features: expected shape (N, D) with the same D for both, found "
                f"{real.shape} and {drawn.shape}; take both from one extractor"
            )
        if len(features) < fewest:
            raise UserError(
                f"{name} features: {len(features)} samples are too few, at least {fewest} are "
                f"needed {why}; draw more"
            )
        if not np.isfinite(features).all():
            raise UserError(
                f"{name} features: some are not finite; look at the images that they come from"
            )
