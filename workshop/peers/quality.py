"""How well Quartet's scripts draw, against what a user might train instead.

`python -m workshop.peers --quality` trains peers, with networks and settings of their own, and our
scripts by their recipes, on the same images, for the same minutes of one core, and keeps the
figures in docs/results/peers/. With `--page` it makes docs/peers.md of them.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import importlib
import io
import json
import math
import os
import queue
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from common.data import Data
from common.data.batches import Batches, every_image
from common.data.sizes import resize
from common.errors import UserError
from common.files import disk_errors, write_text
from common.frameworks import PACKAGES
from common.measures import features
from common.run.flags import Parser
from common.run.recorder import in_words
from tools import evaluate
from tools.library import drawing
from tools.library.drawing import Drawn
from tools.library.entries import read_recipes, to_flags
from tools.library.scripts import ROOT, choose_frameworks, load_script
from workshop.peers.learner import Learner
from workshop.trials import run_program

FOLDER = ROOT / "docs" / "results" / "peers"
RUNS = ROOT / "runs" / "peers"
COLUMNS: tuple[str, ...] = (
    "model",
    "dataset",
    "framework",
    "who",
    "seed",
    "minutes",
    "steps",
    "figure",
    "value",
)
SAMPLES = 1000
NEVER = 10**9  # steps: pictures and checkpoints take no time on either side


@dataclass(frozen=True)
class Quality:
    """Somebody who is trained: a peer, or our script.

    Attributes:
        model: what it is.
        framework: the folder of Quartet's script.
        name: on the command line; a peer's function in `workshop.peers.own_FRAMEWORK` begins so.
        title: for tables and pictures.
        about: its network and settings in a few words.
        ours: whether it is our script.
        settings: of our script, besides its recipe.
    """

    model: str
    framework: str
    name: str
    title: str
    about: str
    ours: bool = False
    settings: tuple[tuple[str, Any], ...] = ()


def ours(model: str, name: str = "ours", title: str = "", **settings: Any) -> list[Quality]:
    """Our scripts of a model."""
    about = "its recipe in `tools/models/`, until the minutes are over"
    given = tuple(settings.items())
    return [
        Quality(model, framework, name, title or "Quartet", about, True, given)
        for framework in PACKAGES
    ]


PEERS = (
    Quality(
        "dcgan",
        "pytorch",
        "official",
        "pytorch/examples",
        "64 pixels, 64 to 512 channels, kernels of 4; Adam 2e-4, batches of 64",
    ),
    Quality(
        "dcgan",
        "pytorch",
        "pytorch_gan",
        "PyTorch-GAN",
        "32 pixels, each twice before a convolution; epsilon 0.8 in norms, dropout in D; "
        "Adam 2e-4, batches of 64",
    ),
    Quality(
        "dcgan",
        "tensorflow",
        "official",
        "TensorFlow's tutorial",
        "28 pixels, 256 to 64 channels, kernels of 5, dropout in D; Adam 1e-4, batches of 256",
    ),
    Quality(
        "dcgan",
        "keras",
        "official",
        "Keras' example",
        "64 pixels, 128 to 512 channels, no norms; Adam 1e-4, batches of 32; made for photos",
    ),
    Quality(
        "dcgan",
        "keras",
        "guide",
        "Keras' guide",
        "28 pixels, 128 channels, no norms, D by its largest activations; Adam 3e-4, batches of 64",
    ),
    Quality(
        "dcgan",
        "keras",
        "lecture",
        "the lecture's",
        "28 pixels, dense 1024 and 128 x 7 x 7, kernels of 4; Adam 2e-4, batches of 64",
    ),
    Quality(
        "dcgan",
        "chainer",
        "official",
        "Chainer's example",
        "32 pixels, 512 to 64 channels, noise in D, weight decay; Adam 2e-4, batches of 50",
    ),
    Quality(
        "vae",
        "pytorch",
        "official",
        "pytorch/examples",
        "784-400-20; Adam 1e-3, batches of 128",
    ),
    Quality(
        "vae",
        "tensorflow",
        "official",
        "TensorFlow's tutorial",
        "convolutions, codes of 2; Adam 1e-4, batches of 32; trained on grey pixels, where the "
        "tutorial makes them 0 or 1",
    ),
    Quality(
        "vae",
        "keras",
        "official",
        "Keras' example",
        "convolutions, codes of 2; Adam 1e-3, batches of 128",
    ),
    Quality(
        "vae",
        "chainer",
        "official",
        "Chainer's example",
        "784-500-20, tanh; Adam 1e-3, batches of 100",
    ),
    Quality(
        "cgan",
        "pytorch",
        "pytorch_gan",
        "PyTorch-GAN",
        "32 pixels, dense layers, embedded classes, squared errors; Adam 2e-4, batches of 64",
    ),
    Quality(
        "cgan",
        "keras",
        "official",
        "Keras' example",
        "28 pixels, 128 channels, no norms, classes as channels; Adam 3e-4, batches of 64",
    ),
    Quality(
        "wgan_gp",
        "pytorch",
        "pytorch_gan",
        "PyTorch-GAN",
        "28 pixels, dense layers, G at each fifth batch; Adam 2e-4 / 0.5, 0.999, batches of 64",
    ),
    Quality(
        "wgan_gp",
        "keras",
        "official",
        "Keras' example",
        "32 pixels inside, kernels of 5 and 3, three updates of the critic; Adam 2e-4 / 0.5, 0.9, "
        "batches of 512",
    ),
)
EVERYONE = (
    *PEERS,
    *ours("dcgan"),
    *ours("vae"),
    # PyTorch's and Chainer's peers have codes of 20 numbers, so ours with as many too.
    *ours("vae", "ours_20", "Quartet, codes of 20", latent_dim=20),
    *ours("cgan"),
    *ours("wgan_gp"),
)
MODELS = tuple(dict.fromkeys(one.model for one in PEERS))
# The first decides who is better.
FIGURES = {
    "dcgan": ("Fréchet distance", "precision", "recall"),
    "vae": ("ELBO", "Fréchet distance", "precision", "recall"),
    "cgan": ("Fréchet distance", "precision", "recall", "share of the class asked for"),
    "wgan_gp": ("Fréchet distance", "precision", "recall"),
}


@dataclass(frozen=True)
class Trial:
    """One of them trained once.

    Attributes:
        who: is trained.
        dataset: on what.
        seed: of initial weights, noise and order.
        minutes: of the processor.
    """

    who: Quality
    dataset: str
    seed: int
    minutes: float

    def key(self) -> dict[str, str]:
        """What its rows begin with."""
        names = (self.who.model, self.dataset, self.who.framework, self.who.name)
        return dict(zip(COLUMNS, (*names, str(self.seed), f"{self.minutes:g}"), strict=False))

    @property
    def folder(self) -> Path:
        """Where it leaves what it drew."""
        return RUNS / re.sub(r"[^\w.-]", "_", "-".join(self.key().values()))


# In the child: one trial.


@dataclass
class Outcome:
    """What came of a training.

    Attributes:
        steps: taken.
        images: drawn then, `uint8` (N, H, W, C), of the data's size.
        asked: classes that they were to be of; or None.
        bounds: of log p(x), by name; of a VAE.
    """

    steps: int
    images: np.ndarray
    asked: np.ndarray | None
    bounds: dict[str, float]


def train_for(seconds: float) -> Iterator[int]:
    """Number the steps from 1 until they have had so many seconds of the processor.

    The first is not timed, for it compiles what has to be.
    """
    yield 1
    start, number = time.process_time(), 1
    while time.process_time() - start < seconds:
        number += 1
        yield number


def train_peer(
    learner: Learner, data: Data, seed: int, seconds: float
) -> tuple[int, dict[str, float]]:
    """Train a peer; the steps that it took, and its last losses.

    Raises:
        UserError: a loss is no longer finite.
    """
    dataset = data.dataset
    if learner.side != dataset.image_shape[0]:
        train = replace(dataset.train, images=resize(dataset.train.images, learner.side))
        dataset = replace(dataset, train=train)
    batches = Batches(dataset, learner.batch_size, np.random.default_rng(seed))
    losses: dict[str, Any] = {}
    steps = 0
    for steps in train_for(seconds):  # noqa: B007
        batch = batches.next()
        losses = learner.step(batch.images, batch.labels)
    found = {name: float(value) for name, value in losses.items()}
    if not all(map(math.isfinite, found.values())):
        raise UserError(f"its losses are no longer finite: {found}")
    return steps, found


def call(network: Callable[[np.ndarray], Any], array: np.ndarray) -> Any:
    """What a network makes of an array, if it is a function: a bridge's `apply` for peers."""
    return network(array)


