"""A run: what the command line asks for, made ready, and the loop that a script's `main` drives."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from common.data import Data
from common.data.batches import Batch, every_image, make_batches, stack
from common.data.pool import ImagePool
from common.errors import UserError, warn
from common.files import write_text
from common.measures import pca
from common.pictures import images, plots
from common.pictures.base import Pictures, portions
from common.processes import find_processes, make_scratch
from common.run import checkpoint, flags
from common.run.about import describe
from common.run.checkpoint import Checkpoint, Header
from common.run.folder import RunFolder
from common.run.recorder import Recorder
from common.run.signals import stop_signals
from common.run.store import Store

DIGITS = {"float32": 9, "float64": 17}  # significant ones that name a number exactly

# The losses of `uint8` test images (N, H, W, C), without an update.
TestLosses = Callable[[np.ndarray, np.random.Generator], dict[str, Any]]


class Run:
    """What a script's command line asks for, made ready; `steps` then drives the training.

    Args:
        config_class: the script's `Config`.
        script: the script's `__file__`; its folder names the framework, its name the model.
        description: the script's docstring, for `--help`.
        arguments: the command line without the program's name; None takes `sys.argv`.

    Attributes:
        config: the `Config`, filled from the flags.
        data: the data set, read when it is needed.
        image_shape: (H, W, C) of the images that the networks see.
        class_names: of the data set, one per label.
        random: the one source of chance in training: batch order, augmentation and noise.
        step: the last one that was trained.
        images_per_step: that a step learns from.
        title: names the run above plots.
        processes: which one this is, of those that train together.

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
        path = Path(script).resolve()
        self.model = path.stem
        self.framework = path.parent.name
        self.processes = find_processes(self.framework)
        given = flags.given_flags(config_class, path, description or "", arguments)
        self._weights: Header | None = None  # of the checkpoint to start from
        self._state: Checkpoint | None = None  # of all else, to go on from
        earlier: dict[str, Any] = {}
        like = None
        if given.get("resume"):
            self.folder = self._find_folder(given, config_class)
            weights, self._state = self._find_earlier()
            self._take(weights)
            earlier = weights.metadata["config"]
        elif given.get("generate") and given.get("from_"):
            weights = self._take(checkpoint.read_header(Path(given["from_"])))
            stored = weights.metadata["config"]
            given = {"dataset": stored.get("dataset", config_class.dataset)} | given
            # A setting that is younger than the checkpoint has its default.
            earlier = {n: stored[n] for n in config_class.architecture() if n in stored}
            like = tuple(weights.metadata["image_shape"]), tuple(weights.metadata["class_names"])
        self.config: Any = flags.fill(config_class, given, earlier)
        config = self.config
        if not config.resume:
            self.folder = self._find_folder(dataclasses.asdict(config), config_class)
            self.folder.check_writable()
            if not config.generate:
                self.folder.check_free()
        if config.init_from:
            self._take(checkpoint.read_header(Path(config.init_from)))
        if self.processes.index:
            self._keep_nothing()
        self._task = config.task
        self.data = Data(
            config.dataset,
            config.data_dir,
            config.image_size,
            config.size_multiple,
            self._task,
            like,
            config.direction or "a2b",
        )
        self.image_shape = self.data.image_shape
        self.class_names = self.data.class_names
        self.title = f"{self.model} in {self.framework} on {config.dataset}"
        self.random = np.random.default_rng(config.seed)
        self.step = 0
        self.images_per_step = config.batches_per_step * config.batch_size
        if not config.generate:
            if config.batch_size % self.processes.count:
                raise UserError(
                    f"--batch-size {config.batch_size}: must be a multiple of the number of "
                    f"processes, {self.processes.count}"
                )
            self._batches = make_batches(
                self.data.dataset, config.batch_size, self.random, self._task
            )
            self.config = self._in_steps(config)

    def _find_earlier(self) -> tuple[Header, Checkpoint]:
        """What `--resume` goes on from; from here on the folder is this run's."""
        first = not self.processes.index  # the others only read
        if first and self.folder.checkpoint.is_file():  # else there is nothing to lock
            self.folder.check_writable()
            self.folder.lock()
        return self.folder.load(self.framework)

    def _keep_nothing(self) -> None:
        """Be one of the other processes, which do all that the first one does, but leave no files.

        What they write goes to a folder that is deleted at the end, and nothing is shown of it.
        """
        self.folder = RunFolder(make_scratch())
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115

    def _find_folder(self, settings: dict[str, Any], config: type[flags.Settings]) -> RunFolder:
        dataset = settings.get("dataset", config.dataset)
        return RunFolder.find(settings.get("out"), self.model, self.framework, dataset)

    def _take(self, weights: Header) -> Header:
        checkpoint.check_model(weights, self.model)
        self._weights = weights
        return weights

    def connect(
        self,
        bridge: Any,
        networks: dict[str, Any],
        optimizers: dict[str, Any],
        pools: dict[str, ImagePool] | None = None,
    ) -> None:
        """Say what the run saves; load the weights and the state that the flags ask for.

        Args:
            bridge: the framework's module in `common.bridges`.
            networks: by the name that their checkpoint keys begin with.
            optimizers: by name; `--resume` restores their state.
            pools: of earlier images, by name; `--resume` restores them too.

        Raises:
            UserError: a tensor of the checkpoint does not fit, or the data set has changed.
        """
        pools = pools or {}
        if self.processes.count > 1 and any(pool.size for pool in pools.values()):
            raise UserError(
                "a pool of earlier images belongs to one process, and this is one of "
                f"{self.processes.count}; give --pool-size 0"
            )
        self._store = Store(bridge, networks, optimizers, pools)
        if self.config.precision == "bfloat16":
            bridge.mix(networks)
        if self._weights:
            self._store.load_weights(self._weights)
        if self._state:
            self._check_state(self._state)
            path = self.folder.state_path(self._state.metadata["step"])
            self.step = self._store.restore(path, self._state, self._batches)
        if self.processes.count > 1:
            # The others draw dropout of their own; the first one's is the checkpoint's.
            own = np.random.SeedSequence((self.config.seed, self.step, self.processes.index))
            seed = int(own.generate_state(1)[0]) if self.processes.index else None
            bridge.join(networks, optimizers, seed)

    def adopt(self, network: str, weights: str) -> None:
        """Begin with what a network has learned elsewhere, unless a checkpoint was loaded.

        Args:
            network: its name, as given to `connect`.
            weights: `newts`, `imagenet`, or a file, as `pretrained.load` takes it.

        Raises:
            UserError: they cannot be had, or do not fit.
        """
        if self._weights is None:
            self._store.adopt(network, weights, self.config.data_dir)

    def _check_state(self, state: Checkpoint) -> None:
        if state.metadata["fingerprint"] != self.data.fingerprint():
            raise UserError(
                f"--resume: the data set {self.config.dataset} is not as it was when the run in "
                f"{self.folder.path} was started; put it back, or start a new run with --out"
            )
        step, steps = state.metadata["step"], self.config.steps
        if step > steps:
            raise UserError(
                f"--steps {steps}: the run in {self.folder.path} has already reached step {step}; "
                "give a larger number"
            )
        if step == steps:
            warn(
                f"the run has already reached step {step}: only its last pictures and figures "
                "are made again; to train on, give a larger number with --steps"
            )

    # Training.

    def begin(self, pictures: Pictures) -> None:
        """Open the run folder; of a new run, save the initial checkpoint and picture.

        Args:
            pictures: what `save_samples` will draw.

        Raises:
            UserError: the folder cannot be written; the disk is as it was.
        """
        config = self.config
        if not config.resume:
            self.folder.lock()
            self.folder.check_free()  # another run may have been quicker
        with contextlib.nullcontext() if config.resume else self._undone_by_errors():
            self.folder.make(self.folder.samples)
            self._recorder = Recorder(
                self.folder,
                self.step,
                self.images_per_step,
                pictures.figures,
                DIGITS[config.dtype],
                self._store.average if self.processes.count > 1 else None,
                quiet=self.processes.index > 0,
            )
            self._best = self._recorder.highest(pictures.best_by)
            text = describe(self.model, self.framework, config, self.data)
            if config.resume:
                write_text(self.folder.config, text)
            else:
                # The checkpoint first: with it a run that is killed can be resumed.
                self.save_checkpoint(0)
                write_text(self.folder.config, text)
                if config.steps:
                    self.save_samples(0, pictures)

    def _in_steps(self, config: Any) -> Any:
        """The settings with `--epochs` turned into as many steps, rounded up."""
        if config.epochs is None:
            return config
        steps = math.ceil(config.epochs * self._batches.epoch / self.images_per_step)
        return dataclasses.replace(config, steps=steps, epochs=None)

    def steps(self) -> Iterator[tuple[int, Batch]]:
        """Yield each step's number and its `Batch`; the body must `log` the step's losses.

        Where a step takes several batches, their arrays are stacked along a new first axis.
        Ctrl-C (or SIGTERM) ends the run after the step at hand, with everything saved. After the
        last step the curves and the animation are made.

        Raises:
            UserError: the folder cannot be written, or a loss is no longer finite.
            RuntimeError: a step was not logged.
        """
        config, recorder = self.config, self._recorder
        try:
            with recorder.progress(self.step, config.steps), stop_signals() as stopped:
                while self.step < config.steps and not self._agree(stopped):
                    drawn = [self._next_batch() for _ in range(config.batches_per_step)]
                    yield self.step + 1, drawn[0] if len(drawn) == 1 else stack(drawn)
                    self.step += 1
                    if recorder.logged_step != self.step:
                        raise RuntimeError(f"step {self.step} was not logged: call run.log")
                    self._write_row(self.step)
                unfinished = self.step < config.steps
                if unfinished:
                    self.save_checkpoint(self.step)
            self._finish()
        finally:
            self.folder.unlock()
        if unfinished:
            again = " ".join(map(shlex.quote, [*_command(), "--resume"]))
            if self.processes.count > 1:
                again = "the same command and --resume"
            if not self.processes.index:
                print(f"stopped after step {self.step}; go on with: {again}", file=sys.stderr)
            sys.exit(130)

    def _next_batch(self) -> Batch:
        batch = self._batches.next()
        return batch if self.processes.count == 1 else batch.map(self.share)

    def share(self, array: np.ndarray, axis: int = 0) -> np.ndarray:
        """Of what belongs to a whole batch, the part that this process learns from.

        That is all of it where no other process takes part. The batches of `steps` are shares
        already.

        Args:
            array: what was drawn from `random`, in all processes alike.
            axis: the one along which its images lie.
        """
        return self.processes.share(array, axis) if self.processes.count > 1 else array

    def _agree(self, stopped: list[int]) -> bool:
        """Whether to stop: all processes after the same step, the first whose row is due."""
        if self.processes.count == 1:
            return bool(stopped)
        due = self._row_due(self.step)
        return due and self._store.average(np.array([float(bool(stopped))]))[0] > 0

    def log(self, step: int, losses: dict[str, Any]) -> None:
        """Take a step's losses, still on the device; they are read when a row is due."""
        self._recorder.log(step, losses)

    def samples_due(self, step: int) -> bool:
        """Whether to draw a picture after this step.

        That is every `sample_every` steps and after the last, and sooner in the beginning, when
        pictures change fastest: after a tenth and three tenths of `sample_every`.
        """
        every = self.config.sample_every
        return step % every == 0 or step == self.config.steps or 10 * step in (every, 3 * every)

    def save_samples(self, step: int, pictures: Pictures) -> None:
        """Draw the picture of a step into the run folder; note the figures that come with it.

        Where a figure says how good the weights are, the best so far are kept in
        `best.safetensors`; of equals, the first.

        Raises:
            UserError: a loss is no longer finite, or the file cannot be written.
        """
        recorder = self._recorder
        recorder.check()
        with recorder.not_training():
            picture, figures = pictures.draw()
            path = self.folder.samples / f"{step:06d}.png"
            images.save(path, picture)
            recorder.add_picture(step, path, figures)
            if pictures.best_by and step and figures[pictures.best_by] > self._best:
                self._best = figures[pictures.best_by]
                weights = self._store.gather(self.folder, step, self._about())
                checkpoint.save(self.folder.best, weights)

    def checkpoint_due(self, step: int) -> bool:
        """Whether a checkpoint is to be written: now and then, and after the last step."""
        return step % self.config.checkpoint_every == 0 or step == self.config.steps

    def save_checkpoint(self, step: int) -> None:
        """Write the checkpoint and what `--resume` needs besides.

        Raises:
            UserError: a loss or weight is no longer finite, or the disk is full; the earlier
                checkpoint is still there.
        """
        recorder = self._recorder
        self._write_row(step)
        recorder.check()
        with recorder.not_training():
            self._store.save(
                self.folder, step, self._about(), self._batches, self.data.fingerprint()
            )

    def _about(self) -> dict[str, Any]:
        """What a checkpoint says of the run."""
        settings = dataclasses.asdict(self.config)
        return {
            "model": self.model,
            "framework": self.framework,
            "image_shape": self.image_shape,
            "class_names": self.class_names,
            "config": {n: value for n, value in settings.items() if n not in self.config.alone()},
        }

    def _write_row(self, step: int) -> None:
        """Write a step's row of `metrics.csv` if it is due and not there yet."""
        if self._row_due(step):
            self._recorder.write_row(step)

    def _row_due(self, step: int) -> bool:
        return step % self.config.log_every == 0 or self.samples_due(step)

    def _finish(self) -> None:
        """Draw the curves and the animation, and say where everything is."""
        made = {"checkpoint": self.folder.checkpoint}
        columns = self._recorder.close()
        if columns:
            plots.losses(self.folder.losses, self.title, columns)
            made = {"curves": self.folder.losses} | made
        grids = self.folder.pictures() if columns else []
        if grids:
            images.animate(grids, self.folder.animation)
            made = {"picture": grids[-1], "animation": self.folder.animation} | made
        self.report(made)

    def report(self, made: dict[str, Path]) -> None:
        """Say where files are, by name."""
        for name, path in made.items():
            print(f"{name + ':':12}{path}")

    # After training, or without it.

    def evaluate(self, test_losses: TestLosses, pca_components: int | None = None) -> None:
        """Print the losses of the test split, averaged, and write them to `evaluation.json`.

        Args:
            test_losses: the losses of test images.
            pca_components: if given, the losses are set beside the error of PCA with so many.

        Raises:
            UserError: the file cannot be written.
        """
        test = self.data.test.images
        random = np.random.default_rng((self.config.seed, 2))
        sums: dict[str, float] = {}
        for part in portions(len(test)):
            for name, value in test_losses(test[part], random).items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(test[part])
        figures = {f"test {name}": value / len(test) for name, value in sums.items()}
        if pca_components:
            error = pca.test_error(every_image(self.data.dataset), test, pca_components)
            figures[f"test error of PCA with {pca_components} components"] = error
            figures["times that of PCA"] = figures["test reconstruction_loss"] / error
        self.save_figures(figures)

    def save_figures(self, figures: dict[str, float]) -> None:
        """Print figures of the test split, and write them to `evaluation.json`.

        Raises:
            UserError: the file cannot be written.
        """
        write_text(self.folder.evaluation, json.dumps(figures, indent=2) + "\n")
        for name, value in figures.items():
            print(f"{name}: {value:.5g}")

    def generate(self, pictures: Pictures) -> None:
        """Draw the picture that `--generate` asks for.

        Raises:
            UserError: there is nothing to draw from, or a picture cannot be written.
        """
        # A run may be at work in the folder: its files are none of ours.
        drawn = self.folder.generated
        with self._undone_by_errors(drawn.name, drawn.stem):
            picture = pictures.generate(self.config.generate)
            self.folder.make(self.folder.path)
            images.save(drawn, picture)
        self.report({"picture": drawn})

    @contextlib.contextmanager
    def _undone_by_errors(self, *names: str) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.folder.undo(*names)
            self.folder.unlock()
            raise


def _command() -> list[str]:
    return ["python", *(argument for argument in sys.argv if argument != "--resume")]
