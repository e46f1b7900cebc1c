"""The benchmark: what it counts, its table, the whole script, and how it fails."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.ports import ROOT, chosen_ports, environment
from workshop.throughput import OLDER, speed_ratio

IMAGES, SIDE, CODE = 8, 16, 64
QUICK = ["--rounds", "1", "--steps", "2", "--image-size", str(SIDE), "--batch-size", str(IMAGES)]
CHOSEN = [framework for framework in ("pytorch", "chainer") if framework in chosen_ports()]

# The benchmark, where every picture takes a second to save.
SLOW = """
import time
from common.pictures import images
from workshop import throughput

def save(*arguments, save=images.save):
    time.sleep(1)
    save(*arguments)

images.save = save
throughput.main()
"""

pytestmark = pytest.mark.skipif(not CHOSEN, reason="neither PyTorch nor Chainer is chosen")
needs_pytorch = pytest.mark.skipif("pytorch" not in CHOSEN, reason="PyTorch is not chosen")


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "workshop.throughput", *arguments],
        cwd=ROOT,
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
    )


@needs_pytorch
def test_arithmetic_is_that_of_the_layers() -> None:
    done = run("ae", "--child", "pytorch", *QUICK)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    layers = [(SIDE * SIDE * 3, CODE), (CODE, SIDE * SIDE * 3)]
    # Forward, for the weights, and for what comes in, but that of the first layer.
    products = 3 * sum(rows * columns for rows, columns in layers) - layers[0][0] * layers[0][1]
    assert found["arithmetic"] == 2 * IMAGES * products
    assert found["images"] == IMAGES
    assert len(found["rounds"]) == 1


def test_a_row_for_each_framework() -> None:
    done = run("ae", "--frameworks", ",".join(CHOSEN), "--whole", *QUICK)
    assert done.returncode == 0, done.stderr
    heads, _, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines()
    )
    assert heads[:4] == ["framework", "images/s", "ms/step", "share of gauge"]
    assert [row[0] for row in rows] == CHOSEN
    for row in rows:
        assert float(row[1]) * float(row[2]) == pytest.approx(1000 * IMAGES, rel=0.05)
        assert float(row[5]) > 50  # MiB: a framework takes more
        assert (row[4] == "1.00") == (row[0] == "pytorch")
        assert float(row[6]) > 0
        assert float(row[7]) > 0
        assert f"{row[0]}: a picture takes" in done.stderr


def test_an_older_processor_is_said() -> None:
    arguments = ["ae", "--frameworks", CHOSEN[0], *QUICK]
    older = run(*arguments, OPENBLAS_CORETYPE="Haswell", ATEN_CPU_CAPABILITY="")
    assert older.returncode == 0, older.stderr
    assert "note: OPENBLAS_CORETYPE=Haswell in the environment" in older.stderr
    plain = run(*arguments, **dict.fromkeys(OLDER, ""))
    assert plain.returncode == 0, plain.stderr
    assert "note:" not in plain.stderr


def test_a_picture_counts_as_often_as_it_is_drawn() -> None:
    intervals = ["--sample-every", "5", "--checkpoint-every", "2"]
    arguments = ["ae", "--child", CHOSEN[0], "--whole", *QUICK, *intervals]
    done = subprocess.run(
        [sys.executable, "-c", SLOW, *arguments],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found["bare"]) == len(found["loop"]) == len(found["whole"]) == 1
    row = found["whole"][0]
    assert row["picture"] > 1
    assert 0 < row["every step"] < 0.5  # a round has two, and the second for its picture
    assert 0 < found["loop"][0]["seconds"] < 0.5  # nothing is drawn in it
    both = row["picture"] / 5 + row["checkpoint"] / 2
    assert row["seconds"] == pytest.approx(row["every step"] + both)


def test_speeds_are_compared_beside_each_other() -> None:
    ours = [{"seconds": 1.0, "gauge": gauge} for gauge in (1.0, 1.0, 3.0)]
    theirs = [{"seconds": 2.0, "gauge": gauge} for gauge in (1.0, 1.0, 3.0)]
    assert speed_ratio(ours, theirs) == 2
    # Theirs took twice as long on a machine half as fast.
    assert speed_ratio(ours, [row | {"gauge": row["gauge"] / 2} for row in theirs]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "unknown model 'nothing'"),
        (["ae", "--frameworks", "caffe"], "unknown framework 'caffe'"),
        (["ae", "--frameworks", *CHOSEN[:1], "--no-such-flag"], "unknown argument --no-such-flag"),
    ],
)
def test_what_cannot_be_measured(arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
