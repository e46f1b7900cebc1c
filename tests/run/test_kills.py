"""Runs that are killed or interrupted at any moment, in every framework, end as if they never were.

A few moments for a few models; QUARTET_KILLS=20 tries twenty for each model in each framework.
"""

from __future__ import annotations

import collections
import csv
import json
import os
import random
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file

from common.run.folder import PICTURE
from tests.models import MODELS
from tests.support.ports import FRAMEWORKS, chosen_ports, side_by_side
from tests.support.zygote import Zygote

KILLS = int(os.environ.get("QUARTET_KILLS", "0"))  # of each model in each framework
FEW = 2  # otherwise, and of two models
CHOSEN_MODELS = tuple(MODELS) if KILLS else ("dcgan", "vae")
CHOSEN = [framework for framework in FRAMEWORKS if framework in chosen_ports()]
STEPS = 4
EVERY = [*("--log-every", "1", "--sample-every", "2", "--checkpoint-every", "2")]
SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
RUN = "run"
AGAIN = 3  # how often a run is disturbed, at most
# Python cannot raise a Ctrl-C while it collects garbage: it says so, and the run goes on.
IGNORED = re.compile(r"Exception ignored in.*?\nKeyboardInterrupt: \n", re.DOTALL)
TALLY: collections.Counter[str] = collections.Counter()


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """What went wrong, by framework and model; nothing, if all went well."""

    def stop_all(framework: str) -> dict[str, str]:
        found = {}
        with Zygote(framework) as zygote:
            for model in CHOSEN_MODELS:
                try:
                    stop(zygote, framework, model, tmp_path_factory.mktemp(f"{framework}-{model}"))
                    found[model] = ""
                except AssertionError as error:
                    found[model] = str(error)
        return found

    return side_by_side(stop_all, CHOSEN)


@pytest.mark.parametrize("model", CHOSEN_MODELS)
@pytest.mark.parametrize("framework", CHOSEN)
def test_a_run_ends_as_if_it_had_never_been_stopped(
    stopped: dict[str, dict[str, str]], framework: str, model: str
) -> None:
    assert stopped[framework][model] == ""


def stop(zygote: Zygote, framework: str, model: str, scratch: Path) -> None:
    """Stop a model's runs at random moments, go on with each until it ends, and compare."""
    chance = random.Random(f"{framework} {model}")
    small = [*MODELS[model].small_flags, *EVERY, "--steps", str(STEPS), "--out", RUN]
    whole = scratch / "whole"
    whole.mkdir()
    started = time.monotonic()
    assert attempt(zygote, model, small, whole) == 0, said(whole)
    seconds = time.monotonic() - started
    tally: collections.Counter[str] = collections.Counter()
    for number in range(KILLS or FEW):
        folder = scratch / str(number)
        folder.mkdir()
        for _ in range(chance.randint(1, AGAIN)):
            moment = draw_moment(chance, folder / RUN, seconds)
            kind = chance.choice(SIGNALS)
            status = attempt(zygote, model, arguments(small, folder), folder, moment, kind)
            assert status in {0, 130, -kind}, said(folder)
            tally[f"{kind.name} {where(folder / RUN, status)}"] += 1
        assert attempt(zygote, model, arguments(small, folder), folder) == 0, said(folder)
        assert "Traceback" not in IGNORED.sub("", said(folder)), said(folder)
        check_alike(whole / RUN, folder / RUN)
        shutil.rmtree(folder)
    TALLY.update(tally)
    print(f"{framework} {model}: {sum(tally.values())} signals in {KILLS or FEW} runs")
    print(f"in all {sum(TALLY.values())}: {dict(sorted(TALLY.items()))}")


def arguments(small: list[str], folder: Path) -> list[str]:
    """The command that goes on: the same, with `--resume` where there is a checkpoint."""
    resumed = (folder / RUN / "checkpoint.safetensors").exists()
    return [*small, "--resume"] if resumed else small


