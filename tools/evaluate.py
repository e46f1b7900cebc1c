"""How good a trained model is: what it makes against the test split, in figures and a picture.

`python -m tools.evaluate dcgan --from runs/dcgan-pytorch-newts/checkpoint.safetensors` draws with
the model's own script, prints a table, and leaves `evaluation.json` and `evaluation.png`.
"""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from common.data import default_data_dir
from common.errors import UserError, warn
from common.files import disk_errors, write_text
from common.frameworks import PACKAGES, find_version
from common.measures import features, frechet, kernel, neighbours, similarity, sliced
from common.measures.diversity import diversity
from common.pictures import evaluation, images
from common.run import checkpoint, flags, launch
from common.run.flags import Parser
from tools.library import drawing
from tools.library.drawing import Drawn, Request
from tools.library.scripts import check_model, choose_frameworks

Extract = Callable[[np.ndarray], np.ndarray]  # `uint8` images (N, H, W, C) to features (N, D)

INCEPTION_FEATURES = 2048
SHOWN = 12  # images in a row of the picture
SHEET = 36  # images in a square of the picture
READ = 200  # samples whose classes are counted


@dataclass(frozen=True)
class Seen:
    """Images, and their features.

    Attributes:
        images: `uint8`, shape (N, H, W, C).
        features: shape (N, D), if they are needed.
    """

    images: np.ndarray
    features: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))


@dataclass(frozen=True)
class Figure:
    """A figure of the model beside that of real images.

    Attributes:
        values: of the model, one for each draw.
        floor: of training images in the place of the model's; nothing where these have none.
    """

    values: list[float]
    floor: list[float]


BEST = {
    "Fréchet distance": "lower",
    "kernel distance": "lower",
    "sliced Wasserstein": "lower",
    "path length": "lower",
    "diversity": "near 1",
    "diversity within classes": "near 1",
    "mean squared error": "lower",
    "L1": "lower",
    "L1 there and back": "lower",
    "L1 to the true translation": "lower",
    "classification_loss": "lower",
}  # what is not named is the better the higher


def slices(real: np.ndarray, drawn: np.ndarray) -> dict[str, float]:
    """The sliced Wasserstein distance at each level of a pyramid, by name."""
    found = sliced.sliced_distance(real, drawn, np.random.default_rng(0))
    return {f"sliced Wasserstein, {side} pixels": value for side, value in found.items()}


def ratios(real: np.ndarray, drawn: np.ndarray) -> dict[str, float]:
    """Precision and recall, of features."""
    found = neighbours.precision_and_recall(real, drawn)
    return dict(zip(("precision", "recall"), found, strict=True))


# What is measured of real images and those of a model; by the kind of the latter.
Measure = Callable[[Seen, Seen], dict[str, float]]
OF_SAMPLES: tuple[Measure, ...] = (
    lambda a, b: {"Fréchet distance": frechet.frechet_distance(a.features, b.features)},
    lambda a, b: {"kernel distance": kernel.kernel_distance(a.features, b.features)},
    lambda a, b: ratios(a.features, b.features),
    lambda a, b: slices(a.images, b.images),
    lambda a, b: {"diversity": diversity(b.images, a.images)},
)
OF_PAIRS: tuple[Measure, ...] = (
    lambda a, b: {"PSNR": similarity.peak_signal_to_noise(a.images, b.images)},
    lambda a, b: {"SSIM": similarity.structural_similarity(a.images, b.images)},
)
OF_RECONSTRUCTIONS: tuple[Measure, ...] = (
    lambda a, b: {"mean squared error": similarity.squared_error(a.images, b.images)},
    *OF_PAIRS,
)
OF_TRANSLATIONS: tuple[Measure, ...] = (
    lambda a, b: {"L1": similarity.absolute_error(a.images, b.images)},
    *OF_PAIRS,
)


