"""The latent space that is drawn in the page of the VAE: its weights, and what the page needs.

`python -m tools.site.explorer` trains PyTorch's script by the recipe of its page, and writes its
weights in 16 bits to docs/explorer/vae.safetensors, a checkpoint as any other. The page decodes by
itself, in explorer.js: three matrix products, for which a library of megabytes would be too much.
"""

from __future__ import annotations

import argparse
import base64
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from common.data import load
from common.pictures.latent import COLOURS
from common.run import checkpoint, launch
from common.run.checkpoint import Checkpoint
from common.run.flags import Parser
from tools.library.entries import read_recipes, to_flags
from tools.library.half import to_16_bits
from tools.library.scripts import ROOT

WEIGHTS = ROOT / "docs" / "explorer" / "vae.safetensors"


def encode(arrays: dict[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    """The mean code of `uint8` images (N, H, W, 1): (N, 2)."""
    h = images.reshape(len(images), -1) / 255
    for name in ("dense1", "dense2"):
        h = np.maximum(_dense(arrays, f"encoder.{name}", h), 0)
    return _dense(arrays, "encoder.mean", h)


def decode(arrays: dict[str, np.ndarray], z: np.ndarray) -> np.ndarray:
    """The image of each code, in [0, 1]: (N, 2) -> (N, H * W)."""
    h = z
    for name in ("dense1", "dense2"):
        h = np.maximum(_dense(arrays, f"decoder.{name}", h), 0)
    return 1 / (1 + np.exp(-_dense(arrays, "decoder.dense3", h)))


def _dense(arrays: dict[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    weight, bias = (arrays[f"{name}.{part}"].astype(np.float64) for part in ("weight", "bias"))
    return x @ weight.T + bias


def write_script(path: Path) -> None:
    """Write the decoder's weights, and codes of test images by digit, as JavaScript.

    A script and not a file of data, which a page could not read when it is opened from a disk.
    """
    arrays = checkpoint.load(WEIGHTS).arrays
    test = load("digits").test
    layers = [
        {
            "shape": arrays[f"decoder.{name}.weight"].shape,
            "weight": _pack(arrays[f"decoder.{name}.weight"]),
            "bias": _pack(arrays[f"decoder.{name}.bias"]),
        }
        for name in ("dense1", "dense2", "dense3")
    ]
    codes = [[round(float(x), 3) for x in code] for code in encode(arrays, test.images)]
    data = {
        "side": test.images.shape[1],
        "layers": layers,
        "codes": codes,
        "labels": test.labels.tolist(),
        "colours": COLOURS,
    }
    text = json.dumps(data, separators=(",", ":"))
    path.write_text(f"const LATENT_SPACE = {text};\n", encoding="utf-8")


def _pack(array: np.ndarray) -> str:
    return base64.b64encode(array.astype("<f2").tobytes()).decode("ascii")


def main() -> None:
    """Train, and write the file."""
    parser = Parser(prog="python -m tools.site.explorer", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [sys.executable, str(ROOT / "pytorch" / "vae.py"), "--out", str(out)]
        subprocess.run([*command, *to_flags(read_recipes()["vae"])], check=True)
        trained = checkpoint.load(out / "checkpoint.safetensors")
    small = {name: to_16_bits(array, name) for name, array in trained.arrays.items()}
    WEIGHTS.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save(WEIGHTS, Checkpoint(small, trained.metadata))
    print(f"weights: {WEIGHTS} ({WEIGHTS.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    launch(main)
