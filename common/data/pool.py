"""A pool of earlier generated images, which a discriminator sees again."""

from __future__ import annotations

import numpy as np

from common.errors import UserError


class ImagePool:
    """Earlier generated images, which replace some of the new ones.

    A discriminator that sees only the newest fakes forgets what it learned from earlier ones:
    Shrivastava et al. (2016), https://arxiv.org/abs/1612.07828, section 2.3.

    Args:
        size: the largest number of images; 0 switches the pool off.
        random: the run's generator.
    """

    def __init__(self, size: int, random: np.random.Generator) -> None:
        self.size = size
        self.random = random
        self.images: list[np.ndarray] = []

    def check_processes(self, count: int) -> None:
        """Raise UserError if several processes train together and the pool is not off."""
        if self.size and count > 1:
            raise UserError(
                f"a pool of earlier images belongs to one process, and this is one of {count}; "
                "give --pool-size 0"
            )

    def swap(self, images: np.ndarray) -> np.ndarray:
        """Replace some images by earlier ones, (N, ...) to (N, ...), for the discriminator.

        The first images fill the pool and are returned. Later, with probability 1/2, an image is
        returned itself; otherwise it is swapped with a random image of the pool.
        """
        if not self.size:
            return images
        shown = []
        for image in images:
            if len(self.images) < self.size:
                self.images.append(image)
                shown.append(image)
            elif self.random.random() < 0.5:
                shown.append(image)
            else:
                index = int(self.random.integers(self.size))
                shown.append(self.images[index])
                self.images[index] = image
        return np.stack(shown)

    def state(self) -> dict[str, np.ndarray]:
        """The state that `restore` takes: the images (M, ...), if there are any."""
        return {"images": np.stack(self.images)} if self.images else {}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Restore an earlier `state`; the batches restore the run's rng state."""
        self.images = list(state.get("images", ()))
