"""CycleGAN's questions: the pictures that answer them, of a run that has learned nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from common.data import Dataset, load
from common.errors import UserError
from common.frameworks import find_version
from tests.support.ports import run_script
from workshop import cyclegan_questions as questions

SIZE = 32
pytestmark = pytest.mark.skipif(not find_version("pytorch"), reason="PyTorch is not installed")


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load("newts", image_size=SIZE)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("questions")
    small = ["--image-size", SIZE, "--width", "2", "--blocks", "1", "--steps", "0", "--out", "run"]
    done = run_script("pytorch", *small, cwd=folder, model="cyclegan")
    assert done.returncode == 0, done.stderr
    return folder / "run"


def test_strangers_are_of_neither_domain_but_the_last(dataset: Dataset) -> None:
    given = questions.make_strangers(dataset)
    assert given.shape == (6, SIZE, SIZE, 3)
    assert given.dtype == np.uint8
    assert (given[0][..., 0] == given[0][..., 1]).all()
    test = dataset.test
    assert test.masks is not None
    ground = test.masks[0] == 0
    np.testing.assert_array_equal(given[1][ground], test.images[0][ground])
    assert (given[1][~ground] != test.images[0][~ground]).mean() > 0.5
    np.testing.assert_array_equal(given[-1], test.images[test.labels == 1][questions.SHOWN])


def test_pictures_have_a_row_for_each_change_and_direction(run: Path, dataset: Dataset) -> None:
    changed = questions.draw_changed({"as it is": [run], "no pool": [run]}, dataset)
    rows, cell = 3, SIZE + 2
    assert len(changed) == rows * cell + 2
    lower = [changed[row * cell + 2 : (row + 1) * cell, -cell:] for row in range(rows)]
    np.testing.assert_array_equal(lower[1], lower[2])
    assert (lower[0] != lower[1]).mean() > 0.5
    neither = questions.draw_neither(run, dataset)
    assert len(neither) == rows * cell + 2


def test_runs_that_are_there_are_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "RUNS", tmp_path)
    folder = tmp_path / "no-pool-1"
    (folder / "evaluation").mkdir(parents=True)
    (folder / "samples.webp").touch()
    figures = {name: {"mean of values": 0.5} for name in questions.FIGURES}
    evaluation = folder / "evaluation" / "evaluation.json"
    evaluation.write_text(json.dumps({"figures": figures}))
    assert questions.ensure_run("no pool", 1) == folder
    assert questions.read_figures(folder) == dict.fromkeys(questions.FIGURES, 0.5)


def test_a_run_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "RUNS", tmp_path)
    monkeypatch.setitem(questions.CHANGES, "no pool", ["--pool-size", "-1"])
    with pytest.raises(UserError, match="no pool, seed 1: failed"):
        questions.ensure_run("no pool", 1)
