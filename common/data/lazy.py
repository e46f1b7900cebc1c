"""A data set that is loaded at its first use."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.data.dataset import Dataset, Split
from common.data.inputs import read_inputs
from common.data.tasks import Task
from common.errors import UserError


class Data:
    """The data set of a run, loaded at its first use.

    Images can thus be generated from a checkpoint without its data set. The first use may raise any
    UserError of `Task.load`.

    Args:
        name: the value of `--dataset`; this and the next three are arguments of `Task.load`.
        data_dir: the folder of data sets and downloads.
        image_size: side of the images in pixels, or None for the data set's own.
        multiple: the side must be a multiple of it, as `sizes.multiple_at` takes it.
        task: what the model learns; None for images and their labels.
        like: `image_shape` (H, W, C) and `class_names` of a checkpoint whose networks are used.
            Both are then known without loading, and override the data set's and `image_size`.

    Attributes:
        name: as given.
        task: as given.
    """

    def __init__(
        self,
        name: str,
        data_dir: str | Path | None = None,
        image_size: int | None = None,
        multiple: int | None = 1,
        task: Task | None = None,
        like: tuple[Sequence[int], Sequence[str]] | None = None,
    ) -> None:
        self.name = name
        self.task = task or Task()
        self._data_dir = data_dir
        self._image_size = like[0][0] if like else image_size
        self._multiple = multiple
        self._like = like

    @functools.cached_property
    def dataset(self) -> Dataset:
        """The data set itself.

        Raises:
            UserError: it cannot be loaded, or its images do not have the checkpoint's shape.
        """
        where = (self.name, self._data_dir, self._image_size, self._multiple)
        dataset = self.task.load(*where)
        if self._like and dataset.image_shape != self.image_shape:
            raise UserError(
                f"--dataset {self.name}: its images are {dataset.image_shape} (height, width, "
                f"channels), the checkpoint's are {self.image_shape}"
            )
        return dataset

    @property
    def train(self) -> Split:
        """The training split; with `augment` its images may be larger than `image_shape`."""
        return self.dataset.train

    @property
    def test(self) -> Split:
        """The test split, whose images have `image_shape`."""
        return self.dataset.test

    @property
    def augment(self) -> bool:
        """True if training images are cropped, flipped and turned at random."""
        return self.dataset.augment

    @property
    def class_names(self) -> tuple[str, ...]:
        """One per label: those of `like` if given, else the data set's."""
        return tuple(self._like[1]) if self._like else self.dataset.class_names

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the networks' images: that of `like` if given, else the data set's."""
        if self._like is None:
            return self.dataset.image_shape
        height, width, channels = self._like[0]
        return height, width, channels

    def read_inputs(self, path: str) -> dict[str, np.ndarray]:
        """The user's own pictures as networks see them, by name, `uint8` (H, W, 3).

        Args:
            path: a picture or a folder of pictures.

        Raises:
            UserError: as `read_inputs`.
        """
        return read_inputs(path, self.image_shape[0], self.task.read_input)

    def fingerprint(self) -> str:
        """SHA-256 of all arrays of both splits, as 64 hexadecimal digits; computed once."""
        return self._fingerprint

    @functools.cached_property
    def _fingerprint(self) -> str:
        return self.dataset.fingerprint()
