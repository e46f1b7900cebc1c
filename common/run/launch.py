"""How a script is started: its `main`, with errors for people."""

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

# How PyTorch, TensorFlow, JAX, NumPy and CuPy say it, each by an error of its own.
NO_MEMORY = re.compile(
    r"can(no|')t allocate memory|unable to allocate|out of memory|OOM when allocating"
    r"|resource_exhausted",
    re.IGNORECASE,
)
# How gloo, NCCL and TensorFlow say that there is nobody to answer any more.
LOST = re.compile(
    r"connection (closed|reset) by peer|collective ops is aborted|remote process exited",
    re.IGNORECASE,
)


def launch(main: Callable[[], None]) -> None:
    """Run a script's `main`: a UserError becomes one line and exit status 2, Ctrl-C status 130.

    So does want of memory, whether a framework says it or `memory` sees it, and the end of another
    process that trains with this one. A reader that goes away, as `| head` does, ends it without a
    word, with status 141 as the shell has it.
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
                "another process of this run has ended, and says why if it could; go on from the "
                "last checkpoint by --resume"
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
