"""The matrix products that stand for XLA's convolutions in the tests are those convolutions."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.ports import ROOT, chosen_ports, environment

PROGRAM = """
import itertools, jax, numpy as np
from jax import lax
from tests.support import jax_convolutions as products
jax.config.update("jax_enable_x64", True)
products.LARGE = 0
random = np.random.default_rng(0)
axes = lax.ConvDimensionNumbers((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))
named = {"rhs_dilation": (1, 1), "dimension_numbers": axes}
pads = ((1, 3), (2, 1)), ((4, 4), (4, 4)), ((1, 1), (1, 1))

def check(ours, theirs, *inputs):
    values = [jax.value_and_grad(lambda *a: (f(*a) ** 3).sum(), (0, 1)) for f in (ours, theirs)]
    for one, other in zip(*[jax.tree.leaves(f(*inputs)) for f in values], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-10)

for k, s, padding in itertools.product((2, 3, 5), (1, 2), ("VALID", "SAME", *pads)):
    x, w = random.normal(size=(2, 9, 7, 3)), random.normal(size=(k, k, 3, 4))
    check(*[lambda x, w, f=f: f(x, w, (s, s), padding, **named)
            for f in (products.convolve, products.XLA_CONV)], x, w)
    if isinstance(padding, tuple):
        w = random.normal(size=(k, k, 4, 3))
        check(*[lambda x, w, f=f: f(x, w, (s, s), padding=padding, transpose_kernel=True, **named)
                for f in (products.convolve_transposed, products.XLA_TRANSPOSE)], x, w)
"""


@pytest.mark.skipif("keras-jax" not in chosen_ports(), reason="JAX is not among the chosen ports")
def test_products_are_convolutions() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env=environment("keras-jax"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
