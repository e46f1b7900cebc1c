"""Every port is the model that the papers describe: their numbers are those of plain NumPy.

Each port's scripts are run from the command line in float64, from a checkpoint that the tests make.
Those that do not compile are stopped halfway and resumed. tests/reference/autograd.py trains the
same model on the same batches and noise without a stop. In float64 rounding stays some orders of
magnitude below any real departure, on any machine (see docs/equality.md), so one small bound serves
for all models and all ports.

A port takes 4 steps, with QUARTET_PROOF=1 it takes 50; QUARTET_STEPS names another number.
"""

from __future__ import annotations

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

from tests.models import MODELS
from tests.proof.comparison import (
    WEIGHTS,
    check_evaluation,
    check_initial,
    check_losses,
    check_picture,
    check_pictures,
    check_weights,
    commands_of,
    read_losses,
    start_of,
)
from tests.proof.parity import save_start
from tests.support.ports import (
    DEVICE,
    WHOLE,
    Answer,
    chosen_ports,
    environment,
    run_commands,
    side_by_side,
)
from tools.library.scripts import ROOT

STEPS = int(os.environ.get("QUARTET_STEPS", "50" if WHOLE else "4"))
SINGLE = 1e-4  # relative, of the losses of one step in float32
MIXED = 0.1  # in mixed precision, where a factor has an error of 1/512 at most
PORTS = chosen_ports()

FRAMEWORKS = [port for port in PORTS if "-" not in port]
# Each draws from the next one's checkpoint.
NEXT = dict(zip(FRAMEWORKS, [*FRAMEWORKS[1:], *FRAMEWORKS[:1]], strict=True))

# JAX takes minutes to compile them all, and the scripts are Keras', which two other ports prove. It
# proves all in the whole proof, and if QUARTET_PORTS names it.
ON_JAX = ("vae", "dcgan", "transfer")


def proven(port: str) -> list[str]:
    """The models that a port proves."""
    some = port == "keras-jax" and not WHOLE and "QUARTET_PORTS" not in os.environ
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


COMPILED = ("tensorflow", "keras", "keras-jax")


def trained(port: str, kind: str) -> list[str]:
    """The models that a port trains a step of: `single` or `mixed`.

    Compiling takes long, so outside the whole proof ports that compile train few models.
    """
    some = list(MODELS)
    if kind == "mixed" and port == "chainer":
        some = []
    elif DEVICE == "cpu" and (port in COMPILED or (port == "keras-torch" and not WHOLE)):
        layers = ["vae", "dcgan", "wgan_gp", "transfer"]  # between them all layers that multiply
        some = layers if WHOLE and port == "tensorflow" else ["dcgan"]
    return [name for name in proven(port) if name in some]


def all_commands_of(name: str, folder: Path) -> dict[str, list[str]]:
    """A proof in float64, a step in float32, one in mixed precision, and initial weights."""
    commands = commands_of(name, folder, STEPS)
    step = [*start_of(name, folder), "--steps", "1"]
    commands["single"] = [*step, "--out", f"{name}-single"]
    commands["mixed"] = [*step, "--precision", "bfloat16", "--out", f"{name}-mixed"]
    return {f"{name} {kind}": command for kind, command in commands.items()}


def ports_and_models(kind: str) -> list[tuple[str, str]]:
    return [(port, model) for port in PORTS for model in trained(port, kind)]


