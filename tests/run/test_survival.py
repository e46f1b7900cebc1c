"""Runs that are stopped at any moment can be finished, and end as if they never had been."""

from __future__ import annotations

import gc
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from common.run import checkpoint
from tests.support.little_run import Grey, make_run, rows, train
from tests.support.ports import ROOT

FLAGS = "--steps 4 --log-every 1 --sample-every 2 --checkpoint-every 2"
FILES = {
    *("config.json", "metrics.csv", "samples", "samples.webp", "losses.png", "tensorboard"),
    *("checkpoint.safetensors", "optimizer-4.safetensors"),
}


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Killed(BaseException):
    """Nothing catches it, as nothing catches a kill."""


def replace_files_and_die(
    monkeypatch: pytest.MonkeyPatch, moment: int, after: bool
) -> Callable[[], int]:
    """Let the process die at a file that is put into its place, before or after that.

    Returns:
        How many files have been put into their places.
    """
    real, count = os.replace, 0

    def replace(source: Path, target: Path) -> None:
        nonlocal count
        count += 1
        if count == moment and not after:
            raise Killed
        real(source, target)
        if count == moment:
            raise Killed

    monkeypatch.setattr(os, "replace", replace)
    return lambda: count


def attempt(flags: str) -> bool:
    """Run; whether it came to its end."""
    try:
        train(*make_run(flags))
        return True
    except Killed:
        return False
    finally:
        gc.collect()  # the process would be gone, and its lock with it


def check_whole() -> None:
    """The run folder is as an undisturbed run leaves it."""
    assert {path.name for path in Path("run").iterdir()} == FILES
    kept = checkpoint.load(Path("run/checkpoint.safetensors"))
    assert kept.metadata["step"] == 4
    assert (kept.arrays["net.w"] == 4).all()
    table = rows(Path("run/metrics.csv"))
    assert [row["step"] for row in table] == list("1234")
    assert [row["loss"] for row in table] == ["0.333333343", "0.666666687", "1.0", "1.33333337"]
    pictures = {path.name for path in Path("run/samples").iterdir()}
    assert pictures >= {"000002.png", "000004.png"}
    assert pictures <= {"000000.png", "000002.png", "000004.png"}


def count_files() -> int:
    with pytest.MonkeyPatch.context() as patch:
        count = replace_files_and_die(patch, 0, after=False)
        assert attempt(FLAGS)
        return count()


def test_a_run_killed_at_any_file_can_be_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    files = count_files()
    check_whole()
    assert files >= 12
    for moment in range(1, files + 1):
        for after in (False, True):
            subprocess.run(["rm", "-r", "run"], check=True)
            with pytest.MonkeyPatch.context() as patch:
                replace_files_and_die(patch, moment, after)
                assert not attempt(FLAGS)
            if Path("run/checkpoint.safetensors").exists():
                assert attempt(f"{FLAGS} --resume")
            else:
                assert attempt(FLAGS)
            check_whole()


def test_ctrl_c_before_the_first_step_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    run, _ = make_run(FLAGS)
    monkeypatch.setattr(Grey, "draw", interrupt)
    with pytest.raises(KeyboardInterrupt):
        next(run.batches())
    assert not Path("run").exists()


def test_what_a_killed_run_was_writing_is_taken_away(capsys: pytest.CaptureFixture[str]) -> None:
    train(*make_run(FLAGS))
    left = [".checkpoint-abc_defg.safetensors", "samples/.000002-12345678.png"]
    own = [".checkpoint.safetensors", "samples/holiday.png", ".notes-12345678.txt"]
    for name in (*left, *own):
        Path("run", name).write_bytes(b"half")
    Path("run/samples/000001.png").write_bytes(b"half")
    Image.new("RGB", (3, 5)).save("run/samples/000003.png")
    train(*make_run("--steps 5 --resume"))
    assert not [name for name in left if Path("run", name).exists()]
    assert all(Path("run", name).read_bytes() == b"half" for name in own)
    said = capsys.readouterr().err
    assert "000001.png: cannot be read" in said
    assert "000003.png: differs in size from the last picture" in said
    with Image.open("run/samples.webp") as film:
        assert film.format == "WEBP"


def test_a_folder_of_pictures_may_move() -> None:
    Path("old").mkdir()
    random = np.random.default_rng(0)
    for index in range(5):
        pixels = random.integers(0, 256, (9, 9, 3), np.uint8)
        Image.fromarray(pixels).save(f"old/{index}.png")
    train(*make_run("--dataset folder:old/ --steps 2"))
    os.rename("old", "new")
    train(*make_run("--dataset folder:new --resume --steps 3"))
    with pytest.raises(UserError, match="--dataset digits: the checkpoint was made with folder:"):
        make_run("--dataset digits --resume --steps 4")


