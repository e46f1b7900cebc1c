"""Convolutions on TensorFlow are those of oneDNN."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.ports import chosen_ports, environment
from tools.library.scripts import ROOT


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
