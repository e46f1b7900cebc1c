"""Plays scripts with a mistake against the proof, in a process that has their framework already.

Run as `python tests/proof/fault_player.py FRAMEWORK FOLDER`: FOLDER has what
`tests/proof/parity.py` makes, for STEPS steps. It reads a line of JSON for each script, with
`model` and `text`, and answers with a line of what first shows the mistake; with null if nothing
does.

A script's text is compared with its twins, then its run with the reference's numbers, then what it
draws for initial weights with their description. TensorFlow's functions run line by line here, not
as graphs.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from tests.models import MODELS  # noqa: E402
from tests.proof.comparison import (  # noqa: E402
    check_evaluation,
    check_initial,
    check_losses,
    check_pictures,
    check_weights,
    commands_of,
)
from tests.scripts import test_settings, test_twins  # noqa: E402
from tools.library.scripts import ROOT  # noqa: E402

STEPS = 3
OF_A_SCRIPT = [  # tests of a text, that take a model and a framework
    test_settings.test_settings_are_those_described,
    test_settings.test_every_setting_of_its_own_is_used,
    test_settings.test_a_discriminator_s_step_leaves_the_generator_alone,
]


class Player:
    """Plays scripts of one framework.

    Args:
        framework: which.
        folder: with checkpoints to start from, and the reference's numbers.
    """

    def __init__(self, framework: str, folder: Path) -> None:
        self.framework = framework
        self.folder = folder
        self.answers = os.fdopen(os.dup(1), "w")
        sys.path.insert(0, str(ROOT / framework))
        self._between: Callable[[], Any] = lambda: None
        if framework in ("tensorflow", "keras"):
            import tensorflow as tf

            tf.config.run_functions_eagerly(True)
        if framework == "keras":
            import keras

            self._between = keras.backend.clear_session

    def find(self, model: str, text: str) -> str | None:
        """What first shows a mistake."""
        return self._read(model, text) or self._run(model, text)

    def _read(self, model: str, text: str) -> str | None:
        sources = test_twins.sources(model) | {self.framework: text}
        departures = test_twins.blame(sources)[self.framework]
        if departures:
            return f"test_twins: {min(departures)}"
        test_settings.read = lambda *_: text
        for test in OF_A_SCRIPT:
            if "generator_loss" not in MODELS[model].losses and test is OF_A_SCRIPT[-1]:
                continue
            try:
                test(model, self.framework)
            except (AssertionError, SyntaxError, LookupError) as error:
                return f"test_settings: {_say(error)}"
        return None

    def _run(self, model: str, text: str) -> str | None:
        out = self.folder / f"{self.framework}-runs"
        shutil.rmtree(out, ignore_errors=True)
        commands = commands_of(model, self.folder, STEPS)
        described = MODELS[model]
        expected = dict(np.load(self.folder / f"{model}-reference.npz"))
        try:
            module = self._load(model, text)
            run, printed = self._main(module, commands["proof"], out)
            check_losses(run, expected, described, STEPS)
            check_weights(run, expected)
            check_pictures(run, expected, STEPS)
            check_evaluation(run, expected, printed, described.prints)
            run, _ = self._main(module, commands["initial"], out)
            check_initial(run, model)
        except (Exception, SystemExit) as error:
            return _say(error)
        finally:
            self._between()
        return None

    def _load(self, model: str, text: str) -> Any:
        name = f"{self.framework}_{model}"
        module: Any = ModuleType(name)
        module.__file__ = str(ROOT / self.framework / f"{model}.py")
        sys.modules[name] = module  # its dataclass looks itself up
        exec(compile(text, module.__file__, "exec"), module.__dict__)
        return module

    def _main(self, module: Any, command: list[str], out: Path) -> tuple[Path, str]:
        """The folder of a run by the command line, and what it has printed."""
        run = out / command[-1]
        sys.argv = [module.__file__, *command[1:-1], str(run)]
        printed, said = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
            try:
                module.launch(module.main)
            except SystemExit as error:
                if error.code:
                    raise RuntimeError(" ".join(said.getvalue().split())[-300:]) from error
        return run, printed.getvalue()


def _say(error: BaseException) -> str:
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said[:200]}"


def main() -> None:
    player = Player(sys.argv[1], Path(sys.argv[2]))

    def answer(value: object) -> None:
        print(json.dumps(value), file=player.answers, flush=True)

    answer("ready")
    for line in sys.stdin:
        job = json.loads(line)
        answer(player.find(job["model"], job["text"]))


if __name__ == "__main__":
    main()
