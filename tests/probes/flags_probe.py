"""Gives every numeric flag of a framework's scripts numbers beyond all sense: `FRAMEWORK`.

Prints how many flags were tried; each number is refused in a line that names the flag, or is one
that the flag can have. What is read of a script before its framework is imported has the same
flags.
"""

from __future__ import annotations

import inspect
import math
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from common import start  # noqa: E402
from common.errors import UserError  # noqa: E402
from common.run import flags  # noqa: E402
from tools.library.scripts import MODELS, load_script  # noqa: E402

NUMBERS = ("0", "-1", "nan", "inf", "-inf", "1e99", "1e-400", "", "many", str(10**30), "0x10")


def main() -> None:
    tried = 0
    for model in MODELS:
        script = load_script(sys.argv[1], model)
        config = script.Config
        early, description = start.read(Path(script.__file__ or ""))
        assert flags._flags(early) == flags._flags(config)
        assert description == inspect.cleandoc(script.__doc__ or "")
        for flag in flags._flags(config):
            if flag.type in (int, float):
                tried += 1
                for number in NUMBERS:
                    check(config, flag, number)
    print(tried)


def check(config: type[flags.Settings], flag: flags._Flag, number: str) -> None:
    arguments = [f"{flag.option}={number}"]
    if flag.name == "generate":
        arguments.append("--from=x")
    try:
        given = flags.given_flags(config, Path("x.py"), "A model.", arguments)
        value, message = getattr(flags.fill(config, given, {}), flag.name), ""
    except UserError as error:
        value, message = 0, str(error)
    least = -math.inf if flag.minimum is None else flag.minimum
    assert flag.option in message or (not message and math.isfinite(value) and value >= least), (
        f"{arguments}: {message or value}"
    )
    assert "\n" not in message


if __name__ == "__main__":
    main()
