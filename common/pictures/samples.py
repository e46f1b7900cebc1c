"""Images generated from noise, with or without a class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from common.data import Data
from common.errors import UserError
from common.measures.diversity import diversity
from common.pictures import images
from common.pictures.base import COLUMNS, SAMPLES, Pictures, Random, choose_test, portions


class Samples(Pictures):
    """Images generated from noise.

    Args:
        data: diversity is relative to its test split.
        config: the run's settings, with the seed of the noise.
        draw_noise: latent vectors: (random, config, N) to (N, Z).
        draw: latent vectors to `uint8` images (N, H, W, C).
    """

    figures = ("diversity",)

    def __init__(
        self,
        data: Data,
        config: Any,
        draw_noise: Callable[[Random, Any, int], np.ndarray],
        draw: Callable[..., np.ndarray],
    ) -> None:
        self._data = data
        self._config = config
        self._draw_noise = draw_noise
        self._draw = draw

    def draw(self) -> tuple[np.ndarray, dict[str, float]]:
        """A grid from the same noise each time, to show progress."""
        generated = self.images(SAMPLES, np.random.default_rng((self._config.seed, 1)))
        real = choose_test(self._data, SAMPLES).images
        return images.grid(generated), {"diversity": diversity(generated, real)}

    def generate(self, count: int) -> np.ndarray:
        """A grid of `count` images."""
        return images.grid(self.images(count, np.random.default_rng(self._config.seed)))

    def noise(self, count: int, random: Random) -> np.ndarray:
        """`count` latent vectors (N, Z)."""
        return self._draw_noise(random, self._config, count)

    def from_noise(self, noise: np.ndarray) -> np.ndarray:
        """The image of each latent vector, `uint8` (N, H, W, C)."""
        return np.concatenate([self._draw(noise[part]) for part in portions(len(noise))])

    def images(self, count: int, random: Random) -> np.ndarray:
        """`count` images, `uint8` (N, H, W, C)."""
        return self.from_noise(self.noise(count, random))


class ClassSamples(Samples):
    """Images generated from noise and a class: a row per class, the same noise in each column.

    Args:
        data: has the class names; diversity is relative to its test split.
        config: the run's settings, with the seed of the noise.
        draw_noise: latent vectors: (random, config, N) to (N, Z).
        draw: latent vectors and labels `int64` (N,) to `uint8` images (N, H, W, C).
        only: the class for `generate`; None for all classes.
    """

    def __init__(
        self,
        data: Data,
        config: Any,
        draw_noise: Callable[[Random, Any, int], np.ndarray],
        draw: Callable[[np.ndarray, np.ndarray], np.ndarray],
        only: str | None = None,
    ) -> None:
        super().__init__(data, config, draw_noise, draw)
        self._only = only

    def draw(self) -> tuple[np.ndarray, dict[str, float]]:
        """A grid of all classes from the same noise each time."""
        names = self._data.class_names
        random = np.random.default_rng((self._config.seed, 1))
        generated = self._rows(np.arange(len(names)), COLUMNS, random)
        real = choose_test(self._data, len(generated)).images
        figures = {"diversity": diversity(generated, real)}
        return images.label_rows(images.grid(generated, COLUMNS), names), figures

    def generate(self, count: int) -> np.ndarray:
        """`count` images of the class `only`, or divided among all classes.

        Raises:
            UserError: the checkpoint does not know the class.
        """
        names = self._data.class_names
        random = np.random.default_rng(self._config.seed)
        if self._only is not None:
            if self._only not in names:
                raise UserError(f"--class {self._only}: the checkpoint knows {', '.join(names)}")
            label = names.index(self._only)
            return images.grid(self._rows(np.array([label]), count, random))
        columns = -(-count // len(names))
        rows = -(-count // columns)
        generated = self._rows(np.arange(rows), columns, random)[:count]
        return images.label_rows(images.grid(generated, columns), names[:rows])

    def from_noise(self, noise: np.ndarray) -> np.ndarray:
        """The image of each latent vector, `uint8` (N, H, W, C), with classes in turn."""
        labels = self.asked(len(noise))
        generated = [self._draw(noise[part], labels[part]) for part in portions(len(noise))]
        return np.concatenate(generated)

    def asked(self, count: int) -> np.ndarray:
        """The classes of `count` images from noise: each in turn, `int64` (N,)."""
        return np.arange(count, dtype=np.int64) % len(self._data.class_names)

    def _rows(self, classes: np.ndarray, columns: int, random: Random) -> np.ndarray:
        noise = np.tile(self.noise(columns, random), (len(classes), 1))
        labels = classes.astype(np.int64).repeat(columns)
        generated = [self._draw(noise[part], labels[part]) for part in portions(len(labels))]
        return np.concatenate(generated)
