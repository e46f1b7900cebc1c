"""What only some models do from the command line: dropout that resumes, maps, drawing a class.

What all scripts share is tested in test_command_lines.py; numbers, pictures and the exchange of
checkpoints in test_parity.py. Each port runs its models in one process, in a folder of its own.
"""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from tests.models import MODELS
from tests.support.ports import DEVICE, Answer, quick_ports, run_commands, side_by_side

PORTS = quick_ports()
FRAMEWORKS = [port for port in PORTS if "-" not in port]
DROPPING = [name for name, model in MODELS.items() if "dropout" in model.defaults]

Answers = dict[str, dict[str, Answer]]

each_framework = pytest.mark.parametrize("port", FRAMEWORKS)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """The answers to small runs, by port."""
    folder = tmp_path_factory.mktemp("models")

    def train(port: str) -> dict[str, Answer]:
        commands: dict[str, list[str]] = {}
        for name in (*DROPPING, *(["vae", "cgan"] if port in FRAMEWORKS else [])):
            small = [name, *MODELS[name].small_flags, "--log-every", "1", "--sample-every", "1"]
            if DEVICE == "gpu":  # Chainer's dropout starts anew there at each checkpoint
                small += ["--checkpoint-every", "1", "--precision", "float64"]
            commands[f"{name} whole"] = [*small, "--steps", "2", "--out", f"{name}-whole"]
            if name in DROPPING:
                parts = [name, "--out", f"{name}-parts"]
                commands[f"{name} part"] = [*parts, *small[1:], "--steps", "1"]
                commands[f"{name} rest"] = [*parts, "--steps", "2", "--resume"]
        if port in FRAMEWORKS:
            source = folder / port / "cgan-whole" / "checkpoint.safetensors"
            draw = ["cgan", "--generate", "4", "--from", str(source)]
            commands["class"] = [*draw, "--class", "madara", "--out", "one-class"]
            commands["no class"] = [*draw, "--class", "axolotl", "--out", "no-class"]
        return run_commands(port, folder / port, commands)

    return side_by_side(train, PORTS)


# On its other backends Keras has the same script, but each backend has a dropout of its own.
@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("model", DROPPING)
def test_dropout_resumes_as_if_never_stopped(trained: Answers, model: str, port: str) -> None:
    """Bit for bit."""
    answer = trained[port][f"{model} rest"]
    assert answer.status == 0, answer.stderr
    whole, parts = (
        load_file(answer.folder / f"{model}-{part}" / "checkpoint.safetensors")
        for part in ("whole", "parts")
    )
    assert set(whole) == set(parts)
    for name, array in whole.items():
        np.testing.assert_array_equal(parts[name], array, err_msg=name)


@each_framework
def test_a_conditional_gan_draws_one_class(trained: Answers, port: str) -> None:
    answer = trained[port]["class"]
    assert answer.status == 0, answer.stderr
    picture = np.asarray(Image.open(answer.folder / "one-class" / "generated.png"))
    assert picture.shape == (2 * 34 + 2, 2 * 34 + 2, 3)
    refused = trained[port]["no class"]
    assert refused.status == 2
    assert "--class axolotl: the checkpoint knows akahara, madara" in refused.stderr
    assert not (answer.folder / "no-class").exists()


@each_framework
def test_a_vae_leaves_maps_of_its_latent_space(trained: Answers, port: str) -> None:
    answer = trained[port]["vae whole"]
    for name in ("latent", "walk", "manifold"):
        with Image.open(answer.folder / "vae-whole" / f"{name}.png") as picture:
            assert np.asarray(picture.convert("L")).std() > 5, name
        assert f"{name}.png" in answer.stdout
