"""Runs a script's `main`, and reports errors in one line."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Callable

from common.errors import UserError
from common.processes import end_at_once, this_process
from common.run import memory, output
from common.run.signals import interrupts

# Messages of PyTorch, TensorFlow, JAX, NumPy and CuPy when memory runs out.
NO_MEMORY = re.compile(
    r"can(no|')t allocate memory|unable to allocate|out of memory|OOM when allocating"
    r"|resource_exhausted",
    re.IGNORECASE,
)
# Messages of gloo, NCCL and TensorFlow when another process has ended.
LOST = re.compile(
    r"connection (closed|reset) by peer|collective ops is aborted|remote process exited",
    re.IGNORECASE,
)


def launch(main: Callable[[], None]) -> None:
    """Run a script's `main`, and turn errors into one line and an exit status.

    Status 2: a UserError, lack of memory (reported by a framework or seen by `memory`), or the end
    of another process of the run. Status 130: Ctrl-C. Status 141, without a message: stdout was
    closed, as by `| head`.
    """
    output.prepare()
    with interrupts() as interrupted:
        _launch(main, interrupted)


def _launch(main: Callable[[], None], interrupted: list[int]) -> None:
    try:
        with memory.watched():
            main()
        sys.stdout.flush()
    except UserError as error:
        _end(str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it at exit
        _exit(141)
    except (Exception, KeyboardInterrupt) as error:
        if interrupted or isinstance(error, KeyboardInterrupt):
            print("interrupted", file=sys.stderr)
            _exit(130)
        if this_process().count > 1 and LOST.search(str(error)):
            _end(
                "another process of this run has ended; its own message may say why; continue from "
                "the last checkpoint with --resume"
            )
        if not isinstance(error, MemoryError) and not NO_MEMORY.search(str(error)):
            if this_process().count > 1:
                traceback.print_exc()
                _exit(1)
            raise
        said = " ".join(str(error).split())
        here = f"; this machine has {memory.describe()}" if memory.describe() else ""
        _end(
            f"not enough memory ({said[:200]}{here}); smaller images, batches or networks need less"
        )


def _end(message: str) -> None:
    index = this_process().index
    who = f"process {index}: " if index else ""
    print(f"{who}error: " + " ".join(message.split()), file=sys.stderr)
    _exit(2)


def _exit(status: int) -> None:
    end_at_once(status)
    sys.exit(status)
