"""A disk that fills up under a tool: one line, what was there stays, nothing is left half-written.

A limit on the size of files does what a full disk does. Runs: test_bad_input.py, test_survival.py;
downloads: test_download.py.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import UserError
from common.files import write_text
from tests.support.ports import chosen_ports, environment
from tools.exercise.__main__ import start
from tools.exercise.sheet import choose
from tools.library.scripts import ROOT


def limited(size: int, *command: object) -> subprocess.CompletedProcess[str]:
    """Run Python where no file can have more than so many bytes."""
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error")]
    return error


def test_the_site(tmp_path: Path) -> None:
    """The pictures of the docs are too large; the earlier site stays."""
    out = tmp_path / "site"
    write_text(tmp_path / "notes", "mine")
    out.mkdir()
    (out / "index.html").write_text("old")
    program = (
        "import sys; from pathlib import Path; from common.run import launch;"
        "from tools.site.__main__ import build; launch(lambda: build(Path(sys.argv[1])))"
    )
    said = one_line(limited(200_000, "-c", program, out))
    assert "File too large" in said
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["index.html", "notes", "site"]
    assert (out / "index.html").read_text() == "old"


def test_an_exercise_that_is_begun(tmp_path: Path) -> None:
    command = ["-m", "tools.exercise", "start", "gan", "--framework", "pytorch", "--out", tmp_path]
    assert "File too large" in one_line(limited(500, *command))
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.skipif("chainer" not in chosen_ports(), reason="Chainer is not among QUARTET_PORTS")
def test_an_exercise_that_is_graded(tmp_path: Path) -> None:
    """The answer's own run has no room; the learner's file is as it was."""
    path = start(choose("gan", "chainer", 1, None), "en", tmp_path)
    before = path.read_text()
    assert "the answer itself did not run" in one_line(
        limited(100_000, "-m", "tools.exercise", "check", path)
    )
    assert path.read_text() == before
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]


def test_a_hint_that_cannot_be_noted(tmp_path: Path) -> None:
    path = start(choose("gan", "pytorch", 1, None), "en", tmp_path)
    before = path.read_text()
    assert "cannot write" in one_line(limited(10, "-m", "tools.exercise", "hint", path))
    assert path.read_text() == before


def test_a_disk_is_named_full_and_a_folder_is_not(tmp_path: Path) -> None:
    """`free some space` is said of what space would mend."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Not a directory; use another") as raised:
        write_text(tmp_path / "file" / "notes", "mine")
    assert "free some space" not in str(raised.value)
