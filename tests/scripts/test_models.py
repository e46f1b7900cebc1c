"""Every model from the command line: pictures, exact resume, drawing from another's checkpoint.

What all scripts share is tested in test_scripts.py, and the numbers in test_parity.py. Each port
runs all models in one process of its own, in a folder of its own.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from tests.models import MODELS
from tests.support.ports import DEVICE, Answer, chosen_ports, run_commands, side_by_side

PORTS = chosen_ports()
FRAMEWORKS = [port for port in PORTS if "-" not in port]
# On its other backends Keras saves and draws by the same script; dropout's chance is their own.
DROPPING = [name for name, model in MODELS.items() if "dropout" in model.defaults]
MODELS_OF = {port: list(MODELS) if port in FRAMEWORKS else DROPPING for port in PORTS}
# Each draws from the next one's checkpoint; test_parity.py shows that all write the same.
NEXT = dict(zip(FRAMEWORKS, [*FRAMEWORKS[1:], *FRAMEWORKS[:1]], strict=True))

Answers = dict[str, dict[str, Answer]]

each_run = pytest.mark.parametrize(
    ("model", "port"), [(model, port) for port in PORTS for model in MODELS_OF[port]]
)
each_model = pytest.mark.parametrize("model", MODELS)
each_framework = pytest.mark.parametrize("port", FRAMEWORKS)


def commands_of(name: str) -> dict[str, list[str]]:
    """Small runs: one to its end, and one that is resumed."""
    small = [name, *MODELS[name].small_flags, "--log-every", "1", "--sample-every", "1"]
    if DEVICE == "gpu":  # Chainer's dropout starts anew there at each checkpoint
        small += ["--checkpoint-every", "1", "--precision", "float64"]
    return {
        f"{name} straight": [*small, "--steps", "2", "--out", f"{name}-straight"],
        f"{name} part": [*small, "--steps", "1", "--out", f"{name}-parts"],
        f"{name} rest": [name, "--steps", "2", "--out", f"{name}-parts", "--resume"],
    }


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def trained(folder: Path) -> Answers:
    """The answers to training each model, by port."""

    def train(port: str) -> dict[str, Answer]:
        commands: dict[str, list[str]] = {}
        for model in MODELS_OF[port]:
            commands |= commands_of(model)
        return run_commands(port, folder / port, commands)

    return side_by_side(train, PORTS)


@pytest.fixture(scope="session")
def drawn(folder: Path, trained: Answers) -> Answers:
    """Each framework draws from its own checkpoints and from the next one's."""

    def draw(port: str) -> dict[str, Answer]:
        commands: dict[str, list[str]] = {}
        for model in MODELS:
            for writer in (port, NEXT[port]):
                source = folder / writer / f"{model}-straight" / "checkpoint.safetensors"
                commands[f"{model} {writer}"] = [
                    *(model, "--generate", "4", "--from", str(source), "--seed", "1"),
                    *("--out", f"{model}-from-{writer}"),
                ]
        source = folder / port / "cgan-straight" / "checkpoint.safetensors"
        one = ["cgan", "--generate", "4", "--from", str(source), "--out", "one-class"]
        commands["class"] = [*one, "--class", "madara"]
        commands["no class"] = [*one[:-1], "no-class", "--class", "axolotl"]
        return run_commands(port, folder / port, commands)

    return side_by_side(draw, FRAMEWORKS)


@each_run
def test_a_run_leaves_pictures_and_figures(trained: Answers, model: str, port: str) -> None:
    answer = trained[port][f"{model} straight"]
    assert answer.status == 0, answer.stderr
    run = answer.folder / f"{model}-straight"
    for name in ("samples/000000.png", "samples/000002.png", "losses.png", "samples.webp"):
        with Image.open(run / name) as picture:
            assert np.asarray(picture.convert("L")).std() > 5, name
    about = json.loads((run / "config.json").read_text())
    assert about["model"] == model
    assert about["framework"] == port.partition("-")[0]


@each_run
def test_resume_goes_on_as_if_never_stopped(trained: Answers, model: str, port: str) -> None:
    """Bit for bit, dropout included."""
    answer = trained[port][f"{model} rest"]
    assert answer.status == 0, answer.stderr
    straight, parts = (
        load_file(answer.folder / f"{model}-{part}" / "checkpoint.safetensors")
        for part in ("straight", "parts")
    )
    assert set(straight) == set(parts)
    # On a GPU PyTorch adds up the gradient of mirrored edges in any order.
    mirrored = DEVICE == "gpu" and (model, port) == ("cyclegan", "pytorch")
    for name, array in straight.items():
        if mirrored:
            np.testing.assert_allclose(parts[name], array, rtol=1e-12, atol=1e-15, err_msg=name)
        else:
            np.testing.assert_array_equal(parts[name], array, err_msg=name)


@each_framework
@each_model
def test_a_checkpoint_of_another_is_drawn_alike(drawn: Answers, model: str, port: str) -> None:
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


@each_framework
def test_a_conditional_gan_draws_one_class(drawn: Answers, port: str) -> None:
    answer = drawn[port]["class"]
    assert answer.status == 0, answer.stderr
    picture = np.asarray(Image.open(answer.folder / "one-class" / "generated.png"))
    assert picture.shape == (2 * 34 + 2, 2 * 34 + 2, 3)
    refused = drawn[port]["no class"]
    assert refused.status == 2
    assert "--class axolotl: the checkpoint knows akahara, madara" in refused.stderr
    assert not (answer.folder / "no-class").exists()


@each_framework
def test_a_linear_autoencoder_is_measured_by_pca(trained: Answers, port: str) -> None:
    answer = trained[port]["ae straight"]
    figures = json.loads((answer.folder / "ae-straight" / "evaluation.json").read_text())
    assert (
        answer.stdout.splitlines()[-1] == f"times that of PCA: {figures['times that of PCA']:.5g}"
    )
    pca = figures["test error of PCA with 64 components"]
    assert 0 < pca < figures["test reconstruction_loss"]


@each_framework
def test_a_vae_leaves_maps_of_its_latent_space(trained: Answers, port: str) -> None:
    answer = trained[port]["vae straight"]
    for name in ("latent", "walk", "manifold"):
        with Image.open(answer.folder / "vae-straight" / f"{name}.png") as picture:
            assert np.asarray(picture.convert("L")).std() > 5, name
        assert f"{name}.png" in answer.stdout