@pytest.mark.parametrize(
    ("flag", "value", "earlier"),
    [
        ("dataset", "digits", "newts"),
        ("image-size", "16", "8"),
        ("batch-size", "4", "2"),
        ("learning-rate", "0.001", "0.0002"),
        ("seed", "1", "0"),
        ("precision", "float64", "float32"),
    ],
)
def test_what_would_change_the_result_is_refused(flag: str, value: str, earlier: str) -> None:
    """With the difference named; the value that it has may be said again."""
    train(*make_run("--steps 1"))
    message = f"--{flag} {value}: the checkpoint was made with {earlier}"
    with pytest.raises(UserError, match=message):
        make_run(f"--resume --steps 2 --{flag} {value}")
    gc.collect()
    train(*make_run(f"--resume --steps 2 --{flag} {earlier}"))


# Two runs in one folder.


def test_only_one_run_works_in_a_folder() -> None:
    first, _ = make_run(FLAGS)
    second, _ = make_run(FLAGS)  # both found the folder free
    training = first.batches()
    next(training)
    before = {path: path.stat().st_mtime_ns for path in Path("run").rglob("*")}
    with pytest.raises(UserError, match="run: another run is using it; wait until it ends"):
        next(second.batches())
    with pytest.raises(UserError, match="another run is using it"):
        make_run(f"{FLAGS} --resume")
    assert {path: path.stat().st_mtime_ns for path in Path("run").rglob("*")} == before


def test_the_later_of_two_runs_does_not_overwrite_the_earlier() -> None:
    first, net = make_run(FLAGS)
    second, _ = make_run(FLAGS)
    train(first, net)
    with pytest.raises(UserError, match="already holds a run"):
        next(second.batches())
    check_whole()


def test_of_two_runs_that_start_at_one_moment_one_wins() -> None:
    """Whatever the moment: twenty times, up to 40 milliseconds apart."""
    context = multiprocessing.get_context("fork")
    for number in range(20):
        starters = [
            context.Process(target=start_later, args=(wait, f"said-{index}"))
            for index, wait in enumerate((0, 0.002 * number))
        ]
        for process in starters:
            process.start()
        for process in starters:
            process.join(60)
        said = [Path(f"said-{index}").read_text() for index in range(2)]
        assert sorted(map(bool, said)) == [False, True], said
        assert "already holds a run" in max(said) or "another run is using it" in max(said)
        check_whole()
        shutil.rmtree("run")


def start_later(wait: float, said: str) -> None:
    """Be a run in a process of its own; note the error that it ends with, if one does."""
    time.sleep(wait)
    try:
        train(*make_run(FLAGS))
        message = ""
    except UserError as error:
        message = str(error)
    Path(said).write_text(message)


def test_a_folder_is_free_when_its_run_has_ended_or_died() -> None:
    train(*make_run(FLAGS))
    train(*make_run("--steps 5 --resume"))
    held = (
        "import sys; from pathlib import Path; from common.run.folder import RunFolder;"
        "folder = RunFolder(Path('run')); folder.lock();"
        "print('locked', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", held],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    with pytest.raises(UserError, match="another run is using it"):
        make_run("--steps 6 --resume")
    process.kill()
    process.communicate()
    train(*make_run("--steps 6 --resume"))


def test_drawing_that_is_stopped_leaves_a_run_in_the_folder_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train(*make_run("--steps 1"))
    os.rename("run", "trained")
    Path("run").mkdir()
    drawing, _ = make_run("--generate 1 --from trained/checkpoint.safetensors")

    def interrupt(*_: object) -> None:
        Path("run/optimizer-2.safetensors").write_text("another run's")
        Path("run/generated").mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(Grey, "generate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        drawing.generate()
    assert [path.name for path in Path("run").iterdir()] == ["optimizer-2.safetensors"]


# A full disk.


def test_a_disk_that_fills_up_ends_the_run_wherever_it_is() -> None:
    """A file-size limit, which TensorBoard's file is the first to reach."""
    program = (
        "import resource, sys; sys.path.insert(0, '.');"
        "import os; from tests.support.little_run import make_run, train;"
        "from common.run import launch;"
        "os.chdir(sys.argv[1]); run = make_run('--steps 100000 --log-every 1');"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60000, 60000));"
        "launch(lambda: train(*run))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, os.getcwd()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: cannot write run/tensorboard: File too large"), last
    kept = checkpoint.load(Path("run/checkpoint.safetensors"))
    assert np.isfinite(kept.arrays["net.w"]).all()
    assert not list(Path("run").glob(".*"))