def attempt(
    zygote: Zygote,
    model: str,
    command: list[str],
    folder: Path,
    moment: Callable[[Callable[[], bool]], None] | None = None,
    kind: signal.Signals = signal.SIGKILL,
) -> int:
    """Run; if there is a moment, send a signal then."""
    number = zygote.start(model, command, folder, folder / "log")

    def is_alive() -> bool:
        with open(f"/proc/{number}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"

    if moment is not None:
        try:
            moment(is_alive)
            os.kill(number, kind)
        except (ProcessLookupError, FileNotFoundError):
            pass  # it had ended
    return zygote.wait()


def draw_moment(
    chance: random.Random, run: Path, seconds: float
) -> Callable[[Callable[[], bool]], None]:
    """A moment in the time that a run takes; half of the time, one at which a file is written."""
    if chance.random() < 0.5:
        wait = chance.uniform(0, seconds)
        return lambda _: time.sleep(wait)
    change, later = chance.randint(1, 25), chance.choice((0, 0, 0.002, 0.01))

    def wait_for_a_file(is_alive: Callable[[], bool]) -> None:
        seen, changes = names(run), 0
        while changes < change and is_alive():
            now = names(run)
            changes += len(now - seen)
            seen = now
            time.sleep(0.0002)
        time.sleep(later)

    return wait_for_a_file


def names(run: Path) -> set[str]:
    """The files of a run folder, also those that are written aside at the moment."""
    return {
        f"{folder}{name}"
        for folder in ("", "samples/")
        if (run / folder).is_dir()
        for name in os.listdir(run / folder)
    }


def where(run: Path, status: int) -> str:
    """How far a run had come when it was stopped, in words."""
    if status == 0:
        return "too late"
    if not (run / "checkpoint.safetensors").exists():
        return "before the first checkpoint"
    with safe_open(run / "checkpoint.safetensors", framework="numpy") as file:
        step = int(file.metadata()["step"])
    return "after the last checkpoint" if step == STEPS else "in training"


def said(folder: Path) -> str:
    return (folder / "log").read_text(errors="replace")


def check_alike(whole: Path, run: Path) -> None:
    """Two run folders hold the same, but for times."""
    found, expected = ({p.name for p in folder.iterdir()} for folder in (run, whole))
    assert found == expected
    for path in whole.glob("*.safetensors"):
        ours, theirs = load_file(run / path.name), load_file(path)
        assert list(ours) == list(theirs)
        for name, array in theirs.items():
            np.testing.assert_array_equal(ours[name], array, err_msg=f"{path.name} {name}")
        assert metadata(run / path.name) == metadata(path)
    about = [json.loads((folder / "config.json").read_text()) for folder in (run, whole)]
    assert about[0] | {"settings": about[0]["settings"] | {"resume": False}} == about[1]
    for path in (*whole.glob("*.png"), *whole.glob("evaluation.json")):
        assert (run / path.name).read_bytes() == path.read_bytes(), path.name
    assert rows(run / "metrics.csv") == rows(whole / "metrics.csv")
    pictures = {p.name for p in (run / "samples").iterdir()}
    assert all(PICTURE.fullmatch(name) for name in pictures)
    # Of step 0 there is none if that is where the run was stopped.
    every = {p.name for p in (whole / "samples").iterdir()}
    assert every - pictures <= {"000000.png"}
    assert pictures <= every
    for name in pictures:
        same = (run / "samples" / name).read_bytes() == (whole / "samples" / name).read_bytes()
        assert same, name
    with Image.open(run / "samples.webp") as film:
        film.load()


def metadata(path: Path) -> dict[str, object]:
    with safe_open(path, framework="numpy") as file:
        return {key: json.loads(text) for key, text in file.metadata().items() if key != "format"}


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        table = list(csv.DictReader(file))
    for row in table:
        del row["images_per_second"]
    return table
