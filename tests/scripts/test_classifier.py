"""What a classifier needs: its crops, its figures, its pictures, and weights from elsewhere."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from common.data import Classification, Data, load
from common.data.batches import CROPS
from common.data.crops import AREA, ASPECT, TRIES, choose_box, enlarged, random_crops
from common.errors import UserError
from common.measures import accuracy
from common.pictures import Predictions
from common.run import checkpoint, pretrained
from common.run.table import Table
from tests.support.ports import environment, run_script
from tools.library.scripts import ROOT
from workshop import train_weights
from workshop import transfer_modes as modes

# Crops.


def test_boxes_are_those_of_torchvision() -> None:
    """Its rule, as its documentation and code state it, on the same random numbers."""

    def by_the_rule(height, width, random):
        area = height * width
        for _ in range(10):
            target = area * random.uniform(0.08, 1.0)
            ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
            w = round(math.sqrt(target * ratio))
            h = round(math.sqrt(target / ratio))
            if 0 < w <= width and 0 < h <= height:
                i = int(random.integers(0, height - h + 1))
                j = int(random.integers(0, width - w + 1))
                return j, i, j + w, i + h
        shape = width / height
        if shape < 3 / 4:
            w, h = width, round(width / (3 / 4))
        elif shape > 4 / 3:
            w, h = round(height * (4 / 3)), height
        else:
            w, h = width, height
        i, j = (height - h) // 2, (width - w) // 2
        return j, i, j + w, i + h

    for shape in ((73, 91), (40, 40), (8, 100), (100, 8)):
        first, second = (np.random.default_rng(5) for _ in range(2))
        for _ in range(300):
            assert choose_box(*shape, first) == by_the_rule(*shape, second)


def test_a_crop_that_never_fits_is_the_largest_in_the_middle() -> None:
    assert choose_box(10, 1000, np.random.default_rng(0)) == (493, 0, 506, 10)
    assert choose_box(1000, 10, np.random.default_rng(0)) == (0, 493, 10, 506)


def test_crops_have_all_areas_and_shapes_and_sides() -> None:
    """A ramp from left to right says where a crop was, and whether it is mirrored."""
    ramp = np.broadcast_to(np.arange(200, dtype=np.uint8)[:, None], (200, 200, 3))
    images = np.repeat(ramp[None], 400, axis=0)
    made = random_crops(images, 16, np.random.default_rng(0)).astype(int)
    rises = made[:, :, -1, 0].mean(1) - made[:, :, 0, 0].mean(1)
    assert 0.4 < (rises < 0).mean() < 0.6
    widths = np.abs(rises) / 199
    assert widths.min() < 0.35
    assert widths.max() > 0.85
    boxes = [choose_box(200, 200, np.random.default_rng(n)) for n in range(2000)]
    sizes = np.array([(right - left, bottom - top) for left, top, right, bottom in boxes])
    areas, shapes = sizes.prod(1) / 200**2, sizes[:, 0] / sizes[:, 1]
    assert AREA[0] * 0.95 < areas.min() < 0.1
    assert 0.9 < areas.max() <= AREA[1]
    assert ASPECT[0] * 0.95 < shapes.min() < 0.8
    assert 1.25 < shapes.max() < ASPECT[1] * 1.05
    assert TRIES == 10


def test_batches_are_crops_with_their_labels() -> None:
    """Grey images become RGB; test images are the middle of larger ones."""
    dataset = Classification().load("digits", image_size=32)
    assert dataset.image_shape == (32, 32, 3)
    assert dataset.train.images.shape[1:] == (enlarged(32), enlarged(32), 3)
    assert dataset.test.images.shape[1:] == (32, 32, 3)
    larger = load("digits", image_size=enlarged(32)).test.images
    margin = (enlarged(32) - 32) // 2
    middle = larger[:, margin : margin + 32, margin : margin + 32]
    np.testing.assert_array_equal(dataset.test.images, middle.repeat(3, axis=3))
    first, second = (
        Classification().make_batches(dataset, 8, np.random.default_rng(0)).next() for _ in range(2)
    )
    assert first.images.shape == (8, 32, 32, 3)
    np.testing.assert_array_equal(first.images, second.images)
    order = np.random.default_rng(0).permutation(CROPS * len(dataset.train))
    labels = dataset.train.labels[order[:8] % len(dataset.train)]
    np.testing.assert_array_equal(first.labels, labels)


def test_one_class_is_nothing_to_tell_apart(tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    for index in range(3):
        Image.new("RGB", (20, 20), (index, 0, 0)).save(tmp_path / "all" / f"{index}.png")
    with pytest.raises(UserError, match="one class only"):
        Classification().load(f"folder:{tmp_path}", image_size=16)


# Figures.


def test_wilsons_interval() -> None:
    """Its ends p solve (share - p)^2 = z^2 p (1 - p) / n."""
    for right, count in ((6, 6), (0, 6), (3, 6), (81, 263), (512, 512)):
        low, high = accuracy.wilson(right, count)
        share = right / count
        assert 0 <= low <= share <= high <= 1
        for end in (low, high):
            if 0 < end < 1:
                left, square = (share - end) ** 2, accuracy.NORMAL_95**2
                assert left == pytest.approx(square * end * (1 - end) / count)
    # Newcombe (1998), table I, https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<857
    assert accuracy.wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert accuracy.wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)


def test_confusion_counts_what_is_taken_for_what() -> None:
    labels, chosen = np.array([0, 0, 1, 2, 2, 2]), np.array([0, 1, 1, 0, 2, 2])
    expected = [[1, 1, 0], [0, 1, 0], [1, 0, 2]]
    np.testing.assert_array_equal(accuracy.confusion(labels, chosen, 3), expected)


def test_figures_of_a_classifier_that_knows_the_labels_in_part(tmp_path: Path) -> None:
    data = Data("digits", image_size=16, task=Classification())
    test = data.test

    def classify(images):
        """Sure of 0.91 that images are what they are, but for the first three."""
        chances = np.full((len(images), 10), 0.01)
        for row, image in zip(chances, images, strict=True):
            place = next(k for k, one in enumerate(test.images) if (one == image).all())
            row[(test.labels[place] + (place < 3)) % 10] = 0.91
        return chances

    predictions = Predictions(data, classify, None)
    figures = predictions.test()
    count = len(test)
    assert figures["test accuracy"] == (count - 3) / count
    low, high = accuracy.wilson(count - 3, count)
    assert figures["test accuracy, at least (95 %)"] == low
    assert figures["test accuracy, at most (95 %)"] == high
    loss = (-3 * np.log(0.01) - (count - 3) * np.log(0.91)) / count
    assert figures["test classification_loss"] == pytest.approx(loss)
    picture, drawn = predictions.draw()
    # A picture's figure is of 512 of the test images: of the three at most.
    assert 1 - 3 / 512 <= drawn["accuracy"] < 1
    sheet = predictions.generate(6)
    red = (sheet[..., 0] > 150) & (sheet[..., 1] < 80)
    assert red.any()
    assert not ((picture[..., 0] > 150) & (picture[..., 1] < 80)).all()
    made = predictions.finish(tmp_path, "title $")
    assert np.asarray(Image.open(made["confusion"]).convert("L")).std() > 5


# Weights from elsewhere.


def torchvisions(width: int = 16) -> dict[str, np.ndarray]:
    """A file as torchvision and timm have it: the last layer, and what batch norm has counted."""
    arrays = dict(pretrained.load("newts", None).arrays)
    arrays |= {"fc.weight": np.zeros((1000, 8 * width), np.float32)}
    arrays |= {"fc.bias": np.zeros(1000, np.float32)}
    return arrays | {"bn1.num_batches_tracked": np.array(7, np.int64)}


def test_a_file_with_torchvisions_names_is_read(tmp_path: Path) -> None:
    save_file(torchvisions(), tmp_path / "model.safetensors")
    found = pretrained.load(str(tmp_path / "model.safetensors"), None)
    expected = pretrained.load("newts", None).arrays
    assert set(found.arrays) == set(expected)
    found.check_fit(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found.arrays[name], array)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: a.pop("conv1.weight"), "no conv1.weight, so it is no ResNet-18"),
        (lambda a: a.pop("layer2.0.bn1.bias"), "layer2.0.bn1.bias is nothing"),
        (
            lambda a: a.update({"layer5.0.weight": np.zeros(3, np.float32)}),
            "layer5.0.weight is (3,), expected nothing",
        ),
        (
            lambda a: a.update({"bn1.weight": np.full(16, np.nan, np.float32)}),
            "bn1.weight holds numbers that are not finite",
        ),
    ],
)
def test_other_files_are_refused(tmp_path: Path, change, said: str) -> None:
    arrays = torchvisions()
    change(arrays)
    save_file(arrays, tmp_path / "model.safetensors")

    def load_and_check() -> None:
        found = pretrained.load(str(tmp_path / "model.safetensors"), None)
        found.check_fit(pretrained.load("newts", None).arrays)

    with pytest.raises(UserError, match=re.escape(said)):
        load_and_check()


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("", "--weights '': it is empty; give newts, imagenet or a file"),
        ("imagenet", "these have 64 channels in the first stage, this network 16"),
        ("nosuch.safetensors", "nosuch.safetensors: no such file"),
    ],
)
def test_weights_that_are_not_there(tmp_path: Path, weights: str, said: str) -> None:
    """Nothing is downloaded that would not fit."""
    with pytest.raises(UserError, match=re.escape(said)):
        pretrained.load(weights, tmp_path, 16)
    assert not any(tmp_path.iterdir())


def test_what_ships_is_small_and_of_16_bits() -> None:
    assert pretrained.SHIPPED.stat().st_size < 1_500_000
    arrays = load_file(pretrained.SHIPPED)
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float16)}
    whole = {"backbone.conv1.weight": np.full(3, 1.5, np.float32), "head.fc.bias": np.zeros(2)}
    small = train_weights.shrink(checkpoint.Checkpoint(whole, {}))
    assert list(small.arrays) == ["backbone.conv1.weight"]
    too_large = checkpoint.Checkpoint({"backbone.bn1.running_var": np.full(1, 1e5)}, {})
    with pytest.raises(OverflowError):
        train_weights.shrink(too_large)


# The script.

FLAGS = ["--dataset", "digits", "--image-size", "16", "--batch-size", "8", "--steps", "6"]
FLAGS += ["--mode", "scratch", "--width", "2", "--learning-rate", "0.05", "--out", "run"]
FLAGS += ["--sample-every", "1", "--log-every", "1", "--checkpoint-every", "2"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of transfer.py, in PyTorch."""
    folder = tmp_path_factory.mktemp("transfer")
    done = run_script("pytorch", *FLAGS, cwd=folder, model="transfer")
    assert done.returncode == 0, done.stderr
    return folder / "run"