def run_peer(trial: Trial, data: Data, count: int) -> Outcome:
    """Train a peer, and have it draw.

    Raises:
        UserError: a loss is no longer finite.
    """
    who = trial.who
    module = importlib.import_module(f"workshop.peers.own_{who.framework}")
    module.seed(trial.seed)
    classes = len(data.class_names)
    learner: Learner = getattr(module, f"{who.name}_{who.model}")(data.image_shape, classes)
    steps, _ = train_peer(learner, data, trial.seed, 60 * trial.minutes)
    labels = np.arange(count, dtype=np.int64) % classes
    drawn = learner.draw(np.random.default_rng((0, 4, 0)), labels)
    if learner.side != data.image_shape[0]:
        drawn = resize(drawn, data.image_shape[0])
    bounds = {}
    if (encode := learner.encode) and (decode := learner.decode):
        networks = {"encoder": encode, "decoder": lambda z: (decode(z),)}
        test = data.test.images[:count]
        random = np.random.default_rng((0, 4, 0))
        bounds = drawing.estimate_bounds(call, networks, test, "float32", random)
    return Outcome(steps, drawn, labels if who.model == "cgan" else None, bounds)


def run_ours(trial: Trial, count: int) -> Outcome:
    """Train our script, and have it draw as `--generate` would."""
    who = trial.who
    script: Any = load_script(who.framework, who.model)
    settings = read_recipes()[who.model] | dict(who.settings)
    settings |= {"dataset": trial.dataset, "seed": trial.seed, "device": "cpu", "steps": NEVER}
    settings |= {"sample_every": NEVER, "checkpoint_every": NEVER}
    steps = 0
    with tempfile.TemporaryDirectory() as folder:
        run = script.start([*to_flags(settings), "--out", f"{folder}/run"])
        with contextlib.closing(run.batches()) as loop:
            for steps in train_for(60 * trial.minutes):  # noqa: B007
                run.log(script.learn(run, next(loop)))
    pictures = run.pictures
    drawn = pictures.images(count, np.random.default_rng((0, 4, 0)))
    bounds = {}
    if who.model == "vae":
        test, random = run.data.test.images[:count], np.random.default_rng((0, 4, 0))
        dtype = run.config.dtype
        bounds = drawing.estimate_bounds(run.bridge.apply, run.networks, test, dtype, random)
    asked = pictures.asked(count) if who.model == "cgan" else None
    return Outcome(steps, drawn, asked, bounds)