def measure(drawn: Drawn, extract: Extract) -> tuple[dict[str, Figure], list[str]]:
    """All figures that suit what was drawn.

    Args:
        drawn: the model's images and the real ones.
        extract: gives features.

    Returns:
        The figures by name; and of those that there are too few images for, why.
    """
    tasks: list[tuple[Measure, list[Seen], list[Seen]]] = []
    samples: list[Seen] = []
    shown = {"delay": 2, "leave": False}
    if drawn.samples:
        sets = [drawn.test, *drawn.samples, *drawn.floors]
        real, *seen = [
            Seen(one, extract(one)) for one in tqdm(sets, desc="features", unit="set", **shown)
        ]
        samples, floors = seen[: len(drawn.samples)], seen[len(drawn.samples) :]
        tasks += [(one, samples, floors) for one in OF_SAMPLES]
    else:
        real, floors = Seen(drawn.test), [Seen(one) for one in drawn.floors]
    if drawn.made is not None:
        suited = OF_RECONSTRUCTIONS if drawn.sources is None else OF_TRANSLATIONS
        tasks += [(one, [Seen(drawn.made)], floors) for one in suited]
    figures: dict[str, Figure] = {}
    left_out = []
    for one, models, others in tqdm(tasks, desc="figures", unit="figure", **shown):
        try:
            found = [one(real, seen) for seen in (*models, *others)]
        except UserError as error:
            left_out.append(str(error))
            continue
        for name in found[0]:
            values = [each[name] for each in found]
            figures[name] = Figure(values[: len(models)], values[len(models) :])
    if drawn.labels:
        known = Seen(drawn.train, extract(drawn.train))
        figures |= of_classes(drawn, samples, real, known)
        if drawn.made is not None and drawn.sources is None:
            figures |= of_restored(drawn, real, Seen(drawn.made, extract(drawn.made)), known)
    for name in drawn.others[0] if drawn.others else ():
        figures[name] = Figure([others[name] for others in drawn.others], [])
    return figures, left_out


def of_classes(drawn: Drawn, samples: list[Seen], real: Seen, known: Seen) -> dict[str, Figure]:
    """What classes samples are of, read by the training images that they resemble most.

    Args:
        drawn: its classes.
        samples: for each draw.
        real: the test split.
        known: the training images.
    """
    of_test, of_train = drawn.labels
    read = [neighbours.read_classes(known.features, of_train, s.features) for s in (real, *samples)]
    kinds = [float(len(np.unique(one[:READ]))) for one in read[1:]]
    figures = {f"classes among {READ}": Figure(kinds, [float(len(np.unique(of_test)))])}
    if drawn.asked is not None:
        obeyed = [float((one == drawn.asked).mean()) for one in read[1:]]
        figures["share of the class asked for"] = Figure(
            obeyed, [float((read[0] == of_test).mean())]
        )
        within = [
            [
                diversity(seen.images[drawn.asked == label], real.images[of_test == label])
                for label in np.unique(of_test)
            ]
            for seen in samples
        ]
        figures["diversity within classes"] = Figure([float(np.mean(one)) for one in within], [])
    return figures


def of_restored(drawn: Drawn, real: Seen, made: Seen, known: Seen) -> dict[str, Figure]:
    """The share of reconstructions that are read as what their images are; as `of_classes` reads.

    Args:
        drawn: its classes.
        real: the test split.
        made: its reconstructions.
        known: the training images.
    """
    of_test, of_train = drawn.labels
    shares = [
        float((neighbours.read_classes(known.features, of_train, s.features) == of_test).mean())
        for s in (made, real)
    ]
    return {"reconstructions of their class": Figure(shares[:1], shares[1:])}


def choose_extractor(options: argparse.Namespace) -> Extract:
    """What gives features: Quartet's own, or Inception.

    Raises:
        UserError: Inception's weights, or PyTorch, are not there.
    """
    if not options.inception:
        return features.extract
    if not find_version("pytorch"):
        raise UserError("--inception needs PyTorch; docs/installation.md says how to install it")
    from tools.library import inception

    network = inception.load(Path(options.data_dir or default_data_dir()).absolute())
    return functools.partial(inception.extract, network)


def table(figures: dict[str, Figure]) -> list[dict[str, str]]:
    """The figures as text, by column."""
    return [
        {
            "figure": name,
            "model": mean_and_spread(figure.values),
            "training images instead": mean_and_spread(figure.floor),
            "better": best(name),
        }
        for name, figure in figures.items()
    ]


def best(name: str) -> str:
    """Which way a figure is better, in words."""
    return BEST.get(name.partition(",")[0], "higher")


def mean_and_spread(values: list[float]) -> str:
    """Mean and standard deviation, to digits that mean something."""
    if not values:
        return "–"
    if len(values) == 1:
        return f"{values[0]:.4g}"
    mean, spread = np.mean(values), np.std(values, ddof=1)
    digits = 3 if spread == 0 else int(min(max(1 - np.floor(np.log10(spread)), 0), 6))
    return f"{mean:.{digits}f} ± {spread:.{digits}f}"


