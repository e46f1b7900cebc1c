"""How a script is started: its `main`, with errors for people."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable

from common.errors import UserError
from common.run import memory
from common.run.signals import interrupts

# How PyTorch, TensorFlow, JAX, NumPy and CuPy say it, each by an error of its own.
NO_MEMORY = re.compile(
    r"can(no|')t allocate memory|unable to allocate|out of memory|OOM when allocating"
    r"|resource_exhausted",
    re.IGNORECASE,
)


def launch(main: Callable[[], None]) -> None:
    """Run a script's `main`: a UserError becomes one line and exit status 2, Ctrl-C status 130.

    So does want of memory, whether a framework says it or `memory` sees it. A reader that goes
    away, as `| head` does, ends it without a word, with status 141 as the shell has it.
    """
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
        sys.exit(141)
    except (Exception, KeyboardInterrupt) as error:
        if interrupted or isinstance(error, KeyboardInterrupt):
            print("interrupted", file=sys.stderr)
            sys.exit(130)
        if not isinstance(error, MemoryError) and not NO_MEMORY.search(str(error)):
            raise
        said = " ".join(str(error).split())
        here = f"; this machine has {memory.describe()}" if memory.describe() else ""
        _end(
            f"not enough memory ({said[:200]}{here}); smaller images, batches or networks need less"
        )


def _end(message: str) -> None:
    print("error: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(2)
