"""Peers with networks of their own: what they are, that they learn; figures, table and page."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from common.data import Data, Split
from common.errors import UserError
from common.measures import features
from tests.support.ports import (
    FRAMEWORKS,
    ROOT,
    chosen_ports,
    environment,
    run_probe,
    run_script,
    side_by_side,
)
from tools import evaluate
from tools.library import drawing
from tools.library.drawing import Request
from workshop.peers import page, quality
from workshop.peers.quality import EVERYONE, FIGURES, MODELS, PEERS, Outcome, Quality, Trial

CHOSEN = [framework for framework in FRAMEWORKS if framework in chosen_ports()]
pytestmark = pytest.mark.skipif(not CHOSEN, reason="none of the frameworks is chosen")
each_peer = pytest.mark.parametrize(
    "who",
    [who for who in PEERS if who.framework in CHOSEN],
    ids=lambda who: f"{who.model}-{who.framework}-{who.name}",
)


def dense(*sizes: int) -> int:
    """Weights and biases of dense layers in a row."""
    return sum((one + 1) * other for one, other in itertools.pairwise(sizes))


def conv(kernel: int, *channels: int, bias: bool = True) -> int:
    """Weights and biases of convolutions in a row."""
    pairs = itertools.pairwise(channels)
    return sum((kernel**2 * one + bias) * other for one, other in pairs)


# For grey digits, by hand; those with a comment stand in the peer's own page.
PYTORCH_GAN_G = {
    size: dense(size, 128, 256, 512, 1024) + 2 * (256 + 512 + 1024) for size in (100, 110)
}
COUNTS = {
    ("dcgan", "pytorch", "official"): (
        conv(4, 100, 512, 256, 128, 64, 1, bias=False) + 2 * (512 + 256 + 128 + 64),
        conv(4, 1, 64, 128, 256, 512, 1, bias=False) + 2 * (128 + 256 + 512),
    ),
    ("dcgan", "pytorch", "pytorch_gan"): (
        dense(100, 128 * 8 * 8) + conv(3, 128, 128, 64, 1) + 2 * (128 + 128 + 64),
        conv(3, 1, 16, 32, 64, 128) + 2 * (32 + 64 + 128) + dense(128 * 2 * 2, 1),
    ),
    ("dcgan", "tensorflow", "official"): (
        100 * 12544 + conv(5, 256, 128, 64, 1, bias=False) + 2 * (12544 + 128 + 64),
        conv(5, 1, 64, 128) + dense(128 * 7 * 7, 1),
    ),
    ("dcgan", "keras", "official"): (
        dense(128, 8 * 8 * 128) + conv(4, 128, 128, 256, 512) + conv(5, 512, 1),
        conv(4, 1, 64, 128, 128) + dense(8 * 8 * 128, 1),
    ),
    ("dcgan", "keras", "guide"): (1_339_905, 74_625),  # stated
    ("dcgan", "keras", "lecture"): (
        dense(100, 1024, 128 * 7 * 7) + conv(4, 128, 64, 1) + 2 * (1024 + 128 * 7 * 7 + 64),
        conv(4, 1, 64, 128) + dense(128 * 7 * 7, 1024, 1),
    ),
    ("dcgan", "chainer", "official"): (
        dense(100, 8192)
        + conv(4, 512, 256, 128, 64)
        + conv(3, 64, 1)
        + 2 * (8192 + 256 + 128 + 64),
        conv(3, 1, 64)
        + conv(4, 64, 128)
        + conv(3, 128, 128)
        + conv(4, 128, 256)
        + conv(3, 256, 256)
        + conv(4, 256, 512)
        + conv(3, 512, 512)
        + 2 * (128 + 256 + 512)
        + dense(8192, 1),
    ),
    ("vae", "pytorch", "official"): (dense(784, 400, 40) + dense(20, 400, 784),),
    ("vae", "tensorflow", "official"): (
        conv(3, 1, 32, 64) + dense(64 * 6 * 6, 4),
        dense(2, 7 * 7 * 32) + conv(3, 32, 64, 32, 1),
    ),
    ("vae", "keras", "official"): (69_076, 65_089),  # stated
    ("vae", "chainer", "official"): (dense(784, 500, 40), dense(20, 500, 784)),
    ("cgan", "pytorch", "pytorch_gan"): (
        PYTORCH_GAN_G[110] + dense(1024, 32 * 32) + 100,
        dense(32 * 32 + 10, 512, 512, 512, 1) + 100,
    ),
    ("cgan", "keras", "official"): (
        dense(138, 7 * 7 * 138) + conv(4, 138, 128, 128) + conv(7, 128, 1),
        conv(3, 11, 64, 128) + dense(128, 1),
    ),
    ("wgan_gp", "pytorch", "pytorch_gan"): (
        PYTORCH_GAN_G[100] + dense(1024, 784),
        dense(784, 512, 256, 1),
    ),
    ("wgan_gp", "keras", "official"): (902_082, 4_305_409),  # stated
}
# Of colour images, as the peer's own page or many others state it.
IN_COLOUR = {
    ("dcgan", "pytorch", "official"): (3_576_704, 2_765_568),
    ("dcgan", "keras", "official"): (3_979_651, 404_801),
}
SETTINGS = {  # side, batch
    ("dcgan", "pytorch", "official"): (64, 64),
    ("dcgan", "pytorch", "pytorch_gan"): (32, 64),
    ("dcgan", "tensorflow", "official"): (28, 256),
    ("dcgan", "keras", "official"): (64, 32),
    ("dcgan", "keras", "guide"): (28, 64),
    ("dcgan", "keras", "lecture"): (28, 64),
    ("dcgan", "chainer", "official"): (32, 50),
    ("vae", "pytorch", "official"): (28, 128),
    ("vae", "tensorflow", "official"): (28, 32),
    ("vae", "keras", "official"): (28, 128),
    ("vae", "chainer", "official"): (28, 100),
    ("cgan", "pytorch", "pytorch_gan"): (32, 64),
    ("cgan", "keras", "official"): (28, 64),
    ("wgan_gp", "pytorch", "pytorch_gan"): (28, 5 * 64),
    ("wgan_gp", "keras", "official"): (28, 512),
}


def name_of(who: Quality) -> tuple[str, str, str]:
    return who.model, who.framework, who.name


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the probe says, by framework."""
    folder = tmp_path_factory.mktemp("runs")

    def probe(framework: str) -> dict[str, Any]:
        said = run_probe(framework, "tests/probes/quality_probe.py", framework, folder)
        return json.loads(said.splitlines()[-1])

    return side_by_side(probe, CHOSEN)


