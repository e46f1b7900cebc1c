"""The exception whose message users see, and warnings."""

import sys


class UserError(Exception):
    """An input of the user's cannot be used; the message is one line, shown without a traceback.

    The message says what was given, what is accepted and what to do. Scripts exit with status 2.
    """


def warn(message: str) -> None:
    """Print a warning in one line on stderr; the run continues."""
    print("warning: " + " ".join(message.split()), file=sys.stderr)
