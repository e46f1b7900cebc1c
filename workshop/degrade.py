"""Can the measures be believed? Real images are made worse step by step, and each is measured.

`python -m workshop.degrade newts` prints a table for one data set: the floor, which is real images
against as many other real ones, then one kind of damage after another. docs/measures.md shows
these tables.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from common.data import Task, newts, sizes
from common.data.dataset import Split
from common.measures import features, similarity
from common.measures.diversity import diversity
from common.measures.frechet import frechet_distance
from common.measures.kernel import kernel_distance
from common.measures.neighbours import precision_and_recall
from common.measures.sliced import sliced_distance
from common.run import launch

NAMES = ("newts", "digits", "mnist", "fashion_mnist", "cifar10")
BLURS = (0.5, 0.75, 1.0)  # deviations of a Gaussian, in pixels
NOISES = (8, 16, 32)  # deviations, in grey levels
KEPT = (0.5, 0.0)  # shares of a class
ALIKE = (0.5, 0.25, 0.1)  # shares of images: those most like one of them
MEMORISED = (256, 64, 16)  # images, repeated
FOREIGN = (0.1, 0.5, 1.0)  # shares of images replaced


def load(name: str, data_dir: Path | None = None) -> Split:
    """Images at 32 pixels, or a data set's own 28: the training split."""
    if name == "newts":
        return newts.draw(np.arange(newts.TRAIN_SIZE), 32)
    return Task().load(name, data_dir).train


def foreign(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Images of another data set that needs no files, with this shape (H, W, C)."""
    images = load("digits" if name == "newts" else "newts").images
    if shape[-1] < images.shape[-1]:
        images = np.rint(images.mean(axis=-1, keepdims=True)).astype(np.uint8)
    images = images if images.shape[1] == shape[0] else sizes.resize(images, shape[0])
    return np.broadcast_to(images, (len(images), *shape))


def halves(split: Split, count: int, rng: np.random.Generator) -> tuple[Split, Split]:
    """Two lots of `count` images, or half of all, none in both."""
    count = min(count, len(split) // 2)
    order = rng.permutation(len(split))
    return split.take(order[:count]), split.take(order[count : 2 * count])


def blurred(images: np.ndarray, deviation: float) -> np.ndarray:
    """Images behind a Gaussian blur of so many pixels."""
    from scipy.ndimage import gaussian_filter

    levels = gaussian_filter(images.astype(np.float32), deviation, axes=(1, 2))
    return np.rint(levels).astype(np.uint8)


def noisy(images: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Images with normal noise of so many grey levels."""
    levels = images + rng.normal(0, deviation, images.shape)
    return np.rint(np.clip(levels, 0, 255)).astype(np.uint8)


def repeated(images: np.ndarray, count: int) -> np.ndarray:
    """`count` images: these over and over."""
    return images[np.arange(count) % len(images)]


def degradations(
    split: Split, other: np.ndarray, rng: np.random.Generator
) -> Iterator[tuple[str, str, np.ndarray]]:
    """Kind, step and damaged images, as many as there were; the steps of a kind grow worse."""
    images, count = split.images, len(split)
    for deviation in BLURS:
        yield "blur", f"{deviation} px", blurred(images, deviation)
    for deviation in NOISES:
        yield "noise", f"{deviation} levels", noisy(images, deviation, rng)
    for kept in KEPT:
        first = np.flatnonzero(split.labels == 0)
        stay = np.concatenate(
            [np.flatnonzero(split.labels != 0), first[: round(kept * len(first))]]
        )
        yield "class lost", f"{kept:.0%} left", repeated(images[rng.permutation(stay)], count)
    coarse = images[:, ::2, ::2].astype(np.float32)
    order = np.argsort(np.abs(coarse - coarse[0]).mean(axis=(1, 2, 3)))
    for share in ALIKE:
        yield "look-alikes", f"{share:.0%}", repeated(images[order[: int(share * count)]], count)
    for many in MEMORISED:
        yield "memorised", f"{many} images", repeated(images[:many], count)
    for share in FOREIGN:
        replaced = int(share * count)
        mixed = [images[replaced:], repeated(other, replaced)]
        yield "other data", f"{share:.0%}", np.concatenate(mixed)


def figures(
    real: np.ndarray, drawn: np.ndarray, rng: np.random.Generator, trained: bool = True
) -> dict[str, float]:
    """Every measure of drawn images against real ones, by name; as many of both."""
    seen = [features.extract(images, trained) for images in (real, drawn)]
    precision, recall = precision_and_recall(*seen)
    sliced = list(sliced_distance(real, drawn, rng).values())
    return {
        "Fréchet": frechet_distance(*seen),
        "kernel": kernel_distance(*seen),
        "precision": precision,
        "recall": recall,
        "sliced, finest": sliced[0],
        "sliced, coarsest": sliced[-1],
        "diversity": diversity(drawn, real),
    }


def pair_figures(real: np.ndarray, drawn: np.ndarray) -> dict[str, float]:
    """Every measure of images against their own originals, by name."""
    return {
        "L1": similarity.absolute_error(real, drawn),
        "PSNR": similarity.peak_signal_to_noise(real, drawn),
        "SSIM": similarity.structural_similarity(real, drawn),
    }


def show(head: str, rows: list[tuple[str, dict[str, str]]]) -> None:
    """Print a Markdown table; its columns are the names of the first row."""
    print(f"| {head} | " + " | ".join(rows[0][1]) + " |\n|" + " --- |" * (len(rows[0][1]) + 1))
    for name, cells in rows:
        print(f"| {name} | " + " | ".join(cells.values()) + " |")
    print()


def main() -> None:
    """Print the tables of one data set as the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m workshop.degrade",
        description="Make real images worse step by step, and show what each measure says.",
    )
    parser.add_argument("dataset", nargs="?", default="newts", choices=NAMES)
    parser.add_argument("--data-dir", type=Path, help="where data sets lie")
    parser.add_argument("--count", type=int, default=1000, help="images a side (default: 1000)")
    parser.add_argument("--draws", type=int, default=5, help="of the floor (default: 5)")
    parser.add_argument("--random", action="store_true", help="features of random weights")
    options = parser.parse_args()

    split = load(options.dataset, options.data_dir)
    floors = []
    for draw in range(options.draws):
        rng = np.random.default_rng(draw)
        real, rest = halves(split, options.count, rng)
        floors.append(figures(real.images, rest.images, rng, not options.random))
    means = {name: float(np.mean([floor[name] for floor in floors])) for name in floors[0]}
    spreads = {name: float(np.std([floor[name] for floor in floors])) for name in means}
    cells = {name: f"{means[name]:.3g} ± {spreads[name]:.2g}" for name in means}
    rows = [("**floor**", cells)]

    rng = np.random.default_rng(0)
    real, rest = halves(split, options.count, rng)
    other = foreign(options.dataset, real.images.shape[1:])
    pairs = []
    for kind, step, images in degradations(rest, other, rng):
        found = figures(real.images, images, rng, not options.random)
        rows.append((f"{kind}, {step}", {name: f"{value:.3g}" for name, value in found.items()}))
        if kind in ("blur", "noise"):
            found = pair_figures(rest.images, images)
            pairs.append((f"{kind}, {step}", {name: f"{v:.3g}" for name, v in found.items()}))
    print(f"{options.dataset}: {len(real)} real images, {len(rest)} against them\n")
    show("damage", rows)
    show("damage", pairs)


if __name__ == "__main__":
    launch(main)
