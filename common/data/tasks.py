"""Tasks: what models learn from a data set, from its files to the arrays of a batch.

Each class is a task: how data are loaded and checked, what a batch holds, and how the user's own
pictures are read. `Config.make_task` of a script returns its model's task.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from common.data import batches, catalogue, crops, domains, folder, paired, pairs, sizes, sources
from common.data.batches import Batch, Batches, DomainBatches
from common.data.catalogue import FOLDER
from common.data.dataset import Dataset, Split
from common.errors import UserError


class Task:
    """Images and their labels: the task of most models, and the base class of the others.

    Attributes:
        name: the value of `--task` that selects it; "" if no flag selects it.
    """

    name: ClassVar[str] = ""

    def load(
        self,
        name: str,
        data_dir: str | Path | None = None,
        image_size: int | None = None,
        multiple: int | None = 1,
    ) -> Dataset:
        """Load a data set, downloading it if needed.

        Args:
            name: one of `catalogue.NAMES`, or `folder:PATH` for a folder of pictures.
            data_dir: the folder of data sets and downloads; None means `default_data_dir()`.
            image_size: side of the images in pixels; None means the data set's own, rounded up to
                `multiple`. Newts are computed and photos are cropped at this size. Images of a
                fixed size are padded with zeros if `image_size` is theirs rounded up to `multiple`,
                and resized otherwise.
            multiple: the side must be a multiple of it, as `sizes.multiple_at` takes it.

        Raises:
            UserError: the name or the size is not accepted, the data cannot be found, downloaded
                or read, they do not fit into memory, or they lack what the task needs.
        """
        own = catalogue.find_own_size(name)
        self.check_name(name)
        size = sizes.choose(own, image_size, multiple)
        try:
            dataset = self.load_at(name, data_dir, size, multiple)
        except MemoryError:
            raise UserError(
                f"--image-size {size}: {name}'s images do not fit into memory; choose a smaller one"
            ) from None
        self.check(dataset)
        return dataset

    def check_name(self, name: str) -> None:
        """Raise UserError if the data set of this name does not fit the task."""
        if name in paired.NAMES:
            given = f", not --task {self.name}" if self.name else ""
            raise UserError(
                f"--dataset {name}: it holds pairs of images, which are for pix2pix with --task "
                f"pairs{given}; add --task pairs there, or choose another data set"
            )

    def load_at(
        self, name: str, data_dir: str | Path | None, size: int, multiple: int | None
    ) -> Dataset:
        """Load a data set at the size that `load` chose; arguments and errors as there."""
        return catalogue.load_images(name, data_dir, size, multiple)

    def check(self, dataset: Dataset) -> None:
        """Raise UserError if a data set lacks what the task needs."""

    def make_batches(
        self, dataset: Dataset, batch_size: int, random: np.random.Generator
    ) -> Batches | DomainBatches:
        """Endless batches of the training split; arguments and errors are those of `Batches`."""
        return Batches(dataset, batch_size, random, self.make_batch)

    def make_batch(self, dataset: Dataset, part: Split, random: np.random.Generator) -> Batch:
        """A batch from a part of the training split, augmented if the data set is."""
        return batches.make_batch(dataset, part, random)

    def read_input(self, file: Path, size: int) -> np.ndarray:
        """Read the user's own picture as the network's input, `uint8` (size, size, 3).

        Raises:
            PIL.UnidentifiedImageError: the file is not a picture.
            Exception: anything that Pillow raises for a broken picture.
        """
        return folder.read(file, size)


class Classification(Task):
    """Images, cropped and mirrored at random, and their classes."""

    def load_at(
        self, name: str, data_dir: str | Path | None, size: int, multiple: int | None
    ) -> Dataset:
        """Load enlarged images, which leave room for crops."""
        larger = catalogue.load_images(name, data_dir, crops.enlarged(size), 1)
        return crops.prepare(larger, size)

    def check(self, dataset: Dataset) -> None:
        """Raise UserError unless there are at least two classes."""
        if len(dataset.class_names) < 2:
            raise UserError(
                f"--dataset {dataset.name}: it has one class only, so there is nothing to tell "
                "apart; put the pictures of each class into a sub-folder of its own"
            )

    def make_batches(
        self, dataset: Dataset, batch_size: int, random: np.random.Generator
    ) -> Batches:
        """Endless batches; an epoch shows several crops of each image."""
        return Batches(dataset, batch_size, random, self.make_batch, cropped=True)

    def make_batch(self, dataset: Dataset, part: Split, random: np.random.Generator) -> Batch:
        """Random crops, and their labels."""
        return Batch(crops.random_crops(part.images, dataset.image_shape[0], random), part.labels)

    def read_input(self, file: Path, size: int) -> np.ndarray:
        """Read the central crop of a photo."""
        return crops.take_middle(folder.read(file, crops.enlarged(size)), size)


class Domains(Task):
    """Unpaired images of two domains: the two classes of a data set.

    The user's own folder holds the domains in `a/` and `b/`.
    """

    def load_at(
        self, name: str, data_dir: str | Path | None, size: int, multiple: int | None
    ) -> Dataset:
        """Load both domains."""
        if name.startswith(FOLDER):
            return domains.load(name.removeprefix(FOLDER), size)
        return super().load_at(name, data_dir, size, multiple)

    def check(self, dataset: Dataset) -> None:
        """Raise UserError unless there are two classes with images in both splits."""
        count = len(dataset.class_names)
        if count != 2:
            raise UserError(
                f"--dataset {dataset.name}: it has {count} classes, and two domains are needed; "
                "choose newts, imori, horse2zebra or its like, or folder:PATH with a/ and b/"
            )
        for split in (dataset.train, dataset.test):
            for name, part in zip(dataset.class_names, domains.divide(split), strict=True):
                if not len(part):
                    raise UserError(f"--dataset {dataset.name}: too few images of {name}")

    def make_batches(
        self, dataset: Dataset, batch_size: int, random: np.random.Generator
    ) -> DomainBatches:
        """Endless batches; the domains are shuffled independently."""
        return DomainBatches(dataset, batch_size, random)


@dataclass(frozen=True)
class Translation(Task):
    """Images and their sources, from which a model translates: the base of four tasks.

    Args:
        direction: `b2a` swaps source and image of pairs; other tasks accept only `a2b`.

    Raises:
        UserError: the task does not accept the direction.
    """

    direction: str = "a2b"

    def __post_init__(self) -> None:
        if self.direction == "b2a":
            raise UserError(
                f"--direction b2a and --task {self.name} contradict each other: only of --task "
                "pairs can either image be the source"
            )

    def make_sources(self, split: Split) -> np.ndarray:
        """The sources of a split's images, `uint8` (N, H, W, 3), values 0 to 255."""
        raise NotImplementedError

    def make_batch(self, dataset: Dataset, part: Split, random: np.random.Generator) -> Batch:
        """Images, augmented if the data set is, and their sources."""
        part = batches.augmented(dataset, part, random)
        return Batch(part.images, part.labels, self.make_sources(part))

    def read_input(self, file: Path, size: int) -> np.ndarray:
        """Read a photo and make its source."""
        photo = folder.read(file, size)[np.newaxis]
        return self.make_sources(Split(photo, np.zeros(1, np.int64)))[0]


