"""Trains the weights that `transfer.py` begins with: a ResNet-18 of 16 channels on drawn newts.

`python -m workshop.train_weights` runs PyTorch's script from random weights, and writes its
backbone in 16 bits to common/run/newts.safetensors.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from common.run import checkpoint, launch
from common.run.checkpoint import Checkpoint
from common.run.flags import Parser
from common.run.pretrained import BACKBONE, SHIPPED
from tools.library.half import to_16_bits
from tools.library.scripts import ROOT

SETTINGS = "--mode scratch --dataset newts --learning-rate 0.01 --steps 400 --batch-size 32"


def shrink(trained: Checkpoint) -> Checkpoint:
    """The backbone alone, in 16 bits.

    Raises:
        OverflowError: a weight does not fit into 16 bits.
    """
    arrays = {
        name: to_16_bits(array, name)
        for name, array in trained.arrays.items()
        if name.startswith(BACKBONE)
    }
    return Checkpoint(arrays, trained.metadata)


def main() -> None:
    """Train, and write the file."""
    parser = Parser(prog="python -m workshop.train_weights", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        script = ROOT / "pytorch" / "transfer.py"
        command = [sys.executable, str(script), *SETTINGS.split(), "--out", str(out)]
        subprocess.run(command, check=True)
        trained = checkpoint.load(out / "checkpoint.safetensors")
    checkpoint.save(SHIPPED, shrink(trained))
    print(f"weights: {SHIPPED} ({SHIPPED.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    launch(main)