@pytest.fixture(scope="session")
def answers(folder: Path) -> dict[str, dict[str, Answer]]:
    """What each port's command lines did, and in the folder `reference` the reference's numbers."""
    commands: dict[str, list[str]] = {}
    for name in MODELS:
        commands |= all_commands_of(name, folder)

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
        if WHOLE or port not in COMPILED:  # stop halfway, and go on
            for name in proven(port):
                if MODELS[name].decays and STEPS > 4:
                    continue  # half as many steps have another learning rate
                own[f"{name} part"] = [*own.pop(f"{name} proof"), "--steps", str(STEPS // 2)]
                resume = ["--resume", "--steps", str(STEPS), "--out", f"{name}-proof"]
                own[f"{name} proof"] = [name, *resume]
        for name in proven(port):
            for kind in ("single", "mixed"):
                refusal = (port, name, kind) == ("chainer", "dcgan", "mixed")
                if name not in trained(port, kind) and not refusal:
                    del own[f"{name} {kind}"]
        # In float64 last, as no user has run it before: Keras mends for it what stays mended.
        names = sorted(own, key=lambda name: name.endswith(("part", "proof")))
        return run_commands(port, folder / port, {name: own[name] for name in names})

    return side_by_side(run, ["reference", *PORTS])


@pytest.fixture(scope="session")
def drawn(folder: Path, answers: dict[str, dict[str, Answer]]) -> dict[str, dict[str, Answer]]:
    """Each framework draws from its own checkpoints and from the next one's."""

    def draw(port: str) -> dict[str, Answer]:
        commands: dict[str, list[str]] = {}
        for model in MODELS:
            for writer in dict.fromkeys((port, NEXT[port])):
                source = run_of(answers, writer, f"{model} proof") / "checkpoint.safetensors"
                commands[f"{model} {writer}"] = [
                    *(model, "--generate", "4", "--from", str(source), "--seed", "1"),
                    *("--out", f"{model}-from-{writer}"),
                ]
        return run_commands(port, folder / port, commands)

    return side_by_side(draw, FRAMEWORKS)


@pytest.fixture(scope="session")
def reference(
    folder: Path, answers: dict[str, dict[str, Answer]]
) -> Callable[[str], dict[str, np.ndarray]]:
    """The reference's numbers, by model."""
    return lru_cache(maxsize=2)(lambda name: dict(np.load(folder / f"{name}-reference.npz")))


def run_of(answers: dict[str, dict[str, Answer]], port: str, command: str) -> Path:
    """The run folder of a command that succeeded."""
    answer = answers[port][command]
    assert answer.status == 0, answer.stderr[-3000:]
    return answer.folder / command.replace(" ", "-")


@each_run
def test_losses_are_those_of_the_papers(answers, reference, model: str, port: str) -> None:
    run = run_of(answers, port, f"{model} proof")
    check_losses(run, reference(model), MODELS[model], STEPS)


@each_run
def test_weights_end_where_the_papers_take_them(answers, reference, model: str, port: str) -> None:
    check_weights(run_of(answers, port, f"{model} proof"), reference(model))


@each_run
def test_pictures_are_those_of_the_reference(answers, reference, model: str, port: str) -> None:
    check_pictures(run_of(answers, port, f"{model} proof"), reference(model), STEPS)


@each_run
def test_evaluations_are_those_of_the_reference(answers, reference, model: str, port: str) -> None:
    run = run_of(answers, port, f"{model} proof")
    printed = answers[port][f"{model} proof"].stdout
    check_evaluation(run, reference(model), printed, MODELS[model].prints)
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
    last = answer.stderr.splitlines()[-1]  # a slow machine shows progress before it
    assert last.startswith("error: --precision bfloat16: Chainer does not support it")
    assert "Traceback" not in answer.stderr
    assert not (answer.folder / "dcgan-mixed").exists()


@each_run
def test_a_run_leaves_pictures(answers, model: str, port: str) -> None:
    run = run_of(answers, port, f"{model} proof")
    for name in (f"samples/{STEPS:06d}.png", "losses.png", "samples.webp"):
        with Image.open(run / name) as picture:
            assert np.asarray(picture.convert("L")).std() > 5, name


@pytest.mark.parametrize("port", FRAMEWORKS)
@each_model
def test_a_checkpoint_of_another_is_drawn_alike(drawn, model: str, port: str) -> None:
    """The same pictures, within one grey level, as the port that wrote the checkpoint."""
    writer = NEXT[port]
    pictures = []
    for reader in (writer, port):
        answer = drawn[reader][f"{model} {writer}"]
        assert answer.status == 0, answer.stderr
        with Image.open(answer.folder / f"{model}-from-{writer}" / "generated.png") as picture:
            pictures.append(np.asarray(picture).astype(int))
    assert pictures[0].shape == pictures[1].shape
    assert pictures[0].std() > 5
    assert np.abs(pictures[0] - pictures[1]).max() <= 1


@each_run
def test_initial_weights_are_drawn_as_described(answers, model: str, port: str) -> None:
    check_initial(run_of(answers, port, f"{model} initial"), model)