class Segmentation(Translation):
    """The source is the mask in colours, with the kind of background if known."""

    name = "segmentation"

    def check(self, dataset: Dataset) -> None:
        """Raise UserError unless there are masks."""
        if dataset.train.masks is None:
            raise UserError(
                f"--task segmentation: {dataset.name} has no masks (newts and imori have); "
                "choose one of these, or for pictures in colour --task colorization or edges"
            )

    def make_sources(self, split: Split) -> np.ndarray:
        """The masks in `sources.MASK_COLOURS`."""
        assert split.masks is not None
        return sources.colour_masks(split.masks, split.grounds)

    def read_input(self, file: Path, size: int) -> np.ndarray:
        """Read a mask and colour it."""
        colours = sources.MASK_COLOURS
        return colours[folder.read_mask(file, size, colours, sources.FIRST_GROUND)]


class Colorization(Translation):
    """The source is the image in grey."""

    name = "colorization"

    def check(self, dataset: Dataset) -> None:
        """Raise UserError unless the images are in colour."""
        if dataset.train.images.shape[-1] != 3:
            raise UserError(
                f"--task {self.name}: the images of {dataset.name} have no colours; "
                "choose cifar10, newts, imori or folder:PATH"
            )

    def make_sources(self, split: Split) -> np.ndarray:
        """The images in grey."""
        return sources.to_rgb(sources.to_grey(split.images))


class Edges(Colorization):
    """The source is the image's edges, dark lines on white."""

    name = "edges"

    def make_sources(self, split: Split) -> np.ndarray:
        """The edges of the images."""
        return sources.to_rgb(sources.draw_edges(sources.to_grey(split.images)))


class Pairs(Translation):
    """The source is the other image of a pair."""

    name = "pairs"

    def __post_init__(self) -> None:
        """Accept both directions."""

    def check_name(self, name: str) -> None:
        """Raise UserError unless the data set, or a folder, can hold pairs."""
        if name not in paired.NAMES and not name.startswith(FOLDER):
            raise UserError(
                f"--task pairs: --dataset {name} has no pairs; choose {', '.join(paired.NAMES)}, "
                "or folder:PATH with source/ and target/ in it, or with pictures that hold both "
                "side by side"
            )

    def load_at(
        self, name: str, data_dir: str | Path | None, size: int, multiple: int | None
    ) -> Dataset:
        """Load pairs, with sources by `direction`."""
        if name.startswith(FOLDER):
            return pairs.load(name.removeprefix(FOLDER), size, self.direction)
        return paired.load(name, catalogue.find_data_dir(data_dir), size, self.direction)

    def make_sources(self, split: Split) -> np.ndarray:
        """The split's own sources."""
        assert split.sources is not None
        return split.sources

    def read_input(self, file: Path, size: int) -> np.ndarray:
        """Read the picture, which is the source itself."""
        return folder.read(file, size)


TRANSLATIONS = {task.name: task for task in (Segmentation, Colorization, Edges, Pairs)}

load = Task().load