def draw_picture(path: Path, title: str, drawn: Drawn, rows: list[dict[str, str]]) -> None:
    """Draw real images beside the model's, neighbours, and the table.

    Raises:
        UserError: the file cannot be written.
    """
    sheets: dict[str, np.ndarray] = {}
    strips: dict[str, list[np.ndarray]] = {}
    if drawn.samples:
        first = drawn.samples[0]
        sheets = {"test split": drawn.test[:SHEET], "drawn": first[:SHEET]}
        near = neighbours.nearest(features.extract(drawn.train), features.extract(first[:SHOWN]))
        strips["drawn, over the nearest training images"] = [first, drawn.train[near]]
    if drawn.sources is not None and drawn.made is not None:
        strips["sources, translations, test split"] = [drawn.sources, drawn.made, drawn.test]
    elif drawn.made is not None:
        strips["test split, over reconstructions"] = [drawn.test, drawn.made]
    columns = min(SHOWN, len(drawn.test))
    laid_out = {
        name: images.grid(np.concatenate([one[:columns] for one in sets]), columns)
        for name, sets in strips.items()
    }
    if drawn.sheet is not None:
        laid_out["test split, over what it is taken for"] = drawn.sheet
    evaluation.draw(
        path, title, {name: images.grid(one) for name, one in sheets.items()}, laid_out, rows
    )


def read_flags(arguments: list[str] | None) -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: an unknown flag, or one that is missing.
    """
    parser = Parser(
        prog="python -m tools.evaluate",
        description="Measure what a model makes against the test split.",
        allow_abbrev=False,
    )
    parser.add_argument("model", help="such as dcgan")
    parser.add_argument(
        "--from",
        dest="from_",
        metavar="FILE",
        type=flags.path,
        required=True,
        help="a checkpoint, of any framework",
    )
    parser.add_argument(
        "--framework", metavar="NAME", help="that draws; default: the one that trained"
    )
    parser.add_argument(
        "--samples",
        type=int,
        metavar="N",
        help=f"images in a draw; default: as many as the test split has, at most {drawing.MOST}",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        type=flags.path,
        help="where data sets lie; default: $QUARTET_DATA or the cache",
    )
    parser.add_argument(
        "--inception",
        action="store_true",
        help="use Inception's 2048 features, not Quartet's own; needs PyTorch and 96 MB",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=flags.path,
        help="default: a folder evaluation beside the checkpoint",
    )
    return parser.parse_args(arguments)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line, checked.

    Raises:
        UserError: an unknown model or framework, none that is installed, or no such checkpoint.
    """
    options = read_flags(arguments)
    check_model(options.model)
    for name, least in (("samples", 1), ("seed", 0)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise UserError(f"--{name} {value}: must be at least {least}")
    path = Path(options.from_)
    weights = checkpoint.read_header(path)
    checkpoint.check_model(weights, options.model)
    options.metadata = weights.metadata
    trained = weights.metadata["framework"]
    if options.framework is None:
        options.framework = next(
            (one for one in (trained, *PACKAGES) if find_version(one)), trained
        )
    options.framework = choose_frameworks(options.framework)[0]
    options.out = Path(options.out or path.parent / "evaluation")
    return options


def main() -> None:
    """Evaluate as the command line says."""
    options = parse()
    extract = choose_extractor(options)
    dimensions = INCEPTION_FEATURES if options.inception else features.DIMENSIONS
    drawn = drawing.draw(
        Request(
            options.model,
            options.framework,
            options.from_,
            options.samples,
            options.seed,
            options.data_dir,
            dimensions + 1,
        )
    )
    figures, left_out = measure(drawn, extract)
    rows = table(figures)
    about = {
        "model": options.model,
        "checkpoint": options.from_,
        "step": options.metadata["step"],
        "dataset": options.metadata["config"]["dataset"],
        "framework": options.framework,
        "version": find_version(options.framework),
        "seed": options.seed,
        "images": len(drawn.test),
        "features": "Inception" if options.inception else "Quartet",
    }
    with disk_errors(options.out):
        options.out.mkdir(parents=True, exist_ok=True)
    shown = {name: _numbers(figure) for name, figure in figures.items()}
    text = json.dumps(
        about | {"figures": shown, "left out": left_out}, indent=2, ensure_ascii=False
    )
    write_text(options.out / "evaluation.json", text + "\n")
    title = f"{drawn.title}, step {about['step']}: {len(drawn.test)} images"
    title += ", Inception's features" if options.inception else ""
    draw_picture(options.out / "evaluation.png", title, drawn, rows)
    for reason in left_out:
        warn(f"a figure is left out: {reason}")
    print(title)
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    for row in [dict(zip(widths, widths, strict=True)), *rows]:
        print("  ".join(row[name].ljust(width) for name, width in widths.items()).rstrip())
    print(f"picture: {options.out / 'evaluation.png'}")


def _numbers(figure: Figure) -> dict[str, Any]:
    """A figure for `evaluation.json`: means and standard deviations besides the values."""
    found: dict[str, Any] = asdict(figure)
    for name, values in (("values", figure.values), ("floor", figure.floor)):
        if values:
            found[f"mean of {name}"] = float(np.mean(values))
        if len(values) > 1:
            found[f"spread of {name}"] = float(np.std(values, ddof=1))
    return found


if __name__ == "__main__":
    launch(main)
