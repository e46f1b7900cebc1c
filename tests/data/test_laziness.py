"""`Data`: a data set that is loaded at its first use, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.data import Data, Dataset, Task
from common.errors import UserError

ROOT = Path(__file__).parents[2]


def write(folder: Path, count: int = 3) -> str:
    """A folder of pictures; returns it as `--dataset` takes it."""
    folder.mkdir()
    for number in range(count):
        Image.new("RGB", (20, 20), (number, 0, 0)).save(folder / f"{number}.png")
    return f"folder:{folder}"


class Counted(Task):
    """Keeps the arguments of each call of `load`."""

    def __init__(self) -> None:
        self.loads: list[tuple] = []

    def load(self, *arguments, **named) -> Dataset:
        self.loads.append(arguments)
        return super().load(*arguments, **named)


def test_it_is_loaded_once_and_at_its_first_use(tmp_path: Path) -> None:
    name = write(tmp_path / "pets")
    task = Counted()
    data = Data(name, tmp_path, 32, 16, task)
    assert data.name == name
    assert task.loads == []
    assert data.image_shape == (32, 32, 3)
    assert data.class_names == ("pets",)
    assert (len(data.train), len(data.test)) == (2, 1)
    assert not data.augment
    assert data.fingerprint() == data.dataset.fingerprint() == data.fingerprint()
    assert task.loads == [(name, tmp_path, 32, 16)]


def test_nothing_is_wrong_before_the_first_use(tmp_path: Path) -> None:
    data = Data(f"folder:{tmp_path / 'none'}")
    for _ in range(2):
        with pytest.raises(UserError, match="no such folder"):
            data.train  # noqa: B018


def test_a_checkpoint_answers_without_the_data(tmp_path: Path) -> None:
    task, like = Counted(), ([48, 48, 3], ["akahara", "madara"])
    data = Data(f"folder:{tmp_path / 'none'}", task=task, like=like)
    assert data.image_shape == (48, 48, 3)
    assert data.class_names == ("akahara", "madara")
    assert task.loads == []


def test_data_are_loaded_at_the_size_of_the_checkpoint(tmp_path: Path) -> None:
    name = write(tmp_path / "pets")
    data = Data(name, image_size=64, multiple=16, like=((48, 48, 3), ("others",)))
    assert data.test.images.shape == (1, 48, 48, 3)
    assert data.class_names == ("others",)


def test_data_of_another_shape_than_the_checkpoint(tmp_path: Path) -> None:
    name = write(tmp_path / "pets")
    data = Data(name, like=((32, 32, 1), ("digits",)))
    with pytest.raises(UserError) as error:
        data.test  # noqa: B018
    assert str(error.value) == (
        f"--dataset {name}: its images are (32, 32, 3) (height, width, channels), "
        "the checkpoint's are (32, 32, 1)"
    )


def test_a_fingerprint_is_that_of_the_content(tmp_path: Path) -> None:
    first, second = write(tmp_path / "first"), write(tmp_path / "second")
    assert Data(first).fingerprint() == Data(second).fingerprint()
    Image.fromarray(np.full((20, 20, 3), 99, np.uint8)).save(tmp_path / "second" / "1.png")
    assert Data(first).fingerprint() != Data(second).fingerprint()


def test_importing_data_imports_nothing_heavy() -> None:
    heavy = ("PIL", "matplotlib", "pooch", "requests", "scipy", "sklearn", "tqdm")
    code = f"import sys, common.data; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout == "[]\n"
