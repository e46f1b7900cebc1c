"""Checks of the images and features that measures take."""

from __future__ import annotations

import numpy as np

from common.errors import UserError


def check_images(images: np.ndarray, name: str = "images") -> None:
    """Refuse arrays that are not images.

    Args:
        images: must be `uint8`, shape (N, H, W, C), C 1 or 3.
        name: their name in the message.

    Raises:
        UserError: the dtype or the shape is wrong, or there is no image.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise UserError(
            f"{name}: expected uint8 images (N, H, W, 1 or 3) of grey levels 0 to 255, found "
            f"{images.dtype} of shape {images.shape}; scale, round and convert them first"
        )
    if not images.size:
        raise UserError(f"{name}: expected at least one image, found shape {images.shape}")


def check_like(real: np.ndarray, generated: np.ndarray, equal_numbers: bool = False) -> None:
    """Refuse two sets of images that cannot be compared.

    Args:
        real: `uint8`, shape (N, H, W, C).
        generated: `uint8`, shape (M, H, W, C).
        equal_numbers: True if M must equal N.

    Raises:
        UserError: one set is not images, or their shapes differ.
    """
    check_images(real, "real images")
    check_images(generated, "generated images")
    if real.shape[1:] != generated.shape[1:] or (equal_numbers and len(real) != len(generated)):
        raise UserError(
            f"real images of shape {real.shape} cannot be compared with generated ones of shape "
            f"{generated.shape}; give images of the same height, width and channels"
            + (", and as many" if equal_numbers else "")
        )


def check_features(real: np.ndarray, generated: np.ndarray, fewest: int, why: str) -> None:
    """Refuse features that a measure cannot use.

    Args:
        real: must have shape (N, D).
        generated: must have shape (M, D).
        fewest: the least number of samples in each set.
        why: the reason for that number.

    Raises:
        UserError: shapes do not match, there are too few samples, or a number is not finite.
    """
    for features, name in ((real, "real"), (generated, "generated")):
        if features.ndim != 2 or features.shape[1:] != real.shape[1:]:
            raise UserError(
                f"{name} features: expected shape (N, D) with the same D for both, found "
                f"{real.shape} and {generated.shape}; take both from one extractor"
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
