"""Convolutions on TensorFlow are oneDNN's, and padded in the quickest way that gives the same."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.ports import PROBES, chosen_ports, environment, run_probe
from tools.library.scripts import ROOT

PROBE = PROBES / "tensorflow_padding_probe.py"


@pytest.mark.skipif("tensorflow" not in chosen_ports(), reason="TensorFlow is not chosen")
def test_every_way_to_pad_gives_the_same() -> None:
    ways = json.loads(run_probe("tensorflow", PROBE))
    assert set(ways) == {"SAME", "MIRRORED", "VALID"}
    assert min(ways.values()) > 50


@pytest.mark.parametrize("port", [port for port in chosen_ports() if port.startswith("keras")])
def test_the_odd_zero_is_in_front_in_keras(port: str) -> None:
    probe = PROBES / "keras_padding_probe.py"
    assert run_probe(port, probe) == {"keras": "tensorflow"}.get(port, port.removeprefix("keras-"))


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="not everywhere there")
@pytest.mark.parametrize("framework", sorted({"tensorflow", "keras"} & set(chosen_ports())))
def test_convolutions_are_those_of_onednn(framework: str, tmp_path: Path) -> None:
    """By itself TensorFlow takes them only where a processor has AVX-512."""
    names = environment(framework, ONEDNN_VERBOSE="1")
    names.pop("TF_ENABLE_ONEDNN_OPTS", None)
    command = [f"{framework}/convae.py", "--steps", "1", "--image-size", "16"]
    command += ["--dataset", "newts", "--out", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=names, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    ours = [line for line in done.stdout.splitlines() if ",convolution," in line]
    for kind in ("forward", "backward_data", "backward_weights"):
        assert any(f",{kind}" in line for line in ours), (kind, done.stdout[-2000:])