def test_the_best_weights_are_kept(run: Path) -> None:
    """Those of the first step with the highest accuracy."""
    columns = Table(run / "metrics.csv").read()
    best = checkpoint.read_header(run / "best.safetensors")
    assert best.metadata["step"] == 1 + int(np.argmax(columns["accuracy"]))
    assert best.metadata["model"] == "transfer"
    figures = json.loads((run / "evaluation.json").read_text())
    # The column is of 512 of the 1 000 test images.
    assert figures["test accuracy"] == pytest.approx(columns["accuracy"][-1], abs=0.04)


def test_the_best_weights_are_those_of_a_run_that_never_stopped(run: Path, tmp_path: Path) -> None:
    """A run that goes on knows how good it was."""
    code = (
        "import os, signal, sys\n"
        "from tools.library.scripts import load_script\n"
        "script = load_script('pytorch', 'transfer')\n"
        "train_step, steps = script.train_step, []\n"
        "def step(*given):\n"
        "    steps.append(1)\n"
        "    if len(steps) == 4: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return train_step(*given)\n"
        "script.train_step = step\n"
        "script.main()\n"
    )
    names = {**environment("pytorch"), "PYTHONPATH": str(ROOT)}
    killed = subprocess.run(
        [sys.executable, "-c", code, *FLAGS], cwd=tmp_path, env=names, capture_output=True
    )
    assert killed.returncode == -9, killed.stderr
    done = run_script("pytorch", *FLAGS, "--resume", cwd=tmp_path, model="transfer")
    assert done.returncode == 0, done.stderr
    straight, resumed = (load_file(f / "best.safetensors") for f in (run, tmp_path / "run"))
    for name, array in straight.items():
        np.testing.assert_array_equal(resumed[name], array, err_msg=name)


def test_a_users_pictures_are_classified(run: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    random = np.random.default_rng(0)
    for name in ("one", "two"):
        Image.fromarray(random.integers(0, 256, (30, 50), np.uint8)).save(pictures / f"{name}.png")
    given = ["--generate", "--from", run / "best.safetensors", "--input", pictures, "--out", "seen"]
    done = run_script("pytorch", *given, cwd=tmp_path, model="transfer")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith(("one: ", "two: "))]
    assert len(lines) == 2
    with Image.open(tmp_path / "seen" / "generated.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 5


def test_its_modes_over_each_other(tmp_path: Path) -> None:
    settings = {"dataset": "digits", "image_size": 16, "batch_size": 8, "steps": 10}
    modes.compare(tmp_path / "modes", "pytorch", settings, seeds=1)
    lines = (tmp_path / "modes" / "modes.csv").read_text().splitlines()
    assert lines[0] == "mode,figure,seed 1,mean"
    assert [line.split(",")[0] for line in lines[1::2]] == list(modes.MODES)
    with Image.open(tmp_path / "modes" / "modes.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 5
    with pytest.raises(UserError, match="pytorch failed"):
        modes.compare(tmp_path / "again", "pytorch", {"dataset": "digitz"}, seeds=1)
