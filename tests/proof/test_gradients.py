"""An update computes the gradients of what it trains, and of nothing else."""

from __future__ import annotations

import pytest

from tests.support.ports import PROBES, chosen_ports, run_probe

# A tape gives TensorFlow and Keras only what it is asked for.
ADDING = ("pytorch", "chainer")  # their gradients stay with the weights, and add up


@pytest.mark.parametrize("port", [each for each in chosen_ports() if each in ADDING])
def test_an_update_computes_no_gradient_in_vain(port: str) -> None:
    """Of another network, or of images: it would change no number, and cost time in each step."""
    assert run_probe(port, PROBES / "gradients_probe.py", port) == ""
