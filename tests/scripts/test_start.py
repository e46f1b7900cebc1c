"""Before a framework is imported: help, wrong flags, a framework that is missing, and Ctrl-C."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from common.frameworks import PACKAGES
from common.run import launch
from common.run.signals import stop_signals
from tests.support.ports import FRAMEWORKS, environment
from tools.library.scripts import MODELS, ROOT

SCRIPTS = [str(ROOT / framework / f"{model}.py") for framework in FRAMEWORKS for model in MODELS]
MODULES = [packages[0] for packages in PACKAGES.values()]  # as they are imported

# Runs scripts with a command line, where importing a framework is an error.
WITHOUT = """
import contextlib, io, json, runpy, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        assert name.partition(".")[0] not in modules, f"{name} is imported"

scripts, modules, arguments = map(json.loads, sys.argv[1:])
sys.meta_path.insert(0, Refuse())
said = {}
for script in scripts:
    sys.argv = [script, *arguments]
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            runpy.run_path(script, run_name="__main__")
    except SystemExit as stop:
        said[script] = stop.code, out.getvalue(), err.getvalue()
print(json.dumps(said))
"""

# As if a module were not installed; folders of that name are found where Python finds them.
HIDING = """
import sys
from importlib.machinery import PathFinder

class Hide(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name == "{module}":
            path = [place for place in sys.path if "site-packages" not in place]
        return super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Hide
"""


def run_without_frameworks(*arguments: str) -> dict[str, tuple[int, str, str]]:
    """Each script's exit status, and what it prints on stdout and stderr."""
    given = [json.dumps(each) for each in (SCRIPTS, MODULES, arguments)]
    process = subprocess.run(
        [sys.executable, "-c", WITHOUT, *given], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    said = json.loads(process.stdout)
    assert list(said) == SCRIPTS
    return said


def test_help_needs_no_framework() -> None:
    for script, (status, out, err) in run_without_frameworks("--help").items():
        assert (status, err) == (0, "")
        assert out.startswith(f"usage: {Path(script).parent.name}/{Path(script).name}")
        assert "Paper:" in out
        assert "--learning-rate" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stpes", "3"], "error: unknown argument --stpes: did you mean --steps?\n"),
        (["--batch-size", "0"], "error: --batch-size 0: must be at least "),
        (["--generate", "3"], "error: --generate N and --from FILE go together"),
    ],
)
def test_a_wrong_flag_needs_no_framework(arguments: list[str], message: str) -> None:
    for status, out, err in run_without_frameworks(*arguments).values():
        assert (status, out) == (2, "")
        assert err.startswith(message)
        assert err.count("\n") == 1


def start(framework: str, fakes: Path, **more: str) -> subprocess.Popen[str]:
    """Start a script where packages of that folder stand in for the installed ones."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / framework / "vae.py"), "--out", str(fakes / "run")],
        env=environment(framework, PYTHONPATH=str(fakes)) | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_ctrl_c_while_the_framework_is_imported(framework: str, tmp_path: Path) -> None:
    for module in MODULES:
        (tmp_path / module).mkdir()
        (tmp_path / module / "__init__.py").write_text(
            "import time\nprint('importing', flush=True)\n"
            "try:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    raise SystemError('odd')\n"
        )
    process = start(framework, tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "interrupted\n")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("framework", "backend", "missing"),
    [
        ("pytorch", "", "torch"),
        ("tensorflow", "", "tensorflow"),
        ("keras", "tensorflow", "keras"),
        ("keras", "jax", "jax"),
        ("chainer", "", "chainer"),
    ],
)
def test_a_framework_that_is_not_installed(
    framework: str, backend: str, missing: str, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(HIDING.format(module=missing))
    process = start(framework, tmp_path, **({"KERAS_BACKEND": backend} if backend else {}))
    _, errors = process.communicate(timeout=30)
    assert errors == f"error: {missing} is not installed; docs/installation.md says how\n"
    assert process.returncode == 2


def test_an_interrupt_that_comes_out_as_another_error(capsys: pytest.CaptureFixture[str]) -> None:
    """As native code may have it: TensorFlow has made it a SystemError."""

    def main() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise SystemError("bad argument to internal function") from None

    with pytest.raises(SystemExit) as stop:
        launch(main)
    assert stop.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_an_interrupt_that_comes_to_nothing_stops_the_loop() -> None:
    """As Python has it while it collects garbage, and TensorFlow now and then."""

    def main() -> None:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with stop_signals() as stopped:
            assert stopped

    launch(main)
    with stop_signals() as stopped:
        assert not stopped, "an earlier program's"


def test_another_error_is_shown_as_it_is() -> None:
    def main() -> None:
        raise SystemError("bad argument to internal function")

    with pytest.raises(SystemError):
        launch(main)
