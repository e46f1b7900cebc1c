"""What each script says, read and not run: its settings, and what stays untrained."""

from __future__ import annotations

import ast
import dataclasses
import re
from typing import Any

import pytest

from common.run import Settings
from tests.models import MODELS
from tests.support.ports import FRAMEWORKS
from tools.library.scripts import ROOT

SHARED = {field.name: field.default for field in dataclasses.fields(Settings)}
# The fakes that a discriminator learns from; a pool's are arrays, which have no gradient. PyTorch
# would add to the discriminator's gradients in the generator's step too.
FROM_POOLS = r"fake_a, fake_b = swap\(pools\[|"
WITHOUT_GRADIENT = {
    "pytorch": (
        FROM_POOLS
        + r"    with torch\.no_grad\(\):\n(        .*\n)*?        .*(fakes|samples) = generator\("
        r"|discriminator\(fakes\.detach\(\)",
        r"\.requires_grad_\(False\)\n(.*\n)+?.*\.requires_grad_\(True\)\n",
    ),
    "tensorflow": (
        FROM_POOLS + r"\n    (fakes|samples) = generator\(.*\n    with tf\.GradientTape\(\)"
        r"|\n        fakes = generator\((.*\n)+?    with tf\.GradientTape\(\)"
        r"(.*\n)+?.*discriminator\(fakes",
    ),
    "keras": (
        FROM_POOLS + r"(fakes|samples) = ops\.stop_gradient\(self\.generator\("
        r"|fakes = draw_fakes\(",
    ),
    "chainer": (
        FROM_POOLS + r"    with chainer\.no_backprop_mode\(\):\n"
        r"(        .*\n)*?        .*(fakes|samples) = .*generator\("
        r"|discriminator\(fakes\.array",
    ),
}

each_framework = pytest.mark.parametrize("framework", FRAMEWORKS)
each_model = pytest.mark.parametrize("model", MODELS)
each_adversary = pytest.mark.parametrize(
    "model", [name for name, model in MODELS.items() if "generator_loss" in model.losses]
)


def read(model: str, framework: str) -> str:
    return (ROOT / framework / f"{model}.py").read_text(encoding="utf-8")


def find(source: str, name: str) -> Any:
    """A class or function of a script."""
    return next(node for node in ast.parse(source).body if getattr(node, "name", None) == name)


def read_settings(source: str) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """What `Config` sets: the defaults, and what the values of a flag are limited by."""
    defaults, limits = {}, {}
    constants = {
        ast.unparse(line.targets[0]): line.value
        for line in ast.parse(source).body
        if isinstance(line, ast.Assign)
    }
    for line in find(source, "Config").body:
        if isinstance(line, ast.Assign):
            value = constants.get(ast.unparse(line.value), line.value)
            defaults[ast.unparse(line.targets[0])] = ast.literal_eval(value)
        elif isinstance(line, ast.AnnAssign):
            assert line.value is not None
            assert isinstance(line.annotation, ast.Subscript)
            assert isinstance(line.annotation.slice, ast.Tuple)
            name = ast.unparse(line.target)
            defaults[name] = ast.literal_eval(line.value)
            limits[name] = [ast.literal_eval(limit) for limit in line.annotation.slice.elts[2:]]
    return defaults, limits


@each_framework
@each_model
def test_settings_are_those_described(model: str, framework: str) -> None:
    defaults, limits = read_settings(read(model, framework))
    described = MODELS[model]
    for name, value in described.defaults.items():
        assert (SHARED | defaults)[name] == value, name
    assert defaults.get("size_multiple", 1) == described.size_multiple
    assert defaults.get("batches_per_step", 1) == described.batches
    weights = described.weights((32, 32, 3), described.defaults, 2)
    normed = any(described.FIXED in name for name in weights)
    assert limits["batch_size"] == [2 if normed else 1], "a batch norm needs two images"


@each_framework
@each_model
def test_every_setting_of_its_own_is_used(model: str, framework: str) -> None:
    source = read(model, framework)
    defaults, flags = read_settings(source)
    # A direction that a run keeps says how its data are read.
    of_data = {"direction"} if defaults.get("direction") else set()
    for name in (set(flags) - set(SHARED) - of_data) | {"learning_rate"}:
        assert f"config.{name}" in source, name


@each_model
def test_a_step_in_tensorflow_is_the_strategys(model: str) -> None:
    """What several processes need, and a single one does not miss."""
    assert "strategy.run(" in read(model, "tensorflow")


@each_framework
@each_adversary
def test_a_discriminator_s_step_leaves_the_generator_alone(model: str, framework: str) -> None:
    """It would not show in the numbers: the gradients are cleared before they are used."""
    for pattern in WITHOUT_GRADIENT[framework]:
        assert re.search(pattern, read(model, framework)), pattern
