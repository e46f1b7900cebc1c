"""Every port is the model that the papers describe: their numbers are those of plain NumPy.

Each port's scripts are run from the command line in float64, from a checkpoint that the tests make,
for 50 steps; tests/reference/autograd.py trains the same model on the same batches and noise. In
float64 rounding stays some orders of magnitude below any real departure, on any machine (see
docs/equality.md), so one small bound serves for all models and all ports.

QUARTET_STEPS takes other numbers of steps than 50, for a quick look.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from common.data import Task
from tests.models import MODELS
from tests.models.description import Config, Model, as_flags
from tests.proof.parity import load_data, save_start
from tests.support.ports import (
    DEVICE,
    Answer,
    chosen_ports,
    environment,
    run_commands,
    side_by_side,
)
from tools.library.scripts import ROOT

STEPS = int(os.environ.get("QUARTET_STEPS", "50"))
LOSSES = 1e-9  # relative
WEIGHTS = 1e-8
SINGLE = 1e-4  # relative, of the losses of one step in float32
MIXED = 0.1  # in mixed precision, where a factor has an error of 1/512 at most
PORTS = chosen_ports()

# JAX takes minutes to compile them all, and the scripts are Keras', which two other ports prove. It
# proves all if QUARTET_PORTS names it.
ON_JAX = ("vae", "dcgan", "wgan_gp", "transfer")


def proven(port: str) -> list[str]:
    """The models that a port proves."""
    some = port == "keras-jax" and "QUARTET_PORTS" not in os.environ
    return [name for name in MODELS if name in ON_JAX or not some]


each_model = pytest.mark.parametrize("model", MODELS)
each_run = pytest.mark.parametrize(
    ("model", "port"), [(model, port) for port in PORTS for model in proven(port)]
)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the checkpoints lie that all start from."""
    folder = tmp_path_factory.mktemp("parity")
    for name in MODELS:
        save_start(name, folder)
    return folder


def initial_config(model: Model) -> Config:
    """Another data set than by default: it has other numbers of channels and classes."""
    grey = type(model.task(model.defaults)) is Task and model.defaults["dataset"] != "digits"
    size = model.proof["image_size"]
    other = {"image_size": size, "dataset": "digits" if grey else "newts"}
    return model.defaults | other | model.from_chance


MIXED_IN = {  # models whose step is tried in mixed precision
    "pytorch": list(MODELS),
    "tensorflow": ["vae", "dcgan", "wgan_gp", "transfer"],  # all layers that multiply
    "keras": ["dcgan"],
    "keras-jax": ["dcgan"],
    "keras-torch": list(MODELS),
}


def trained(port: str, kind: str) -> list[str]:
    """The models that a port trains a step of: `single` or `mixed`."""
    some = list(MODELS)
    if kind == "mixed" and DEVICE == "cpu":
        some = MIXED_IN.get(port, [])
    elif kind == "single" and port in ("keras", "keras-jax"):
        # Compiling takes long, and Keras' scripts are all tried on PyTorch, which does not compile.
        some = ["dcgan"]
    return [name for name in proven(port) if name in some]


def commands_of(name: str, folder: Path) -> dict[str, list[str]]:
    """A proof in float64, a step in float32, one in mixed precision, and initial weights."""
    flags = [name, *MODELS[name].flags, "--seed", "1", "--checkpoint-every", "1000000"]
    start = ["--init-from", str(folder / f"{name}.safetensors"), "--log-every", "1"]
    proof = ["--precision", "float64", "--steps", str(STEPS), "--sample-every", str(STEPS)]
    initial = initial_config(MODELS[name])
    named = ("dataset", "image_size", *MODELS[name].from_chance)
    others = as_flags({key: initial[key] for key in named})
    return {
        f"{name} proof": [*flags, *start, *proof, "--out", f"{name}-proof"],
        f"{name} single": [*flags, *start, "--steps", "1", "--out", f"{name}-single"],
        f"{name} mixed": [
            *[*flags, *start, "--steps", "1", "--precision", "bfloat16"],
            *["--out", f"{name}-mixed"],
        ],
        f"{name} initial": [name, *others, "--steps", "0", "--out", f"{name}-initial"],
    }


