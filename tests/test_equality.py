"""The four answers are one model: every number that one framework finds, all others find.

Each framework plays once, in a process of its own (see worker.py), from the same weights, batches
and noise, in float32 on the CPU. The picture is not square, so that a swapped axis shows, and
biases, scales and running averages start away from 0 and 1, so that a forgotten one shows.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scripts import ROOT, chosen_players, environment, side_by_side

HEIGHT, WIDTH, CHANNELS, LATENT = 32, 16, 3, 100
BATCH, STEPS = 4, 20
SEED = 26  # one for which no activation lies on a kink; see test_no_activation_lies_on_a_kink
LEARNING_RATE = 2e-4  # of Adam in worker.py
ADAM_BOUND = 2e-3  # learning rates between two players' weights after a step; rounding makes 6e-4
PLAYERS = chosen_players()
PAIRS = list(itertools.combinations(PLAYERS, 2))

Answers = dict[str, dict[str, np.ndarray]]


def expected_shapes() -> dict[str, tuple[int, ...]]:
    """The parameters that the architecture asks for, spelled out from its description."""
    shapes: dict[str, tuple[int, ...]] = {}
    base = (HEIGHT // 16) * (WIDTH // 16)

    def norm(name: str, channels: int) -> None:
        for key in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{key}"] = (channels,)

    shapes["generator.dense.weight"] = (256 * base, LATENT)
    shapes["generator.dense.bias"] = (256 * base,)
    widths = (256, 512, 256, 128, CHANNELS)
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(widths), start=1):
        norm(f"generator.norm{layer}", inputs)
        shapes[f"generator.deconv{layer}.weight"] = (inputs, outputs, 5, 5)
    shapes["generator.deconv4.bias"] = (CHANNELS,)
    widths = (CHANNELS, 32, 64, 128, 256)
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(widths), start=1):
        shapes[f"discriminator.conv{layer}.weight"] = (outputs, inputs, 5, 5)
        if layer > 1:
            norm(f"discriminator.norm{layer}", outputs)
    shapes["discriminator.conv1.bias"] = (32,)
    shapes["discriminator.dense.weight"] = (1, 256 * base)
    shapes["discriminator.dense.bias"] = (1,)
    return shapes


def expected_stages() -> dict[str, tuple[int, ...]]:
    """The shape that each layer's output has, in PyTorch's order of axes."""
    h, w = HEIGHT // 16, WIDTH // 16
    stages: dict[str, tuple[int, ...]] = {
        "generator.dense": (BATCH, 256 * h * w),
        "generator.norm1": (BATCH, 256, h, w),
        "generator.deconv4": (BATCH, CHANNELS, HEIGHT, WIDTH),
        "discriminator.conv1": (BATCH, 32, 8 * h, 8 * w),
        "discriminator.dense": (BATCH, 1),
    }
    for layer, width in enumerate((512, 256, 128), start=1):
        size = (2**layer * h, 2**layer * w)
        stages[f"generator.deconv{layer}"] = (BATCH, width, *size)
        stages[f"generator.norm{layer + 1}"] = (BATCH, width, *size)
    for layer, width in enumerate((64, 128, 256), start=2):
        size = (2 ** (4 - layer) * h, 2 ** (4 - layer) * w)
        stages[f"discriminator.conv{layer}"] = (BATCH, width, *size)
        stages[f"discriminator.norm{layer}"] = (BATCH, width, *size)
    return stages


def make_score() -> dict[str, np.ndarray]:
    random = np.random.default_rng(SEED)
    score: dict[str, np.ndarray] = {}
    for name, shape in expected_shapes().items():
        values = random.normal(0, 0.02, shape)
        if "norm" in name and name.endswith("weight"):
            values += 1
        if name.endswith("running_var"):
            values = random.uniform(0.5, 1.5, shape)
        score[name] = values
    score["images"] = random.uniform(-1, 1, (STEPS, BATCH, CHANNELS, HEIGHT, WIDTH))
    score["noise"] = random.uniform(-1, 1, (STEPS, 2, BATCH, LATENT))
    score["logits"] = random.normal(0, 3, (2, BATCH, 1))
    score["rate"] = np.array(0.1)
    return {name: values.astype(np.float32) for name, values in score.items()}


@pytest.fixture(scope="session")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """What every player makes of the score, by player."""
    folder = tmp_path_factory.mktemp("equality")
    np.savez(folder / "score.npz", allow_pickle=False, **make_score())

    def play(player: str) -> dict[str, np.ndarray]:
        answer = folder / f"{player}.npz"
        run = subprocess.run(
            [
                sys.executable,
                str(Path(__file__).with_name("worker.py")),
                player.partition("-")[0],
                str(folder / "score.npz"),
                str(answer),
            ],
            cwd=ROOT,
            env=environment(player),
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, f"{player}:\n{run.stderr[-3000:]}"
        found = dict(np.load(answer))
        answer.unlink()
        return found

    return side_by_side(play, PLAYERS)


def relative_error(a: np.ndarray, b: np.ndarray) -> float:
    """Largest difference, in units of the largest value."""
    return float(np.abs(a - b).max() / np.abs(a).max())


def shared(answers: Answers, title: str, pair: tuple[str, str]) -> list[tuple[str, ...]]:
    """The names of a part of the answers, which must be the same for both players."""
    names = [{n for n in answers[p] if n.startswith(title + "/")} for p in pair]
    assert names[0] == names[1]
    assert names[0]
    return sorted(names[0])  # type: ignore[return-value]


def worst(answers: Answers, title: str, pair: tuple[str, str]) -> tuple[float, str]:
    a, b = (answers[player] for player in pair)
    return max((relative_error(a[n], b[n]), n) for n in shared(answers, title, pair))  # type: ignore


@pytest.mark.parametrize("player", PLAYERS)
def test_parameters_have_the_shapes_of_the_architecture(answers: Answers, player: str) -> None:
    start = {
        name.removeprefix("start/"): array.shape
        for name, array in answers[player].items()
        if name.startswith("start/")
    }
    assert start == expected_shapes()


@pytest.mark.parametrize("player", PLAYERS)
def test_stages_have_the_shapes_of_the_architecture(answers: Answers, player: str) -> None:
    stages = {
        name.removeprefix("stage/"): array.shape
        for name, array in answers[player].items()
        if name.startswith("stage/")
    }
    assert stages == expected_stages()


@pytest.mark.parametrize("pair", PAIRS, ids=" ".join)
@pytest.mark.parametrize(
    ("title", "bound"),
    [
        ("start", 0.0),  # the weights go in and come out unchanged
        ("stage", 1e-5),
        ("output", 1e-5),
        ("loss", 1e-5),
        ("inference", 1e-4),  # after five updates of the running averages
        ("still", 1e-4),  # the running averages themselves, and the losses on the way
    ],
)
def test_numbers_agree(answers: Answers, title: str, bound: float, pair: tuple[str, str]) -> None:
    error, name = worst(answers, title, pair)
    assert error <= bound, f"{name}: relative error {error:.1e}"


@pytest.mark.parametrize("title", ["descent", "adam"])
def test_no_activation_lies_on_a_kink(answers: Answers, title: str) -> None:
    """Where the input of a ReLU is nearly 0, rounding decides whether its gradient is 0 or 1.

    One such activation among 200 000 makes gradients differ by a hundredth, in any two frameworks.
    So this holds for the score, not for the frameworks: the step compared stays off the kinks.
    """
    if "pytorch" not in PLAYERS:
        pytest.skip("measured in PyTorch, which is not among the players chosen")
    nearest = answers["pytorch"][f"kinks/{title}"][4:]  # without G's pass that has no gradient
    assert len(nearest) == 4 * 4
    assert nearest.min() > 1e-5


@pytest.mark.parametrize("pair", PAIRS, ids=" ".join)
def test_gradients_agree(answers: Answers, pair: tuple[str, str]) -> None:
    """A step of plain gradient descent moves every weight alike: what it moves by is compared."""
    a, b = (answers[player] for player in pair)
    for name in shared(answers, "descent", pair):
        if name.endswith("loss") or "running" in name:  # type: ignore[attr-defined]
            error = relative_error(a[name], b[name])  # type: ignore[index]
        else:
            start = a["start/" + name.removeprefix("descent/")]  # type: ignore[attr-defined]
            error = relative_error(start - a[name], start - b[name])  # type: ignore[index]
        assert error <= 1e-4, f"{name}: relative error {error:.1e}"


def moved_apart(a: dict[str, np.ndarray], b: dict[str, np.ndarray], title: str) -> dict[str, float]:
    """By tensor, how far one step of Adam leaves two players apart, in learning rates.

    Adam divides a gradient by its own size. Where the gradient is nothing but rounding, even its
    sign is chance, and such a weight may be off by two learning rates: so what is given is the
    quantile that all but a thousandth of a tensor's weights keep.
    """
    found = {}
    for name in a:
        if name.startswith("adam/") and not name.endswith("loss") and "running" not in name:
            apart = np.abs(a[name] - b[title + name.removeprefix("adam")]) / LEARNING_RATE
            assert apart.max() <= 2.001, name
            found[name] = float(np.quantile(apart, 0.999))
    return found


@pytest.mark.parametrize("pair", PAIRS, ids=" ".join)
def test_adam_agrees(answers: Answers, pair: tuple[str, str]) -> None:
    a, b = (answers[player] for player in pair)
    for name, apart in moved_apart(a, b, "adam").items():
        assert apart <= ADAM_BOUND, f"{name}: {apart:.1e} learning rates"


def test_epsilon_in_the_wrong_place_would_show(answers: Answers) -> None:
    """The bound on Adam tells epsilon after the bias correction from epsilon before it."""
    if "pytorch" not in PLAYERS:
        pytest.skip("played in PyTorch, which is not among the players chosen")
    played = answers["pytorch"]
    assert max(moved_apart(played, played, "misplaced").values()) > 25 * ADAM_BOUND
    assert max(moved_apart(played, played, "nudged").values()) < ADAM_BOUND


@pytest.mark.parametrize("pair", PAIRS, ids=" ".join)
def test_twenty_steps_stay_together(answers: Answers, pair: tuple[str, str]) -> None:
    """The losses part no faster than PyTorch's own do when each weight is off by one rounding.

    Training is chaotic: the differences grow about tenfold a step until they are as large as the
    losses' own swings. So the yardstick is measured: the same run of PyTorch from weights moved to
    the next float32. Ten times its largest difference so far is allowed, and 1e-5.
    """
    if "pytorch" not in PLAYERS:
        pytest.skip("the yardstick is PyTorch, which is not among the players chosen")
    a, b = (answers[player] for player in pair)
    yardstick = answers["pytorch"]
    for loss in ("discriminator_loss", "generator_loss"):
        own = 0.0
        for step in range(STEPS):
            name = f"{step:02d}/{loss}"
            own = max(own, abs(yardstick[f"adam/{name}"] - yardstick[f"nudged/{name}"]))
            apart = abs(a[f"adam/{name}"] - b[f"adam/{name}"])
            assert apart <= 10 * own + 1e-5, f"step {step}, {loss}: {apart:.1e}, own {own:.1e}"
