"""The one exception that a user is meant to see, and warnings."""

import sys


class UserError(Exception):
    """What the user gave cannot be used; the message is one line, shown without a traceback.

    It says what was given, what is accepted and what to do. Scripts end with exit status 2.
    """


def warn(message: str) -> None:
    """Print one line on stderr: what the user should know, though the run goes on."""
    print("warning: " + " ".join(message.split()), file=sys.stderr)
