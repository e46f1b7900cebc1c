"""The loop that a script's `main` drives: what is due when, and what may not be forgotten."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest

from common.data import Domains
from common.data.pool import ImagePool
from common.errors import UserError
from common.pictures import images
from common.run import Run, Settings, checkpoint
from common.run.events import Board, _without_torch
from common.run.recorder import in_words
from tests.support.little_run import SCRIPT, Bridge, Grey, make_run, rows, train


@dataclass(frozen=True)
class Later(Settings):
    """Has a setting that earlier checkpoints do not know."""

    filters: Annotated[int, "how wide", 1] = 7


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`make_run` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return make_run


def test_what_is_due_when(start: Any) -> None:
    run, net = start("--steps 7 --log-every 2 --sample-every 3 --checkpoint-every 4")
    assert train(run, net) == [
        "samples 3",
        "checkpoint 4",
        "samples 6",
        "samples 7",
        "checkpoint 7",
    ]
    table = rows(Path("run/metrics.csv"))
    assert [row["step"] for row in table] == ["2", "3", "4", "6", "7"]
    assert [row["diversity"] for row in table] == ["", "0.5", "", "0.5", "0.5"]
    assert [row["loss"] for row in table][:2] == ["0.666666687", "1.0"]
    assert sorted(path.name for path in Path("run/samples").iterdir()) == [
        f"00000{step}.png" for step in (0, 3, 6, 7)
    ]


def test_pictures_come_sooner_in_the_beginning(start: Any) -> None:
    run, net = start("--steps 45 --sample-every 20 --checkpoint-every 99")
    assert train(run, net) == [
        *(f"samples {step}" for step in (2, 6, 20, 40, 45)),
        "checkpoint 45",
    ]


def test_epochs_become_steps(start: Any) -> None:
    """4 096 newts in batches of 512: eight steps an epoch."""
    long = "--batch-size 512 --log-every 99 --sample-every 99"
    run, net = start(f"{long} --epochs 1.3")
    assert run.config.steps == 11
    train(run, net)
    assert run.step == 11
    settings = run.folder.read_config()["settings"]
    assert (settings["steps"], settings["epochs"]) == (11, None)
    again, net = start(f"{long} --epochs 2 --resume")
    train(again, net)
    assert again.step == 16
    with pytest.raises(UserError, match="has already reached step 16"):
        start(f"{long} --epochs 1 --resume")
    with pytest.raises(UserError, match="--steps and --epochs both say"):
        start("--epochs 1 --steps 9")


def test_an_epoch_counts_all_that_a_step_takes(start: Any) -> None:
    @dataclass(frozen=True)
    class Critic(Settings):
        batches_per_step = 5

    def steps(config: type[Settings], *flags: str) -> int:
        return Run(
            config, SCRIPT, "A model.", ["--image-size", "8", "--epochs", "1", *flags]
        ).config.steps

    assert steps(Settings, "--batch-size", "64") == 64
    assert steps(Critic, "--batch-size", "64") == 13

    @dataclass(frozen=True)
    class Pairs(Settings):
        def make_task(self) -> Domains:
            return Domains()

    run = Run(Pairs, SCRIPT, "A model.", ["--image-size", "8", "--epochs", "1"])
    larger = np.bincount(run.data.train.labels).max()
    assert run.config.steps == math.ceil(larger / 64) < 64


def test_a_long_run_says_how_long(start: Any, capsys: Any, monkeypatch: Any) -> None:
    """After the second row, for the first steps compile; once, and only if it is worth a line."""
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    for seconds, expected in ((2.0, ["982 steps to go, about 33 minutes"]), (0.01, [])):
        run, _ = start(f"--steps 1002 --sample-every 9999 --out {seconds}")
        for _ in run.batches():
            now[0] += 100.0 if run.step < 9 else seconds
            run.log({"loss": 0.5})
            if run.step == 50:
                break
        told = capsys.readouterr().err
        said = [line for line in told.splitlines() if "at this speed" in line]
        assert [line.split(" at this")[0] for line in said] == expected
        assert all(line.endswith("Ctrl-C saves, --resume goes on") for line in said)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (61, "1 minute"),
        (3000, "50 minutes"),
        (6300, "1.8 hours"),
        (90_000, "25 hours"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_tensorboard_is_told_what_the_files_say(start: Any) -> None:
    """Each figure of metrics.csv, and each picture as it is on disk, by step."""
    run, net = start("--steps 4 --log-every 1 --sample-every 2")
    train(run, net)
    figures, pictures = {}, {}
    for event in read_events(Path("run/tensorboard")):
        for value in event.summary.value:
            if value.HasField("image"):
                assert value.tag == "samples"
                pictures[event.step] = value.image
            else:
                figures[event.step, value.tag] = value.simple_value
    for row in rows(Path("run/metrics.csv")):
        step = int(row.pop("step"))
        told = {name: value for (at, name), value in figures.items() if at == step}
        assert told == pytest.approx({n: float(value) for n, value in row.items() if value})
    assert sorted(pictures) == [0, 2, 4]
    for step, image in pictures.items():
        assert image.encoded_image_string == Path(f"run/samples/{step:06d}.png").read_bytes()


@pytest.mark.parametrize("channels", [1, 3])
def test_tensorboard_knows_a_pictures_shape(channels: int, tmp_path: Path) -> None:
    images.save(tmp_path / "picture.png", np.zeros((4, 6, channels), np.uint8))
    board = Board(tmp_path / "board", 0)
    board.add_picture("samples", tmp_path / "picture.png", 1)
    board.close()
    image = read_events(tmp_path / "board")[-1].summary.value[0].image
    assert (image.height, image.width, image.colorspace) == (4, 6, channels)


def read_events(folder: Path) -> list[Any]:
    """The events of TensorBoard's files: a length, its checksum, the event, its checksum."""
    with _without_torch():
        from tensorboardX.proto import event_pb2
        from tensorboardX.record_writer import masked_crc32c

    found = []
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        while data:
            length, check = struct.unpack("<QI", data[:12])
            assert check == masked_crc32c(data[:8])
            event, data = data[12 : 12 + length], data[12 + length :]
            assert struct.unpack("<I", data[:4])[0] == masked_crc32c(event)
            found.append(event_pb2.Event.FromString(event))  # type: ignore[attr-defined]
            data = data[4:]
    return found


