"""Samples and reconstructions of a model with a generator and an encoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from common.data import Data
from common.measures.diversity import diversity
from common.pictures import images
from common.pictures.base import COLUMNS, SAMPLES, Random, choose_test
from common.pictures.reconstructions import Reconstructions, ToCodes, ToImages
from common.pictures.samples import Samples


class SamplesAndReconstructions(Samples, Reconstructions):
    """Images generated from noise, and below them rows of test images and reconstructions.

    Args:
        data: its test split is shown; diversity is relative to it.
        config: the run's settings, with the seed of the noise.
        draw_noise: latent vectors of the prior: (random, config, N) to (N, Z).
        encode: `uint8` images (N, H, W, C) to latent vectors (N, Z).
        draw: latent vectors to `uint8` images.
    """

    def __init__(
        self,
        data: Data,
        config: Any,
        draw_noise: Callable[[Random, Any, int], np.ndarray],
        encode: ToCodes,
        draw: ToImages,
    ) -> None:
        Samples.__init__(self, data, config, draw_noise, draw)
        Reconstructions.__init__(self, data, config, lambda originals: draw(encode(originals)))

    def draw(self) -> tuple[np.ndarray, dict[str, float]]:
        """32 samples, from the same noise each time, and 16 test images with reconstructions."""
        generated = self.images(SAMPLES // 2, np.random.default_rng((self._config.seed, 1)))
        real = choose_test(self._data, SAMPLES // 2).images
        below = self._rows(choose_test(self._data, SAMPLES // 4).images)
        picture = np.concatenate([images.grid(generated, COLUMNS), below])
        return picture, {"diversity": diversity(generated, real)}
