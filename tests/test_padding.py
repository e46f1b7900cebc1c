"""TensorFlow's convolutions are padded in the quickest way that gives the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ports import chosen_ports, run_probe

PROBE = Path(__file__).with_name("tensorflow_padding_probe.py")


@pytest.mark.skipif("tensorflow" not in chosen_ports(), reason="TensorFlow is not chosen")
def test_every_way_to_pad_gives_the_same() -> None:
    ways = json.loads(run_probe("tensorflow", PROBE))
    assert set(ways) == {"SAME", "MIRRORED", "VALID"}
    assert min(ways.values()) > 50