def figures_of(outcome: Outcome, data: Data, model: str) -> dict[str, float]:
    """The figures of what was drawn, as `tools.evaluate` has them of one draw."""
    labels = [data.test.labels, data.train.labels] if outcome.asked is not None else []
    drawn = Drawn(
        model,
        data.test.images[: len(outcome.images)],
        every_image(data.dataset),
        floors=[],
        samples=[outcome.images],
        others=[outcome.bounds],
        labels=[one[: len(outcome.images)] if n == 0 else one for n, one in enumerate(labels)],
        asked=outcome.asked,
    )
    figures, _ = evaluate.measure(drawn, features.extract)
    missing = [name for name in FIGURES[model] if name not in figures]
    if missing:
        raise UserError(f"{', '.join(missing)}: too few images to measure")
    return {name: figures[name].values[0] for name in FIGURES[model]}


def child(trial: Trial, count: int = SAMPLES) -> None:
    """Train, draw and measure; leave `samples.npy` and `found.json` in the trial's folder."""
    os.environ |= {"KERAS_BACKEND": "tensorflow"}  # the peers of Keras take gradients by its tape
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as our scripts ask for
    data = Data(trial.dataset)
    count = min(count, len(data.test))
    outcome = run_ours(trial, count) if trial.who.ours else run_peer(trial, data, count)
    figures = figures_of(outcome, data, trial.who.model)
    with disk_errors(trial.folder):
        trial.folder.mkdir(parents=True, exist_ok=True)
        np.save(trial.folder / "samples.npy", outcome.images[:100])
    found = {"steps": outcome.steps, "figures": figures}
    write_text(trial.folder / "found.json", json.dumps(found, ensure_ascii=False) + "\n")


