"""What Quartet is timed against: each rebuilt step trains networks of the same size; the table."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import pytest

from common.errors import UserError
from tests.support.ports import FRAMEWORKS, ROOT, chosen_ports, environment, run_probe, side_by_side
from workshop.peers.__main__ import HEADS, PEERS, row_of

TINY = ["--steps", "1", "--image-size", "16", "--batch-size", "2"]
CHOSEN = [framework for framework in FRAMEWORKS if framework in chosen_ports()]
LOSSES = {"dcgan": {"discriminator", "generator"}, "vae": {"loss"}}

pytestmark = pytest.mark.skipif(not CHOSEN, reason="none of the frameworks is chosen")
each_peer = pytest.mark.parametrize(
    "number",
    [number for number, known in enumerate(PEERS) if known.framework in CHOSEN],
    ids=lambda number: f"{PEERS[number].framework}-{PEERS[number].name}-{PEERS[number].model}",
)


@pytest.fixture(scope="module")
def measured() -> dict[int, dict[str, Any]]:
    """What the children say of each peer, a child for each framework."""

    def measure(framework: str) -> list[dict[str, Any]]:
        program = ("-m", "workshop.peers", "--child", framework)
        said = run_probe(framework, *program, "--rounds", 0, *TINY)
        return json.loads(said.splitlines()[-1])

    found = {framework: iter(each) for framework, each in side_by_side(measure, CHOSEN).items()}
    return {
        number: next(found[known.framework])
        for number, known in enumerate(PEERS)
        if known.framework in CHOSEN
    }


@each_peer
def test_a_peer_trains_all_its_weights(measured: dict[int, Any], number: int) -> None:
    found = measured[number]
    assert found["losses"].keys() >= LOSSES[PEERS[number].model]
    assert all(map(math.isfinite, found["losses"].values()))
    assert len(found["trained"]) > 5
    assert all(found["trained"])


@each_peer
def test_its_networks_are_of_the_size_of_ours(measured: dict[int, Any], number: int) -> None:
    weights = measured[number]["weights"]
    assert weights["theirs"] == weights["ours"]
    assert weights["ours"] > 100_000


def test_every_framework_has_a_peer_for_both_models() -> None:
    assert {(known.model, known.framework) for known in PEERS} == {
        (model, framework) for model in LOSSES for framework in FRAMEWORKS
    }


def outcome(theirs: float, gauge: float, **more: Any) -> dict[str, Any]:
    """As if ours took 10 ms a step while the machine had the speed 1."""
    rounds = {"seconds": theirs, "gauge": gauge}
    found = {"ours": [{"seconds": 0.01, "gauge": 1.0}] * 3, "theirs": [rounds] * 3}
    weights = {"ours": 7, "theirs": 7}
    return {"rounds": found, "weights": weights, "trained": [True], "losses": {}} | more


def test_a_ratio_over_one_means_that_ours_is_faster() -> None:
    assert row_of(PEERS[0], outcome(0.02, 1.0))[3:6] == ["10", "20", "2.00"]
    # Theirs had a machine half as fast.
    assert row_of(PEERS[0], outcome(0.02, 0.5))[3:6] == ["10", "20", "1.00"]


@pytest.mark.parametrize(
    "wrong", [{"weights": {"ours": 7, "theirs": 8}}, {"trained": [True, False]}]
)
def test_a_peer_that_is_not_what_it_should_be_is_no_row(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="rebuilt wrongly"):
        row_of(PEERS[0], outcome(0.02, 1.0, **wrong))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "workshop.peers", *arguments],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif("chainer" not in CHOSEN, reason="Chainer is not chosen")
def test_a_row_for_each_peer() -> None:
    done = run("--frameworks", "chainer", "--rounds", "1", *TINY)
    assert done.returncode == 0, done.stderr
    heads, rule, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines()
    )
    assert heads == HEADS
    assert rule == ["---"] * len(HEADS)
    expected = [known for known in PEERS if known.framework == "chainer"]
    assert [row[:3] for row in rows] == [[k.model, k.framework, k.title] for k in expected]
    for row, known in zip(rows, expected, strict=True):
        ours, theirs, ratio = map(float, row[3:6])
        assert ours > 0
        assert theirs > 0
        assert ratio > 0
        assert row[6] == known.differs
        assert known.title in done.stderr  # while it is measured


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "ae"], "unknown model 'ae'; known: dcgan, vae"),
        (["--peers", "official,nobody"], "unknown peer 'nobody'"),
        (["--frameworks", "caffe"], "unknown framework 'caffe'"),
        (["--models", "vae", "--peers", "pytorch_gan"], "no such peer"),
        (["--rounds", "0"], "give 1 or more"),
        (["--rounds", "many"], "invalid int value"),
        (["--frameworks", *CHOSEN[:1], "--no-such-flag"], "unknown argument --no-such-flag"),
    ],
)
def test_what_cannot_be_measured(arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_help_names_every_peer() -> None:
    said = " ".join(run("--help").stdout.split())
    for known in PEERS:
        assert f"{known.name} ({known.model}): {known.title}" in said
