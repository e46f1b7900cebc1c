"""evaluate: the same figures from every framework, beside real images'; or one clear line."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from common.data import load
from common.errors import UserError
from common.measures import features, sliced
from common.pictures import ClassSamples, images
from tests.support.ports import FRAMEWORKS, chosen_ports, environment, run_commands, side_by_side
from tools import evaluate
from tools.library import drawing, scripts
from tools.library.drawing import DRAWS, Drawn, Request
from tools.library.scripts import ROOT

CHOSEN = [framework for framework in FRAMEWORKS if framework in chosen_ports()]
COUNT = 66  # samples
# By name of the run, its model, and what its small checkpoint is trained with.
TRAINED = {
    "dcgan": "dcgan --dataset digits --image-size 16 --steps 8 --batch-size 16",
    "vae": "vae --dataset digits --image-size 16 --steps 100 --batch-size 32 --latent-dim 3",
    "colour vae": "vae --dataset folder:photos --image-size 16 --steps 50 --batch-size 8 "
    "--latent-dim 3",
    "cgan": "cgan --dataset digits --image-size 16 --steps 0",
    "ae": "ae --dataset digits --image-size 16 --steps 0",
    "pix2pix": "pix2pix --dataset folder:photos --image-size 32 --task edges --steps 0",
    "cyclegan": "cyclegan --image-size 32 --width 2 --blocks 1 --steps 0",
}
SHARED = ("dcgan", "vae", "colour vae")  # drawn with every framework; the rest with the first
# Draws several requests in one process, since a framework is slow to start.
DRIVER = """
import json, sys
from pathlib import Path
from common.errors import UserError
from tools.library import drawing
for request in json.loads(sys.stdin.read()):
    folder = Path(request.pop("folder"))
    folder.mkdir()
    try:
        drawing.write(drawing.draw_here(drawing.Request(**request)), folder)
    except UserError as error:
        (folder / "error").write_text(str(error))
