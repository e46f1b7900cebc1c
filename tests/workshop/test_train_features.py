"""The command that trains the extractor: what it writes is what NumPy then evaluates."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from common.data.dataset import Split
from common.frameworks import find_version
from tools.library.scripts import ROOT
from workshop import train_features

# In a process of its own, which alone imports the framework.
CHILD = """
import json, sys
from pathlib import Path
import numpy as np
from common.measures import features
from workshop import train_features

folder = Path(sys.argv.pop())
train_features.NEWTS = 512
features.WEIGHTS = folder / "trained.safetensors"
train_features.main()
sources = train_features.gather(folder)
seen = features.extract(np.concatenate([s.train.images[:1024] for s in sources]))
print(json.dumps({
    "names": [s.name for s in sources],
    "mean": float(np.abs(seen.mean(axis=0)).max()),
    "deviations": [float(seen.std(axis=0).min()), float(seen.std(axis=0).max())],
}))
"""


@pytest.mark.skipif(not find_version("pytorch"), reason="PyTorch is not installed")
def test_what_is_trained_is_what_is_evaluated(tmp_path):
    command = [sys.executable, "-c", CHILD, "--steps", "3", "--data-dir", str(tmp_path)]
    done = subprocess.run(
        [*command, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    *marks, found = done.stdout.splitlines()
    assert "newts: accuracy" in " ".join(marks)
    found = json.loads(found)
    assert found["names"] == ["newts", "digits"]  # nothing is downloaded
    # NumPy finds the mean and deviation that PyTorch scaled the features to; the file is float16.
    assert found["mean"] < 0.02
    assert found["deviations"] == pytest.approx([1, 1], abs=0.02)


def test_masks_move_with_their_images():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (50, 32, 32, 3)).astype(np.uint8)
    split = Split(images, np.arange(50), images[..., 1])
    moved = train_features.moved(split, True, rng)
    np.testing.assert_array_equal(moved.images[..., 1], moved.masks)
    assert not np.array_equal(moved.images, images)
