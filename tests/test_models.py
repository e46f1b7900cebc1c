"""Every other model from the command line: train, resume, draw from each other's checkpoints.

What all scripts share is tested with DCGAN, in test_scripts.py. Each framework runs all models in
one process of its own, in a folder of its own.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from parts import PARTS
from PIL import Image
from safetensors.numpy import load_file

from ports import Answer, chosen_ports, run_commands, side_by_side

MODELS = [model for model in PARTS if model != "dcgan"]
# Dropout draws from a framework's own source of chance, which no checkpoint holds.
RESUMED = [model for model in MODELS if model != "pix2pix"]
PORTS = chosen_ports()
WRITERS = [port for port in PORTS if "-" not in port]  # Keras writes alike on all backends
SIZE = {"vae": 8, "pix2pix": 32}
SMALL = ["--batch-size", "4", "--log-every", "1", "--sample-every", "1"]
GLOROT = ("ae", "convae", "vae", "gan")

Answers = dict[str, dict[str, Answer]]


def commands_of(model: str) -> dict[str, list[str]]:
    small = [model, *SMALL, "--image-size", str(SIZE.get(model, 16))]
    return {
        f"{model} straight": [*small, "--steps", "2", "--out", f"{model}-straight"],
        f"{model} part": [*small, "--steps", "1", "--out", f"{model}-parts"],
        f"{model} rest": [model, "--steps", "2", "--out", f"{model}-parts", "--resume"],
    }


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def trained(folder: Path) -> Answers:
    """The answers to training each model, by port."""
    commands: dict[str, list[str]] = {}
    for model in MODELS:
        commands |= commands_of(model)
    return side_by_side(lambda port: run_commands(port, folder / port, commands), PORTS)


@pytest.fixture(scope="session")
def drawn(folder: Path, trained: Answers) -> Answers:
    """Each port draws from each framework's checkpoints."""
    commands: dict[str, list[str]] = {}
    for model in MODELS:
        for writer in WRITERS:
            source = folder / writer / f"{model}-straight" / "checkpoint.safetensors"
            commands[f"{model} {writer}"] = [
                *(model, "--generate", "4", "--from", str(source), "--seed", "1"),
                *("--out", f"{model}-from-{writer}"),
            ]
    source = folder / WRITERS[0] / "cgan-straight" / "checkpoint.safetensors"
    one = ["cgan", "--generate", "4", "--from", str(source), "--out", "one-class"]
    commands["class"] = [*one, "--class", "madara"]
    commands["no class"] = [*one[:-1], "no-class", "--class", "axolotl"]
    return side_by_side(lambda port: run_commands(port, folder / port, commands), PORTS)


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("model", MODELS)
def test_a_run_leaves_pictures_and_figures(trained: Answers, model: str, port: str) -> None:
    answer = trained[port][f"{model} straight"]
    assert answer.status == 0, answer.stderr
    run = answer.folder / f"{model}-straight"
    for name in ("samples/000000.png", "samples/000002.png", "losses.png", "samples.webp"):
        with Image.open(run / name) as picture:
            assert np.asarray(picture.convert("L")).std() > 5, name
    with open(run / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2"]
    losses = set(rows[0]) - {"step", "images_per_second", "diversity"}
    assert losses
    assert all(np.isfinite(float(row[loss])) for row in rows for loss in losses)
    about = json.loads((run / "config.json").read_text())
    assert about["model"] == model
    assert about["framework"] == port.partition("-")[0]


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("model", MODELS)
def test_weights_start_as_described(trained: Answers, model: str, port: str) -> None:
    """Glorot's uniform ones for four models, N(0, 0.02) for the others: seen after two steps."""
    answer = trained[port][f"{model} straight"]
    arrays = load_file(answer.folder / f"{model}-straight" / "checkpoint.safetensors")
    for name, array in arrays.items():
        if array.ndim < 2 or array.size < 1000 or name.startswith("critic."):
            continue
        if model in GLOROT:
            receptive = int(np.prod(array.shape[2:]))
            limit = np.sqrt(6 / (receptive * (array.shape[0] + array.shape[1])))
            assert 0.9 * limit < np.abs(array).max() < 1.1 * limit + 0.005, name
            assert array.std() == pytest.approx(limit / np.sqrt(3), rel=0.1), name
        else:
            assert array.std() == pytest.approx(0.02, rel=0.1), name


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("model", RESUMED)
def test_resume_goes_on_as_if_never_stopped(trained: Answers, model: str, port: str) -> None:
    answer = trained[port][f"{model} rest"]
    assert answer.status == 0, answer.stderr
    straight, parts = (
        load_file(answer.folder / f"{model}-{part}" / "checkpoint.safetensors")
        for part in ("straight", "parts")
    )
    assert set(straight) == set(parts)
    for name, array in straight.items():
        np.testing.assert_allclose(parts[name], array, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("model", MODELS)
def test_every_framework_draws_from_every_checkpoint(drawn: Answers, model: str, port: str) -> None:
    """The same pictures, within one grey level, as the framework that wrote the checkpoint."""
    for writer in WRITERS:
        answer = drawn[port][f"{model} {writer}"]
        assert answer.status == 0, answer.stderr
        name = Path(f"{model}-from-{writer}") / "generated.png"
        theirs = drawn[writer][f"{model} {writer}"].folder / name
        pictures = [
            np.asarray(Image.open(path)).astype(int) for path in (theirs, answer.folder / name)
        ]
        assert pictures[0].shape == pictures[1].shape
        assert pictures[0].std() > 5
        assert np.abs(pictures[0] - pictures[1]).max() <= 1, writer


@pytest.mark.parametrize("port", PORTS)
def test_a_conditional_gan_draws_one_class(drawn: Answers, port: str) -> None:
    answer = drawn[port]["class"]
    assert answer.status == 0, answer.stderr
    picture = np.asarray(Image.open(answer.folder / "one-class" / "generated.png"))
    assert picture.shape == (2 * 34 + 2, 2 * 34 + 2, 3)
    refused = drawn[port]["no class"]
    assert refused.status == 2
    assert "--class axolotl: the checkpoint knows akahara, madara" in refused.stderr
    assert not (answer.folder / "no-class").exists()


@pytest.mark.parametrize("port", PORTS)
def test_a_linear_autoencoder_is_measured_by_pca(trained: Answers, port: str) -> None:
    answer = trained[port]["ae straight"]
    figures = json.loads((answer.folder / "ae-straight" / "evaluation.json").read_text())
    assert (
        answer.stdout.splitlines()[-1] == f"times that of PCA: {figures['times that of PCA']:.5g}"
    )
    pca = figures["test error of PCA with 64 components"]
    assert 0 < pca < figures["test reconstruction_loss"]


@pytest.mark.parametrize("port", PORTS)
def test_a_vae_leaves_maps_of_its_latent_space(trained: Answers, port: str) -> None:
    answer = trained[port]["vae straight"]
    for name in ("latent", "walk", "manifold"):
        with Image.open(answer.folder / "vae-straight" / f"{name}.png") as picture:
            assert np.asarray(picture.convert("L")).std() > 5, name
        assert f"{name}.png" in answer.stdout
    figures = json.loads((answer.folder / "vae-straight" / "evaluation.json").read_text())
    parts = figures["test reconstruction_loss"] + figures["test kl_divergence"]
    assert figures["test negative_elbo"] == pytest.approx(parts, rel=1e-5)
