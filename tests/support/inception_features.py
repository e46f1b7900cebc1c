"""Makes inception_features.npz: what torch-fidelity's network says of seeded images and weights.

Run as `python tests/support/inception_features.py FOLDER`, where FOLDER holds the unpacked wheel of
torch-fidelity 0.4.0 (`pip download --no-deps torch-fidelity==0.4.0`, then unzip). The package
itself is no dependency of the tests, since it needs torchvision.
"""

from __future__ import annotations

import sys
import tempfile
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import torch

FILE = Path(__file__).with_name("inception_features.npz")


def draw_weights(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Seeded weights, by name in alphabetical order, that keep the features' size in all layers."""
    random = np.random.default_rng(0)
    weights = {}
    for name in sorted(shapes):
        shape = shapes[name]
        if name.endswith("num_batches_tracked"):
            values = np.zeros(shape, np.int64)
        elif len(shape) > 1:  # of a convolution, or dense
            values = random.standard_normal(shape, np.float32)
            values *= np.float32((2 / np.prod(shape[1:])) ** 0.5)
        elif name.endswith(("running_var", "weight")):
            values = random.uniform(0.5, 1.5, shape).astype(np.float32)
        else:
            values = random.normal(0, 0.2, shape).astype(np.float32)
        weights[name] = torch.from_numpy(values)
    return weights


def draw_images() -> dict[str, np.ndarray]:
    """Seeded images by name, `uint8` (1, H, W, C), smooth as photos are."""
    random = np.random.default_rng(1)
    made = {}
    for name, shape in {"colour": (1, 32, 32, 3), "grey": (1, 28, 28, 1)}.items():
        noise = random.normal(0, 40, shape)
        made[name] = (128 + noise.cumsum(1).cumsum(2) / 8).clip(0, 255).astype(np.uint8)
    return made


def main() -> None:
    """Write the file."""
    # Of the package only the network's own modules are loaded, without what its __init__ imports.
    package: Any = types.ModuleType("torch_fidelity")
    package.__path__ = [str(Path(sys.argv[1]) / "torch_fidelity")]
    sys.modules["torch_fidelity"] = package
    from torch_fidelity import feature_extractor_inceptionv3 as module  # type: ignore

    from tools.library.inception import Inception

    shapes = {name: tuple(t.shape) for name, t in Inception().state_dict().items()}
    with tempfile.NamedTemporaryFile(suffix=".pth") as file:
        torch.save(draw_weights(shapes), file.name)
        extract = module.FeatureExtractorInceptionV3("x", ["2048"], file.name)
    features = {}
    for name, images in draw_images().items():
        colour = np.broadcast_to(images, (*images.shape[:3], 3)).copy()
        features[name] = extract(torch.from_numpy(colour).movedim(-1, 1))[0].numpy()[0]
    np.savez(FILE, **features)


if __name__ == "__main__":
    main()