# In the parent: all of them.


def read_table() -> list[dict[str, str]]:
    """The committed rows; none if there are none.

    Raises:
        UserError: it is not such a table.
    """
    path = FOLDER / "quality.csv"
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise UserError(f"{path}: expected the columns {', '.join(COLUMNS)}")
    return rows


def find(model: str, framework: str, name: str) -> Quality | None:
    """Who is called so, if anyone."""
    key = (model, framework, name)
    return next((o for o in EVERYONE if (o.model, o.framework, o.name) == key), None)


def place(row: dict[str, str]) -> tuple[Any, ...]:
    """Where a row stands among others: as in `EVERYONE`, by seed; figures keep their order."""
    who = find(row["model"], row["framework"], row["who"])
    number = EVERYONE.index(who) if who else len(EVERYONE)
    model = MODELS.index(row["model"]) if row["model"] in MODELS else len(MODELS)
    framework = list(PACKAGES).index(row["framework"])
    return model, row["dataset"], float(row["minutes"]), framework, number, int(row["seed"])


def put(trial: Trial, found: dict[str, Any]) -> None:
    """Add a trial's rows to the table, in place of those that it had.

    Raises:
        UserError: it cannot be written.
    """
    key = trial.key()
    kept = [row for row in read_table() if not key.items() <= row.items()]
    kept += [
        key | {"steps": str(found["steps"]), "figure": name, "value": f"{value:.8g}"}
        for name, value in found["figures"].items()
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(COLUMNS), lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(kept, key=place))
    with disk_errors(FOLDER):
        FOLDER.mkdir(parents=True, exist_ok=True)
    write_text(FOLDER / "quality.csv", text.getvalue())


def run(trial: Trial) -> dict[str, Any]:
    """Run the child of a trial on this thread's core; its steps and figures.

    Raises:
        UserError: it failed.
    """
    folder = trial.folder
    shutil.rmtree(folder, ignore_errors=True)
    with disk_errors(folder):
        folder.mkdir(parents=True)
    who = trial.who
    command = ["-m", "workshop.peers", "--quality", "--models", who.model]
    command += ["--frameworks", who.framework, "--only", who.name, "--dataset", trial.dataset]
    command += ["--minutes", str(trial.minutes), "--child", str(trial.seed)]
    run_program(command, folder / "log.txt")
    return json.loads((folder / "found.json").read_text(encoding="utf-8"))


