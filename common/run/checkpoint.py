"""Checkpoints that every framework reads: named arrays in one safetensors file.

Keys are `network.layer.parameter`, such as `generator.deconv2.weight`. Layouts are PyTorch's:
convolution kernels O I H W, transposed ones I O H W, dense ones out x in.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import UserError
from common.files import replacing

FORMAT = "quartet-1"


@dataclass(frozen=True)
class Checkpoint:
    """Arrays by name, and what they are.

    Attributes:
        arrays: the tensors of the file.
        metadata: `model`, `framework`, `step`, `image_shape` [H, W, C], `config`, and more.
    """

    arrays: dict[str, np.ndarray]
    metadata: dict[str, Any]


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint whole, or not at all.

    Raises:
        UserError: the file cannot be written; an earlier one is as it was.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    metadata = {"format": FORMAT}
    metadata |= {key: json.dumps(value) for key, value in checkpoint.metadata.items()}
    arrays = {key: np.asarray(array, order="C") for key, array in checkpoint.arrays.items()}
    with replacing(path) as aside:
        try:
            save_file(arrays, aside, metadata)
        except SafetensorError as error:  # wraps what the operating system said
            raise OSError(0, str(error)) from error


def load(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        UserError: there is no such file, or it is truncated, or not one of Quartet's.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise UserError(f"{path}: no such file; give a checkpoint.safetensors of a run folder")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise UserError(
            f"{path}: not a whole safetensors file ({error}); give a checkpoint.safetensors "
            "that a run has finished writing"
        ) from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    if metadata.pop("format", None) != FORMAT:
        raise UserError(
            f"{path}: a safetensors file, but not a checkpoint of this suite (format {FORMAT}); "
            "give a checkpoint.safetensors of a run folder"
        )
    return Checkpoint(arrays, {key: json.loads(value) for key, value in metadata.items()})


def check_model(path: Path, checkpoint: Checkpoint, model: str) -> None:
    """Raise UserError unless the checkpoint belongs to this model."""
    found = checkpoint.metadata["model"]
    if found != model:
        raise UserError(f"{path}: a checkpoint of {found}; this script needs one of {model}")


def check_fit(path: Path, found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """Raise UserError naming the first tensor that is missing, too much, or of another shape."""
    for name, array in expected.items():
        if name not in found:
            raise UserError(f"{path}: tensor {name} is missing; expected shape {array.shape}")
        if found[name].shape != array.shape:
            raise UserError(
                f"{path}: tensor {name} has shape {found[name].shape}, this network needs "
                f"{array.shape}; give --image-size and the model's settings as they were"
            )
    for name in found:
        if name not in expected:
            raise UserError(f"{path}: tensor {name} is not part of this network")
