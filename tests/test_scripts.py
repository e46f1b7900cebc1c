"""DCGAN's scripts from the command line: train, resume, generate, exchange checkpoints, refuse.

Each framework runs the same command lines in one process of its own, in a folder of its own.
"""

from __future__ import annotations

import csv
import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from ports import Answer, chosen_ports, run_commands, side_by_side

PORTS = chosen_ports()
SMALL = [
    *("--image-size", "16", "--batch-size", "8"),
    *("--log-every", "1", "--sample-every", "2", "--checkpoint-every", "2"),
]
TRAINING = {
    "straight": [*SMALL, "--steps", "4", "--out", "straight"],
    "again": [*SMALL, "--steps", "4", "--out", "straight"],
    "part": [*SMALL, "--steps", "2", "--out", "parts"],
    "rest": ["--steps", "4", "--out", "parts", "--resume"],
    "done": ["--out", "parts", "--resume"],
    "other": ["--steps", "6", "--out", "parts", "--resume", "--batch-size", "4"],
    "initial": [*SMALL, "--steps", "0", "--out", "initial"],
    "diverging": [*SMALL, "--steps", "9", "--out", "diverging", "--learning-rate", "1e30"],
    "learning": [
        *("--image-size", "32", "--batch-size", "8", "--steps", "20", "--out", "learning"),
        *("--log-every", "1", "--sample-every", "20"),
    ],
    "gpu": [*SMALL, "--steps", "1", "--out", "gpu", "--device", "gpu"],
}


def of_dcgan(commands: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: ["dcgan", *command] for name, command in commands.items()}


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scripts")


@pytest.fixture(scope="session")
def training(root: Path) -> dict[str, dict[str, Answer]]:
    """The answers to TRAINING, by port."""
    return side_by_side(lambda port: run_commands(port, root / port, of_dcgan(TRAINING)), PORTS)


@pytest.fixture(scope="session")
def exchange(root: Path, training: dict[str, dict[str, Answer]]) -> dict[str, dict[str, Answer]]:
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
        *["--image-size", "32", "--steps", "0", "--out", "bad-size"],
        *["--init-from", str(bad / "whole.safetensors")],
    ]
    return side_by_side(lambda port: run_commands(port, root / port, of_dcgan(commands)), PORTS)


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def one_line(answer: Answer) -> str:
    """The error that a command ended with: one line, exit status 2, no traceback."""
    assert answer.status == 2, answer.stderr
    lines = [line for line in answer.stderr.splitlines() if "step/s" not in line and line.strip()]
    lines = [line for line in lines if "diversity" not in line]
    assert len(lines) == 1, answer.stderr
    return lines[0]


@pytest.mark.parametrize("port", PORTS)
def test_a_run_leaves_its_folder(training: dict[str, dict[str, Answer]], port: str) -> None:
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
def test_a_run_is_not_overwritten(training: dict[str, dict[str, Answer]], port: str) -> None:
    message = one_line(training[port]["again"])
    assert "--resume" in message
    assert "--out" in message


@pytest.mark.parametrize("port", PORTS)
def test_resume_goes_on_as_if_never_stopped(
    training: dict[str, dict[str, Answer]], port: str
) -> None:
    """Two steps and two more give the very weights that four steps give."""
    folder = training[port]["rest"].folder
    assert training[port]["rest"].status == 0, training[port]["rest"].stderr
    straight = load_file(folder / "straight" / "checkpoint.safetensors")
    parts = load_file(folder / "parts" / "checkpoint.safetensors")
    assert set(straight) == set(parts)
    for name, array in straight.items():
        np.testing.assert_allclose(parts[name], array, atol=1e-6, err_msg=name)
    losses = [
        [row["generator_loss"] for row in rows(folder / part)] for part in ("straight", "parts")
    ]
    np.testing.assert_allclose(*[np.array(part, float) for part in losses], rtol=1e-4)


@pytest.mark.parametrize("port", PORTS)
def test_resume_refuses_what_it_cannot_go_on_with(
    training: dict[str, dict[str, Answer]], port: str
) -> None:
    assert "already reached step 4" in one_line(training[port]["done"])
    assert "made with 8" in one_line(training[port]["other"])


