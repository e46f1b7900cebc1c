"""What a user's machine brings along: settings of other programs, no home, an odd encoding."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ports import ROOT, chosen_ports, environment, run_script

SMALL = ["--dataset", "digits", "--batch-size", "4", "--steps", "2", "--log-every", "1"]


def losses(run: Path) -> list[dict[str, str]]:
    with open(run / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: row[name] for name in row if "loss" in name} for row in rows]


@pytest.mark.skipif("keras" not in chosen_ports(), reason="Keras is not among QUARTET_PORTS")
def test_settings_of_keras_itself_do_not_count(tmp_path: Path) -> None:
    """A file that many tutorials tell people to write."""
    settings = '{"image_data_format": "channels_first", "floatx": "float16", "epsilon": 0.1}'
    runs = []
    for home in ("plain", "changed"):
        (tmp_path / home / ".keras").mkdir(parents=True)
        if home == "changed":
            (tmp_path / home / ".keras" / "keras.json").write_text(settings)
        names = {"HOME": str(tmp_path / home), "KERAS_HOME": str(tmp_path / home / ".keras")}
        done = run_script("keras", *SMALL, "--filters", "4", "--out", home, cwd=tmp_path, **names)
        assert done.returncode == 0, done.stderr
        runs.append(losses(tmp_path / home))
    assert runs[0] == runs[1]


@pytest.mark.parametrize("backend", ["numpy", "openvino", "theano"])
def test_a_backend_of_keras_that_cannot_train(tmp_path: Path, backend: str) -> None:
    script = [sys.executable, str(ROOT / "keras" / "gan.py"), *SMALL, "--out", "run"]
    names = environment() | {"KERAS_BACKEND": backend}
    done = subprocess.run(
        script, cwd=tmp_path, env=names, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == (
        f"error: KERAS_BACKEND={backend}: cannot train here; set tensorflow, torch or jax\n"
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "names",
    [
        {"MPLBACKEND": "module://matplotlib_inline.backend_inline"},  # from a notebook's shell
        {"MPLBACKEND": "module://no_such_module"},
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_surroundings_that_do_not_count(tmp_path: Path, names: dict[str, str]) -> None:
    """With a folder whose name an ASCII terminal cannot show."""
    done = run_script(
        "pytorch",
        *SMALL,
        "--image-size",
        "8",
        "--out",
        "絵",
        cwd=tmp_path,
        model="gan",
        **names,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "絵" / "losses.png").exists()


OTHER = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"]  # as no user is called


def can_be_another() -> bool:
    """Whether this process may become another user, who can run this Python."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return False
    command = [*OTHER, sys.executable, "-c", f"open({str(ROOT / 'README.md')!r})"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


as_another = pytest.mark.skipif(not can_be_another(), reason="only root can become another user")


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder for everybody; pytest's own may not be entered by others."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        yield Path(folder)


def run_as_another(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    names = {name: value for name, value in environment().items() if name not in ("HOME", "USER")}
    return subprocess.run(
        [*OTHER, sys.executable, *command],
        cwd=folder,
        env=names | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@as_another
def test_a_user_without_a_home(shared: Path) -> None:
    """As in many containers: a number that /etc/passwd does not have."""
    script = str(ROOT / "pytorch" / "gan.py")
    done = run_as_another(shared, script, *SMALL, "--image-size", "8", "--out", "run")
    assert done.returncode == 0, done.stderr
    assert (shared / "run" / "losses.png").exists()


CLOSED = "closed/file"  # in a folder that the user may not enter


@as_another
@pytest.mark.parametrize(
    "command",
    [
        ["gan", *SMALL, "--out", CLOSED],
        ["gan", *SMALL, "--out", CLOSED, "--resume"],
        ["gan", *SMALL, "--init-from", CLOSED],
        ["gan", "--generate", "4", "--from", CLOSED],
        ["gan", "--data-dir", CLOSED, "--dataset", "mnist"],
        ["gan", "--dataset", f"folder:{CLOSED}"],
        ["pix2pix", "--task", "pairs", "--dataset", f"folder:{CLOSED}"],
        ["cyclegan", "--dataset", f"folder:{CLOSED}"],
        ["transfer", "--dataset", f"folder:{CLOSED}"],
        ["pix2pix", "--generate", "--from", "weights", "--input", CLOSED],
        ["pix2pix", "--generate", "--from", CLOSED, "--input", CLOSED],
        ["-m", "tools.evaluate", "gan", "--from", CLOSED],
        ["-m", "tools.evaluate", "gan", "--from", "weights", "--data-dir", CLOSED],
        ["-m", "tools.compare", "gan", "--run", CLOSED],
        ["-m", "tools.compare", "gan", "--out", CLOSED],
        ["-m", "tools.exercise", "--out", CLOSED, "start", "gan", "--framework", "pytorch"],
        ["-m", "tools.exercise", "check", CLOSED],
    ],
    ids=" ".join,
)
def test_a_folder_that_may_not_be_entered(shared: Path, command: list[str]) -> None:
    (shared / "closed").mkdir(mode=0o700)
    if command[0] != "-m":
        command = [str(ROOT / "pytorch" / f"{command[0]}.py"), *command[1:]]
    done = run_as_another(shared, *command)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert "closed" in last
    assert "ermission" in last, last