def of(described: dict[str, Any], who: Quality) -> dict[str, Any]:
    return described[who.framework][f"{who.model} {who.name}"]


@each_peer
def test_a_peer_has_the_networks_of_its_source(described: dict[str, Any], who: Quality) -> None:
    found = of(described, who)
    assert tuple(found["counts"].values()) == COUNTS[name_of(who)]
    assert (found["side"], found["batch"]) == SETTINGS[name_of(who)]
    if name_of(who) in IN_COLOUR:
        assert tuple(found["colour counts"].values()) == IN_COLOUR[name_of(who)]


@each_peer
def test_a_peer_trains_all_its_weights(described: dict[str, Any], who: Quality) -> None:
    found = of(described, who)
    for name, trained in found["trained"].items():
        assert len(trained) > 3
        # A critic's last bias is in both of its scores, and so has no gradient.
        assert all(trained[:-1] if name == "critic" else trained), (name, trained)
    for losses in found["losses"]:
        assert all(map(math.isfinite, losses.values()))


@each_peer
def test_a_peer_draws_of_noise_and_of_classes(described: dict[str, Any], who: Quality) -> None:
    found = of(described, who)
    assert found["drawn"] == [3, found["side"], found["side"], 1]
    assert found["dtype"] == "uint8"
    assert found["deviation"] > 0
    assert not found["again"]
    assert found["of other noise"]
    assert found["of another class"] == (who.model == "cgan")


@pytest.mark.parametrize("framework", CHOSEN)
def test_a_bound_is_of_what_a_peer_learns(described: dict[str, Any], framework: str) -> None:
    found = described[framework]["vae official"]
    loss = found["losses"][0]["loss"] / (10 if framework == "pytorch" else 1)  # a sum there
    assert found["bound"] == pytest.approx(-loss, rel=0.02)


@pytest.mark.parametrize("framework", CHOSEN)
@pytest.mark.parametrize("name", ["ours", "official"])
def test_a_trial_trains_and_measures(described: dict[str, Any], framework: str, name: str) -> None:
    trial = described[framework][f"trial {name}"]
    assert tuple(trial["figures"]) == FIGURES["vae"]
    assert all(map(math.isfinite, trial["figures"].values()))
    assert 1 < trial["steps"] < 1000
    assert -600 < trial["figures"]["ELBO"] < -100
    assert described[framework][f"samples {name}"] == [80, 28, 28, 1]


def test_every_framework_has_ours_and_a_peer() -> None:
    assert set(FIGURES) == set(MODELS) == {who.model for who in EVERYONE}
    for model in MODELS:
        mine = {who.framework for who in EVERYONE if who.model == model and who.ours}
        assert mine == set(FRAMEWORKS)
    assert {name_of(who) for who in PEERS} == set(COUNTS) == set(SETTINGS)
    assert len({name_of(who) for who in EVERYONE}) == len(EVERYONE)


