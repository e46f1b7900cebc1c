"""Pretrained weights of a ResNet-18: those shipped with the suite, ImageNet's, or a file's.

Names are torchvision's, `layer1.0.conv1.weight`. ImageNet's weights are torchvision's (V1), stored
as safetensors by the timm library: https://huggingface.co/timm/resnet18.tv_in1k
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.bridges.protocol import Bridge
from common.data import default_data_dir, download
from common.errors import UserError
from common.files import user_path
from common.run import checkpoint

SHIPPED = Path(__file__).with_name("newts.safetensors")  # by `workshop.train_weights`
REVISION = "bbd144b3e5565108aad885f145491d11bc6ce807"
URL = f"https://huggingface.co/timm/resnet18.tv_in1k/resolve/{REVISION}/model.safetensors"
CHECKSUM = "sha256:694f673df6520a3158624e8a89af086f59923ee4cd7436fe5bc3bc71d295ad81"
FOLDER, FILE = "resnet18", "model.safetensors"
IMAGENETS = 64  # channels of the first stage of ImageNet's weights
HEAD = "fc."  # the last layer, which belongs to the pretraining's classes
BACKBONE = "backbone."  # prefix of the names in a checkpoint of the suite


@dataclass(frozen=True)
class Learned:
    """Pretrained weights of a backbone.

    Attributes:
        arrays: by torchvision's names, in PyTorch's layouts, without the last layer.
        path: the file that holds them.
    """

    arrays: dict[str, np.ndarray]
    path: Path

    def check_fit(self, expected: dict[str, np.ndarray]) -> None:
        """Raise UserError unless names and shapes are those of a network.

        Args:
            expected: the network's arrays.
        """
        first = self.arrays["conv1.weight"]
        if first.ndim == 4 and len(first) != len(expected["conv1.weight"]):
            raise UserError(
                f"--weights: {self.path} has {len(first)} channels in the first stage, this "
                f"network {len(expected['conv1.weight'])}; give --width {len(first)}"
            )
        shapes, wanted = (
            {name: array.shape for name, array in arrays.items()}
            for arrays in (self.arrays, expected)
        )
        for name in sorted(shapes.keys() | wanted.keys()):
            found, needed = shapes.get(name, "nothing"), wanted.get(name, "nothing")
            if found != needed:
                raise UserError(
                    f"--weights: {self.path} is no ResNet-18: the shape of {name} is {found}, "
                    f"expected {needed}"
                )


def adopt(bridge: Bridge, network: Any, weights: str, data_dir: str | None) -> None:
    """Load pretrained weights into a backbone, cast to the run's precision.

    Args:
        bridge: the framework's module in `common.bridges`.
        network: the backbone.
        weights: as `load` takes them.
        data_dir: the folder of downloads, as `load` takes it.

    Raises:
        UserError: as `load`, or the weights do not fit the network.
    """
    expected = bridge.get_arrays(network)
    learned = load(weights, data_dir, len(expected["conv1.weight"]))
    learned.check_fit(expected)
    bridge.set_arrays(network, {name: learned.arrays[name] for name in expected})


def load(weights: str, data_dir: str | Path | None, channels: int | None = None) -> Learned:
    """Read pretrained weights, downloading them if needed.

    Args:
        weights: `newts` for the shipped weights, `imagenet`, or a file: a checkpoint of `transfer`,
            or a ResNet-18 with torchvision's names.
        data_dir: the folder of downloads; None means `default_data_dir()`.
        channels: channels of the network's first stage; a misfit is refused before a download.

    Raises:
        UserError: the file is missing, cannot be downloaded or read, or is not a ResNet-18's.
    """
    if weights == "newts":
        path = SHIPPED
    elif weights == "imagenet" and channels not in (None, IMAGENETS):
        raise UserError(
            f"--weights imagenet: these have {IMAGENETS} channels in the first stage, this network "
            f"{channels}; give --width {IMAGENETS}"
        )
    elif weights == "imagenet":
        path = _find_imagenet(default_data_dir() if data_dir is None else Path(data_dir))
    else:
        path = _name(weights)
    header = checkpoint.read_tensors(path)
    arrays = checkpoint.read_arrays(header)
    if any(name.startswith(BACKBONE) for name in arrays):
        arrays = {n.removeprefix(BACKBONE): a for n, a in arrays.items() if n.startswith(BACKBONE)}
    kept = {name: array for name, array in arrays.items() if not name.startswith(HEAD)}
    if "conv1.weight" not in kept:
        raise UserError(
            f"--weights {weights}: it has no conv1.weight, so it is no ResNet-18; give newts, "
            "imagenet, a checkpoint of transfer.py, or a file with torchvision's names"
        )
    return Learned(kept, path)


def _name(weights: str) -> Path:
    try:
        if not weights:
            raise ValueError("it is empty")
        return user_path(weights)
    except ValueError as error:
        raise UserError(
            f"--weights {weights!r}: {error}; give newts, imagenet or a file"
        ) from error


def _find_imagenet(data_dir: Path) -> Path:
    path = data_dir.absolute() / FOLDER / FILE
    if not path.is_file():
        with download.into(path.parent):
            if not path.is_file():  # another run may have been quicker
                download.fetch([URL], path, CHECKSUM)
    return path
