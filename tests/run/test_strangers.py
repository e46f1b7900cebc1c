"""Checkpoints from a stranger: anything may be in them, and one line says what is wrong."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import UserError
from common.run import Run, Settings, checkpoint
from tests.support.little_run import SCRIPT, make_run, train

GOOD = Path("good/checkpoint.safetensors")
Header = dict[str, Any]


@pytest.fixture(autouse=True)
def good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder `good` of a run, and what it left."""
    monkeypatch.chdir(tmp_path)
    train(*make_run("--steps 1"))
    os.rename("run", "good")


def read(path: Path) -> tuple[Header, bytes]:
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def write(header: Header | str, data: bytes, path: Path = Path("bad.safetensors")) -> None:
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def refused(flags: str) -> str:
    with pytest.raises(UserError) as error:
        make_run(flags)
    message = str(error.value)
    del error
    gc.collect()  # the process would be gone, and its lock with it
    assert "\n" not in message
    return message


def change(name: str, value: Any) -> Callable[[Header], None]:
    """Set an entry of the metadata, as JSON; None takes it away."""

    def edit(header: Header) -> None:
        if value is None:
            del header["__metadata__"][name]
        else:
            header["__metadata__"][name] = value if isinstance(value, str) else json.dumps(value)

    return edit


def configure(**settings: Any) -> Callable[[Header], None]:
    """Change settings of the run that the checkpoint is of."""

    def edit(header: Header) -> None:
        config = json.loads(header["__metadata__"]["config"]) | settings
        header["__metadata__"]["config"] = json.dumps(config)

    return edit


def retype(kind: str, size: int) -> Callable[[Header], None]:
    """Give the one tensor another type, of so many bytes a number."""

    def edit(header: Header) -> None:
        header["net.w"] = {"dtype": kind, "shape": [3], "data_offsets": [0, 3 * size]}

    return edit


