"""Several processes that train one model together: this process's index, and its slice of a batch.

Each framework has its own launcher, which sets environment variables; docs/processes.md shows how
to start each.
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
    """This process's index, and the number of processes.

    Attributes:
        index: from 0; process 0 writes the run folder.
        count: 1 for a run in a single process.
    """

    index: int = 0
    count: int = 1

    def slice(self, array: np.ndarray, axis: int = 0) -> np.ndarray:
        """This process's slice of a whole-batch array; `count` divides the length of the axis."""
        size = array.shape[axis] // self.count
        return array.take(range(self.index * size, (self.index + 1) * size), axis)


# By framework or backend: the variables with index and count, for each possible launcher.
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
_FOUND = [Processes()]  # by the last `find_processes`
_SCRATCH: list[tempfile.TemporaryDirectory] = []


def find_processes(framework: str) -> Processes:
    """Read this process's index and the number of processes from the environment.

    Raises:
        UserError: the environment variables are not valid.
    """
    _FOUND[:] = [_find(framework)]
    return _FOUND[0]


def this_process() -> Processes:
    """The result of the last `find_processes`; a single process before that."""
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
    """Make a folder that is deleted when this process ends, also by `end_at_once`."""
    _SCRATCH.append(tempfile.TemporaryDirectory(prefix="run-"))
    return Path(_SCRATCH[-1].name)


def end_at_once(status: int) -> None:
    """End this process without cleanup, if it is one of several, so that the others end as well.

    In an orderly exit a framework would wait for the others, while they wait for the next message.
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
    """Make mpiexec end the other processes, which may be waiting for this one to start."""
    with contextlib.suppress(ImportError):
        import mpi4py.MPI

        mpi4py.MPI.COMM_WORLD.Abort(status)


def _read_cluster(text: str) -> Processes:
    """Read TF_CONFIG: a cluster of workers, and the index of this one."""
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
