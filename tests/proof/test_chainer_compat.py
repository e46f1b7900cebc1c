"""Chainer on NumPy 2, and quicker: what is mended works, what is replaced gives the same."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.ports import PROBES, ROOT, chosen_ports, run_probe

pytestmark = pytest.mark.skipif(
    "chainer" not in chosen_ports(), reason="Chainer is not among the ports chosen"
)


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_numpy_is_left_as_it_was() -> None:
    code = """
import numpy as np
before = set(dir(np))
from common.bridges import chainer_compat
import chainer
assert set(dir(np)) == before
assert not hasattr(np, "sctypes")
"""
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no warnings at import


def test_as_strided_has_its_gradient() -> None:
    code = """
from common.bridges import chainer_compat
import chainer, chainer.functions as F, numpy as np
x = chainer.Variable(np.arange(6, dtype=np.float32))
F.sum(F.as_strided(x, (2, 3), (1, 1), 0)).backward()  # [[0, 1, 2], [1, 2, 3]]
assert x.grad.tolist() == [1, 2, 2, 1, 0, 0], x.grad
"""
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_a_deconvolution_of_plain_noise_has_its_gradient() -> None:
    code = """
from common.bridges import chainer_compat
import chainer, chainer.links as L, chainer.functions as F, numpy as np
layer = L.Deconvolution2D(2, 3, 5, stride=2, pad=2, outsize=(4, 4))
noise = np.ones((1, 2, 2, 2), np.float32)  # needs no gradient, only W does
layer.cleargrads()
F.sum(layer(noise)).backward()
assert layer.W.grad.shape == (2, 3, 5, 5)
assert layer.W.grad[0, 0, 2, 2] == 4  # the middle of the kernel meets all four pixels
"""
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_a_missing_chainer_is_said() -> None:
    """Without the shim's question, `import chainer` would find the folder of that name."""
    code = """
import importlib.metadata
def missing(name):
    raise importlib.metadata.PackageNotFoundError(name)
importlib.metadata.version = missing
from common.bridges import chainer
"""
    done = run(code)
    assert done.returncode == 1
    assert "ModuleNotFoundError: Chainer is not installed" in done.stderr


def test_what_is_quicker_on_a_cpu_gives_the_same() -> None:
    assert int(run_probe("chainer", PROBES / "chainer_cpu_probe.py")) > 500
