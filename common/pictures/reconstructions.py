"""What autoencoders make of test images, and of places in their latent space."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from common.data import Data
from common.pictures import images, latent
from common.pictures.base import (
    COLUMNS,
    SAMPLES,
    Pictures,
    Random,
    choose_test,
    first_test,
    portions,
)

# From `uint8` images (N, H, W, C) to such images, to latent vectors (N, Z), and from these back.
ToImages = Callable[[np.ndarray], np.ndarray]
ToCodes = Callable[[np.ndarray], np.ndarray]


class Reconstructions(Pictures):
    """Images of the test split, each row over its reconstructions.

    Args:
        data: its test split is shown.
        reconstruct: `uint8` images (N, H, W, C) to such images.
    """

    def __init__(self, data: Data, reconstruct: ToImages) -> None:
        self._data = data
        self._reconstruct = reconstruct

    def draw(self) -> tuple[np.ndarray, dict[str, float]]:
        """The same images each time."""
        return self._rows(choose_test(self._data, SAMPLES // 2).images), {}

    def generate(self, count: int) -> np.ndarray:
        """The first `count` images of the test split."""
        return self._rows(first_test(self._data, count).images)

    def _rows(self, originals: np.ndarray) -> np.ndarray:
        return images.rows_over_rows(originals, self.restore(originals), COLUMNS)

    def restore(self, originals: np.ndarray) -> np.ndarray:
        """The reconstructions of `uint8` images (N, H, W, C)."""
        made = [self._reconstruct(originals[part]) for part in portions(len(originals))]
        return np.concatenate(made)


class LatentSpace(Reconstructions):
    """Reconstructions, samples from the prior, and maps of a latent space of two dimensions.

    Args:
        data: its test split is shown.
        seed: of the noise that `generate` draws from.
        make_noise: latent vectors of the prior: (random, count) to (N, Z).
        encode: `uint8` images (N, H, W, C) to latent vectors (N, Z).
        draw: latent vectors to `uint8` images.
    """

    def __init__(
        self,
        data: Data,
        seed: int,
        make_noise: Callable[[Random, int], np.ndarray],
        encode: ToCodes,
        draw: ToImages,
    ) -> None:
        super().__init__(data, lambda originals: draw(encode(originals)))
        self._seed = seed
        self._make_noise = make_noise
        self._encode = encode
        self._draw = draw

    def generate(self, count: int) -> np.ndarray:
        """A grid of `count` images from latent vectors of the prior."""
        return images.grid(self.images(count, np.random.default_rng(self._seed)))

    def images(self, count: int, random: Random) -> np.ndarray:
        """`count` images, `uint8` (N, H, W, C), from latent vectors of the prior."""
        return self._images(self._make_noise(random, count))

    def save_maps(self, folder: Path, title: str) -> dict[str, Path]:
        """The test split in latent space, a walk through it, and a grid over it, as PNG files.

        Nothing, with a word why, unless the latent space has two dimensions.

        Raises:
            UserError: a file cannot be written.
        """
        test = self._data.test
        codes = np.concatenate([self._encode(test.images[part]) for part in portions(len(test))])
        if codes.shape[1] != 2:
            print("no pictures of the latent space: they need --latent-dim 2")
            return {}
        made = {name: folder / f"{name}.png" for name in ("latent", "walk", "manifold")}
        latent.scatter(made["latent"], title, codes, test.labels, self._data.class_names)
        steps = np.linspace(-2, 2, latent.WALK, dtype=codes.dtype)
        latent.walk(made["walk"], title, self._images(np.stack([steps, steps], 1)))
        ticks = np.linspace(-4, 4, latent.SIDE, dtype=codes.dtype)
        first, second = np.meshgrid(ticks, ticks[::-1])
        drawn = self._images(np.stack([first.ravel(), second.ravel()], 1))
        latent.manifold(made["manifold"], title, drawn)
        return made

    def _images(self, codes: np.ndarray) -> np.ndarray:
        return np.concatenate([self._draw(codes[part]) for part in portions(len(codes))])
