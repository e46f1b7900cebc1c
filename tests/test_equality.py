"""The four answers are one model: every number that one framework finds, all others find.

Each framework plays once, in a process of its own (see worker.py), all models, from the same
weights, batches and noise (see parts.py), in float32 on the CPU.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from parts import BATCH, NUDGES, PARTS, RATE, STEPS, make_score

from scripts import ROOT, chosen_players, environment, side_by_side

PLAYERS = chosen_players()
PAIRS = list(itertools.combinations(PLAYERS, 2))
MODELS = list(PARTS)

Numbers = dict[str, np.ndarray]
Answers = Callable[[str, str], Numbers]

each_player = pytest.mark.parametrize("player", PLAYERS)
each_pair = pytest.mark.parametrize("pair", PAIRS, ids=" ".join)
each_model = pytest.mark.parametrize("model", MODELS)


@pytest.fixture(scope="session")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answers]:
    """What a player makes of a model's score: a function of model and player."""
    folder = tmp_path_factory.mktemp("equality")
    for model in MODELS:
        np.savez(folder / f"{model}.npz", allow_pickle=False, **make_score(model))

    def play(player: str) -> None:
        worker = str(Path(__file__).with_name("worker.py"))
        framework = player.partition("-")[0]
        run = subprocess.run(
            [sys.executable, worker, framework, str(folder), player, *MODELS],
            cwd=ROOT,
            env=environment(player),
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, f"{player}:\n{run.stderr[-3000:]}"

    side_by_side(play, PLAYERS)

    @lru_cache(maxsize=len(PLAYERS))
    def find(model: str, player: str) -> Numbers:
        return dict(np.load(folder / f"{model}-{player}.npz"))

    yield find
    shutil.rmtree(folder)  # gigabytes


def relative_error(a: np.ndarray, b: np.ndarray) -> float:
    """Largest difference, in units of the largest value."""
    return float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-12))


def shared(a: Numbers, b: Numbers, title: str) -> list[str]:
    """The names of a part of the answers, which must be the same for both players."""
    names = [{name for name in one if name.startswith(f"{title}/")} for one in (a, b)]
    assert names[0] == names[1]
    assert names[0]
    return sorted(names[0])


@each_model
@each_player
def test_parameters_have_the_shapes_of_the_architecture(
    answers: Answers, model: str, player: str
) -> None:
    found = {
        name.removeprefix("shape/"): tuple(array)
        for name, array in answers(model, player).items()
        if name.startswith("shape/")
    }
    assert found == {
        f"{network}.{name}": shape
        for network, shapes in PARTS[model].parameters.items()
        for name, shape in shapes.items()
    }


@each_model
@each_player
def test_stages_have_the_shapes_of_the_architecture(
    answers: Answers, model: str, player: str
) -> None:
    found = {
        name.removeprefix("stage/"): array.shape
        for name, array in answers(model, player).items()
        if name.startswith("stage/")
    }
    assert found == {
        f"{network}.{name}": shape
        for network, shapes in PARTS[model].stages.items()
        for name, shape in shapes.items()
    }


@each_model
@each_player
def test_weights_go_in_and_come_out_unchanged(answers: Answers, model: str, player: str) -> None:
    numbers = answers(model, player)
    same = {name: bool(a) for name, a in numbers.items() if name.startswith("unchanged/")}
    assert len(same) == sum(map(len, PARTS[model].parameters.values()))
    assert all(same.values()), same


@each_model
@pytest.mark.parametrize(
    ("title", "bound"),
    [
        ("stage", 3e-5),
        ("output", 1e-5),
        ("loss", 1e-5),
        ("inference", 1e-4),  # after five updates of the running averages
        ("still", 1e-4),  # the running averages themselves, and the losses on the way
    ],
)
@each_pair
def test_numbers_agree(
    answers: Answers, model: str, title: str, bound: float, pair: tuple[str, str]
) -> None:
    a, b = (answers(model, player) for player in pair)
    error, name = max((relative_error(a[n], b[n]), n) for n in shared(a, b, title))
    assert error <= bound, f"{name}: relative error {error:.1e}"


@each_model
@pytest.mark.parametrize("title", ["descent", "update"])
def test_no_activation_lies_on_a_kink(answers: Answers, model: str, title: str) -> None:
    """Where the input of a ReLU is nearly 0, rounding decides whether its gradient is 0 or 1.

    One such activation among 200 000 makes gradients differ by a hundredth, in any two frameworks.
    So this holds for the score, not for the frameworks: the step compared stays off the kinks.
    """
    if "pytorch" not in PLAYERS:
        pytest.skip("measured in PyTorch, which is not among the players chosen")
    nearest = answers(model, "pytorch")[f"kinks/{title}"]
    if model == "ae":
        assert not len(nearest), "a linear network has no kinks"
    else:
        assert len(nearest) >= 3
        assert nearest.min() > PARTS[model].margin


