"""Reconstructions of test images, and pictures of a latent space."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from common.data import Data
from common.data.batches import every_image
from common.measures import pca
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

# Both take `uint8` images (N, H, W, C); ToCodes returns latent vectors (N, Z).
ToImages = Callable[[np.ndarray], np.ndarray]
ToCodes = Callable[[np.ndarray], np.ndarray]
# Images and a generator of noise to losses by name, without an update.
TestLosses = Callable[[np.ndarray, Random], dict[str, Any]]


class Reconstructions(Pictures):
    """Rows of test images, each above its reconstructions.

    Args:
        data: its test split is shown.
        config: the run's settings, with the seed of all noise.
        reconstruct: `uint8` images (N, H, W, C) to their reconstructions.
        losses: losses of test images, averaged after training; None for none.
        components: number of components of the PCA to compare losses with; None for no comparison.
    """

    def __init__(
        self,
        data: Data,
        config: Any,
        reconstruct: ToImages,
        losses: TestLosses | None = None,
        components: int | None = None,
    ) -> None:
        self._data = data
        self._config = config
        self._reconstruct = reconstruct
        self._losses = losses
        self._components = components

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

    def test(self) -> dict[str, float]:
        """The mean losses of the test split."""
        if self._losses is None:
            return {}
        given = self._data.test.images
        random = np.random.default_rng((self._config.seed, 2))
        sums: dict[str, float] = {}
        for part in portions(len(given)):
            for name, value in self._losses(given[part], random).items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(given[part])
        figures = {f"test {name}": value / len(given) for name, value in sums.items()}
        if self._components:
            train = every_image(self._data.dataset)
            error = pca.test_error(train, given, self._components)
            figures[f"test error of PCA with {self._components} components"] = error
            figures["times that of PCA"] = figures["test reconstruction_loss"] / error
        return figures


class LatentSpace(Reconstructions):
    """Reconstructions, samples from the prior, and plots of a two-dimensional latent space.

    Args:
        data: its test split is shown.
        config: the run's settings, with the seed of all noise.
        draw_noise: latent vectors of the prior: (random, config, N) to (N, Z).
        encode: `uint8` images (N, H, W, C) to latent vectors (N, Z).
        draw: latent vectors to `uint8` images.
        losses: losses of test images.
    """

    def __init__(
        self,
        data: Data,
        config: Any,
        draw_noise: Callable[[Random, Any, int], np.ndarray],
        encode: ToCodes,
        draw: ToImages,
        losses: TestLosses,
    ) -> None:
        super().__init__(data, config, lambda originals: draw(encode(originals)), losses)
        self._draw_noise = draw_noise
        self._encode = encode
        self._draw = draw

    def generate(self, count: int) -> np.ndarray:
        """A grid of `count` images from latent vectors of the prior."""
        return images.grid(self.images(count, np.random.default_rng(self._config.seed)))

    def images(self, count: int, random: Random) -> np.ndarray:
        """`count` images, `uint8` (N, H, W, C), from latent vectors of the prior."""
        return self._images(self._draw_noise(random, self._config, count))

    def finish(self, folder: Path, title: str) -> dict[str, Path]:
        """Write PNG files of the test split in latent space, a walk through it, and a grid over it.

        If the latent space does not have two dimensions, print that and write nothing.

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
        generated = self._images(np.stack([first.ravel(), second.ravel()], 1))
        latent.manifold(made["manifold"], title, generated)
        return made

    def _images(self, codes: np.ndarray) -> np.ndarray:
        return np.concatenate([self._draw(codes[part]) for part in portions(len(codes))])
