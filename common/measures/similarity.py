"""How like pairs of images are, pixel by pixel and window by window: for reconstructions."""

from __future__ import annotations

import numpy as np

from common.errors import UserError
from common.measures.checks import check_like

LEVELS = 255.0  # the largest difference of two grey levels
# Wang et al. 2004: the window, and what keeps the ratio finite where images are flat.
SIGMA = 1.5
RADIUS = 5
K1, K2 = 0.01, 0.03


def absolute_error(real: np.ndarray, drawn: np.ndarray) -> float:
    """The mean absolute difference (L1), in grey levels; 0 for equal images.

    Args:
        real: `uint8`, shape (N, H, W, C).
        drawn: `uint8`, of the same shape; image i is compared with real image i.

    Raises:
        UserError: these are no images, or their shapes differ.
    """
    check_like(real, drawn, equal_numbers=True)
    return float(np.abs(real.astype(np.float32) - drawn).mean(dtype=np.float64))


def squared_error(real: np.ndarray, drawn: np.ndarray) -> float:
    """The mean squared difference, in grey levels squared; 0 for equal images.

    Args:
        real: `uint8`, shape (N, H, W, C).
        drawn: `uint8`, of the same shape; image i is compared with real image i.

    Raises:
        UserError: these are no images, or their shapes differ.
    """
    return float(_squared_errors(real, drawn).mean())


def peak_signal_to_noise(real: np.ndarray, drawn: np.ndarray) -> float:
    """PSNR: 10 log10(255^2 / mean squared difference), averaged over images, in dB.

    Infinite if an image equals its original.

    Args:
        real: `uint8`, shape (N, H, W, C).
        drawn: `uint8`, of the same shape; image i is compared with real image i.

    Raises:
        UserError: these are no images, or their shapes differ.
    """
    with np.errstate(divide="ignore"):
        return float(np.mean(10 * np.log10(LEVELS**2 / _squared_errors(real, drawn))))


def structural_similarity(real: np.ndarray, drawn: np.ndarray) -> float:
    """SSIM: how like luminance, contrast and structure are in windows of 11 x 11; 1 if equal.

    Wang et al. (2004), Image quality assessment, https://doi.org/10.1109/TIP.2003.819861: a
    Gaussian window with a deviation of 1.5 pixels, in each channel, wherever it fits in whole.

    Args:
        real: `uint8`, shape (N, H, W, C), H and W at least 11.
        drawn: `uint8`, of the same shape; image i is compared with real image i.

    Returns:
        The mean over windows, channels and images, from -1 to 1.

    Raises:
        UserError: these are no images, their shapes differ, or they are smaller than the window.
    """
    check_like(real, drawn, equal_numbers=True)
    side = 2 * RADIUS + 1
    if min(real.shape[1:3]) < side:
        raise UserError(
            f"images of {real.shape[1]} x {real.shape[2]} pixels are smaller than SSIM's window; "
            f"the smallest accepted is {side} x {side}; enlarge them"
        )
    a, b = real.astype(np.float64), drawn.astype(np.float64)
    mean_a, mean_b = _window(a), _window(b)
    variances = _window(a * a) - mean_a**2 + _window(b * b) - mean_b**2
    covariance = _window(a * b) - mean_a * mean_b
    c1, c2 = (K1 * LEVELS) ** 2, (K2 * LEVELS) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return float(np.mean(luminance * (2 * covariance + c2) / (variances + c2)))


def _squared_errors(real: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The mean squared difference of each image: (N,)."""
    check_like(real, drawn, equal_numbers=True)
    return np.square(real.astype(np.float64) - drawn).mean(axis=(1, 2, 3))


def _window(images: np.ndarray) -> np.ndarray:
    """Weighted means of all whole windows: (N, H, W, C) to (N, H - 10, W - 10, C)."""
    from scipy.ndimage import gaussian_filter

    means = gaussian_filter(images, SIGMA, radius=RADIUS, axes=(1, 2))
    return means[:, RADIUS:-RADIUS, RADIUS:-RADIUS]