def ports_and_models(kind: str) -> list[tuple[str, str]]:
    return [
        (port, model)
        for port in PORTS
        for model in trained(port, kind)
        if (port, kind) != ("chainer", "mixed")
    ]


@pytest.fixture(scope="session")
def answers(folder: Path) -> dict[str, dict[str, Answer]]:
    """What each port's command lines did, and in the folder `reference` the reference's numbers."""
    commands: dict[str, list[str]] = {}
    for name in MODELS:
        commands |= commands_of(name, folder)

    def run(port: str) -> dict[str, Answer]:
        if port == "reference":
            program = str(Path(__file__).with_name("parity.py"))
            done = subprocess.run(
                [sys.executable, program, str(folder), str(STEPS)],
                cwd=ROOT,
                env=environment(),
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr[-3000:]
            return {}
        own = {name: each for name, each in commands.items() if name.split()[0] in proven(port)}
        for name in proven(port):
            for kind in ("single", "mixed"):
                refusal = (port, name, kind) == ("chainer", "dcgan", "mixed")
                if name not in trained(port, kind) and not refusal:
                    del own[f"{name} {kind}"]
        # In float64 last, as no user has run it before: Keras mends for it what stays mended.
        names = sorted(own, key=lambda name: name.endswith("proof"))
        return run_commands(port, folder / port, {name: own[name] for name in names})

    return side_by_side(run, ["reference", *PORTS])


@pytest.fixture(scope="session")
def reference(
    folder: Path, answers: dict[str, dict[str, Answer]]
) -> Callable[[str], dict[str, np.ndarray]]:
    """The reference's numbers, by model."""
    return lru_cache(maxsize=2)(lambda name: dict(np.load(folder / f"{name}-reference.npz")))


def read_losses(run: Path) -> dict[str, np.ndarray]:
    with open(run / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    others = {"step", "images_per_second", "diversity", "accuracy"}
    return {n: np.array([row[n] for row in rows], float) for n in rows[0] if n not in others}


def run_of(answers: dict[str, dict[str, Answer]], port: str, command: str) -> Path:
    """The run folder of a command that succeeded."""
    answer = answers[port][command]
    assert answer.status == 0, answer.stderr[-3000:]
    return answer.folder / command.replace(" ", "-")


@each_run
def test_losses_are_those_of_the_papers(answers, reference, model: str, port: str) -> None:
    found = read_losses(run_of(answers, port, f"{model} proof"))
    assert list(found) == sorted(MODELS[model].losses)
    for name, values in found.items():
        expected = reference(model)[f"losses/{name}"]
        assert len(values) == STEPS
        apart = np.abs(values - expected) / np.maximum(np.abs(expected), 1e-3)
        worst = int(apart.argmax())
        assert apart[worst] <= LOSSES, (
            f"{name} of step {worst + 1}: {values[worst]!r}, not {expected[worst]!r}"
        )


@each_run
def test_weights_end_where_the_papers_take_them(answers, reference, model: str, port: str) -> None:
    """All of them: parameters and running averages."""
    found = load_file(run_of(answers, port, f"{model} proof") / "checkpoint.safetensors")
    expected = {
        name.removeprefix("arrays/"): array
        for name, array in reference(model).items()
        if name.startswith("arrays/")
    }
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert found[name].dtype == np.float64
        apart = np.abs(found[name] - array).max()
        assert apart <= WEIGHTS, f"{name}: {apart:.1e} apart"


def check_picture(path: Path, expected: np.ndarray) -> None:
    """A rounding can make one grey level, here and there."""
    with Image.open(path) as file:
        found = np.asarray(file).astype(int)
    assert found.shape == expected.squeeze().shape
    apart = np.abs(found - expected.squeeze())
    assert apart.max() <= 1
    assert apart.mean() < 0.01


@each_run
def test_pictures_are_those_of_the_reference(answers, reference, model: str, port: str) -> None:
    """At the start and at the end."""
    samples = run_of(answers, port, f"{model} proof") / "samples"
    for step in (0, STEPS):
        check_picture(samples / f"{step:06d}.png", reference(model)[f"picture/{step}"])


@each_run
def test_evaluations_are_those_of_the_reference(answers, reference, model: str, port: str) -> None:
    """And all is printed that a run ends with."""
    expected = {
        name.removeprefix("test/"): float(value)
        for name, value in reference(model).items()
        if name.startswith("test/")
    }
    run = run_of(answers, port, f"{model} proof")
    assert (run / "evaluation.json").exists() == bool(expected)
    if expected:
        found = json.loads((run / "evaluation.json").read_text())
        for name, value in expected.items():
            assert found[f"test {name}"] == pytest.approx(value, rel=LOSSES), name
    lines = answers[port][f"{model} proof"].stdout.splitlines()
    for beginning in MODELS[model].prints:
        assert any(line.startswith(beginning) for line in lines), beginning
    untrained = run_of(answers, port, f"{model} initial")
    assert not (untrained / "evaluation.json").exists()


@each_model
def test_every_weight_moves(reference, folder: Path, model: str) -> None:
    """A weight that never moves proves nothing about its gradient."""
    start = load_file(folder / f"{model}.safetensors")
    for name, array in start.items():
        moved = np.abs(reference(model)[f"arrays/{name}"] - array).max()
        assert moved > 100 * WEIGHTS or name in MODELS[model].may_rest, name


@pytest.mark.parametrize(("port", "model"), ports_and_models("single"))
def test_a_step_in_single_precision(answers, reference, model: str, port: str) -> None:
    """What users train in is the same code: losses of one step, and what is drawn before it."""
    run = run_of(answers, port, f"{model} single")
    for name, values in read_losses(run).items():
        expected = reference(model)[f"losses/{name}"][0]
        assert values[0] == pytest.approx(expected, rel=SINGLE, abs=SINGLE), name
    check_picture(run / "samples" / "000000.png", reference(model)["picture/0"])
    arrays = load_file(run / "checkpoint.safetensors")
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(("port", "model"), ports_and_models("mixed"))
def test_a_step_in_mixed_precision(answers, reference, model: str, port: str) -> None:
    """Near the paper's numbers and not on them; what is kept and what is said has 32 bits."""
    run = run_of(answers, port, f"{model} mixed")
    relative = []
    for name, values in read_losses(run).items():
        expected = reference(model)[f"losses/{name}"][0]
        assert values[0] == pytest.approx(expected, rel=MIXED, abs=MIXED), name
        relative.append(np.abs(values[0] - expected) / np.maximum(np.abs(expected), 1e-3))
        # A critic's losses are means of few numbers that have 16 bits.
        assert not in_bfloat16(values) or "wgan" in model
    assert max(relative) > 1e-5  # a step in float32 is nearer than that
    arrays = load_file(run / "checkpoint.safetensors")
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
    assert not in_bfloat16(np.concatenate([array.ravel() for array in arrays.values()]))


def in_bfloat16(values: np.ndarray) -> bool:
    """Whether 16 bits would do for all of them."""
    return not np.any(values.astype(np.float32).view(np.uint32) & 0xFFFF)


@pytest.mark.skipif("chainer" not in PORTS, reason="Chainer is not among QUARTET_PORTS")
@pytest.mark.skipif("dcgan" not in MODELS, reason="QUARTET_MODELS leaves it out")
def test_mixed_precision_is_refused_where_there_is_none(answers) -> None:
    answer = answers["chainer"]["dcgan mixed"]
    assert answer.status == 2
    assert answer.stderr.startswith("error: --precision bfloat16: Chainer does not support it")
    assert answer.stderr.count("\n") == 1
    assert not (answer.folder / "dcgan-mixed").exists()


@each_run
def test_initial_weights_are_drawn_as_described(answers, model: str, port: str) -> None:
    description = MODELS[model]
    run = run_of(answers, port, f"{model} initial")
    arrays = load_file(run / "checkpoint.safetensors")
    config = initial_config(description)
    dataset = load_data(description, config)
    classes = len(dataset.class_names)
    assert description.check_initial(arrays, dataset.image_shape, config, classes) == []
    # An initialiser that draws the same numbers twice is a trap of Keras.
    drawn = [a.ravel()[:100] for a in arrays.values() if a.ndim > 1]
    for index, first in enumerate(drawn):
        for second in drawn[index + 1 :]:
            size = min(len(first), len(second))
            assert not np.allclose(first[:size], second[:size])