def test_a_step_that_is_not_logged_is_an_error(start: Any) -> None:
    run, _ = start("--steps 3")
    batches = run.batches()
    next(batches)
    with pytest.raises(RuntimeError, match=r"step 1 was not logged: call run\.log"):
        next(batches)


def test_a_run_goes_on_where_it_was(start: Any) -> None:
    run, net = start("--steps 4 --log-every 1 --sample-every 9")
    train(run, net)
    before = run.random.random()
    again, net = start("--steps 6 --resume")
    assert again.step == 4
    assert (net["w"] == 4).all()
    assert again.random.random() == before
    assert train(again, net) == ["samples 6", "checkpoint 6"]
    assert [row["step"] for row in rows(Path("run/metrics.csv"))] == list("123456")


def make_pooled_run(flags: str) -> tuple[Run, dict[str, np.ndarray], ImagePool]:
    """As `make_run`, with a pool."""
    arguments = ["--image-size", "8", "--batch-size", "2", "--out", "run", *flags.split()]
    run = Run(Settings, SCRIPT, "A model.", arguments)
    net, pool = {"w": np.zeros(3)}, ImagePool(2, run.random)
    run.connect(Bridge(), {"net": net}, {"net": {"m": np.zeros(3)}}, Grey(), {"b": pool})
    return run, net, pool


def test_a_pool_is_kept(start: Any) -> None:
    """To the last bit, and an empty one too."""
    run, net, pool = make_pooled_run("--steps 1")
    pool.swap(np.array([[1 / 3, 2.0], [0.1, 4.0]]))
    kept = [image.copy() for image in pool.images]
    train(run, net)
    again, net, pool = make_pooled_run("--steps 2 --resume")
    assert [image.tolist() for image in pool.images] == [image.tolist() for image in kept]
    pool.images.clear()
    train(again, net)
    _, _, pool = make_pooled_run("--steps 3 --resume")
    assert pool.images == []


def test_a_run_from_before_there_were_pools_goes_on(start: Any) -> None:
    run, net = start("--steps 1")
    train(run, net)
    again, net, pool = make_pooled_run("--steps 2 --resume")
    assert (again.step, pool.images) == (1, [])
    train(again, net)


def test_no_checkpoint_follows_a_weight_that_is_not_finite(start: Any) -> None:
    run, net = start("--steps 4 --checkpoint-every 2")
    with pytest.raises(UserError, match=r"step 2: net\.w is no longer finite"):
        train(run, net, add=np.inf)
    kept = checkpoint.load(Path("run/checkpoint.safetensors"))
    assert kept.metadata["step"] == 0
    assert (kept.arrays["net.w"] == 0).all()


def test_a_precision_that_is_not_known_is_refused(start: Any) -> None:
    with pytest.raises(UserError, match="--precision"):
        start("--precision float16")


def test_a_checkpoint_from_before_a_setting_has_its_default(start: Any) -> None:
    run, net = start("--steps 1")
    train(run, net)
    drawing = ["--generate", "1", "--from", "run/checkpoint.safetensors", "--out", "drawn"]
    assert Run(Later, SCRIPT, "A model.", drawing).config.filters == 7