DAMAGES: dict[str, tuple[Callable[[Header], None], str]] = {
    "no metadata": (lambda header: header.pop("__metadata__"), "not a checkpoint of this suite"),
    "no model": (change("model", None), "its entry model is missing"),
    "a model of number": (change("model", 5), "its entry model is damaged"),
    "not JSON": (change("framework", "{"), "its entry framework is damaged"),
    "deep": (change("class_names", "[" * 100_000), "its entry class_names is damaged"),
    "digits": (change("step", "1" * 10_000), "its entry step is damaged"),
    "a negative step": (change("step", -1), "its entry step is damaged"),
    "a step that is true": (change("step", True), "its entry step is damaged"),
    "two sides": (change("image_shape", [8, 8]), "its entry image_shape is damaged"),
    "no side": (change("image_shape", [0, 8, 3]), "its entry image_shape is damaged"),
    "a huge side": (change("image_shape", [10**9, 8, 3]), "its entry image_shape is damaged"),
    "five channels": (change("image_shape", [8, 8, 5]), "its entry image_shape is damaged"),
    "no shape": (change("image_shape", "null"), "its entry image_shape is damaged"),
    "classes of numbers": (change("class_names", [1]), "its entry class_names is damaged"),
    "no settings": (change("config", [1]), "its entry config is damaged"),
    "nested settings": (configure(steps=[1]), "its entry config is damaged"),
    "integers": (retype("I32", 4), "tensor net.w is of type I32"),
    "booleans": (retype("BOOL", 1), "tensor net.w is of type BOOL"),
    "complex numbers": (retype("C64", 8), "tensor net.w is of type C64"),
    "eight bits": (retype("F8_E4M3", 1), "tensor net.w is of type F8_E4M3"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint(damage: str) -> None:
    header, data = read(GOOD)
    edit, message = DAMAGES[damage]
    edit(header)
    write(header, (data + bytes(24))[: header["net.w"]["data_offsets"][1]])
    assert message in refused("--init-from bad.safetensors")
    assert message in refused("--generate 1 --from bad.safetensors")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"colour": 3}, "a setting that is not accepted: colour 3"),
        ({"batch_size": "many"}, "a setting that is not accepted: batch_size many"),
        ({"seed": True}, "a setting that is not accepted: seed True"),
        ({"dataset": None}, "its entry config is damaged"),
        ({"log_every": 0}, "--log-every 0: must be at least 1"),
        ({"dataset": "newtz"}, "unknown data set 'newtz'"),
        ({"device": "tpu"}, "a setting that is not accepted: device tpu"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    header, data = read(GOOD)
    configure(**settings)(header)
    write(header, data, GOOD)
    assert message in refused("--resume --out good --steps 2")


def test_a_name_that_stands_twice() -> None:
    header, data = read(GOOD)
    text = json.dumps(header)
    write(text[:-1] + ', "net.w": ' + json.dumps(header["net.w"]) + "}", data)
    message = refused("--init-from bad.safetensors")
    assert "not a whole safetensors file" in message


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_weights_that_are_not_finite(number: float) -> None:
    header, data = read(GOOD)
    write(header, data[:-8] + np.array([number]).tobytes())
    message = refused("--init-from bad.safetensors")
    assert "tensor net.w holds numbers that are not finite" in message


def test_sixteen_bits_are_welcome() -> None:
    header, _ = read(GOOD)
    numbers = np.array([1.5, -0.25, 3.0], np.float32)
    for kind, data in (
        ("F16", numbers.astype(np.float16).tobytes()),
        ("BF16", (numbers.view(np.uint32) >> 16).astype(np.uint16).tobytes()),
    ):
        retype(kind, 2)(header)
        write(header, data)
        _, net = make_run("--init-from bad.safetensors")
        assert net["w"].dtype == np.float32
        assert (net["w"] == numbers).all()


@pytest.mark.parametrize("dataset", ["x/../../../../evil", "/evil", "a\0b", "é" * 300])
def test_the_name_of_a_data_set_leads_nowhere(dataset: str) -> None:
    """Without --out the folder is named after it, and stays below runs/."""
    Path("home").mkdir()
    header, data = read(GOOD)
    configure(dataset=dataset)(header)
    write(header, data)
    before = set(Path().rglob("*"))
    with contextlib.chdir("home"):
        arguments = ["--generate", "1", "--from", "../bad.safetensors"]
        run = Run(Settings, SCRIPT, "A model.", arguments)
        run.folder.make(run.folder.path)
    made = {str(path) for path in set(Path().rglob("*")) - before}
    assert len(made) == 2
    assert all(path.startswith("home/runs") for path in made)


def test_a_needless_tensor_is_not_read() -> None:
    header, data = read(GOOD)
    end = len(data) + 3 * 2**30
    header["huge"] = {"dtype": "F32", "shape": [3 * 2**28], "data_offsets": [len(data), end]}
    write(header, data)
    path = Path("bad.safetensors")
    os.truncate(path, path.stat().st_size + 3 * 2**30)  # a hole, which takes no room
    started = time.perf_counter()
    assert "tensor huge is not part of this network" in refused("--init-from bad.safetensors")
    assert time.perf_counter() - started < 5


def test_a_state_of_something_else() -> None:
    state = Path("good/optimizer-1.safetensors")
    header, data = read(state)
    other = {key: entry for key, entry in header.items() if key != "batches.order"}
    write(other | {"alien": header["batches.order"]}, data, state)
    assert "not the state of this run" in refused("--resume --out good --steps 2")
    change("batches", {"position": 0, "random": {}})(header)
    write(header, data, state)
    assert "not the state of this run" in refused("--resume --out good --steps 2")
    write(header | {"__metadata__": {"format": "quartet-1"}}, data, state)
    assert "its entry model is missing" in refused("--resume --out good --steps 2")


def test_bytes_at_random(tmp_path: Path) -> None:
    """Whatever is changed in a file, it is read or refused in a line."""
    good = GOOD.read_bytes()
    random = np.random.default_rng(0)
    path = Path("bad.safetensors")
    accepted = 0
    for _ in range(1000):
        data = bytearray(good)
        for _ in range(random.integers(1, 4)):
            place = random.integers(len(data))
            if random.random() < 0.5:
                data[place] = random.integers(256)
            else:
                del data[place : place + random.integers(1, 9)]
        path.write_bytes(data)
        with contextlib.suppress(UserError):
            checkpoint.load(path)
            accepted += 1
    assert 0 < accepted < 900
