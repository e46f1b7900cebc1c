"""Checkpoints that every framework reads: named arrays in one safetensors file.

Keys are `network.layer.parameter`, such as `generator.deconv2.weight`. Layouts are PyTorch's:
convolution kernels O I H W, transposed ones I O H W, dense ones out x in.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import UserError
from common.files import check_is_file, replacing

FORMAT = "quartet-1"
FLOATS = ("F16", "BF16", "F32", "F64")
LONGEST = 10_000_000  # bytes of a header; the suite's own have some thousands
LARGEST = 1 << 20  # side of an image


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _is_shape(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(type(size) is int and 0 < size <= LARGEST for size in value)
        and value[2] in (1, 3)
    )


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_settings(value: Any) -> bool:
    scalar = (str, int, float, bool, type(None))
    return (
        isinstance(value, dict)
        and all(isinstance(one, scalar) for one in value.values())
        and _is_text(value.get("dataset", ""))
    )


def _is_state(value: Any) -> bool:
    return isinstance(value, dict)


# What the metadata of a file must hold, and what each entry must be.
Fields = dict[str, Callable[[Any], bool]]
ABOUT: Fields = {"model": _is_text, "framework": _is_text, "step": _is_count}
WEIGHTS = ABOUT | {"image_shape": _is_shape, "class_names": _is_names, "config": _is_settings}
STATE = ABOUT | {"batches": _is_state, "fingerprint": _is_text}


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
    from safetensors.numpy import save as serialize

    metadata = {"format": FORMAT}
    metadata |= {key: json.dumps(value) for key, value in checkpoint.metadata.items()}
    arrays = {key: np.asarray(array, order="C") for key, array in checkpoint.arrays.items()}
    with replacing(path) as aside:
        # Not by save_file, which writes to a file of its own first: a kill would leave that.
        aside.write_bytes(serialize(arrays, metadata))


@dataclass(frozen=True)
class Header:
    """What a file says of itself, read and checked before any tensor is.

    Attributes:
        path: the file.
        metadata: as that of a `Checkpoint`.
        shapes: of the tensors, by name.
        kinds: their types in safetensors' words, such as F32.
        places: where their bytes begin in the file.
    """

    path: Path
    metadata: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]
    kinds: dict[str, str]
    places: dict[str, int]


def load(path: Path, fields: Fields = WEIGHTS) -> Checkpoint:
    """Read a whole file.

    Raises:
        UserError: as of `read_header` and `read_arrays`.
    """
    header = read_header(path, fields)
    return Checkpoint(read_arrays(header), header.metadata)


def read_header(path: Path, fields: Fields = WEIGHTS) -> Header:
    """Read what a file says of itself.

    Args:
        path: the file.
        fields: what its metadata must hold: `WEIGHTS` or `STATE`.

    Raises:
        UserError: there is no such file, or it is truncated, or not one of Quartet's.
    """
    found, told = _open(path)
    if told.pop("format", None) != FORMAT:
        raise UserError(
            f"{path}: a safetensors file, but not a checkpoint of this suite (format {FORMAT}); "
            "give a checkpoint.safetensors of a run folder"
        )
    found = replace(found, metadata=_parse(path, told, fields))
    if fields is WEIGHTS:
        for name, kind in found.kinds.items():
            if kind not in FLOATS:
                raise UserError(
                    f"{path}: tensor {name} is of type {kind}; weights are {', '.join(FLOATS)}"
                )
    return found


def read_tensors(path: Path) -> Header:
    """Read what weights a file has, of the suite or not, without its metadata and its counts.

    Raises:
        UserError: there is no such file, or it is truncated.
    """
    found, _ = _open(path)
    floats = {name: kind for name, kind in found.kinds.items() if kind in FLOATS}
    return replace(found, kinds=floats)


def _open(path: Path) -> tuple[Header, dict[str, Any]]:
    """The header without its metadata, and the metadata as it stands there."""
    from safetensors import SafetensorError, safe_open

    check_is_file(path, "give a checkpoint.safetensors of a run folder")
    try:
        with safe_open(path, framework="numpy"):
            pass  # sizes and places are checked
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > LONGEST:
                raise ValueError(f"its header has {size} bytes")
            header = json.loads(file.read(size), object_pairs_hook=_without_twins)
    except (SafetensorError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path}: not a whole safetensors file ({error}); give a checkpoint.safetensors "
            "that a run has finished writing"
        ) from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    told = header.pop("__metadata__", None) or {}
    found = Header(
        path,
        {},
        {name: tuple(tensor["shape"]) for name, tensor in header.items()},
        {name: tensor["dtype"] for name, tensor in header.items()},
        {name: 8 + size + tensor["data_offsets"][0] for name, tensor in header.items()},
    )
    return found, told


def read_arrays(header: Header) -> dict[str, np.ndarray]:
    """The tensors of a file; 16 bits are read as float32, in which nothing is lost.

    Raises:
        UserError: the file has changed, or a number in it is not finite.
    """
    from safetensors import SafetensorError, safe_open

    arrays: dict[str, np.ndarray] = {}
    try:
        with safe_open(header.path, framework="numpy") as file:
            for name, kind in header.kinds.items():
                if kind == "BF16":  # NumPy has no such type
                    arrays[name] = _read_bfloat16(header, name)
                else:
                    array = file.get_tensor(name)
                    arrays[name] = array.astype(np.float32) if kind == "F16" else array
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{header.path}: cannot be read: {error}") from error
    for name, array in arrays.items():
        if array.dtype.kind in "fc" and not np.isfinite(array).all():
            raise UserError(f"{header.path}: tensor {name} holds numbers that are not finite")
    return arrays


def _read_bfloat16(header: Header, name: str) -> np.ndarray:
    """bfloat16 is the upper half of float32."""
    shape = header.shapes[name]
    count = math.prod(shape)
    halves = np.fromfile(header.path, "<u2", count, offset=header.places[name])
    return (halves.astype(np.uint32) << 16).view(np.float32).reshape(shape)


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in its header")
    return found


def _parse(path: Path, told: dict[str, Any], fields: Fields) -> dict[str, Any]:
    """The metadata as values."""
    found = {}
    for name, accepts in fields.items():
        try:
            found[name] = json.loads(told[name])
            if not accepts(found[name]):
                raise ValueError("of another kind than it should be")
        except (KeyError, ValueError, TypeError, RecursionError) as error:
            reason = "missing" if isinstance(error, KeyError) else f"damaged ({error})"
            raise UserError(
                f"{path}: its entry {name} is {reason}; give a file that a run of this suite has "
                "written"
            ) from error
    return found


def check_model(header: Header, model: str) -> None:
    """Raise UserError unless the checkpoint belongs to this model."""
    found = header.metadata["model"]
    if found != model:
        raise UserError(f"{header.path}: a checkpoint of {found}; this script needs one of {model}")


def check_fit(header: Header, expected: dict[str, np.ndarray]) -> None:
    """Raise UserError naming the first tensor that is missing, too much, or of another shape."""
    path, found = header.path, header.shapes
    for name, array in expected.items():
        if name not in found:
            raise UserError(f"{path}: tensor {name} is missing; expected shape {array.shape}")
        if found[name] != array.shape:
            raise UserError(
                f"{path}: tensor {name} has shape {found[name]}, this network needs "
                f"{array.shape}; give --image-size and the model's settings as they were"
            )
    for name in found:
        if name not in expected:
            raise UserError(f"{path}: tensor {name} is not part of this network")