"""


def draw_all(framework: str, home: Path, requests: dict[str, Request]) -> dict[str, Path]:
    """The folders of what requests to one framework give, by their names."""
    folders = {name: home / f"{framework}-{name}" for name in requests}
    given = [
        {"folder": str(folders[name]), **asdict(replace(one, framework=framework))}
        for name, one in requests.items()
    ]
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input=json.dumps(given),
        cwd=home,
        env=environment(framework, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folders


@pytest.fixture(autouse=True)
def _few_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sliced distance takes most of the time."""
    monkeypatch.setattr(sliced, "PER_IMAGE", 8)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of each model."""
    folder = tmp_path_factory.mktemp("evaluate")
    (folder / "photos").mkdir()
    levels = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8)
    for number, level in enumerate(levels):
        Image.fromarray(level).resize((40, 40)).save(folder / "photos" / f"{number}.png")
    seldom = "--log-every 1000 --sample-every 1000"
    commands: dict[str, list[str]] = {
        name: [*f"{given} {seldom} --out".split(), name] for name, given in TRAINED.items()
    }
    generate: str = "--generate 2 --from pix2pix/checkpoint.safetensors --out generated"
    commands["generated"] = ["pix2pix", *generate.split()]
    for answer in run_commands(CHOSEN[0], folder, commands).values():
        assert answer.status == 0, answer.stderr
    return folder


@pytest.fixture(scope="module")
def folders(home: Path) -> dict[str, dict[str, Path]]:
    """The folders of what was drawn, by framework and name."""

    def ask(run: str, samples: int | None = COUNT, seed: int = 0) -> Request:
        path = str(home / run / "checkpoint.safetensors")
        return Request(TRAINED[run].split()[0], "", path, samples, seed, None, 65)

    def draw(framework: str) -> dict[str, Path]:
        requests = {name: ask(name, None if "colour" in name else COUNT) for name in SHARED}
        if framework == CHOSEN[0]:
            requests |= {"again": ask("vae"), "other seed": ask("vae", seed=1)}
            requests |= {"few": ask("dcgan", 64), "many": ask("dcgan", 1001)}
            requests |= {name: ask(name, None) for name in ("pix2pix", "ae")}
            requests |= {"whole": ask("vae", None), "cgan": ask("cgan")}
            requests |= {"cyclegan": ask("cyclegan")}
        return draw_all(framework, home, requests)

    return side_by_side(draw, CHOSEN)


@pytest.fixture(scope="module")
def drawn(folders: dict[str, dict[str, Path]]) -> dict[str, dict[str, Drawn]]:
    """What was drawn, by framework and name."""
    return {
        framework: {n: drawing.read(path) for n, path in found.items() if n not in ("few", "many")}
        for framework, found in folders.items()
    }


@pytest.fixture(scope="module")
def first(drawn: dict[str, dict[str, Drawn]]) -> dict[str, Drawn]:
    """What the first framework drew, by name."""
    return drawn[CHOSEN[0]]


@pytest.mark.parametrize("model", SHARED)
def test_every_framework_gives_the_same_figures(
    drawn: dict[str, dict[str, Drawn]], model: str
) -> None:
    """Images may differ by a grey level, where rounding falls the other way."""
    one = drawn[CHOSEN[0]][model]
    mine = evaluate.measure(one, features.extract)[0]
    for framework in CHOSEN[1:]:
        other = drawn[framework][model]
        assert (other.test == one.test).all()
        for draw in range(DRAWS):
            assert np.abs(one.samples[draw].astype(int) - other.samples[draw]).max() <= 1
        for name, figure in evaluate.measure(other, features.extract)[0].items():
            # A path's length is of steps so small that rounding to grey levels shows in it.
            share = 0.02 if name == "path length" else 1e-3
            largest = np.abs(mine[name].values).max()
            close = 0.011 if name in ("precision", "recall") else share * largest
            assert figure.values == pytest.approx(mine[name].values, abs=close), (framework, name)
            assert figure.floor == mine[name].floor


def test_the_test_split_is_what_models_are_compared_with(first: dict[str, Drawn]) -> None:
    digits = load("digits", image_size=16)
    whole, some = first["whole"], first["vae"]
    assert (whole.test == digits.test.images).all()
    assert (whole.train == digits.train.images).all()
    test, train = (
        {image.tobytes() for image in split.images} for split in (digits.test, digits.train)
    )
    assert len(some.test) == len({image.tobytes() for image in some.test}) == COUNT
    assert all(image.tobytes() in test for image in some.test)
    assert len(some.floors) == DRAWS
    for floor in some.floors:
        assert len(floor) == COUNT
        assert all(image.tobytes() in train for image in floor)
    assert (some.floors[0] != some.floors[1]).any()


def test_draws_follow_the_seed(first: dict[str, Drawn]) -> None:
    one, again, other = first["vae"], first["again"], first["other seed"]
    assert len(one.samples) == DRAWS
    for draw in range(DRAWS):
        assert len(one.samples[draw]) == COUNT
        assert np.abs(one.samples[draw].astype(int) - again.samples[draw]).max() <= 1
        assert (one.samples[draw] != other.samples[draw]).mean() > 0.1
        assert (one.samples[draw] != one.samples[draw - 1]).mean() > 0.1
    assert (one.test != other.test).any()
    assert (one.floors[0] == again.floors[0]).all()


def test_each_kind_of_picture_has_its_figures(first: dict[str, Drawn]) -> None:
    of_pairs = ["PSNR", "SSIM"]
    of_samples = ["Fréchet distance", "kernel distance", "precision", "recall"]
    sliced = [f"sliced Wasserstein, {side} pixels" for side in (32, 16)]
    of_larger = [*of_samples, *sliced, "diversity"]
    of_samples += [sliced[1], "diversity"]
    of_classes = ["classes among 200", "share of the class asked for", "diversity within classes"]
    expected = {
        "dcgan": [*of_samples, "classes among 200", "path length"],
        "cgan": [*of_samples, *of_classes, "path length"],
        "ae": ["mean squared error", *of_pairs],
        "pix2pix": ["L1", *of_pairs],
        "cyclegan": [*of_larger, *first["cyclegan"].others[0]],
        "vae": [
            *of_samples,
            "mean squared error",
            *of_pairs,
            "classes among 200",
            "reconstructions of their class",
            *first["vae"].others[0],
        ],
    }
    for name, names in expected.items():
        figures, left_out = evaluate.measure(first[name], features.extract)
        assert list(figures) == names, name
        assert left_out == []
        for figure in figures.values():
            assert np.isfinite(figure.values + figure.floor).all()
            assert len(figure.values) in (1, DRAWS)


def test_all_images_of_two_domains_are_translated(first: dict[str, Drawn]) -> None:
    one = first["cyclegan"]
    (made,) = one.samples
    assert made.shape == one.test.shape == (COUNT, 32, 32, 3)
    (others,) = one.others
    assert 0 < others["L1 there and back"] < 255
    real = others["overlap of masks, sources"], others["share of the other kind, sources"]
    assert real[0] > 0.6 > others["overlap of masks"]  # it has learned nothing
    assert real[1] < 0.1
    # Of each the very same newt as the other kind: all but its skin is alike.
    alike = others["L1 to the true translation, sources"]
    assert 0 < alike < 15 < others["L1 to the true translation"]
    assert others["SSIM to the true translation"] < others["SSIM to the true translation, sources"]


def test_a_perfect_model_has_the_floor_s_figures(first: dict[str, Drawn]) -> None:
    one = first["dcgan"]
    figures, _ = evaluate.measure(replace(one, samples=one.floors), features.extract)
    del figures["path length"], figures["classes among 200"]  # of the model alone, and of all
    for name, figure in figures.items():
        assert figure.values == figure.floor, name
    bad, _ = evaluate.measure(one, features.extract)
    del figures["precision"]  # one picture over and over can have a high one
    for name, figure in figures.items():
        best = evaluate.BEST.get(name.partition(",")[0], "higher")
        worse = np.mean(bad[name].values) - np.mean(figure.floor)
        assert worse * (-1 if best == "higher" else 1) > 0 or best == "near 1", name
    same, _ = evaluate.measure(replace(one, samples=[one.test] * DRAWS), features.extract)
    assert same["Fréchet distance"].values == pytest.approx([0] * DRAWS, abs=1e-6)
    assert same["precision"].values == same["recall"].values == [1] * DRAWS


def test_too_few_real_images_leave_a_figure_out(first: dict[str, Drawn]) -> None:
    one = first["dcgan"]
    few = replace(
        one,
        test=one.test[:64],
        samples=[each[:64] for each in one.samples],
        floors=[each[:64] for each in one.floors],
    )
    figures, left_out = evaluate.measure(few, features.extract)
    assert len(left_out) == 1
    assert "64 samples are too few, at least 65" in left_out[0]
    assert "Fréchet distance" not in figures
    assert {"kernel distance", "precision", "diversity"} <= set(figures)


@pytest.mark.parametrize(("name", "run"), [("whole", "vae"), ("colour vae", "colour vae")])
def test_the_elbo_is_what_training_ends_with(
    first: dict[str, Drawn], home: Path, name: str, run: str
) -> None:
    said = json.loads((home / run / "evaluation.json").read_text())["test negative_elbo"]
    lower, weighted = zip(*(bounds.values() for bounds in first[name].others), strict=True)
    assert lower == pytest.approx([-said] * DRAWS, rel=5e-3)  # it is from one code an image
    assert all(w > low for w, low in zip(weighted, lower, strict=True))
    assert len(set(lower)) == DRAWS


def test_translations_are_those_that_the_script_shows(first: dict[str, Drawn], home: Path) -> None:
    """The picture of `--generate`: source, translation and test image side by side."""
    one = first["pix2pix"]
    assert one.sources is not None
    assert one.made is not None
    assert len(one.test) == 2
    shown = np.asarray(Image.open(home / "generated" / "generated.png")).astype(int)
    assert np.abs(shown - images.beside(one.sources, one.made, one.test)).max() <= 1


def test_classes_are_drawn_in_turn() -> None:
    """From noise of one number, images that are the number and the label."""
    data: Any = SimpleNamespace(class_names=("a", "b", "c"))

    def draw(noise: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return np.stack([noise[:, 0], labels], 1).astype(np.uint8).reshape(-1, 1, 2, 1)

    def draw_noise(random: np.random.Generator, config: None, count: int) -> np.ndarray:
        return random.permutation(count).reshape(-1, 1)

    made = ClassSamples(data, None, draw_noise, draw).images(100, np.random.default_rng(0))
    assert (made[:, 0, 0, 0] == np.random.default_rng(0).permutation(100)).all()
    assert made[:5, 0, 1, 0].tolist() == [0, 1, 2, 0, 1]


def test_a_command_prints_and_leaves_everything(home: Path, tmp_path: Path) -> None:
    command = "-m tools.evaluate vae --from vae/checkpoint.safetensors --samples 80"
    done = subprocess.run(
        [sys.executable, *f"{command} --out {tmp_path / 'made'}".split()],
        cwd=home,
        env=environment(CHOSEN[0], PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    assert sorted(p.name for p in (tmp_path / "made").iterdir()) == [
        "evaluation.json",
        "evaluation.png",
    ]
    about = json.loads((tmp_path / "made" / "evaluation.json").read_text())
    assert (about["model"], about["images"], about["step"]) == ("vae", 80, 100)
    assert about["left out"] == []
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"vae in {CHOSEN[0]} on digits, step 100: 80 images")
    assert len(lines) == 3 + len(about["figures"])
    for line, (name, figure) in zip(lines[2:], about["figures"].items(), strict=False):
        assert line.startswith(name)
        value = float(line.removeprefix(name).split()[0])
        assert value == pytest.approx(figure["mean of values"], rel=0.02, abs=0.05)
    picture = np.asarray(Image.open(tmp_path / "made" / "evaluation.png").convert("RGB"))
    assert picture.shape[1] > 1000
    assert picture.std() > 20


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("few", "--samples 64: too few for the Fréchet distance"),
        ("many", "--samples 1001: digits has 1000 test and 4000 training images"),
    ],
    ids=["too few", "more than the test split has"],
)
def test_a_number_of_samples_that_does_not_fit_is_refused(
    folders: dict[str, dict[str, Path]], name: str, message: str
) -> None:
    said = (folders[CHOSEN[0]][name] / "error").read_text()
    assert said.startswith(message)
    assert "give at" in said


def test_what_the_script_refuses_ends_the_command(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """One line, the script's own, and nothing is left."""
    (home / "photos").rename(home / "gone")
    monkeypatch.chdir(home)
    monkeypatch.setattr("sys.argv", ["x", "pix2pix", "--from", "pix2pix/checkpoint.safetensors"])
    with pytest.raises(SystemExit) as stop:
        evaluate.main()
    (home / "gone").rename(home / "photos")
    assert stop.value.code == 2
    said = capfd.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert not (home / "pix2pix" / "evaluation").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dcgam", "--from", "x"], "unknown model 'dcgam'"),
        (["dcgan"], "the following arguments are required: --from"),
        (["dcgan", "--from", "none"], "none: no such file"),
        (["gan", "--from", "{dcgan}"], "a checkpoint of dcgan; this script needs one of gan"),
        (["dcgan", "--from", "{dcgan}", "--framework", "caffe"], "unknown framework 'caffe'"),
        (["dcgan", "--from", "{dcgan}", "--samples", "0"], "--samples 0: must be at least 1"),
        (["dcgan", "--from", "{dcgan}", "--seed", "-1"], "--seed -1: must be at least 0"),
    ],
    ids=["model", "no checkpoint", "no file", "another model", "framework", "samples", "seed"],
)
def test_bad_input(home: Path, arguments: list[str], message: str) -> None:
    path = str(home / "dcgan" / "checkpoint.safetensors")
    with pytest.raises(UserError) as error:
        evaluate.parse([argument.format(dcgan=path) for argument in arguments])
    assert message in str(error.value)


