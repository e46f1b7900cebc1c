"""A run: data in; metrics, pictures and checkpoints out."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import json
import platform
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from common import checkpoint, datasets, events, flags, images, metrics, plots
from common.batches import Batches
from common.checkpoint import Checkpoint
from common.errors import UserError, warn
from common.files import write_text
from common.run_folder import RunFolder

SAMPLES = 64  # images in a sample grid
PACKAGES = ("numpy", "torch", "tensorflow", "tensorflow-cpu", "keras", "jax", "chainer", "cupy")

Draw = Callable[[int, np.random.Generator], np.ndarray]


def uniform_noise(random: np.random.Generator, *shape: int) -> np.ndarray:
    """Latent noise: `float32` of the given shape, uniform on [-1, 1)."""
    return random.random(shape, np.float32) * np.float32(2) - np.float32(1)


class Run:
    """What a script's command line asks for, made ready; `steps` then drives the training.

    Args:
        config_class: the script's `Config`.
        script: the script's `__file__`; its folder names the framework, its name the model.
        description: the script's docstring, for `--help`.
        arguments: the command line without the program's name; None takes `sys.argv`.

    Attributes:
        config: the `Config`, filled from the flags.
        image_shape: (H, W, C) of the images that the networks see.
        random: the one source of chance in training: batch order, augmentation and noise.

    Raises:
        UserError: a flag, the data, a checkpoint or the run folder cannot be used.
    """

    def __init__(
        self,
        config_class: type[flags.Settings],
        script: str,
        description: str | None,
        arguments: list[str] | None = None,
    ) -> None:
        self.script = Path(script).resolve()
        self.model = self.script.stem
        self.framework = self.script.parent.name
        given = flags.given_flags(config_class, self.script, description or "", arguments)
        self.step = 0
        self._weights: tuple[Path, Checkpoint] | None = None  # to start from, and their file
        self.image_shape: tuple[int, int, int]
        self._state: Checkpoint | None = None  # of optimisers and batches, to go on from
        earlier: dict[str, Any] = {}
        weights: Checkpoint | None = None
        if given.get("resume"):
            folder = self._find_folder(given, config_class)
            weights, self._state = folder.load(self.framework)
            self._take(folder.checkpoint, weights)
            earlier = weights.metadata["config"]
        elif given.get("generate") and given.get("from_"):
            source = Path(given["from_"])
            weights = checkpoint.load(source)
            self._take(source, weights)
            stored = weights.metadata["config"]
            given = {"dataset": stored["dataset"]} | given
            earlier = {name: stored[name] for name in config_class.architecture()}
        self.config = flags.fill(config_class, given, earlier)
        self.folder = self._find_folder(dataclasses.asdict(self.config), config_class)
        if self.config.generate:
            assert weights is not None
            self.folder.check_writable()
            self.image_shape = tuple(weights.metadata["image_shape"])
            return
        if not self.config.resume:
            self.folder.check_free()
        self.folder.check_writable()
        if self.config.init_from:
            source = Path(self.config.init_from)
            self._take(source, checkpoint.load(source))
        self._open_data()

    def _find_folder(self, settings: dict[str, Any], config: type[flags.Settings]) -> RunFolder:
        dataset = settings.get("dataset", config.dataset)
        return RunFolder.find(settings.get("out"), self.model, self.framework, dataset)

    def _take(self, path: Path, weights: Checkpoint) -> None:
        checkpoint.check_model(path, weights, self.model)
        self._weights = path, weights

    def _open_data(self) -> None:
        config = self.config
        self.dataset = datasets.load(
            config.dataset, config.data_dir, config.image_size, config.size_multiple
        )
        self.image_shape = self.dataset.image_shape
        self.random = np.random.default_rng(config.seed)
        self.batches = Batches(self.dataset, config.batch_size, self.random)
        self._fingerprint = self.dataset.fingerprint()
        # Real images to measure the samples' diversity against: always the same ones.
        choose = np.random.default_rng(0).choice
        count = len(self.dataset.test)
        self._real = self.dataset.test.images[choose(count, min(SAMPLES, count), replace=False)]

    # The networks join.

    def connect(
        self, bridge: Any, networks: dict[str, Any], optimizers: dict[str, Any], draw: Draw
    ) -> None:
        """Give the run what it saves and draws; load the weights that the flags ask for.

        Args:
            bridge: the framework's module in `common.bridges`.
            networks: by the name that their checkpoint keys begin with.
            optimizers: by name; `--resume` restores their state.
            draw: makes so many images, `float32` in the model's `pixel_range` and the framework's
                layout, from the source of random numbers that it is given.

        Raises:
            UserError: a tensor of the checkpoint does not fit, or the data set has changed.
        """
        self._bridge = bridge
        self._networks = networks
        self._optimizers = optimizers
        self._draw = draw
        if self._weights:
            path, weights = self._weights
            checkpoint.check_fit(path, weights.arrays, self._arrays())
            for name, network in networks.items():
                bridge.set_arrays(network, _below(name, weights.arrays))
        if self._state:
            self._restore(self._state)

    def _arrays(self) -> dict[str, np.ndarray]:
        return _joined({n: self._bridge.get_arrays(v) for n, v in self._networks.items()})

    def _restore(self, state: Checkpoint) -> None:
        if state.metadata["fingerprint"] != self._fingerprint:
            raise UserError(
                f"--resume: the data set {self.config.dataset} is not as it was when the run in "
                f"{self.folder.path} was started; put it back, or start a new run with --out"
            )
        self.step = state.metadata["step"]
        if self.step >= self.config.steps:
            raise UserError(
                f"--resume: the run in {self.folder.path} has already reached step {self.step}; "
                f"give a larger number with --steps"
            )
        self.batches.restore(state.arrays["batches.order"], state.metadata["batches"])
        for name, optimizer in self._optimizers.items():
            self._bridge.set_optimizer_state(optimizer, _below(name, state.arrays))

    # Training.

    def steps(self) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Yield each step's number, images and labels.

        Images are `float32` in the model's `pixel_range` and the framework's layout; labels are
        `int64`.

        Opens the run folder, keeps it up to date, and closes it after the last step. Ctrl-C (or
        SIGTERM) ends the run after the step at hand, with everything saved.

        Raises:
            UserError: the folder cannot be written, or a loss is no longer finite.
        """
        config = self.config
        self._open()
        self._bar = tqdm(
            total=config.steps,
            initial=self.step,
            unit="step",
            mininterval=0.5 if sys.stderr.isatty() else 15,
            dynamic_ncols=True,
        )
        with self._bar, _stop_signals() as stopped:
            while self.step < config.steps and not stopped:
                batch, labels = self.batches.next()
                yield self.step + 1, self._to_network(batch), labels
                self.step += 1
                self._bar.update()
                if self.step % config.checkpoint_every == 0 and self.step < config.steps:
                    self._save()
        self._finish()
        if stopped:
            again = " ".join(map(shlex.quote, [*_command(), "--resume"]))
            print(f"stopped after step {self.step}; go on with: {again}", file=sys.stderr)
            sys.exit(130)

    def log(self, step: int, losses: dict[str, Any]) -> None:
        """Take a step's losses, still on the device; they are read when a row is due."""
        self._pending.append(losses)
        sampled = step % self.config.sample_every == 0 or step == self.config.steps
        if sampled or step % self.config.log_every == 0:
            self._write_row(step, sampled)

    def _open(self) -> None:
        """Make the folder and its first files; if that fails, leave the disk as it was."""
        self._pending: list[dict[str, Any]] = []
        self._saved = self.step
        self._collapsed = False
        try:
            self.folder.make(self.folder.samples)
            write_text(self.folder.config, self._describe())
            self._board = events.open_writer(self.folder.tensorboard, self.step)
            self._table = metrics.Table(self.folder.metrics)
            if self.config.resume:
                self._table.cut(self.step)
            else:
                self._save()
                if self.config.steps:
                    self._sample(0)
            self._clock = time.perf_counter()
        except UserError:
            if not self.config.resume:
                self.folder.undo()
            raise

    def _write_row(self, step: int, sampled: bool) -> None:
        rows = len(self._pending)
        row = self._read_losses(step)
        seconds = time.perf_counter() - self._clock
        self._bar.set_postfix({name: f"{value:.3f}" for name, value in row.items()}, refresh=False)
        row["images_per_second"] = round(rows * self.config.batch_size / seconds, 2)
        row["diversity"] = self._sample(step) if sampled else None
        self._table.append({"step": step, **row})
        for name, value in row.items():
            if value is not None:
                self._board.add_scalar(name, value, step)
        self._clock = time.perf_counter()

    def _read_losses(self, step: int) -> dict[str, Any]:
        """The losses of `step` as numbers; those of the steps since the last row are checked."""
        rows = [{name: float(value) for name, value in row.items()} for row in self._pending]
        self._pending.clear()
        for earlier, row in enumerate(rows, start=step - len(rows) + 1):
            for name, value in row.items():
                if not np.isfinite(value):
                    raise UserError(
                        f"step {earlier}: {name} is {value}; stopped. The last good checkpoint, "
                        f"of step {self._saved}, is {self.folder.checkpoint}; a lower "
                        "--learning-rate may help"
                    )
        return rows[-1]

    def _sample(self, step: int) -> float:
        """Draw the sample grid, from the same noise each time; return its diversity."""
        drawn = self._pictures(SAMPLES, np.random.default_rng((self.config.seed, 1)))
        picture = images.grid(drawn)
        path = self.folder.samples / f"{step:06d}.png"
        images.save(path, picture)
        self._board.add_image("samples", picture, step, dataformats="HWC")
        value = metrics.diversity(drawn, self._real)
        tqdm.write(f"step {step}: {path}, diversity {value:.2f}", file=sys.stderr)
        collapsed = step > 0 and value < metrics.COLLAPSED
        if collapsed and not self._collapsed:
            warn(
                f"step {step}: diversity {value:.2f} is under {metrics.COLLAPSED}: the generator "
                "draws one picture (it has hardly begun, or its modes have collapsed)"
            )
        self._collapsed = collapsed
        return value

    def _save(self) -> None:
        """Write the checkpoint; never one that follows a loss that is not finite."""
        if self._pending:
            self._write_row(self.step, sampled=False)
        arrays = self._arrays()
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise UserError(
                    f"step {self.step}: {name} is no longer finite; stopped. The last good "
                    f"checkpoint, of step {self._saved}, is {self.folder.checkpoint}; a lower "
                    "--learning-rate may help"
                )
        order, batches = self.batches.state()
        state = {n: self._bridge.get_optimizer_state(v) for n, v in self._optimizers.items()}
        about = {"model": self.model, "framework": self.framework, "step": self.step}
        self.folder.save(
            Checkpoint(
                arrays,
                about | {"image_shape": self.image_shape, "config": self._settings()},
            ),
            Checkpoint(
                {"batches.order": order, **_joined(state)},
                about | {"batches": batches, "fingerprint": self._fingerprint},
            ),
        )
        self._saved = self.step
        self._clock = time.perf_counter()  # saving does not count as training

    def _finish(self) -> None:
        """Save all, draw the curves and the animation, and say where they are."""
        if self.step != self._saved:
            self._save()
        self._board.close()
        made = {"checkpoint": self.folder.checkpoint}
        columns = self._table.read()
        if columns:
            title = f"{self.model} in {self.framework} on {self.config.dataset}"
            plots.losses(self.folder.losses, title, columns)
            grids = sorted(self.folder.samples.glob("*.png"))
            images.animate(grids, self.folder.animation)
            made = {
                "picture": grids[-1],
                "animation": self.folder.animation,
                "curves": self.folder.losses,
            } | made
        for name, path in made.items():
            print(f"{name + ':':12}{path}")

    # Pictures without training.

    def generate(self) -> None:
        """Draw the pictures that `--generate` asks for.

        Raises:
            UserError: the picture cannot be written.
        """
        assert self.config.generate is not None
        random = np.random.default_rng(self.config.seed)
        left = self.config.generate
        drawn = []
        with tqdm(total=left, unit="image", delay=2) as bar:
            while left:
                count = min(left, SAMPLES)
                drawn.append(self._pictures(count, random))
                left -= count
                bar.update(count)
        try:
            self.folder.make(self.folder.path)
            images.save(self.folder.generated, images.grid(np.concatenate(drawn)))
        except UserError:
            self.folder.undo()
            raise
        print(f"picture:    {self.folder.generated}")

    def _pictures(self, count: int, random: np.random.Generator) -> np.ndarray:
        drawn = np.asarray(self._draw(count, random))
        if self._bridge.CHANNELS_FIRST:
            drawn = drawn.transpose(0, 2, 3, 1)
        return images.to_bytes(drawn, *self.config.pixel_range)

    def _to_network(self, batch: np.ndarray) -> np.ndarray:
        if self._bridge.CHANNELS_FIRST:
            batch = batch.transpose(0, 3, 1, 2)
        return images.to_floats(np.ascontiguousarray(batch), *self.config.pixel_range)

    # What config.json tells.

    def _settings(self) -> dict[str, Any]:
        """The config as a checkpoint holds it: without what belongs to one command alone."""
        alone = ("resume", "out", "init_from", "generate", "from_")
        settings = dataclasses.asdict(self.config)
        return {name: value for name, value in settings.items() if name not in alone}

    def _describe(self) -> str:
        about = {
            "model": self.model,
            "framework": self.framework,
            "settings": dataclasses.asdict(self.config),
            "image_shape": self.image_shape,
            "dataset": {
                "name": self.dataset.name,
                "classes": self.dataset.class_names,
                "train_images": len(self.dataset.train),
                "test_images": len(self.dataset.test),
                "fingerprint": self._fingerprint,
            },
            "versions": {
                "python": platform.python_version(),
                "platform": platform.platform(),
                **_versions(),
            },
        }
        return json.dumps(about, indent=2) + "\n"


def _joined(groups: dict[str, dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {f"{name}.{key}": a for name, group in groups.items() for key, a in group.items()}


def _below(name: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    prefix = name + "."
    return {key.removeprefix(prefix): a for key, a in arrays.items() if key.startswith(prefix)}


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def _command() -> list[str]:
    return ["python", *(argument for argument in sys.argv if argument != "--resume")]


@contextlib.contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Yield a list that Ctrl-C or SIGTERM makes non-empty; a second Ctrl-C acts at once."""
    received: list[int] = []

    def note(number: int, _: Any) -> None:
        received.append(number)
        signal.signal(number, before[number])

    numbers = int(signal.SIGINT), int(signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in before:
        signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
