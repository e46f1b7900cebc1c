"""compare: all frameworks from one start, one picture and one table; or one clear line."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from tests.support.ports import FRAMEWORKS, chosen_ports
from tools import compare
from tools.library import scripts

CHOSEN = [framework for framework in FRAMEWORKS if framework in chosen_ports()]


def test_frameworks_start_alike_and_are_shown_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    small = "--image-size 16 --batch-size 4 --steps 3 --out both"
    arguments = ["compare", "dcgan", *small.split(), "--frameworks", ",".join(CHOSEN)]
    monkeypatch.setattr("sys.argv", arguments)
    compare.main()
    with open("both/compare.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["framework"] for row in rows] == CHOSEN
    for row in rows:
        assert float(row["losses apart, step 1"]) < 1e-4
        assert float(row["losses apart, largest"]) < 0.1
        assert float(row["images/s"]) > 0
        assert float(row["memory MiB"]) > 100
        assert 0.2 < float(row["start-up s"]) < 300
    picture = np.asarray(Image.open("both/compare.png").convert("RGB"))
    assert picture.shape[1] > 1000
    assert picture.std() > 20
    printed = capsys.readouterr().out
    assert all(framework in printed for framework in CHOSEN)
    assert "both/compare.png" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["dcgam"],
            "unknown model 'dcgam'; known: ae, alphagan, cgan, ",
        ),
        (["dcgan", "--frameworks", "pytorch,caffe"], "unknown framework 'caffe'"),
        (["dcgan", "--steps", "0"], "--steps 0: must be at least 1"),
        (["dcgan", "--steps", "few"], "invalid int value"),
        (["dcgan", "--out", "used"], "used is not empty; choose another folder with --out"),
    ],
)
def test_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").write_text("mine")
    with pytest.raises(UserError) as error:
        compare.parse(arguments)
    assert message in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["used"]


def test_a_framework_that_is_not_installed_is_named_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(scripts, "find_version", lambda f: None if f == "chainer" else "1")
    assert compare.parse(["dcgan"]).frameworks == ["pytorch", "tensorflow", "keras"]
    assert "chainer is not installed" in capsys.readouterr().err
    monkeypatch.setattr(scripts, "find_version", lambda _: None)
    with pytest.raises(UserError, match="none of the frameworks is installed"):
        compare.parse(["dcgan"])


def test_a_script_that_fails_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["compare", "dcgan", "--dataset", "nothing", "--frameworks", CHOSEN[0]]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(UserError, match=f"{CHOSEN[0]} failed with exit status 2"):
        compare.main()
    assert "unknown data set 'nothing'" in capfd.readouterr().err
