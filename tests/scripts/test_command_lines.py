"""The scripts from the command line: train, resume, generate, exchange checkpoints, refuse.

What all models share is tested with the fully connected GAN, the quickest that has everything:
two networks, batch norm and noise. Each port runs the same command lines in one process of its own.
"""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from tests.support.ports import DEVICE, Answer, chosen_ports, run_commands, side_by_side

MODEL = "gan"
PORTS = chosen_ports()
SMALL = [
    *("--image-size", "8", "--batch-size", "8"),
    *("--log-every", "1", "--sample-every", "2", "--checkpoint-every", "2"),
]
TRAINING = {
    "straight": [*SMALL, "--steps", "4", "--out", "straight"],
    "again": [*SMALL, "--steps", "4", "--out", "straight"],
    "part": [*SMALL, "--steps", "2", "--out", "parts"],
    "rest": ["--steps", "4", "--out", "parts", "--resume"],
    "none": [*SMALL, "--steps", "0", "--out", "begun"],
    "all": ["--steps", "4", "--out", "begun", "--resume"],
    "done": ["--out", "parts", "--resume"],
    "fewer": ["--steps", "3", "--out", "parts", "--resume"],
    "other": ["--steps", "6", "--out", "parts", "--resume", "--batch-size", "4"],
    "finer": ["--steps", "6", "--out", "parts", "--resume", "--precision", "float64"],
    "diverging": [*SMALL, "--steps", "9", "--out", "diverging", "--learning-rate", "1e30"],
    "gpu": [*SMALL, "--steps", "1", "--out", "gpu", "--device", "gpu"],
    "gigantic": [*SMALL, "--latent-dim", "2000000000", "--out", "gigantic"],
    "rounded": [*SMALL, *("--device", "cpu", "--precision", "tf32", "--out", "rounded")],
}

Answers = dict[str, dict[str, Answer]]


def of_model(commands: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: [MODEL, *command] for name, command in commands.items()}


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scripts")


@pytest.fixture(scope="session")
def training(root: Path) -> Answers:
    """The answers to TRAINING, by port."""
    return side_by_side(lambda port: run_commands(port, root / port, of_model(TRAINING)), PORTS)


@pytest.fixture(scope="session")
def exchange(root: Path, training: Answers) -> Answers:
    """Each port draws from each other's checkpoint, starts from it, and meets bad files."""
    writers = [training[port]["straight"].folder for port in PORTS]
    bad = root / "bad"
    bad.mkdir()
    good = writers[0] / "straight" / "checkpoint.safetensors"
    shutil.copy(good, bad / "whole.safetensors")
    (bad / "truncated.safetensors").write_bytes(good.read_bytes()[:100_000])
    (bad / "text.safetensors").write_text("not a checkpoint\n")
    arrays = load_file(good)
    with safe_open(good, framework="numpy") as file:
        metadata = dict(file.metadata())
    save_file(arrays, bad / "vae.safetensors", metadata | {"model": '"vae"'})
    save_file(arrays, bad / "foreign.safetensors")
    commands = {
        f"draw {writer.name}": [
            *["--generate", "5", "--from", str(writer / "straight" / "checkpoint.safetensors")],
            *["--seed", "1", "--out", f"drawn-{writer.name}"],
        ]
        for writer in writers
    }
    start = [*SMALL, "--steps", "0", "--init-from"]
    commands |= {
        f"start {writer.name}": [
            *start,
            str(writer / "straight" / "checkpoint.safetensors"),
            *["--out", f"from-{writer.name}"],
        ]
        for writer in writers
    }
    for name in ("truncated", "text", "vae", "foreign", "missing"):
        commands[name] = [*start, str(bad / f"{name}.safetensors"), "--out", f"bad-{name}"]
    commands["size"] = [
        *["--image-size", "16", "--steps", "0", "--out", "bad-size"],
        *["--init-from", str(bad / "whole.safetensors")],
    ]
    return side_by_side(lambda port: run_commands(port, root / port, of_model(commands)), PORTS)


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def one_line(answer: Answer) -> str:
    """The error that a command ended with: one line, exit status 2, no traceback.

    Before it there may be what is no error: progress, and pictures that were made.
    """
    assert answer.status == 2, answer.stderr
    assert "Traceback" not in answer.stderr
    errors = [line for line in answer.stderr.splitlines() if "error" in line.lower()]
    assert len(errors) == 1, answer.stderr
    assert errors[0] == answer.stderr.splitlines()[-1]
    return errors[0]


@pytest.mark.parametrize("port", PORTS)
def test_a_run_leaves_its_folder(training: Answers, port: str) -> None:
    answer = training[port]["straight"]
    assert answer.status == 0, answer.stderr
    folder = answer.folder / "straight"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "config.json",
        "metrics.csv",
        "samples",
        "samples.webp",
        "losses.png",
        "checkpoint.safetensors",
        "optimizer-4.safetensors",
        "tensorboard",
    }
    table = rows(folder)
    assert [row["step"] for row in table] == ["1", "2", "3", "4"]
    assert all(np.isfinite(float(row["discriminator_loss"])) for row in table)
    assert all(float(row["images_per_second"]) > 0 for row in table)
    assert [bool(row["diversity"]) for row in table] == [False, True, False, True]
    about = json.loads((folder / "config.json").read_text())
    assert about["framework"] == port.partition("-")[0]
    assert about["settings"]["batch_size"] == 8
    assert about["settings"]["learning_rate"] == 2e-4
    assert len(about["dataset"]["fingerprint"]) == 64
    assert "python" in about["versions"]
    for path in (folder / "losses.png", folder / "samples.webp"):
        with Image.open(path) as picture:
            assert np.asarray(picture.convert("L")).std() > 5
        assert str(Path("straight") / path.name) in answer.stdout
    assert sorted(path.name for path in (folder / "samples").iterdir()) == [
        "000000.png",
        "000002.png",
        "000004.png",
    ]
    assert list((folder / "tensorboard").glob("events*"))


