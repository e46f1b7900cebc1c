"""The benchmark: what it counts, its table, and how it fails."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ports import ROOT, chosen_ports, environment

IMAGES, SIDE, CODE = 8, 16, 64
QUICK = ["--rounds", "1", "--steps", "2", "--image-size", str(SIDE), "--batch-size", str(IMAGES)]
CHOSEN = [framework for framework in ("pytorch", "chainer") if framework in chosen_ports()]

pytestmark = pytest.mark.skipif(not CHOSEN, reason="neither PyTorch nor Chainer is chosen")
needs_pytorch = pytest.mark.skipif("pytorch" not in CHOSEN, reason="PyTorch is not chosen")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.throughput", *arguments],
        cwd=ROOT,
        env=environment(),
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
    done = run("ae", "--frameworks", ",".join(CHOSEN), *QUICK)
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
