"""Several processes that train one model together: which of them this is, and its part of a batch.

Each framework has a launcher or a convention of its own, which leaves its mark in the environment;
docs/processes.md says how they are called.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import UserError


@dataclass(frozen=True)
class Processes:
    """Which process this is.

    Attributes:
        index: from 0; the first one writes the run folder.
        count: how many there are; 1 is a run as usual.
    """

    index: int = 0
    count: int = 1

    def share(self, array: np.ndarray, axis: int = 0) -> np.ndarray:
        """This process's part of a whole batch, cut along an axis whose length `count` divides."""
        size = array.shape[axis] // self.count
        return array.take(range(self.index * size, (self.index + 1) * size), axis)


# By what computes: the variables with index and count, of each launcher that may have set them.
LAUNCHERS = {
    "pytorch": (("RANK", "WORLD_SIZE"),),  # torchrun
    "jax": (("KERAS_DISTRIBUTION_PROCESS_ID", "KERAS_DISTRIBUTION_NUM_PROCESSES"),),
    "chainer": (
        ("PMI_RANK", "PMI_SIZE"),  # mpiexec of MPICH
        ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # and of Open MPI
    ),
}
LAUNCHED_BY_MPI = {index for index, _ in LAUNCHERS["chainer"]}
BACKENDS = {"tensorflow": "tensorflow", "torch": "pytorch", "jax": "jax"}  # of Keras
_FOUND = [Processes()]  # at the last look
_SCRATCH: list[tempfile.TemporaryDirectory] = []


def find_processes(framework: str) -> Processes:
    """Look in the environment which process this is, and of how many.

    Raises:
        UserError: what stands there does not make sense.
    """
    _FOUND[:] = [_find(framework)]
    return _FOUND[0]


def this_process() -> Processes:
    """What `find_processes` has found; before that, a process by itself."""
    return _FOUND[0]


def _find(framework: str) -> Processes:
    if framework == "keras":
        framework = BACKENDS.get(os.environ.get("KERAS_BACKEND", "tensorflow"), "")
    if framework == "tensorflow":
        return _read_cluster(os.environ.get("TF_CONFIG", "{}"))
    for index, count in LAUNCHERS.get(framework, ()):
        if index in os.environ and count in os.environ:
            try:
                return _checked(int(os.environ[index]), int(os.environ[count]))
            except ValueError as error:
                raise UserError(
                    f"{index}={os.environ[index]} and {count}={os.environ[count]} in the "
                    "environment: must be a number from 0, and how many processes there are"
                ) from error
    return Processes()


def make_scratch() -> Path:
    """A folder that is deleted when this process ends, by `end_at_once` too."""
    _SCRATCH.append(tempfile.TemporaryDirectory(prefix="run-"))
    return Path(_SCRATCH[-1].name)


def end_at_once(status: int) -> None:
    """End this process as it stands, if it is one of several, so that the others end as well.

    At its orderly exit a framework would wait for them, while they wait for the next message.
    """
    if this_process().count > 1:
        for folder in _SCRATCH:
            folder.cleanup()
        sys.stdout.flush()
        sys.stderr.flush()
        if status and LAUNCHED_BY_MPI & os.environ.keys():
            _abort(status)
        os._exit(status)


def _abort(status: int) -> None:
    """Have mpiexec end the others, which may be waiting for this one to begin."""
    with contextlib.suppress(ImportError):
        import mpi4py.MPI

        mpi4py.MPI.COMM_WORLD.Abort(status)


def _read_cluster(text: str) -> Processes:
    """What TensorFlow's variable says: a cluster of workers, and which of them this is."""
    try:
        found = json.loads(text)
        workers = found.get("cluster", {}).get("worker", [])
        if not workers:
            return Processes()
        if set(found["cluster"]) != {"worker"} or found["task"]["type"] != "worker":
            raise ValueError("only workers can take part")
        return _checked(int(found["task"]["index"]), len(workers))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"TF_CONFIG={text[:200]} in the environment: must name a cluster of workers and a "
            f"task ({error}); docs/processes.md has an example"
        ) from error


def _checked(index: int, count: int) -> Processes:
    if not 0 <= index < count:
        raise ValueError(f"there is no process {index} of {count}")
    return Processes(index, count)