@pytest.mark.parametrize("port", PORTS)
def test_a_run_is_not_overwritten(training: Answers, port: str) -> None:
    message = one_line(training[port]["again"])
    assert "--resume" in message
    assert "--out" in message


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize(("command", "out"), [("rest", "parts"), ("all", "begun")])
def test_resume_goes_on_as_if_never_stopped(
    training: Answers, port: str, command: str, out: str
) -> None:
    """Two steps or none, and the others, give the very weights of four steps, bit for bit."""
    folder = training[port][command].folder
    assert training[port][command].status == 0, training[port][command].stderr
    straight = load_file(folder / "straight" / "checkpoint.safetensors")
    parts = load_file(folder / out / "checkpoint.safetensors")
    assert set(straight) == set(parts)
    for name, array in straight.items():
        np.testing.assert_array_equal(parts[name], array, err_msg=name)
    losses = [[row["generator_loss"] for row in rows(folder / part)] for part in ("straight", out)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("port", PORTS)
def test_resume_at_the_last_step_makes_the_last_files_again(training: Answers, port: str) -> None:
    assert training[port]["done"].status == 0, training[port]["done"].stderr
    assert "already reached step 4" in training[port]["done"].stderr
    assert "curves:" in training[port]["done"].stdout


@pytest.mark.parametrize("port", PORTS)
def test_resume_refuses_what_it_cannot_go_on_with(training: Answers, port: str) -> None:
    assert "already reached step 4" in one_line(training[port]["fewer"])
    assert "made with 8" in one_line(training[port]["other"])
    assert "made with float32" in one_line(training[port]["finer"])


@pytest.mark.parametrize("port", PORTS)
def test_a_loss_that_is_not_finite_stops_the_run(training: Answers, port: str) -> None:
    answer = training[port]["diverging"]
    message = one_line(answer)
    assert message.startswith("error: step ")
    assert "The last good checkpoint is diverging/checkpoint.safetensors" in message
    kept = load_file(answer.folder / "diverging" / "checkpoint.safetensors")
    assert all(np.isfinite(array).all() for array in kept.values())


@pytest.mark.parametrize("port", PORTS)
def test_a_missing_gpu_is_said(training: Answers, port: str) -> None:
    answer = training[port]["gpu"]
    if DEVICE == "gpu":
        assert answer.status == 0, answer.stderr
        return
    assert "finds no GPU" in one_line(answer)
    assert not (answer.folder / "gpu").exists()


@pytest.mark.parametrize("port", PORTS)
def test_what_does_not_fit_into_memory_is_said(training: Answers, port: str) -> None:
    """A terabyte for the first layer."""
    answer = training[port]["gigantic"]
    message = one_line(answer)
    assert message.startswith("error: not enough memory (")
    assert message.endswith(" left); smaller images, batches or networks need less")
    assert not (answer.folder / "gigantic").exists()


@pytest.mark.parametrize("port", PORTS)
def test_products_are_rounded_on_a_gpu_only(training: Answers, port: str) -> None:
    answer = training[port]["rounded"]
    assert "--precision tf32: only GPUs multiply in tf32" in one_line(answer)
    assert not (answer.folder / "rounded").exists()


@pytest.mark.parametrize("port", PORTS)
def test_every_framework_draws_from_every_checkpoint(exchange: Answers, port: str) -> None:
    """The same pictures, within one grey level, as the framework that wrote the checkpoint."""
    for writer in PORTS:
        answer = exchange[port][f"draw {writer}"]
        assert answer.status == 0, answer.stderr
        own = exchange[writer][f"draw {writer}"].folder / f"drawn-{writer}" / "generated.png"
        drawn = answer.folder / f"drawn-{writer}" / "generated.png"
        pictures = [np.asarray(Image.open(path)).astype(int) for path in (own, drawn)]
        assert pictures[0].shape == pictures[1].shape == (2 * 34 + 2, 3 * 34 + 2, 3)
        assert np.abs(pictures[0] - pictures[1]).max() <= 1, writer
        assert pictures[0][2:34, 2:34].std() > 0


@pytest.mark.parametrize("port", PORTS)
def test_every_framework_starts_from_every_checkpoint(exchange: Answers, port: str) -> None:
    for writer in PORTS:
        answer = exchange[port][f"start {writer}"]
        assert answer.status == 0, answer.stderr
        theirs = exchange[writer][f"start {writer}"].folder / "straight" / "checkpoint.safetensors"
        ours = answer.folder / f"from-{writer}" / "checkpoint.safetensors"
        written, read = load_file(theirs), load_file(ours)
        assert set(written) == set(read)
        assert all((written[name] == read[name]).all() for name in written)


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("truncated", "not a whole safetensors file"),
        ("text", "not a whole safetensors file"),
        ("vae", "a checkpoint of vae; this script needs one of gan"),
        ("foreign", "not a checkpoint of this suite"),
        ("missing", "no such file"),
        ("size", "tensor generator.dense4.weight has shape (192, 512)"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(
    exchange: Answers, port: str, command: str, message: str
) -> None:
    answer = exchange[port][command]
    assert message in one_line(answer)
    assert not (answer.folder / f"bad-{command}").exists()
