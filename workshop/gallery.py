"""The gallery of the docs, made again: pictures of typical runs.

`python -m workshop.gallery` takes, of each model's trials, the one in the middle, and its last
picture; if its run is no longer there, it is trained again. Beside it stands a comparison of the
frameworks.
"""

from __future__ import annotations

import argparse
import functools
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from common.errors import UserError
from common.files import replacing
from common.run import launch
from common.run.flags import Parser
from tools.library.entries import read_entries, read_recipes
from tools.library.ledger import Trial, ledger
from tools.library.scripts import ROOT
from workshop import cyclegan_questions as questions
from workshop import transfer_modes as modes
from workshop import trials

GALLERY = ROOT / "docs" / "gallery"
PHOTOS = ROOT / "runs" / "dcgan-pytorch-cifar10"  # by the README's first command
EVALUATED = "dcgan"  # the model whose evaluation is shown


def find_typical(model: str) -> Trial:
    """The trial of a model whose first figure is in the middle of all.

    Raises:
        UserError: there are no trials of it.
    """
    rows = ledger(model).require("figures")
    first = [row for row in rows if row["figure"] == rows[0]["figure"]]
    middle = sorted(first, key=lambda row: float(row["value"]))[len(first) // 2]
    return Trial(model, middle["framework"], int(middle["seed"]))


def ensure_run(model: str) -> Trial:
    """The typical trial of a model, trained again if its run is gone."""
    trial = find_typical(model)
    if not (trial.folder.path / "evaluation" / "evaluation.png").exists():
        trials.run(trial, read_recipes()[model])
    return trial


def draw_run(model: str) -> Path:
    """The last picture of the typical run; of a VAE what its latent space decodes to."""
    folder = ensure_run(model).folder
    manifold = folder.path / "manifold.png"
    return manifold if manifold.exists() else sorted(folder.samples.glob("*.png"))[-1]


def draw_answer(name: str) -> Path:
    """A picture that answers a question of CycleGAN's page."""
    return questions.answer(1)[name]


def draw_modes(scratch: Path) -> Path:
    """What transfer learning gains, by the recipe's data."""
    modes.compare(scratch / "modes", "pytorch", read_recipes()["transfer"], modes.SEEDS)
    return scratch / "modes" / "modes.png"


def draw_photos() -> Path:
    """What DCGAN draws of CIFAR-10 after half an hour, unless the run is there already."""
    if not PHOTOS.exists():
        command = ["pytorch/dcgan.py", "--dataset", "cifar10", "--out", str(PHOTOS)]
        trials.run_program(command, PHOTOS.with_suffix(".log"))
    return max((PHOTOS / "samples").glob("*.png"))


def draw_evaluation(model: str) -> Path:
    """The picture of the typical run's evaluation."""
    return ensure_run(model).folder.path / "evaluation" / "evaluation.png"


def comparison_command(model: str) -> str:
    """What a reader types for a model's comparison, after the first command of its page."""
    comparison = read_entries()[model].comparison
    flags = comparison["flags"]
    if "from" in comparison:
        run = f"runs/{model}-pytorch-{comparison['from']}"
        flags += f" --init-from {run}/checkpoint.safetensors"
    return f"python -m tools.compare {model} {flags} --precision float64"


def draw_comparison(model: str, scratch: Path) -> Path:
    """The picture of all frameworks from one start.

    Args:
        model: to train.
        scratch: a folder for the runs.
    """
    comparison = read_entries()[model].comparison
    flags = ["--precision", "float64", *comparison["flags"].split()]
    if "from" in comparison:
        flags += ["--init-from", str(ensure_run(model).folder.checkpoint)]
    out = scratch / model
    command = ["-m", "tools.compare", model, *flags, "--out", str(out)]
    trials.run_program(command, scratch / "compare.log")
    return out / "compare.png"


def list_pictures(scratch: Path) -> dict[str, Callable[[], Path]]:
    """All pictures by name, and what draws each of them."""
    pictures: dict[str, Callable[[], Path]] = {}
    for model in read_recipes():
        pictures[model] = functools.partial(draw_run, model)
        pictures[f"compare-{model}"] = functools.partial(draw_comparison, model, scratch)
    pictures[f"evaluate-{EVALUATED}"] = functools.partial(draw_evaluation, EVALUATED)
    pictures["photos-dcgan"] = draw_photos
    for name in ("changed", "neither"):
        pictures[f"{name}-cyclegan"] = functools.partial(draw_answer, name)
    pictures["modes-transfer"] = functools.partial(draw_modes, scratch)
    return pictures


def main() -> None:
    """Draw what the command line names."""
    parser = Parser(prog="python -m workshop.gallery", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "pictures", nargs="*", metavar="NAME", help="such as dcgan or compare-dcgan; default: all"
    )
    chosen = parser.parse_args().pictures
    with tempfile.TemporaryDirectory() as scratch:
        pictures = list_pictures(Path(scratch))
        for name in chosen:
            if name not in pictures:
                raise UserError(f"unknown picture {name!r}; known: {', '.join(pictures)}")
        for name in tqdm(chosen or pictures, unit="picture"):
            target = GALLERY / f"{name}.png"
            with replacing(target) as aside:
                shutil.copyfile(pictures[name](), aside)
            tqdm.write(f"{target}", file=sys.stdout)


if __name__ == "__main__":
    launch(main)