def test_figures_are_those_of_evaluate(tmp_path: Path) -> None:
    small = ["--dataset", "digits", "--steps", "0", "--filters", "1", "--out", tmp_path / "run"]
    done = run_script(CHOSEN[0], *small, cwd=ROOT, model="cgan")
    assert done.returncode == 0, done.stderr
    weights = str(tmp_path / "run" / "checkpoint.safetensors")
    request = Request("cgan", CHOSEN[0], weights, 100, 0, None, features.DIMENSIONS + 1)
    drawn = drawing.draw(request)
    expected, _ = evaluate.measure(drawn, features.extract)
    dataset = Data("digits").dataset
    assert (len(dataset.train), len(dataset.test)) == (4000, 1000)
    data = Data("digits")  # with the test images that were chosen
    data.dataset = replace(dataset, test=Split(drawn.test, drawn.labels[0]))
    outcome = Outcome(1, drawn.samples[0], drawn.asked, {})
    found = quality.figures_of(outcome, data, "cgan")
    assert found == {name: expected[name].values[0] for name in FIGURES["cgan"]}


def test_a_share_is_of_the_classes_asked_for() -> None:
    data, name = Data("digits"), "share of the class asked for"
    digits, labels = data.train.images[:100], data.train.labels[:100]
    for asked, low, high in ((labels, 0.9, 1.0), ((labels + 1) % 10, 0.0, 0.1)):
        found = quality.figures_of(Outcome(1, digits, asked, {}), data, "cgan")
        assert low <= found[name] <= high
        assert found["Fréchet distance"] < 10


def test_the_first_step_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(quality.time, "process_time", lambda: clock[0])
    steps = []
    for number in quality.train_for(10):
        steps.append(number)
        clock[0] += 100 if number == 1 else 3
    assert steps == [1, 2, 3, 4, 5]  # 4 steps of 3 seconds: the last one begins after 9


