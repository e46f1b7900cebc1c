"""CycleGAN's open questions, answered with pictures.

What do the pool and the identity loss change, and what becomes of a picture of neither domain?
`python -m workshop.cyclegan_questions` trains PyTorch's script without the one and without the
other, unless runs/questions/ has those runs already, sets their figures beside those of the trials,
and leaves `changed.png` and `neither.png` there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from common.data import Dataset, load
from common.errors import UserError
from common.pictures import images
from common.run import launch
from common.run.flags import Parser
from tools.evaluate import mean_and_spread
from tools.library.entries import read_recipes, to_flags
from tools.library.ledger import Trial
from tools.library.scripts import ROOT, load_script
from workshop import trials

RUNS = ROOT / "runs" / "questions"
CHANGES = {"no pool": ["--pool-size", "0"], "no identity loss": ["--identity", "0"]}
FIGURES = (
    "L1 there and back",
    "overlap of masks",
    "share of the other kind",
    "Fréchet distance",
)
SHOWN = 4  # images of each domain in a picture


def ensure_run(change: str, seed: int) -> Path:
    """The folder of a run that lacks something, trained and evaluated if it is not there.

    Raises:
        UserError: the script or the evaluation failed.
    """
    out = RUNS / f"{change.replace(' ', '-')}-{seed}"
    checkpoint = out / "checkpoint.safetensors"
    flags = [*to_flags(read_recipes()["cyclegan"]), *CHANGES[change], "--seed", str(seed)]
    script = str(ROOT / "pytorch" / "cyclegan.py")
    commands = {
        out / "samples.webp": [script, *flags, "--out", str(out)],
        out / "evaluation" / "evaluation.json": [
            *("-m", "tools.evaluate", "cyclegan", "--from", str(checkpoint))
        ],
    }
    for made, command in commands.items():
        if not made.exists():
            done = subprocess.run([sys.executable, *command], cwd=ROOT, check=False)
            if done.returncode:
                raise UserError(f"{change}, seed {seed}: failed, see above; remove {out}")
    return out


def find_runs(seeds: int) -> dict[str, list[Path]]:
    """The runs as they are by the recipe, and with each change, by name."""
    found = {"as it is": [], **{change: [] for change in CHANGES}}
    for seed in range(1, seeds + 1):
        trial = Trial("cyclegan", "pytorch", seed)
        if not (trial.folder.path / "evaluation" / "evaluation.json").exists():
            trials.run(trial, read_recipes()["cyclegan"])
        found["as it is"].append(trial.folder.path)
        for change in CHANGES:
            found[change].append(ensure_run(change, seed))
    return found


def read_figures(run: Path) -> dict[str, float]:
    """What `tools.evaluate` has found."""
    text = (run / "evaluation" / "evaluation.json").read_text(encoding="utf-8")
    figures = json.loads(text)["figures"]
    return {name: figures[name]["mean of values"] for name in FIGURES}


def translate(run: Path, given: np.ndarray, direction: str) -> np.ndarray:
    """What a run's generator makes of `uint8` images (N, H, W, 3)."""
    script = load_script("pytorch", "cyclegan")
    checkpoint = str(run / "checkpoint.safetensors")
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--generate", "1", "--from", checkpoint, "--out", f"{folder}/run"]
        pictures = script.start(flags).pictures
    return pictures.translate(given, direction)[0]


def draw_changed(runs: dict[str, list[Path]], dataset: Dataset) -> np.ndarray:
    """The same newts, those of each kind into the other, by the first run of each change."""
    test = dataset.test
    kinds = [test.images[test.labels == label][:SHOWN] for label in (0, 1)]
    rows = [np.concatenate(kinds)]
    for folders in runs.values():
        pairs = zip(kinds, ("a2b", "b2a"), strict=True)
        rows.append(np.concatenate([translate(folders[0], *pair) for pair in pairs]))
    sheet = images.grid(np.concatenate(rows), 2 * SHOWN)
    return images.label_rows(sheet, ["given", *runs])


def make_strangers(dataset: Dataset) -> np.ndarray:
    """Pictures of neither domain, and one that is of b already: `uint8` (N, H, W, 3)."""
    random = np.random.default_rng(0)
    size = dataset.image_shape[0]
    digit = load("digits", image_size=size).test.images[0].repeat(3, axis=-1)
    test = dataset.test
    assert test.masks is not None
    bare = test.images[0].copy()  # only the newt's shadow is left
    newt, ground = (np.argwhere(test.masks[0] > 0), np.argwhere(test.masks[0] == 0))
    bare[tuple(newt.T)] = bare[tuple(ground[random.integers(len(ground), size=len(newt))].T)]
    stripes = np.indices((size, size)).sum(0) // 8 % 2 * 255
    noise = random.integers(0, 256, (size, size, 3))
    flat = np.full((size, size, 3), (120, 160, 90))
    goal = test.images[test.labels == 1][SHOWN]
    strangers = [digit, bare, np.stack([stripes] * 3, -1), noise, flat, goal]
    return np.stack(strangers).astype(np.uint8)


def draw_neither(run: Path, dataset: Dataset) -> np.ndarray:
    """What both generators make of pictures that are of neither domain."""
    given = make_strangers(dataset)
    made = [translate(run, given, direction) for direction in ("a2b", "b2a")]
    sheet = images.grid(np.concatenate([given, *made]), len(given))
    return images.label_rows(sheet, ["given", "a to b", "b to a"])


def answer(seeds: int) -> dict[str, Path]:
    """Train what is missing, print the figures, and draw; the pictures by name.

    Raises:
        UserError: a run failed, or a picture cannot be written.
    """
    runs = find_runs(seeds)
    for name in FIGURES:
        for change, folders in runs.items():
            values = [read_figures(folder)[name] for folder in folders]
            each = ", ".join(f"{value:.3g}" for value in values)
            print(f"{name}, {change}: {mean_and_spread(values)} ({each})")
    dataset = load("newts", image_size=64)
    drawn = {"changed": draw_changed(runs, dataset)}
    drawn["neither"] = draw_neither(runs["as it is"][0], dataset)
    made = {name: RUNS / f"{name}.png" for name in drawn}
    for name, path in made.items():
        images.save(path, drawn[name])
    return made


def main() -> None:
    """Answer them as the command line says."""
    program = "python -m workshop.cyclegan_questions"
    parser = Parser(prog=program, description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="default: 3")
    options = parser.parse_args()
    if options.seeds < 1:
        raise UserError(f"--seeds {options.seeds}: must be at least 1")
    for path in answer(options.seeds).values():
        print(f"picture: {path}")


if __name__ == "__main__":
    launch(main)
