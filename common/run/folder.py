"""The folder of a run: the paths of its files, its lock, and its last checkpoint.

It holds `config.json`, `metrics.csv`, `samples/STEP.png`, `samples.webp`, `losses.png`,
`checkpoint.safetensors`, `optimizer-STEP.safetensors` and `tensorboard/`. Models measured on the
test split add `evaluation.json`; a classifier adds `best.safetensors` and `confusion.png`.
`--generate` writes `generated.png`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import weakref
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.files import disk_errors
from common.run import checkpoint
from common.run.checkpoint import Checkpoint, Header

PICTURE = re.compile(r"\d{6,}\.png")  # a step's picture in samples/
# Temporary files that a killed run leaves, with names as `common.files.replacing` makes them.
LEFT = re.compile(
    r"\.(config|metrics|checkpoint|best|optimizer-\d+|losses|samples|\d{6,}|evaluation|confusion"
    r"|latent|walk|manifold)-\w{8}\.\w+"
)


class RunFolder:
    """The files of one run.

    Args:
        path: the folder; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.json"
        self.metrics = path / "metrics.csv"
        self.samples = path / "samples"
        self.animation = path / "samples.webp"
        self.losses = path / "losses.png"
        self.checkpoint = path / "checkpoint.safetensors"
        self.best = path / "best.safetensors"
        self.tensorboard = path / "tensorboard"
        self.generated = path / "generated.png"
        self.evaluation = path / "evaluation.json"
        # What existed before, so that a failed start does not remove it.
        self._before = set(path.iterdir()) if path.is_dir() else set()
        self._missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        self._release: weakref.finalize | None = None

    @classmethod
    def find(cls, out: str | None, model: str, framework: str, dataset: str) -> RunFolder:
        """The folder given by `--out`, or the default for a model, framework and data set."""
        if out:
            return cls(Path(out))
        if dataset.startswith("folder:"):
            dataset = "folder-" + Path(dataset.removeprefix("folder:")).resolve().name
        # A foreign checkpoint may name its data set anything: keep one name directly below runs/.
        name = f"{model}-{framework}-{dataset}".replace("/", "-").replace("\0", "-")
        return cls(Path("runs") / name.encode(errors="ignore")[:200].decode(errors="ignore"))

    def read_config(self) -> dict[str, Any]:
        """Read `config.json`: `model`, `framework`, `settings`, `dataset` and more.

        Raises:
            UserError: it is missing or damaged.
        """
        try:
            about = json.loads(self.config.read_text(encoding="utf-8"))
            if not isinstance(about["model"], str) or not isinstance(about["settings"], dict):
                raise TypeError
        except FileNotFoundError as error:
            raise UserError(
                f"{self.path}: there is no run ({self.config.name} is missing)"
            ) from error
        except OSError as error:
            raise UserError(f"cannot read {self.config}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(f"{self.config} is damaged: it does not describe a run") from error
        return about

    def check_free(self) -> None:
        """Raise UserError if the folder already holds a run."""
        for file in (self.config, self.checkpoint, self.metrics):
            if file.exists():
                raise UserError(
                    f"{self.path} already holds a run ({file.name}): continue it with --resume, "
                    "or choose another folder with --out"
                )

    def lock(self) -> None:
        """Lock the folder against other runs until `unlock`, or until the process ends.

        Temporary files left by killed runs are deleted.

        Raises:
            UserError: another run holds the lock, or the folder cannot be created.
        """
        while True:
            self.make(self.path)
            with disk_errors(self.path):
                handle = os.open(self.path, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(handle)
                raise UserError(
                    f"{self.path}: another run is using it; wait until it ends, or choose another "
                    "folder with --out"
                ) from error
            except OSError:  # a file system without locks
                pass
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), os.stat(self.path)):
                    break
            os.close(handle)  # the folder was deleted in the meantime
        self._release = weakref.finalize(self, os.close, handle)
        for folder in (self.path, self.samples):
            for entry in folder.glob(".*"):
                if LEFT.fullmatch(entry.name):
                    entry.unlink(missing_ok=True)
        self._before = set(self.path.iterdir())

    def unlock(self) -> None:
        """Release the lock."""
        if self._release is not None:
            self._release()

    def pictures(self) -> list[Path]:
        """The pictures of `samples/`, in the order of their steps."""
        found = [path for path in self.samples.glob("*.png") if PICTURE.fullmatch(path.name)]
        return sorted(found, key=lambda path: int(path.stem))

    def check_writable(self) -> None:
        """Raise UserError if the folder cannot be created or written; nothing is changed."""
        nearest = next(folder for folder in (self.path, *self.path.parents) if folder.exists())
        if not nearest.is_dir():
            raise UserError(f"--out {self.path}: {nearest} is a file; give a folder")
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise UserError(
                f"--out {self.path}: no permission to write in {nearest}; give another folder"
            )

    def make(self, folder: Path) -> None:
        """Create the folder, or one in it.

        Raises:
            UserError: it cannot be created.
        """
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def undo(self, *names: str) -> None:
        """Delete what was written since the start, and the folders created for it.

        Args:
            names: what may be deleted; none means everything, which only a run with the lock may
                do.
        """
        if self.path.is_dir():
            for entry in set(self.path.iterdir()) - self._before:
                if names and entry.name not in names:
                    continue
                if entry.is_dir():
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    entry.unlink(missing_ok=True)
        for folder in self._missing:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def save(self, weights: Checkpoint, state: Checkpoint) -> None:
        """Write a checkpoint and its state.

        The state is written first, to a file named by the step, so that `checkpoint.safetensors`
        has its state even if the run is killed in between.

        Raises:
            UserError: the disk is full; the previous checkpoint is kept.
        """
        target = self.state_path(state.metadata["step"])
        checkpoint.save(target, state)
        try:
            checkpoint.save(self.checkpoint, weights)
        except UserError:
            target.unlink(missing_ok=True)
            raise
        self._keep_only(target)

    def _keep_only(self, state: Path) -> None:
        """Delete the states of other steps."""
        for other in self.path.glob("optimizer-*.safetensors"):
            if other != state:
                other.unlink(missing_ok=True)

    def state_path(self, step: int) -> Path:
        """The file with the state of a step."""
        return self.path / f"optimizer-{step}.safetensors"

    def load(self, framework: str) -> tuple[Header, Checkpoint]:
        """The last checkpoint's header, and its state.

        Raises:
            UserError: there is no checkpoint, a file is damaged, or another framework wrote it.
        """
        if not self.checkpoint.is_file():
            raise UserError(
                f"--resume: {self.path} holds no checkpoint; start the run without --resume, "
                "or name its folder with --out"
            )
        weights = checkpoint.read_header(self.checkpoint)
        written_by = weights.metadata["framework"]
        if written_by != framework:
            raise UserError(
                f"--resume: {self.path} was written by {written_by}, this is {framework}; start a "
                f"new run with --init-from {self.checkpoint}"
            )
        target = self.state_path(weights.metadata["step"])
        state = checkpoint.load(target, checkpoint.STATE)
        self._keep_only(target)
        return weights, state
