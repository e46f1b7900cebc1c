"""A pool of images that were drawn earlier, for a discriminator to see again."""

from __future__ import annotations

import numpy as np

from common.errors import UserError


class ImagePool:
    """Earlier images, some of which take the place of new ones.

    A discriminator that sees the newest fakes alone forgets what it has learned of earlier ones:
    Shrivastava and others (2016), https://arxiv.org/abs/1612.07828, section 2.3.

    Args:
        size: how many images it holds; none switches it off.
        random: the run's generator.
    """

    def __init__(self, size: int, random: np.random.Generator) -> None:
        self.size = size
        self.random = random
        self.images: list[np.ndarray] = []

    def check_processes(self, count: int) -> None:
        """Raise UserError if the pool is on and several processes train together."""
        if self.size and count > 1:
            raise UserError(
                f"a pool of earlier images belongs to one process, and this is one of {count}; "
                "give --pool-size 0"
            )

    def swap(self, images: np.ndarray) -> np.ndarray:
        """As many images as are given, (N, ...): what a discriminator is to learn from.

        The first ones fill the pool. From then on each, with a probability of 1/2, is given back
        itself; otherwise an older one, whose place in the pool it takes.
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
                place = int(self.random.integers(self.size))
                shown.append(self.images[place])
                self.images[place] = image
        return np.stack(shown)

    def state(self) -> dict[str, np.ndarray]:
        """What `restore` needs: the images (M, ...), unless there are none yet."""
        return {"images": np.stack(self.images)} if self.images else {}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go on from an earlier `state`; the run's generator is set back by its batches."""
        self.images = list(state.get("images", ()))