def test_the_framework_that_trained_draws_if_it_is_installed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["vae", "--from", str(home / "vae" / "checkpoint.safetensors")]
    assert evaluate.parse(arguments).framework == CHOSEN[0]
    installed = FRAMEWORKS[1]
    for module in (evaluate, scripts):
        monkeypatch.setattr(module, "find_version", lambda one: "1" if one == installed else None)
    assert evaluate.parse(arguments).framework == installed


def test_classes_are_read_by_the_nearest_training_images() -> None:
    """Real test digits in the place of samples: nearly all are read as what they are."""
    data = load("digits")
    drawn = Drawn("", data.test.images, data.train.images, [data.test.images])
    drawn.samples = [data.test.images, data.test.images[::-1]]
    drawn.labels = [data.test.labels, data.train.labels]
    drawn.asked = data.test.labels
    figures, _ = evaluate.measure(drawn, features.extract)
    right, wrong = figures["share of the class asked for"].values
    assert right > 0.97
    assert [right] == figures["share of the class asked for"].floor
    assert wrong < 0.2  # asked for in another order
    assert figures["classes among 200"].values == [10, 10]
    drawn.made = np.roll(data.test.images, 1, axis=0)  # each in the place of the next class
    restored = evaluate.measure(drawn, features.extract)[0]["reconstructions of their class"]
    assert restored.values[0] < 0.02
    assert restored.floor == [right]
    assert figures["diversity within classes"].values[0] == pytest.approx(1)
    one = np.repeat(data.test.images[:10], 100, axis=0)  # a picture a class, over and over
    drawn.samples, drawn.asked = [one], np.repeat(np.arange(10), 100)
    figures, _ = evaluate.measure(drawn, features.extract)
    assert figures["share of the class asked for"].values[0] == 1
    assert figures["classes among 200"].values == [2]
    assert figures["diversity within classes"].values[0] < 0.1
