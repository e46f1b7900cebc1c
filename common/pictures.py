"""What a run draws to show how it goes: samples, reconstructions, classes, translations.

A script gives `Run.connect` one of these classes, built over its own functions. Those take and
return `float32` arrays: images in the model's `pixel_range` and the framework's layout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from tqdm import tqdm

from common import images, latent, metrics, tasks
from common.errors import UserError

if TYPE_CHECKING:
    from common.run import Run

SAMPLES = 64  # images in a sample grid
COLUMNS = 8

Random = np.random.Generator


class Pictures:
    """What all of them offer to a run.

    Attributes:
        figures: columns of metrics.csv that drawing fills.
    """

    figures: ClassVar[tuple[str, ...]] = ()

    def draw(self, run: Run) -> tuple[np.ndarray, dict[str, float]]:
        """A `uint8` picture (H, W, C) that shows how training goes, and its `figures`."""
        raise NotImplementedError

    def generate(self, run: Run, count: int) -> np.ndarray:
        """The `uint8` picture that `--generate` asks for."""
        raise NotImplementedError

    def finish(self, run: Run) -> dict[str, Path]:
        """Pictures that a finished run leaves besides, by name."""
        return {}


def portions(count: int) -> Iterator[slice]:
    """Slices of at most `SAMPLES` that make up `count`, with a progress bar if it takes long."""
    with tqdm(total=count, unit="image", delay=2, leave=False) as bar:
        for start in range(0, count, SAMPLES):
            part = slice(start, min(start + SAMPLES, count))
            yield part
            bar.update(part.stop - start)


class Samples(Pictures):
    """Images drawn from noise.

    Args:
        draw: makes so many images from a source of random numbers.
    """

    figures = ("diversity",)

    def __init__(self, draw: Callable[[int, Random], np.ndarray]) -> None:
        self._draw = draw

    def draw(self, run: Run) -> tuple[np.ndarray, dict[str, float]]:
        """A grid from the same noise each time, so that one sees it learn."""
        drawn = self._images(run, SAMPLES, np.random.default_rng((run.config.seed, 1)))
        real = run.dataset.test.take(_choose(run, SAMPLES)).images
        return images.grid(drawn), {"diversity": metrics.diversity(drawn, real)}

    def generate(self, run: Run, count: int) -> np.ndarray:
        """A grid of `count` images."""
        return images.grid(self._images(run, count, np.random.default_rng(run.config.seed)))

    def _images(self, run: Run, count: int, random: Random) -> np.ndarray:
        drawn = [self._draw(part.stop - part.start, random) for part in portions(count)]
        return run.pixels.from_network(np.concatenate(drawn))


class ClassSamples(Pictures):
    """Images drawn from noise and a class: a row per class, the same noise down each column.

    Args:
        draw: makes images from labels `int64` (N,) and latent vectors `float32` (N, Z).
        make_noise: makes latent vectors: (random, count) to (N, Z).
    """

    figures = ("diversity",)

    def __init__(
        self,
        draw: Callable[[np.ndarray, np.ndarray], np.ndarray],
        make_noise: Callable[[Random, int], np.ndarray],
    ) -> None:
        self._draw = draw
        self._make_noise = make_noise

    def draw(self, run: Run) -> tuple[np.ndarray, dict[str, float]]:
        """A grid of all classes from the same noise each time."""
        random = np.random.default_rng((run.config.seed, 1))
        drawn = self._rows(run, list(range(len(run.class_names))), COLUMNS, random)
        real = run.dataset.test.take(_choose(run, len(drawn))).images
        figures = {"diversity": metrics.diversity(drawn, real)}
        return images.label_rows(images.grid(drawn, COLUMNS), run.class_names), figures

    def generate(self, run: Run, count: int) -> np.ndarray:
        """`count` images of the class that `--class` names, else shared out among all classes."""
        random = np.random.default_rng(run.config.seed)
        wanted = run.config.class_  # type: ignore[attr-defined]
        if wanted is not None:
            if wanted not in run.class_names:
                raise UserError(
                    f"--class {wanted}: the checkpoint knows {', '.join(run.class_names)}"
                )
            label = run.class_names.index(wanted)
            return images.grid(self._rows(run, [label], count, random))
        columns = -(-count // len(run.class_names))
        labels = list(range(-(-count // columns)))
        drawn = self._rows(run, labels, columns, random)[:count]
        names = run.class_names[: len(labels)]
        return images.label_rows(images.grid(drawn, columns), names)

    def _rows(self, run: Run, classes: list[int], columns: int, random: Random) -> np.ndarray:
        noise = np.tile(self._make_noise(random, columns), (len(classes), 1))
        labels = np.repeat(np.array(classes, np.int64), columns)
        drawn = [self._draw(labels[part], noise[part]) for part in portions(len(labels))]
        return run.pixels.from_network(np.concatenate(drawn))


class Reconstructions(Pictures):
    """Images of the test split, each row over its reconstructions.

    Args:
        reconstruct: images to images.
    """

    def __init__(self, reconstruct: Callable[[np.ndarray], np.ndarray]) -> None:
        self._reconstruct = reconstruct

    def draw(self, run: Run) -> tuple[np.ndarray, dict[str, float]]:
        """The same images each time."""
        return self._rows(run, run.dataset.test.take(_choose(run, SAMPLES // 2)).images), {}

    def generate(self, run: Run, count: int) -> np.ndarray:
        """The first `count` images of the test split."""
        return self._rows(run, _first(run, count).images)

    def _rows(self, run: Run, originals: np.ndarray) -> np.ndarray:
        made = [
            run.pixels.from_network(self._reconstruct(run.pixels.to_network(originals[part])))
            for part in portions(len(originals))
        ]
        return images.rows_over_rows(originals, np.concatenate(made), COLUMNS)


class LatentSpace(Reconstructions):
    """Reconstructions, samples from a normal prior, and maps of a latent space of two dimensions.

    Args:
        encode: images to latent vectors (N, Z).
        decode: latent vectors to images.
    """

    def __init__(
        self,
        encode: Callable[[np.ndarray], np.ndarray],
        decode: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        super().__init__(lambda originals: decode(encode(originals)))
        self._encode = encode
        self._decode = decode

    def generate(self, run: Run, count: int) -> np.ndarray:
        """A grid of `count` images decoded from standard normal latent vectors."""
        shape = (count, run.config.latent_dim)  # type: ignore[attr-defined]
        vectors = np.random.default_rng(run.config.seed).standard_normal(shape, np.float32)
        return images.grid(self._images(run, vectors))

    def finish(self, run: Run) -> dict[str, Path]:
        """The test split in latent space, a walk through it, and a grid over it."""
        if run.config.latent_dim != 2:  # type: ignore[attr-defined]
            print("no pictures of the latent space: they need --latent-dim 2")
            return {}
        test = run.dataset.test
        codes = [
            self._encode(run.pixels.to_network(test.images[part])) for part in portions(len(test))
        ]
        made = {name: run.folder.path / f"{name}.png" for name in ("latent", "walk", "manifold")}
        title = f"{run.model} in {run.framework} on {run.dataset.name}"
        latent.scatter(
            made["latent"], title, np.concatenate(codes), test.labels, run.dataset.class_names
        )
        steps = np.linspace(-2, 2, latent.WALK, dtype=np.float32)
        latent.walk(made["walk"], title, self._images(run, np.stack([steps, steps], 1)))
        ticks = np.linspace(-4, 4, latent.SIDE, dtype=np.float32)
        first, second = np.meshgrid(ticks, ticks[::-1])
        drawn = self._images(run, np.stack([first.ravel(), second.ravel()], 1))
        latent.manifold(made["manifold"], title, drawn)
        return made

    def _images(self, run: Run, vectors: np.ndarray) -> np.ndarray:
        made = [self._decode(vectors[part]) for part in portions(len(vectors))]
        return run.pixels.from_network(np.concatenate(made))


class Translations(Pictures):
    """Source, translation and real image side by side, from the test split.

    Args:
        translate: source images to images.
    """

    def __init__(self, translate: Callable[[np.ndarray], np.ndarray]) -> None:
        self._translate = translate

    def draw(self, run: Run) -> tuple[np.ndarray, dict[str, float]]:
        """The same images each time."""
        return self._rows(run, run.dataset.test.take(_choose(run, 16))), {}

    def generate(self, run: Run, count: int) -> np.ndarray:
        """The first `count` images of the test split; or what `--input` names, all of it.

        Translations of the latter are also written one by one, to `generated/` in the run folder.
        """
        path = run.config.input  # type: ignore[attr-defined]
        if path is None:
            return self._rows(run, _first(run, count))
        task = run.config.task  # type: ignore[attr-defined]
        named = tasks.read_sources(task, path, run.image_shape[0])
        sources = np.stack([*named.values()])
        made = self.translate(run, sources)
        for name, image in zip(named, made, strict=True):
            file = run.folder.path / "generated" / f"{name}.png"
            run.folder.make(file.parent)
            images.save(file, image)
        return images.beside(sources, made)

    def translate(self, run: Run, sources: np.ndarray) -> np.ndarray:
        """Source images to their translations, both `uint8` (N, H, W, 3)."""
        made = [
            run.pixels.from_network(self._translate(run.pixels.to_network(sources[part])))
            for part in portions(len(sources))
        ]
        return np.concatenate(made)

    def _rows(self, run: Run, split: Any) -> np.ndarray:
        sources = tasks.make_sources(run.config.task, split)  # type: ignore[attr-defined]
        return images.beside(sources, self.translate(run, sources), split.images)


def _choose(run: Run, count: int) -> np.ndarray:
    """Indices of test images, always the same ones."""
    most = len(run.dataset.test)
    return np.random.default_rng(0).choice(most, min(count, most), replace=False)


def _first(run: Run, count: int) -> Any:
    most = len(run.dataset.test)
    if count > most:
        raise UserError(f"--generate {count}: {run.dataset.name} has only {most} test images")
    return run.dataset.test.take(slice(count))
