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

from common import checkpoint, datasets, events, flags, images, metrics, pca, plots
from common.batches import Batch, Batches, stack
from common.checkpoint import Checkpoint
from common.errors import UserError, warn
from common.files import write_text
from common.images import Pixels
from common.pictures import Pictures, portions
from common.run_folder import RunFolder

PACKAGES = ("numpy", "torch", "tensorflow", "tensorflow-cpu", "keras", "jax", "chainer", "cupy")

# The losses of a batch of test images, `float32` in the framework's layout.
Evaluate = Callable[[np.ndarray, np.random.Generator], dict[str, Any]]


def uniform_noise(random: np.random.Generator, *shape: int) -> np.ndarray:
    """Latent noise: `float32` of the given shape, uniform on [-1, 1)."""
    return random.random(shape, np.float32) * np.float32(2) - np.float32(1)


def normal_noise(random: np.random.Generator, *shape: int) -> np.ndarray:
    """Latent noise: `float32` of the given shape, standard normal."""
    return random.standard_normal(shape, np.float32)


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
        class_names: of the data set, one per label.
        dataset: the data, read when it is needed.
        pixels: between the data set's images and the networks'.
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
        self.class_names: tuple[str, ...]
        self._dataset: datasets.Dataset | None = None
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
            self.class_names = tuple(weights.metadata["class_names"])
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

    @property
    def dataset(self) -> datasets.Dataset:
        """The data set that the flags name."""
        if self._dataset is None:
            config = self.config
            # What is drawn from a checkpoint has the size that its networks were made for.
            size = self.image_shape[0] if config.generate else config.image_size
            task = getattr(config, "task", None)
            self._dataset = datasets.load(
                config.dataset, config.data_dir, size, config.size_multiple, task
            )
            if config.generate and self._dataset.image_shape != self.image_shape:
                raise UserError(
                    f"--dataset {config.dataset}: its images are {self._dataset.image_shape} "
                    f"(height, width, channels), the checkpoint's are {self.image_shape}"
                )
        return self._dataset

    def _open_data(self) -> None:
        config = self.config
        self.image_shape = self.dataset.image_shape
        self.class_names = self.dataset.class_names
        self.random = np.random.default_rng(config.seed)
        task = getattr(config, "task", None)
        self.batches = Batches(self.dataset, config.batch_size, self.random, task)
        self._fingerprint = self.dataset.fingerprint()

    # The networks join.

    def connect(
        self,
        bridge: Any,
        networks: dict[str, Any],
        optimizers: dict[str, Any],
        pictures: Pictures,
        evaluate: Evaluate | None = None,
        pca_components: int | None = None,
    ) -> None:
        """Give the run what it saves and draws; load the weights that the flags ask for.

        Args:
            bridge: the framework's module in `common.bridges`.
            networks: by the name that their checkpoint keys begin with.
            optimizers: by name; `--resume` restores their state.
            pictures: what samples are; see `common.pictures`.
            evaluate: the losses of test images, without an update; a finished run prints them,
                averaged over the test split.
            pca_components: if given, they are set beside the test error of PCA with so many.

        Raises:
            UserError: a tensor of the checkpoint does not fit, or the data set has changed.
        """
        self._bridge = bridge
        self._networks = networks
        self._optimizers = optimizers
        self._pictures = pictures
        self._evaluate = evaluate
        self._pca_components = pca_components
        self.pixels = Pixels(bridge.CHANNELS_FIRST, *self.config.pixel_range)
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

    def steps(self, batches: int = 1) -> Iterator[tuple[int, Batch]]:
        """Yield each step's number and its `Batch`.

        With more than one of `batches` a step, their arrays are stacked along a new first axis.

        Opens the run folder, keeps it up to date, and closes it after the last step. Ctrl-C (or
        SIGTERM) ends the run after the step at hand, with everything saved.

        Raises:
            UserError: the folder cannot be written, or a loss is no longer finite.
        """
        config = self.config
        self._images_per_step = batches * config.batch_size
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
                drawn = [self.batches.next() for _ in range(batches)]
                yield self.step + 1, self._to_network(drawn[0] if batches == 1 else stack(drawn))
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
        row["images_per_second"] = round(rows * self._images_per_step / seconds, 2)
        row |= self._sample(step) if sampled else dict.fromkeys(self._pictures.figures)
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

    def _sample(self, step: int) -> dict[str, float]:
        """Draw the picture of a step; return the figures that come with it."""
        picture, figures = self._pictures.draw(self)
        path = self.folder.samples / f"{step:06d}.png"
        images.save(path, picture)
        self._board.add_image("samples", picture, step, dataformats="HWC")
        told = "".join(f", {name} {value:.2f}" for name, value in figures.items())
        tqdm.write(f"step {step}: {path}{told}", file=sys.stderr)
        if "diversity" in figures:
            self._watch(step, figures["diversity"])
        return figures

    def _watch(self, step: int, value: float) -> None:
        """Warn once when the samples become all alike."""
        collapsed = step > 0 and value < metrics.COLLAPSED
        if collapsed and not self._collapsed:
            warn(
                f"step {step}: diversity {value:.2f} is under {metrics.COLLAPSED}: the generator "
                "draws one picture (it has hardly begun, or its modes have collapsed)"
            )
        self._collapsed = collapsed

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
                about
                | {
                    "image_shape": self.image_shape,
                    "class_names": self.class_names,
                    "config": self._settings(),
                },
            ),
            Checkpoint(
                {"batches.order": order, **_joined(state)},
                about | {"batches": batches, "fingerprint": self._fingerprint},
            ),
        )
        self._saved = self.step
        self._clock = time.perf_counter()  # saving does not count as training

    def _finish(self) -> None:
        """Save all, draw the curves and the last pictures, and say where they are."""
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
        figures = {}
        if self.step == self.config.steps > 0:
            made = self._pictures.finish(self) | made
            figures = self._test()
        for name, path in made.items():
            print(f"{name + ':':12}{path}")
        for name, value in figures.items():
            print(f"{name}: {value:.5g}")

    def _test(self) -> dict[str, float]:
        """The losses of the test split, also written to evaluation.json."""
        if self._evaluate is None:
            return {}
        test = self.dataset.test
        random = np.random.default_rng((self.config.seed, 2))
        sums: dict[str, float] = {}
        for part in portions(len(test)):
            pictures = self.pixels.to_network(test.images[part])
            for name, value in self._evaluate(pictures, random).items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(pictures)
        figures = {f"test {name}": value / len(test) for name, value in sums.items()}
        if self._pca_components:
            error = pca.test_error(self.dataset, self._pca_components, *self.config.pixel_range)
            figures[f"test error of PCA with {self._pca_components} components"] = error
            figures["times that of PCA"] = figures["test reconstruction_loss"] / error
        write_text(self.folder.evaluation, json.dumps(figures, indent=2) + "\n")
        return figures

    # Pictures without training.

    def generate(self) -> None:
        """Draw the pictures that `--generate` asks for.

        Raises:
            UserError: there is nothing to draw from, or a picture cannot be written.
        """
        assert self.config.generate is not None
        try:
            picture = self._pictures.generate(self, self.config.generate)
            self.folder.make(self.folder.path)
            images.save(self.folder.generated, picture)
        except UserError:
            self.folder.undo()
            raise
        print(f"picture:    {self.folder.generated}")

    def _to_network(self, batch: Batch) -> Batch:
        sources = batch.sources
        return Batch(
            self.pixels.to_network(batch.images),
            batch.labels,
            None if sources is None else self.pixels.to_network(sources),
        )

    # What config.json tells.

    def _settings(self) -> dict[str, Any]:
        """The config as a checkpoint holds it: without what belongs to one command alone."""
        settings = dataclasses.asdict(self.config)
        return {name: value for name, value in settings.items() if name not in flags.ALONE}

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