def run_all(trials: list[Trial]) -> None:
    """Run trials, each on a core of its own, and keep what they find."""
    cores: queue.Queue[int] = queue.Queue()
    for core in os.sched_getaffinity(0):
        cores.put(core)
    together = cores.qsize()

    def pin() -> None:  # a thread, and with it the programs that it starts
        os.sched_setaffinity(0, {cores.get()})

    minutes = sum(trial.minutes for trial in trials)
    about = in_words(60 * minutes / together)
    print(f"{len(trials)} runs of {minutes:g} minutes, {together} at once: {about} at the least")
    pool = ThreadPoolExecutor(together, initializer=pin)
    with tqdm(total=len(trials), unit="run") as bar:
        jobs = {pool.submit(run, trial): trial for trial in trials}
        try:
            for job in as_completed(jobs):
                trial, found = jobs[job], job.result()
                put(trial, found)
                bar.update()
                figures = ", ".join(
                    f"{name} {value:.4g}" for name, value in found["figures"].items()
                )
                name = " ".join(trial.key().values())
                tqdm.write(f"{name}: {found['steps']} steps, {figures}")
        finally:
            pool.shutdown(cancel_futures=True)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line, checked; `chosen` is who is trained.

    Raises:
        UserError: an unknown model, framework or name, or numbers that make no sense.
    """
    listed = "; ".join(f"{o.name} ({o.model}, {o.framework}): {o.title}" for o in EVERYONE)
    parser = Parser(
        prog="python -m workshop.peers --quality",
        description="Train well-known examples, with networks and settings of their own, and "
        "Quartet's scripts on the same images for the same minutes of a core; measure what they "
        "draw. What docs/results/peers/quality.csv has is not run again.",
        epilog=f"Names: {listed}.",
        allow_abbrev=False,
    )
    parser.add_argument("--quality", action="store_true", help="rather than speed")
    parser.add_argument("--models", default=",".join(MODELS), metavar="A,B", help="default: all")
    parser.add_argument(
        "--frameworks", default=",".join(PACKAGES), metavar="A,B", help="default: all installed"
    )
    parser.add_argument("--only", metavar="A,B", help="names, such as official or ours")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="1 to N; default: 3")
    parser.add_argument(
        "--minutes", type=float, default=3.0, metavar="M", help="of a core, each; default: 3"
    )
    parser.add_argument("--dataset", default="digits", metavar="NAME", help="default: digits")
    parser.add_argument("--again", action="store_true", help="run what is there already too")
    parser.add_argument(
        "--page", action="store_true", help="train nothing; make docs/peers.md and its pictures"
    )
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    names = tuple(dict.fromkeys(one.name for one in EVERYONE))
    options.only = options.only or ",".join(names)
    for kind, known, given in (("model", MODELS, options.models), ("name", names, options.only)):
        for each in given.split(","):
            if each not in known:
                raise UserError(f"unknown {kind} {each!r}; known: {', '.join(known)}")
    if options.seeds < 1:
        raise UserError(f"--seeds {options.seeds}: must be at least 1")
    if not 0 < options.minutes < math.inf:
        raise UserError(f"--minutes {options.minutes:g}: must be more than 0")
    frameworks = choose_frameworks(options.frameworks)
    options.chosen = [
        one
        for one in EVERYONE
        if one.model in options.models.split(",")
        and one.name in options.only.split(",")
        and one.framework in frameworks
    ]
    if not options.chosen:
        raise UserError("nobody is called so among these models and frameworks; --help lists all")
    return options


def main(options: argparse.Namespace) -> None:
    """Run what is missing."""
    if options.child is not None:
        child(Trial(options.chosen[0], options.dataset, options.child, options.minutes))
        return
    there = read_table()
    trials = [
        Trial(who, options.dataset, seed, options.minutes)
        for seed in range(1, options.seeds + 1)
        for who in options.chosen
    ]
    missing = [
        trial
        for trial in trials
        if options.again or not any(trial.key().items() <= row.items() for row in there)
    ]
    run_all(missing)
    page = "python -m workshop.peers --quality --page"
    print(f"figures: {FOLDER / 'quality.csv'}; {page} shows them")