@each_model
@each_pair
def test_gradients_agree(answers: Answers, model: str, pair: tuple[str, str]) -> None:
    """A step of plain gradient descent moves every weight alike: what it moves by is compared.

    What is found by taking one weight from another is off by a rounding of the weights, at most.
    """
    a, b = (answers(model, player) for player in pair)
    start = make_weights(model)
    for name in shared(a, b, "descent"):
        weight = start.get(name.removeprefix("descent/"), np.float32(0))
        moved, other = weight - a[name], weight - b[name]
        rounding = np.spacing(np.abs(weight).max())
        apart = np.abs(moved - other).max() - rounding
        assert apart <= 1e-4 * np.abs(moved).max(), f"{name}: {apart:.1e}"


@lru_cache(maxsize=1)
def make_weights(model: str) -> Numbers:
    """The score's weights; running averages are compared as they are."""
    return {name: array for name, array in make_score(model).items() if "running" not in name}


def moved_apart(a: Numbers, b: Numbers, title: str) -> dict[str, float]:
    """By tensor, how far one update leaves two players apart, in learning rates.

    Adam and RMSProp divide a gradient by its own size. Where the gradient is nothing but rounding,
    even its sign is chance, and such a weight may be far off: so what is given is the quantile that
    all but a thousandth of a tensor's weights keep.
    """
    found = {}
    for name in a:
        if name.startswith("update/") and a[name].ndim and "running" not in name:
            apart = np.abs(a[name] - b[title + name.removeprefix("update")]) / RATE
            found[name] = float(np.quantile(apart, 0.999))
    assert found
    return found


@each_model
@each_pair
def test_updates_agree(answers: Answers, model: str, pair: tuple[str, str]) -> None:
    a, b = (answers(model, player) for player in pair)
    for name, apart in moved_apart(a, b, "update").items():
        assert apart <= PARTS[model].update_bound, f"{name}: {apart:.1e} learning rates"


@each_model
def test_epsilon_in_the_wrong_place_would_show(answers: Answers, model: str) -> None:
    """The bound on an update tells epsilon where it belongs from epsilon elsewhere.

    For Adam that is after the bias correction and before it, for RMSProp outside and inside the
    root.
    """
    if "pytorch" not in PLAYERS:
        pytest.skip("played in PyTorch, which is not among the players chosen")
    played, bound = answers(model, "pytorch"), PARTS[model].update_bound
    assert max(moved_apart(played, played, "misplaced").values()) > 10 * bound
    assert max(moved_apart(played, played, "nudged").values()) < bound


@each_model
@each_pair
def test_twenty_steps_stay_together(answers: Answers, model: str, pair: tuple[str, str]) -> None:
    """The losses part no faster than PyTorch's own do when its weights are off by a few roundings.

    Training is chaotic: the differences grow about tenfold a step until they are as large as the
    losses' own swings. So the yardstick is measured: the same run of PyTorch from weights nudged by
    four roundings, up or down at random, three times. Ten times the largest difference that it has
    come to a step later is allowed, and 1e-5 of the loss.
    """
    if "pytorch" not in PLAYERS:
        pytest.skip("the yardstick is PyTorch, which is not among the players chosen")
    a, b = (answers(model, player) for player in pair)
    yardstick = answers(model, "pytorch")
    losses = {name.split("/")[2] for name in yardstick if name.startswith("course/00/")}
    assert losses
    for loss in losses:
        own = 0.0
        for step in range(STEPS):
            # As far as it has come a step later: two frameworks may part a step earlier.
            later = f"{min(step + 1, STEPS - 1):02d}/{loss}"
            first = yardstick[f"course/{later}"]
            own = max(own, *(abs(first - yardstick[f"nudged {n}/{later}"]) for n in range(NUDGES)))
            name = f"{step:02d}/{loss}"
            apart = abs(a[f"course/{name}"] - b[f"course/{name}"])
            bound = 10 * own + 1e-5 * max(1, abs(first))
            assert apart <= bound, f"step {step}, {loss}: {apart:.1e}, own {own:.1e}"


@each_player
def test_the_critics_loss_is_minus_the_distance(answers: Answers, player: str) -> None:
    """By definition the critic maximises mean f(x) - mean f(G(z)), the generator mean f(G(z))."""
    numbers, score = answers("wgan", player), make_score("wgan")
    real, fake = score["critic_loss/0"], score["critic_loss/1"]
    assert real.shape == (BATCH, 1)
    assert numbers["loss/critic_loss"] == pytest.approx(fake.mean() - real.mean(), abs=1e-6)
    fooled = score["generator_loss/0"]
    assert numbers["loss/generator_loss"] == pytest.approx(-fooled.mean(), abs=1e-6)
    assert numbers["course/00/wasserstein"] == -numbers["course/00/critic_loss"]


@each_player
def test_only_the_critics_weights_are_clipped(answers: Answers, player: str) -> None:
    for name, array in answers("wgan", player).items():
        if name.startswith("course/critic."):
            largest = np.abs(array).max()
            if "running" in name:
                assert largest > 0.015, f"{name}: {largest}"
            else:
                assert largest <= np.float32(0.01), f"{name}: {largest}"
