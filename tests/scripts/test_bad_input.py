"""What a user can get wrong before training: one clear line, and nothing changed on disk."""

from __future__ import annotations

import dataclasses
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest

from common import files
from common.errors import UserError
from common.run import Run, Settings
from tests.support.ports import (
    FRAMEWORKS,
    PROBES,
    ROOT,
    chosen_ports,
    environment,
    run_probe,
    run_script,
)
from tools.library.scripts import MODELS

SCRIPT = str(ROOT / "pytorch" / "dcgan.py")


@dataclass(frozen=True)
class Config(Settings):
    """As the scripts have it."""

    size_multiple = 16
    excludes = ("mode", "scratch", "weights")

    class_: Annotated[str | None, "class to draw"] = None
    mode: Annotated[str, "what learns", ("finetune", "scratch")] = "finetune"
    weights: Annotated[str, "where a backbone begins"] = "newts"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() if p.is_file() else b"" for p in folder.rglob("*")}


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Give a command line to a run; the error's text, after checking the disk is as it was."""

    def refuse(*arguments: str) -> str:
        monkeypatch.chdir(tmp_path)
        before = contents(tmp_path)
        with pytest.raises(UserError) as error:
            Run(Config, SCRIPT, "A model.", list(arguments))
        assert contents(tmp_path) == before
        assert "\n" not in str(error.value)
        return str(error.value)

    return refuse


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--dataset newtz", "newts, digits, cifar10, mnist, fashion_mnist, kmnist, imori"),
        ("--dataset", "expected one argument"),
        ("--batchsize 3", "did you mean --batch-size?"),
        ("--batch-size many", "invalid int value: 'many'"),
        ("--device tpu", "invalid choice: 'tpu'"),
        ("--image-size 40", "multiple of 16; the nearest: 32 or 48"),
        ("--image-size 5", "--image-size 5: too small; the smallest accepted is 16"),
        ("--image-size 0", "--image-size 0: must be at least 1"),
        ("--steps -1", "--steps -1: must be at least 0"),
        ("--batch-size 1", "--batch-size 1: must be at least 2"),
        ("--image-size 16 --batch-size 5000", "newts has only 4096 training images"),
        ("--learning-rate 0", "must be above 0"),
        ("--learning-rate nan", "must be at least 0"),
        ("--learning-rate inf", "must be at least 0"),
        ("--learning-rate 1e99", "--learning-rate 1e+99: must be at most 1e+30"),
        ("--learning-rate=", "invalid float value: ''"),
        ("--seed 4294967296", "--seed 4294967296: must be below 4294967296"),
        (f"--seed {10**30}", "must be below 4294967296"),
        (f"--image-size {10**12}", "must be below 1048576"),
        ("--image-size 1000000", "newts's images do not fit into memory"),
        (f"--steps {10**30}", "must be below 2147483648"),
        ("--generate 65536 --from x", "x: no such file"),
        ("--init-from=", "--init-from: '': no path is given"),
        ("--generate 1 --from=", "--from: '': no path is given"),
        ("--out=", "--out: '': no path is given"),
        ("--data-dir=", "--data-dir: '': no path is given"),
        ("--out ~nosuchuser/x", "'~nosuchuser/x': there is no such user"),
        ("--dataset folder:~nosuchuser", "'~nosuchuser': there is no such user"),
        ("--out " + 300 * "a", "…': File name too long"),
        ("--init-from " + 300 * "a", "…': File name too long"),
        ("--dataset folder:" + 300 * "a", "…': File name too long"),
        ("--out a\0b", "no file has such a name"),
        ("--log-every 0", "--log-every 0: must be at least 1"),
        ("--seed -1", "--seed -1: must be at least 0"),
        ("--resume", "runs/dcgan-pytorch-newts holds no checkpoint"),
        ("--generate 4", "--generate N and --from FILE go together"),
        ("--from x.safetensors", "--generate N and --from FILE go together"),
        ("--generate 4 --from nothing.safetensors", "nothing.safetensors: no such file"),
        ("--init-from nothing.safetensors", "nothing.safetensors: no such file"),
        ("--generate 0 --from x.safetensors", "--generate 0: must be at least 1"),
        ("--dataset folder:nowhere", "nowhere"),
        ("--class 3", "--class needs --generate and --from FILE"),
        ("--generate --class 3", "--generate N and --from FILE go together"),
        ("--mode scratch --weights imagenet", "--weights imagenet and --mode scratch contradict"),
    ],
)
def test_flags(refused: Callable[..., str], arguments: str, message: str) -> None:
    assert message in refused(*arguments.split())