@pytest.mark.parametrize("port", PORTS)
def test_steps_0_writes_the_initial_checkpoint(
    training: dict[str, dict[str, Answer]], port: str
) -> None:
    """Weights start as the paper has them: N(0, 0.02), norms' scales N(1, 0.02), biases 0."""
    answer = training[port]["initial"]
    assert answer.status == 0, answer.stderr
    for name, array in load_file(answer.folder / "initial" / "checkpoint.safetensors").items():
        if name.endswith("running_var"):
            assert (array == 1).all(), name
        elif name.endswith(("bias", "running_mean")):
            assert (array == 0).all(), name
        else:
            mean = 1 if "norm" in name else 0
            error = 0.02 / np.sqrt(array.size)
            assert abs(array.mean() - mean) < 5 * error, name
            assert abs(array.std() - 0.02) < 5 * error, name


@pytest.mark.parametrize("port", PORTS)
def test_losses_behave(training: dict[str, dict[str, Answer]], port: str) -> None:
    """On newts both losses stay finite, D's falls, and G's pictures move away from grey."""
    answer = training[port]["learning"]
    assert answer.status == 0, answer.stderr
    table = rows(answer.folder / "learning")
    losses = np.array([[row["discriminator_loss"], row["generator_loss"]] for row in table], float)
    assert losses.shape == (20, 2)
    assert np.isfinite(losses).all()
    assert losses[-5:, 0].mean() < 0.75 * losses[:5, 0].mean()
    contrast = []
    for name in ("000000.png", "000020.png"):
        picture = np.asarray(Image.open(answer.folder / "learning" / "samples" / name))
        contrast.append(np.abs(picture[2:34, 2:34].astype(float) - 127.5).mean())
    assert contrast[0] < 5
    assert contrast[1] > 15


def test_layers_of_one_shape_start_unlike(training: dict[str, dict[str, Answer]]) -> None:
    """An initialiser that draws the same numbers twice is a trap of Keras."""
    for port in PORTS:
        folder = training[port]["initial"].folder
        arrays = load_file(folder / "initial" / "checkpoint.safetensors")
        scales = [arrays[f"generator.norm{n}.weight"][:128] for n in (1, 2, 3, 4)]
        for a, b in itertools.pairwise(scales):
            assert abs(np.corrcoef(a, b)[0, 1]) < 0.5, port


@pytest.mark.parametrize("port", PORTS)
def test_a_loss_that_is_not_finite_stops_the_run(
    training: dict[str, dict[str, Answer]], port: str
) -> None:
    answer = training[port]["diverging"]
    message = one_line(answer)
    assert message.startswith("error: step ")
    assert "checkpoint, of step 0" in message
    kept = load_file(answer.folder / "diverging" / "checkpoint.safetensors")
    assert all(np.isfinite(array).all() for array in kept.values())


@pytest.mark.parametrize("port", PORTS)
def test_a_missing_gpu_is_said(training: dict[str, dict[str, Answer]], port: str) -> None:
    answer = training[port]["gpu"]
    if answer.status == 0:
        return  # a machine with a GPU
    assert "finds no GPU" in one_line(answer)
    assert not (answer.folder / "gpu").exists()


@pytest.mark.parametrize("port", PORTS)
def test_every_framework_draws_from_every_checkpoint(
    exchange: dict[str, dict[str, Answer]], port: str
) -> None:
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
def test_every_framework_starts_from_every_checkpoint(
    exchange: dict[str, dict[str, Answer]], port: str
) -> None:
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
        ("vae", "a checkpoint of vae; this script needs one of dcgan"),
        ("foreign", "not a checkpoint of this suite"),
        ("missing", "no such file"),
        ("size", "tensor generator.dense.weight has shape (256, 100)"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(
    exchange: dict[str, dict[str, Answer]], port: str, command: str, message: str
) -> None:
    answer = exchange[port][command]
    assert message in one_line(answer)
    assert not (answer.folder / f"bad-{command}").exists()
