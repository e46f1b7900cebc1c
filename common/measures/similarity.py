"""Similarity of pairs of images, such as reconstructions: L1, L2, PSNR and SSIM."""

from __future__ import annotations

import numpy as np

from common.errors import UserError
from common.measures.checks import check_like

LEVELS = 255.0  # the largest difference of two grey levels
# Wang et al. 2004: the window, and the constants that keep ratios finite in flat regions.
SIGMA = 1.5
RADIUS = 5
K1, K2 = 0.01, 0.03


def absolute_error(real: np.ndarray, generated: np.ndarray) -> float:
    """The mean absolute difference (L1), in grey levels; 0 for equal images.

    Args:
        real: `uint8`, shape (N, H, W, C).
        generated: `uint8`, of the same shape; image i is compared with real image i.

    Raises:
        UserError: the arrays are not images, or differ in shape.
    """
    check_like(real, generated, equal_numbers=True)
    return float(np.abs(real.astype(np.float32) - generated).mean(dtype=np.float64))


def squared_error(real: np.ndarray, generated: np.ndarray) -> float:
    """The mean squared difference, in grey levels squared; 0 for equal images.

    Args:
        real: `uint8`, shape (N, H, W, C).
        generated: `uint8`, of the same shape; image i is compared with real image i.

    Raises:
        UserError: the arrays are not images, or differ in shape.
    """
    return float(_squared_errors(real, generated).mean())


def peak_signal_to_noise(real: np.ndarray, generated: np.ndarray) -> float:
    """PSNR: 10 log10(255^2 / mean squared difference), averaged over images, in dB.

    Infinite if an image equals its original.

    Args:
        real: `uint8`, shape (N, H, W, C).
        generated: `uint8`, of the same shape; image i is compared with real image i.

    Raises:
        UserError: the arrays are not images, or differ in shape.
    """
    with np.errstate(divide="ignore"):
        return float(np.mean(10 * np.log10(LEVELS**2 / _squared_errors(real, generated))))


def structural_similarity(real: np.ndarray, generated: np.ndarray) -> float:
    """SSIM: similarity of luminance, contrast and structure in windows of 11 x 11; 1 if equal.

    Wang et al. (2004), Image quality assessment, https://doi.org/10.1109/TIP.2003.819861. The
    window is Gaussian with a standard deviation of 1.5 pixels, and lies within the image.

    Args:
        real: `uint8`, shape (N, H, W, C), H and W at least 11.
        generated: `uint8`, of the same shape; image i is compared with real image i.

    Returns:
        The mean over windows, channels and images, from -1 to 1.

    Raises:
        UserError: the arrays are not images, differ in shape, or are smaller than the window.
    """
    check_like(real, generated, equal_numbers=True)
    side = 2 * RADIUS + 1
    if min(real.shape[1:3]) < side:
        raise UserError(
            f"images of {real.shape[1]} x {real.shape[2]} pixels are smaller than SSIM's window; "
            f"the smallest accepted is {side} x {side}; enlarge them"
        )
    a, b = real.astype(np.float64), generated.astype(np.float64)
    mean_a, mean_b = _window(a), _window(b)
    variances = _window(a * a) - mean_a**2 + _window(b * b) - mean_b**2
    covariance = _window(a * b) - mean_a * mean_b
    c1, c2 = (K1 * LEVELS) ** 2, (K2 * LEVELS) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return float(np.mean(luminance * (2 * covariance + c2) / (variances + c2)))


def _squared_errors(real: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """The mean squared difference of each image: (N,)."""
    check_like(real, generated, equal_numbers=True)
    return np.square(real.astype(np.float64) - generated).mean(axis=(1, 2, 3))


def _window(images: np.ndarray) -> np.ndarray:
    """Weighted means of all windows within the images: (N, H, W, C) to (N, H - 10, W - 10, C)."""
    from scipy.ndimage import gaussian_filter

    means = gaussian_filter(images, SIGMA, radius=RADIUS, axes=(1, 2))
    return means[:, RADIUS:-RADIUS, RADIUS:-RADIUS]