@pytest.mark.parametrize("framework", [name for name in FRAMEWORKS if name in chosen_ports()])
def test_every_flag_with_numbers_beyond_all_sense(framework: str) -> None:
    probe = PROBES / "flags_probe.py"
    assert int(run_probe(framework, probe, framework)) >= 8 * len(MODELS)


def test_flags_that_contradict_each_other(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    message = refused("--init-from", "a", "--generate", "3", "--from", "b")
    assert "b: no such file" in message


def test_an_out_that_is_a_file(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    assert "taken is a file" in refused("--out", "taken/run")


def test_a_path_that_leads_in_a_circle(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for flag in ("--out", "--init-from", "--data-dir"):
        assert "Too many levels of symbolic links" in refused(flag, "loop")


def test_a_folder_or_a_pipe_is_no_checkpoint(refused: Callable[..., str], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "pipe: a pipe or a device, not a file" in refused("--init-from", "pipe")
    assert ".: a folder, not a file" in refused("--init-from", ".")


def test_a_home_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    flags = ["--out", "~/run", "--dataset", "digits", "--data-dir", "~/data"]
    run = Run(Config, SCRIPT, "A model.", flags)
    assert run.folder.path == tmp_path / "run"
    assert run.config.data_dir == str(tmp_path / "data")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_out_without_permission(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "no permission to write" in refused("--out", "locked/run")


def test_an_out_that_the_system_refuses(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the test above, for root: the answer of the system is made up, the rest is not."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "no permission to write" in refused("--out", "locked/run")


def test_a_folder_that_holds_a_run(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.safetensors").write_text("mine")
    message = refused("--out", "run")
    assert "--resume" in message
    assert "--out" in message


def test_a_truncated_data_file(refused: Callable[..., str], tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    (folder / "data_batch_1.bin").write_bytes(bytes(3073 * 2 + 5))
    (folder / "test_batch.bin").write_bytes(bytes(3073))
    message = refused("--dataset", "cifar10", "--data-dir", str(tmp_path))
    assert "data_batch_1.bin" in message
    assert "3073" in message


def _limit_file_size() -> None:
    # Half a checkpoint: what a disk does that fills up while one is written.
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))


def test_a_full_disk_at_the_start_leaves_nothing(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, SCRIPT, "--image-size", "16", "--steps", "1", "--out", "deep/run"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=_limit_file_size,
    )
    assert run.returncode == 2, run.stderr
    assert re.fullmatch(r"error: cannot write deep/run/\S+: .*\n", run.stderr), run.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "notes.txt"
    files.write_text(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"notes\.txt: No space left on device"):
        files.write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_process_ends_with_status_2_and_one_line(tmp_path: Path) -> None:
    run = run_script("pytorch", "--image-size", "36", cwd=tmp_path)
    assert run.returncode == 2
    assert run.stdout == ""
    assert run.stderr == (
        "error: --image-size 36: must be 4 to 7, doubled any number of times; "
        "the nearest: 32 or 40\n"
    )


def test_help_names_every_flag(tmp_path: Path) -> None:
    run = run_script("pytorch", "--help", cwd=tmp_path)
    assert run.returncode == 0
    for flag in dataclasses.fields(Settings):
        assert "--" + flag.name.rstrip("_").replace("_", "-") in run.stdout
    assert "default: 64" in run.stdout


def test_a_data_set_that_changed_is_not_resumed(tmp_path: Path) -> None:
    """A picture more, and the order of batches would no longer be what it was."""
    from PIL import Image

    pictures = tmp_path / "pictures"
    pictures.mkdir()
    random = np.random.default_rng(0)
    for index in range(12):
        Image.fromarray(random.integers(0, 255, (20, 20, 3), np.uint8)).save(
            pictures / f"{index}.png"
        )
    small = ["--image-size", "16", "--batch-size", "4", "--out", "run"]
    first = run_script(
        "pytorch", "--dataset", f"folder:{pictures}", *small, "--steps", "1", cwd=tmp_path
    )
    assert first.returncode == 0, first.stderr
    shutil.copy(pictures / "3.png", pictures / "12.png")
    second = run_script("pytorch", "--out", "run", "--resume", "--steps", "2", cwd=tmp_path)
    assert second.returncode == 2
    assert "has changed since the run" in second.stderr
