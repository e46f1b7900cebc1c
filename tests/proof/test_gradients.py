"""An update computes no gradient in vain, of another network or of images.

Chainer's `backward` does compute those of a network that a generator's loss passes through, as in
its examples: to leave them out would save less than a tenth of a step.
"""

from __future__ import annotations

import pytest

from tests.support.ports import PROBES, chosen_ports, run_probe

# A tape gives TensorFlow and Keras only what it is asked for.
ADDING = ("pytorch", "chainer")  # their gradients stay with the weights, and add up


@pytest.mark.parametrize("port", [each for each in chosen_ports() if each in ADDING])
def test_an_update_computes_no_gradient_in_vain(port: str) -> None:
    """It would change no number, and cost time in each step."""
    assert run_probe(port, PROBES / "gradients_probe.py", port) == ""
