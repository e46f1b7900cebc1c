"""Checkpoints that every framework can read: named arrays in one safetensors file.

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
LONGEST = 10_000_000  # bytes of a header; the suite's have a few thousand
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


# Required metadata, with a check for each entry.
Fields = dict[str, Callable[[Any], bool]]
ABOUT: Fields = {"model": _is_text, "framework": _is_text, "step": _is_count}
WEIGHTS = ABOUT | {"image_shape": _is_shape, "class_names": _is_names, "config": _is_settings}
STATE = ABOUT | {"batches": _is_state, "fingerprint": _is_text}


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint file.

    Attributes:
        arrays: tensors by name.
        metadata: `model`, `framework`, `step`, `image_shape` [H, W, C], `config`, and more.
    """

    arrays: dict[str, np.ndarray]
    metadata: dict[str, Any]


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically.

    Raises:
        UserError: the file cannot be written; an earlier one is unchanged.
    """
    from safetensors.numpy import save as serialize

    metadata = {"format": FORMAT}
    metadata |= {key: json.dumps(value) for key, value in checkpoint.metadata.items()}
    arrays = {key: np.asarray(array, order="C") for key, array in checkpoint.arrays.items()}
    with replacing(path) as aside:
        # Not save_file: it writes a temporary file of its own, which a kill would leave behind.
        aside.write_bytes(serialize(arrays, metadata))


@dataclass(frozen=True)
class Header:
    """A file's header, checked before any tensor is read.

    Attributes:
        path: the file.
        metadata: as in `Checkpoint`.
        shapes: the tensors' shapes by name.
        dtypes: the tensors' dtypes by name, in safetensors' words, such as F32.
        offsets: where each tensor's bytes begin in the file, by name.
    """

    path: Path
    metadata: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]
    offsets: dict[str, int]


def load(path: Path, fields: Fields = WEIGHTS) -> Checkpoint:
    """Read a whole file.

    Raises:
        UserError: as `read_header` and `read_arrays`.
    """
    header = read_header(path, fields)
    return Checkpoint(read_arrays(header), header.metadata)


def read_header(path: Path, fields: Fields = WEIGHTS) -> Header:
    """Read and check a file's header.

    Args:
        path: the file.
        fields: the required metadata, `WEIGHTS` or `STATE`.

    Raises:
        UserError: the file is missing, truncated, or not one of Quartet's.
    """
    found, metadata = _open(path)
    if metadata.pop("format", None) != FORMAT:
        raise UserError(
            f"{path}: a safetensors file, but not a checkpoint of this suite (format {FORMAT}); "
            "give a checkpoint.safetensors of a run folder"
        )
    found = replace(found, metadata=_parse(path, metadata, fields))
    if fields is WEIGHTS:
        for name, dtype in found.dtypes.items():
            if dtype not in FLOATS:
                raise UserError(
                    f"{path}: tensor {name} is of type {dtype}; weights are {', '.join(FLOATS)}"
                )
    return found


def read_tensors(path: Path) -> Header:
    """Read the header of any safetensors file, without its metadata and its integer tensors.

    Raises:
        UserError: the file is missing or truncated.
    """
    found, _ = _open(path)
    floats = {name: dtype for name, dtype in found.dtypes.items() if dtype in FLOATS}
    return replace(found, dtypes=floats)


def _open(path: Path) -> tuple[Header, dict[str, Any]]:
    """The header without its metadata, and the metadata as unparsed text."""
    from safetensors import SafetensorError, safe_open

    check_is_file(path, "give a checkpoint.safetensors of a run folder")
    try:
        with safe_open(path, framework="numpy"):
            pass  # this checks sizes and offsets
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > LONGEST:
                raise ValueError(f"its header has {size} bytes")
            header = json.loads(file.read(size), object_pairs_hook=_without_duplicates)
    except (SafetensorError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path}: not a whole safetensors file ({error}); give a checkpoint.safetensors "
            "that a run has finished writing"
        ) from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    metadata = header.pop("__metadata__", None) or {}
    found = Header(
        path,
        {},
        {name: tuple(tensor["shape"]) for name, tensor in header.items()},
        {name: tensor["dtype"] for name, tensor in header.items()},
        {name: 8 + size + tensor["data_offsets"][0] for name, tensor in header.items()},
    )
    return found, metadata


def read_arrays(header: Header) -> dict[str, np.ndarray]:
    """Read the tensors of a file; 16-bit floats become float32, without loss.

    Raises:
        UserError: the file has changed, or a number in it is not finite.
    """
    from safetensors import SafetensorError, safe_open

    arrays: dict[str, np.ndarray] = {}
    try:
        with safe_open(header.path, framework="numpy") as file:
            for name, dtype in header.dtypes.items():
                if dtype == "BF16":  # NumPy has no such dtype
                    arrays[name] = _read_bfloat16(header, name)
                else:
                    array = file.get_tensor(name)
                    arrays[name] = array.astype(np.float32) if dtype == "F16" else array
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{header.path}: cannot be read: {error}") from error
    for name, array in arrays.items():
        if array.dtype.kind in "fc" and not np.isfinite(array).all():
            raise UserError(f"{header.path}: tensor {name} holds numbers that are not finite")
    return arrays


def _read_bfloat16(header: Header, name: str) -> np.ndarray:
    """Read a bfloat16 tensor as float32, of which it is the upper half."""
    shape = header.shapes[name]
    count = math.prod(shape)
    halves = np.fromfile(header.path, "<u2", count, offset=header.offsets[name])
    return (halves.astype(np.uint32) << 16).view(np.float32).reshape(shape)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("its header contains a name twice")
    return found


def _parse(path: Path, metadata: dict[str, Any], fields: Fields) -> dict[str, Any]:
    """Parse and check the required metadata."""
    found = {}
    for name, accepts in fields.items():
        try:
            found[name] = json.loads(metadata[name])
            if not accepts(found[name]):
                raise ValueError("its type or value is not accepted")
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
    """Raise UserError naming the first tensor that is missing, unexpected, or of another shape."""
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
