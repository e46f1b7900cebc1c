"""A run: the settings, data, folder and loop of one command line."""

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

DIGITS = {"float32": 9, "float64": 17}  # significant digits that identify a number


class Run:
    """One execution of a script, prepared from its command line.

    A script's `start` creates the run, and passes its networks, optimisers and pictures to
    `connect`. To train, loop over `batches` and give each step's losses to `log`; `generate` draws
    without training.

    Args:
        config_class: the script's `Config`.
        script: the script's `__file__`; its folder names the framework, its name the model.
        description: the script's docstring, for `--help`.
        arguments: the command line without the program's name; None takes `sys.argv`.

    Attributes:
        config: the `Config`, filled from the flags.
        data: the data set, loaded at its first use.
        image_shape: (H, W, C) of the images that the networks see.
        class_names: of the data set, one per label.
        random: the rng for everything random in training: batch order, augmentation and noise.
        step: the last completed step.
        images_per_step: images that a step learns from.
        title: the title of plots.
        processes: this process's index, and the number of processes that train together.
        bridge, networks, optimizers, pictures, pools: as given to `connect`.
        device, strategy, trainers: objects of the framework that the script keeps here.

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
        self._weights: Header | None = None  # the checkpoint to start from
        self._state: Checkpoint | None = None  # optimisers, batches and rng, to resume from
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
            # A setting that the checkpoint does not have yet gets its default.
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
            self._discard_output()
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
        """The checkpoint and state that `--resume` continues from; locks the folder."""
        first = not self.processes.index  # the others only read
        if first and self.folder.checkpoint.is_file():
            self.folder.check_writable()
            self.folder.lock()
        return self.folder.load(self.framework)

    def _discard_output(self) -> None:
        """Silence a process other than the first: it does the same work, but leaves no files.

        It writes to a temporary folder, and its stdout is discarded.
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
        """Set what the run saves and draws; load the weights and state that the flags ask for.

        Args:
            bridge: the framework's module in `common.bridges`.
            networks: by name, the first part of their checkpoint keys.
            optimizers: by name; `--resume` restores their state.
            pictures: draws the run's pictures.
            pools: pools of earlier images, by name; `--resume` restores them too.

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
            # Each process needs other dropout; the checkpoint stores the first one's rng state.
            sequence = np.random.SeedSequence((self.config.seed, self.step, self.processes.index))
            seed = int(sequence.generate_state(1)[0]) if self.processes.index else None
            bridge.join(networks, optimizers, seed)

    @property
    def loaded(self) -> bool:
        """True if the weights were loaded from a checkpoint."""
        return self._weights is not None

    def _check_state(self, state: Checkpoint) -> None:
        if state.metadata["fingerprint"] != self.data.fingerprint():
            raise UserError(
                f"--resume: the data set {self.config.dataset} has changed since the run in "
                f"{self.folder.path} was started; restore it, or start a new run with --out"
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
                "are made again; to train further, give a larger number with --steps"
            )

    # Training.

    def _begin(self) -> None:
        """Open the run folder; for a new run, save the initial checkpoint and picture.

        Raises:
            UserError: the folder cannot be written; nothing is left on disk.
        """
        config = self.config
        if not config.resume:
            self.folder.lock()
            self.folder.check_free()  # another run may have taken it
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
                # The checkpoint comes first: it lets a killed run resume.
                self.save_checkpoint()
                write_text(self.folder.config, text)
                if config.steps:
                    self.save_samples()

    def _in_steps(self, config: Any) -> Any:
        """The settings with `--epochs` converted to steps, rounded up."""
        if config.epochs is None:
            return config
        steps = math.ceil(config.epochs * self._batches.epoch / self.images_per_step)
        return dataclasses.replace(config, steps=steps, epochs=None)

    def batches(self) -> Iterator[Batch]:
        """Yield each step's `Batch`; the body of the loop must `log` the step's losses.

        The run writes the rows, pictures and checkpoints that are due after a step before it yields
        the next batch. After the last step it writes the curves, the animation and the files of
        `pictures.finish`. If a step takes several batches, their arrays are stacked along a new
        first axis. Ctrl-C, SIGTERM or SIGHUP ends the run after the current step, with everything
        saved. The run goes on in silence if its output cannot be written, because a terminal
        closed.

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
                while self.step < config.steps and not self._should_stop(stopped):
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
        """The next step's batch, with this process's slice of each array."""
        taken = [self._batches.next() for _ in range(self.config.batches_per_step)]
        batch = taken[0] if len(taken) == 1 else stack(taken)
        return batch if self.processes.count == 1 else batch.map(self._slice)

    def draw(self, function: Callable[..., np.ndarray], *shape: int) -> np.ndarray:
        """Random numbers for a step, drawn by a function of the script's for the whole batch.

        In several processes, all draw the same numbers, and each returns its slice.

        Args:
            function: (random, config, *shape, N) to an array whose first axes are *shape, N; such
                as `draw_noise`.
            shape: lengths of the axes before that of the images.
        """
        array = function(self.random, self.config, *shape, self.config.batch_size)
        return array if self.processes.count == 1 else self.processes.slice(array, len(shape))

    def _slice(self, array: np.ndarray) -> np.ndarray:
        """This process's slice of an array of the step's batch."""
        return self.processes.slice(array, int(self.config.batches_per_step > 1))

    def _should_stop(self, stopped: list[int]) -> bool:
        """True once a signal has come; several processes stop together at the next row's step."""
        if self.processes.count == 1:
            return bool(stopped)
        due = self._row_due()
        return due and self._store.average(np.array([float(bool(stopped))]))[0] > 0

    def log(self, losses: dict[str, Any]) -> None:
        """Take a step's losses; they stay on the device until a row is due."""
        self.step += 1
        self._recorder.log(self.step, losses)

    def _samples_due(self) -> bool:
        """True every `sample_every` steps and at the last step, and twice early in the run.

        The early pictures come at a tenth and at three tenths of `sample_every`, when pictures
        change fastest.
        """
        step, every = self.step, self.config.sample_every
        return step % every == 0 or step == self.config.steps or 10 * step in (every, 3 * every)

    def save_samples(self) -> None:
        """Draw this step's picture into the run folder, and record the figures measured with it.

        If `pictures.best_by` names a figure, `best.safetensors` keeps the weights of its highest
        value so far; of equal values, the first.

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
        """True every `checkpoint_every` steps and at the last step."""
        return self.step % self.config.checkpoint_every == 0 or self.step == self.config.steps

    def save_checkpoint(self) -> None:
        """Write the checkpoint, and the state that `--resume` needs.

        Raises:
            UserError: a loss or weight is no longer finite, or the disk is full; the previous
                checkpoint is kept.
        """
        recorder = self._recorder
        self._write_row()
        recorder.check()
        with recorder.not_training():
            self._store.save(
                self.folder, self.step, self._about(), self._batches, self.data.fingerprint()
            )

    def _about(self) -> dict[str, Any]:
        """A checkpoint's metadata, except for the step."""
        settings, passing = dataclasses.asdict(self.config), self.config.of_command()
        return {
            "model": self.model,
            "framework": self.framework,
            "image_shape": self.image_shape,
            "class_names": self.class_names,
            "config": {n: value for n, value in settings.items() if n not in passing},
        }

    def _write_row(self) -> None:
        """Write this step's row of `metrics.csv` if it is due."""
        if self._row_due():
            self._recorder.write_row(self.step)

    def _row_due(self) -> bool:
        return self.step % self.config.log_every == 0 or self._samples_due()

    def _finish(self) -> None:
        """Draw the curves and the animation, and print where the files are."""
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
        """Print the path of each file, by name."""
        for name, path in made.items():
            print(f"{name + ':':12}{path}")

    def _save_figures(self, figures: dict[str, float]) -> None:
        """Print the figures of the test split and write them to `evaluation.json`, if any.

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
        # Another run may use the folder: touch only the files named here.
        target = self.folder.generated
        with self._undone_by_errors(target.name, target.stem):
            picture = self.pictures.generate(self.config.generate)
            self.folder.make(self.folder.path)
            images.save(target, picture)
        self._report({"picture": target})

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