# The table, without training.


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place for figures, samples and the page."""
    monkeypatch.setattr(quality, "FOLDER", tmp_path / "peers")
    monkeypatch.setattr(page, "FOLDER", tmp_path / "peers")
    monkeypatch.setattr(quality, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(page, "PAGE", tmp_path / "peers.md")
    return tmp_path


def fill(model: str, distances: dict[tuple[str, str], list[float]], minutes: float = 3) -> None:
    """Put made-up trials into the table, and samples where they belong."""
    for (framework, name), values in distances.items():
        who = quality.find(model, framework, name)
        assert who is not None
        for seed, value in enumerate(values, start=1):
            trial = Trial(who, "digits", seed, minutes)
            figures = dict.fromkeys(FIGURES[model], 0.5) | {FIGURES[model][0]: value}
            quality.put(trial, {"steps": 10 * seed, "figures": figures})
            trial.folder.mkdir(parents=True, exist_ok=True)
            np.save(trial.folder / "samples.npy", np.full((100, 28, 28, 1), 10 * seed, np.uint8))


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr("sys.argv", ["peers", "--quality", *arguments])
    quality.main(quality.parse())


def test_only_what_is_missing_is_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = []

    def run(trial: Trial) -> dict[str, Any]:
        ran.append((trial.who.name, trial.seed, trial.minutes))
        return {"steps": 7, "figures": dict.fromkeys(FIGURES["vae"], 0.25)}

    monkeypatch.setattr(quality, "run", run)
    framework = CHOSEN[0]
    arguments = ["--models", "vae", "--frameworks", framework, "--only", "official,ours"]
    call(monkeypatch, *arguments, "--seeds", "2")
    assert sorted(ran) == [(name, s, 3.0) for name in ("official", "ours") for s in (1, 2)]
    assert "4 runs of 12 minutes" in capsys.readouterr().out
    ran.clear()
    call(monkeypatch, *arguments, "--seeds", "3")
    assert sorted(ran) == [("official", 3, 3.0), ("ours", 3, 3.0)]
    ran.clear()
    call(monkeypatch, *arguments, "--seeds", "1", "--minutes", "0.5")
    assert len(ran) == 2
    ran.clear()
    call(monkeypatch, *arguments, "--seeds", "1", "--again")
    assert len(ran) == 2
    rows = quality.read_table()
    assert len(rows) == 8 * len(FIGURES["vae"])  # none twice
    expected = ["vae", "digits", framework, "official", "1", "0.5", "7", "ELBO", "0.25"]
    assert list(rows[0].values()) == expected
    assert [row["figure"] for row in rows[:4]] == list(FIGURES["vae"])


def test_a_failed_trial_says_what_it_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "Trial", Trial)
    trial = Trial(PEERS[0], "no_such_data", 1, 0.001)
    with pytest.raises(UserError, match=r"no_such_data.*log\.txt"):
        quality.run(trial)
    assert not quality.read_table()


def test_a_table_that_is_none(folder: Path) -> None:
    (folder / "peers").mkdir()
    (folder / "peers" / "quality.csv").write_text("model,value\ndcgan,1\n")
    with pytest.raises(UserError, match="expected the columns model, dataset"):
        quality.read_table()


def test_a_page_says_who_is_better(folder: Path) -> None:
    with pytest.raises(UserError, match="there are no figures yet"):
        page.make()
    distances = {
        ("pytorch", "ours"): [3.0, 2.0, 4.0],
        ("pytorch", "official"): [90.0, 80.0, 85.0],
        ("pytorch", "pytorch_gan"): [9.0, 8.0, 7.0],
        ("tensorflow", "ours"): [5.0, 6.0, 7.0],
        ("tensorflow", "official"): [4.0, 5.5, 5.0],
        ("chainer", "ours"): [5.0],
    }
    fill("dcgan", distances)
    fill("vae", {("keras", "ours"): [-140.0], ("keras", "official"): [-150.0]})
    page.write()
    text = (folder / "peers.md").read_text(encoding="utf-8")
    assert text == page.make()
    assert "| PyTorch | **Quartet** | 20 | 3 (2 to 4) | 0.5 (0.5 to 0.5) |" in text
    assert "- PyTorch: Quartet is better than PyTorch-GAN, the best peer.\n" in text
    worse = "Quartet is worse than TensorFlow's tutorial, the best peer, but not by every seed."
    assert f"- TensorFlow: {worse}\n" in text
    assert (
        "- Keras: Quartet is better than Keras' example, the best peer.\n" in text
    )  # ELBO: higher
    assert "- Chainer" not in text.partition("## vae")[0].partition("## dcgan")[2]
    assert "![Samples of dcgan](results/peers/dcgan.png)" in text
    with Image.open(folder / "peers" / "dcgan.png") as picture:
        pixels = np.asarray(picture)
    row = 32 + 2
    assert pixels.shape[0] == len(distances) * 30 + 2 or pixels.shape[0] == len(distances) * row + 2
    # The first row is the first peer's in the list, of its median seed.
    assert pixels[15, -15] == 30  # official: 85, the third
    assert page.median_seed([1, 2, 3, 4], [4.0, 1.0, 2.0, 3.0]) == 3


def test_a_picture_stays_where_samples_are_gone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill("cgan", {("keras", "ours"): [3.0], ("keras", "official"): [4.0]})
    page.write()
    before = (folder / "peers" / "cgan.png").read_bytes()
    for path in (folder / "runs").glob("*/samples.npy"):
        path.unlink()
    page.write()
    assert "is missing: the picture of cgan is left as it is" in capsys.readouterr().err
    assert (folder / "peers" / "cgan.png").read_bytes() == before


def test_the_committed_page_is_of_the_committed_figures() -> None:
    rows = quality.read_table()
    if not rows:
        pytest.skip("there are no figures yet")
    assert page.PAGE.read_text(encoding="utf-8") == page.make()
    assert rows == sorted(rows, key=quality.place)
    for row in rows:
        assert quality.find(row["model"], row["framework"], row["who"]), row
        assert row["figure"] in FIGURES[row["model"]]
        assert math.isfinite(float(row["value"]))
        assert int(row["steps"]) > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "ae"], "unknown model 'ae'; known: dcgan, vae, cgan, wgan_gp"),
        (["--only", "nobody"], "unknown name 'nobody'; known: official, pytorch_gan"),
        (["--frameworks", "caffe"], "unknown framework 'caffe'"),
        (["--models", "vae", "--only", "lecture"], "nobody is called so"),
        (["--seeds", "0"], "--seeds 0: must be at least 1"),
        (["--minutes", "0"], "--minutes 0: must be more than 0"),
        (["--minutes", "nan"], "--minutes nan: must be more than 0"),
        (["--epochs", "3"], "unrecognized arguments: --epochs 3"),
    ],
)
def test_what_cannot_be_run(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        quality.parse(["--quality", *arguments])
    assert message in str(error.value)


def test_the_command_line() -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "workshop.peers", "--quality", *arguments],
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    done = run("--models", "ae")
    assert done.returncode == 2
    assert done.stderr.startswith("error: unknown model 'ae'")
    said = " ".join(run("--help").stdout.split())
    for who in EVERYONE:
        assert f"{who.name} ({who.model}, {who.framework}): {who.title}" in said
