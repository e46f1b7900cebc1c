"""A run: what the command line asks for, made ready, and the batches that a script's loop takes."""

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

from common.bridges.protocol import Bridge
from common.data import Data
from common.data.batches import Batch, stack
from common.data.pool import ImagePool
from common.errors import UserError, warn
from common.files import write_text
from common.pictures import images, plots
from common.pictures.base import Pictures
from common.processes import find_processes, make_scratch
from common.run import checkpoint, flags, output
from common.run.about import describe
from common.run.checkpoint import Checkpoint, Header
from common.run.folder import RunFolder
from common.run.recorder import Recorder
from common.run.signals import stop_signals
from common.run.store import Store

DIGITS = {"float32": 9, "float64": 17}  # significant ones that name a number exactly


class Run:
    """What a script's command line asks for, made ready.

    A script's `start` makes one and gives it, by `connect`, what it trains and draws. A loop over
    `batches`, in which each step's losses are given to `log`, is the training; `generate` draws
    without it.

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
        bridge, networks, optimizers, pictures, pools: as given to `connect`.
        device, strategy, trainers: the framework's own, for the script to keep here.

    Raises:
        UserError: a flag, the data, a checkpoint or the run folder cannot be used.
    """

    device: Any
    strategy: Any
    trainers: Any

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
        self.data = Data(
            config.dataset,
            config.data_dir,
            config.image_size,
            config.size_multiple,
            config.make_task(),
            like,
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
            self._batches = self.data.task.make_batches(
                self.data.dataset, config.batch_size, self.random
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
        bridge: Bridge,
        networks: dict[str, Any],
        optimizers: dict[str, Any],
        pictures: Pictures,
        pools: dict[str, ImagePool] | None = None,
    ) -> None:
        """Say what the run saves and draws; load the weights and the state that the flags ask for.

        Args:
            bridge: the framework's module in `common.bridges`.
            networks: by the name that their checkpoint keys begin with.
            optimizers: by name; `--resume` restores their state.
            pictures: what shows how training goes.
            pools: of earlier images, by name; `--resume` restores them too.

        Raises:
            UserError: a tensor of the checkpoint does not fit, or the data set has changed.
        """
        self.bridge, self.networks, self.optimizers = bridge, networks, optimizers
        self.pictures, self.pools = pictures, pools or {}
        for pool in self.pools.values():
            pool.check_processes(self.processes.count)
        self._store = Store(bridge, networks, optimizers, self.pools)
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

    @property
    def loaded(self) -> bool:
        """Whether the weights are a checkpoint's."""
        return self._weights is not None

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

    def _begin(self) -> None:
        """Open the run folder; of a new run, save the initial checkpoint and picture.

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
                self.pictures.figures,
                DIGITS[config.dtype],
                self._store.average if self.processes.count > 1 else None,
                quiet=self.processes.index > 0,
            )
            self._best = self._recorder.highest(self.pictures.best_by)
            text = describe(self.model, self.framework, config, self.data)
            if config.resume:
                write_text(self.folder.config, text)
            else:
                # The checkpoint first: with it a run that is killed can be resumed.
                self.save_checkpoint()
                write_text(self.folder.config, text)
                if config.steps:
                    self.save_samples()

    def _in_steps(self, config: Any) -> Any:
        """The settings with `--epochs` turned into as many steps, rounded up."""
        if config.epochs is None:
            return config
        steps = math.ceil(config.epochs * self._batches.epoch / self.images_per_step)
        return dataclasses.replace(config, steps=steps, epochs=None)

    def batches(self) -> Iterator[Batch]:
        """Yield each step's `Batch`; the body must `log` the step's losses.

        Whatever is due after a step (a row of figures, a picture, a checkpoint) is made before the
        next batch, and after the last one the curves, the animation and what `pictures` leave.
        Where a step takes several batches, their arrays are stacked along a new first axis. Ctrl-C,
        SIGTERM and SIGHUP end the run after the step at hand, with everything saved. The run goes
        on where its output cannot be written, for a terminal has closed.

        Raises:
            UserError: the folder cannot be written, or a loss is no longer finite.
            RuntimeError: a step was not logged.
        """
        with output.tolerated():
            yield from self._train()

    def _train(self) -> Iterator[Batch]:
        self._begin()
        config, recorder = self.config, self._recorder
        try:
            with recorder.progress(self.step, config.steps), stop_signals() as stopped:
                while self.step < config.steps and not self._agree(stopped):
                    step = self.step + 1
                    yield self.next_batch()
                    if self.step != step:
                        raise RuntimeError(f"step {step} was not logged: call run.log")
                    if self._samples_due():
                        self.save_samples()
                    if self._checkpoint_due():
                        self.save_checkpoint()
                    self._write_row()
                unfinished = self.step < config.steps
                if unfinished:
                    self.save_checkpoint()
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
        if config.steps:
            self._report(self.pictures.finish(self.folder.path, self.title))
            self._save_figures(self.pictures.test())

    def next_batch(self) -> Batch:
        """The next step's batch, or batches, of the training split."""
        drawn = [self._batches.next() for _ in range(self.config.batches_per_step)]
        batch = drawn[0] if len(drawn) == 1 else stack(drawn)
        return batch if self.processes.count == 1 else batch.map(self._share)

    def draw(self, function: Callable[..., np.ndarray], *shape: int) -> np.ndarray:
        """Random numbers for a step: what a script's function draws for each image of its batch.

        Several processes draw the same numbers for all images, and each keeps those of its own.

        Args:
            function: `draw_noise` or its like: (random, config, *shape, N) to an array whose first
                axes are these.
            shape: axes before that of the images.
        """
        array = function(self.random, self.config, *shape, self.config.batch_size)
        return array if self.processes.count == 1 else self.processes.share(array, len(shape))

    def _share(self, array: np.ndarray) -> np.ndarray:
        """This process's images of a whole step's array."""
        return self.processes.share(array, int(self.config.batches_per_step > 1))

    def _agree(self, stopped: list[int]) -> bool:
        """Whether to stop: all processes after the same step, the first whose row is due."""
        if self.processes.count == 1:
            return bool(stopped)
        due = self._row_due()
        return due and self._store.average(np.array([float(bool(stopped))]))[0] > 0

    def log(self, losses: dict[str, Any]) -> None:
        """Take a step's losses, still on the device; they are read when a row is due."""
        self.step += 1
        self._recorder.log(self.step, losses)

    def _samples_due(self) -> bool:
        """Whether to draw a picture after this step.

        That is every `sample_every` steps and after the last, and sooner in the beginning, when
        pictures change fastest: after a tenth and three tenths of `sample_every`.
        """
        step, every = self.step, self.config.sample_every
        return step % every == 0 or step == self.config.steps or 10 * step in (every, 3 * every)

    def save_samples(self) -> None:
        """Draw the picture of this step into the run folder; note the figures that come with it.

        Where a figure says how good the weights are, the best so far are kept in
        `best.safetensors`; of equals, the first.

        Raises:
            UserError: a loss is no longer finite, or the file cannot be written.
        """
        recorder, best_by = self._recorder, self.pictures.best_by
        recorder.check()
        with recorder.not_training():
            picture, figures = self.pictures.draw()
            path = self.folder.samples / f"{self.step:06d}.png"
            images.save(path, picture)
            recorder.add_picture(self.step, path, figures)
            if best_by and self.step and figures[best_by] > self._best:
                self._best = figures[best_by]
                weights = self._store.gather(self.folder, self.step, self._about())
                checkpoint.save(self.folder.best, weights)

    def _checkpoint_due(self) -> bool:
        """Whether to write a checkpoint: every `checkpoint_every` steps and after the last."""
        return self.step % self.config.checkpoint_every == 0 or self.step == self.config.steps

    def save_checkpoint(self) -> None:
        """Write the checkpoint and what `--resume` needs besides.

        Raises:
            UserError: a loss or weight is no longer finite, or the disk is full; the earlier
                checkpoint is still there.
        """
        recorder = self._recorder
        self._write_row()
        recorder.check()
        with recorder.not_training():
            self._store.save(
                self.folder, self.step, self._about(), self._batches, self.data.fingerprint()
            )

    def _about(self) -> dict[str, Any]:
        """What a checkpoint says of the run."""
        settings, passing = dataclasses.asdict(self.config), self.config.of_command()
        return {
            "model": self.model,
            "framework": self.framework,
            "image_shape": self.image_shape,
            "class_names": self.class_names,
            "config": {n: value for n, value in settings.items() if n not in passing},
        }

    def _write_row(self) -> None:
        """Write this step's row of `metrics.csv` if it is due and not there yet."""
        if self._row_due():
            self._recorder.write_row(self.step)

    def _row_due(self) -> bool:
        return self.step % self.config.log_every == 0 or self._samples_due()

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
        self._report(made)

    def _report(self, made: dict[str, Path]) -> None:
        """Say where files are, by name."""
        for name, path in made.items():
            print(f"{name + ':':12}{path}")

    def _save_figures(self, figures: dict[str, float]) -> None:
        """Print figures of the test split, if there are any, and write them to `evaluation.json`.

        Raises:
            UserError: the file cannot be written.
        """
        if figures:
            write_text(self.folder.evaluation, json.dumps(figures, indent=2) + "\n")
        for name, value in figures.items():
            print(f"{name}: {value:.5g}")

    def generate(self) -> None:
        """Draw the picture that `--generate` asks for.

        Raises:
            UserError: there is nothing to draw from, or a picture cannot be written.
        """
        # A run may be at work in the folder: its files are none of ours.
        drawn = self.folder.generated
        with self._undone_by_errors(drawn.name, drawn.stem):
            picture = self.pictures.generate(self.config.generate)
            self.folder.make(self.folder.path)
            images.save(drawn, picture)
        self._report({"picture": drawn})

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
