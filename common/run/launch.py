"""How a script is started: its `main`, with errors for people."""

from __future__ import annotations

import sys
from collections.abc import Callable

from common.errors import UserError


def launch(main: Callable[[], None]) -> None:
    """Run a script's `main`: a UserError becomes one line and exit status 2, Ctrl-C status 130."""
    try:
        main()
    except UserError as error:
        message = " ".join(str(error).split())
        print(f"error: {message}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
