"""WGAN-GP's penalty in every port: lengths of gradients, and the gradient of what they cost.

The proof of equality sees the latter only through Adam, which divides it by its own size.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.models.wgan_gp import TINY, Critic, critic_weights, gradient_norms
from tests.probes.penalty_probe import FILTERS, IMAGE_SHAPE
from tests.reference.autograd import Value, gradients, mean
from tests.support.ports import PROBES, chosen_ports, run_probe, side_by_side

Arrays = dict[str, np.ndarray]
PORTS = chosen_ports()
CASES = ("critic", "dense", "flat")

each_port = pytest.mark.parametrize("port", PORTS)
each_case = pytest.mark.parametrize("case", CASES)


def make_case(name: str) -> tuple[Arrays, np.ndarray]:
    """The weights of a critic, and images: (5, C, H, W)."""
    random = np.random.default_rng(CASES.index(name))
    if name == "critic":
        described = critic_weights(IMAGE_SHAPE, FILTERS)
        weights = {
            key: weight.draw(random) + random.normal(0, 0.1, weight.shape)
            for key, weight in described.items()
        }
        return weights, random.uniform(-1, 1, (5, 1, 32, 32))
    weights = {"dense.weight": random.normal(0, 0.5, (1, 24)), "dense.bias": np.ones(1)}
    if name == "flat":  # its gradient is 0 everywhere
        weights["dense.weight"][:] = 0
    return weights, random.uniform(-1, 1, (5, 2, 3, 4))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What each port found, in a folder of its name."""
    folder = tmp_path_factory.mktemp("penalty")
    for name in CASES:
        weights, images = make_case(name)
        np.savez(folder / f"{name}.npz", allow_pickle=False, images=images, **weights)

    def run(port: str) -> None:
        run_probe(port, PROBES / "penalty_probe.py", port, folder)

    side_by_side(run, PORTS)
    return folder


def closed_form(name: str) -> Arrays:
    """Of a dense layer w x + b: the gradient is w everywhere, so the penalty is 10 (|w| - 1)^2."""
    weights, images = make_case(name)
    w = weights["dense.weight"]
    length = np.sqrt((w**2).sum() + TINY)
    return {
        "norms": np.full(len(images), length),
        "penalty": 10 * (length - 1) ** 2,
        "dense.weight": 20 * (length - 1) * w / length,
        "dense.bias": np.zeros(1),
    }


def by_reference(name: str) -> Arrays:
    """Of the whole critic, by the chain rule in NumPy."""
    weights, images = make_case(name)
    critic = Critic(weights)
    norms = gradient_norms(critic, images)
    penalty = 10 * mean((norms - 1) ** 2)
    # Some biases move no gradient: with the scores, times 0, they are reached all the same.
    loss = penalty + 0 * mean(critic(Value(images)))
    slopes = gradients(loss, list(critic.weights.values()))
    return {
        "norms": norms.data.ravel(),
        "penalty": penalty.data,
        **{key: slope.data for key, slope in zip(critic.weights, slopes, strict=True)},
    }


@each_port
@each_case
def test_penalty_and_its_gradient(folder: Path, case: str, port: str) -> None:
    found = dict(np.load(folder / port / f"{case}.npz"))
    expected = by_reference(case) if case == "critic" else closed_form(case)
    assert set(found) == set(expected)
    for name, array in expected.items():
        scale = max(np.abs(array).max(), 1e-6)
        assert np.abs(found[name] - array).max() <= 1e-10 * scale, name


def test_the_gradient_of_the_reference_is_that_of_finite_differences() -> None:
    weights, images = make_case("critic")
    expected = by_reference("critic")
    random = np.random.default_rng(0)
    names = ("conv1.weight", "blocks.1.conv.weight", "norm2.weight", "blocks.0.norm.bias")
    for name in (*names, "dense.weight"):
        place = tuple(random.integers(size) for size in weights[name].shape)
        levels = []
        for step in (1e-6, -1e-6):
            moved = {key: array.copy() for key, array in weights.items()}
            moved[name][place] += step
            norms = gradient_norms(Critic(moved), images)
            levels.append(float((10 * mean((norms - 1) ** 2)).data))
        slope = (levels[0] - levels[1]) / 2e-6
        assert slope == pytest.approx(expected[name][place], rel=1e-4, abs=1e-6), name
