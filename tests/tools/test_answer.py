"""Looking an answer up: every pointer leads to code, and a near miss says what was meant."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from common.frameworks import PACKAGES
from tests.support.ports import environment
from tools.answer import find_in, find_tasks, list_names, look_up_task, read_tasks
from tools.library.definitions import read_script
from tools.library.scripts import MODELS, ROOT

TASKS = read_tasks()


def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.answer", *arguments],
        cwd=ROOT,
        env={**environment(), **more},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("framework", PACKAGES)
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.title)
def test_every_task_points_at_code(task, framework: str) -> None:
    (passage,) = look_up_task(task, [framework])
    assert passage.marked, "no line of it is marked"
    assert len(passage.marked) < max(8, len(passage.lines) / 2), "too much of it is marked"


def test_every_task_is_found_by_its_title_and_its_words() -> None:
    assert len({task.title for task in TASKS}) == len(TASKS) >= 30
    for task in TASKS:
        assert find_tasks(task.title)[0] is task
        assert task in find_tasks(task.words)


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("freeze a network", "freeze a network"),
        ("transposed convolution", "transposed convolution"),
        ("deconvolution", "transposed convolution"),
        ("clip weights", "clip weights"),
        ("weight clipping", "clip weights"),
        ("detach", "no gradient through a network"),
        ("no gradient", "no gradient through a network"),
        ("inference mode", "inference mode"),
        ("resume", "save a checkpoint, resume"),
        ("gradient of a gradient", "gradient of a gradient"),
        ("train one of two networks", "train one of two networks"),
        ("reparametrisation trick", "draw a code from its distribution (reparameterization)"),
        ("skip conection", "skip connection"),
    ],
)
def test_questions_that_people_ask(question: str, title: str) -> None:
    assert find_tasks(question)[0].title == title


@pytest.mark.parametrize("model", MODELS)
def test_what_is_listed_can_be_shown(model: str) -> None:
    for name in list_names(model):
        there = [framework for framework in PACKAGES if find_in(framework, model, name)]
        assert there, name
        if name in ("train_step", "build", "start", "learn", "main", "preprocess"):
            assert there == list(PACKAGES)


def test_names_of_one_framework_lead_to_the_others() -> None:
    def names(name: str, model: str = "dcgan") -> list[str | None]:
        found = [find_in(framework, model, name) for framework in PACKAGES]
        return [each and each.name for each in found]

    forward, call = "Generator.forward", "Generator.__call__"
    for name in (forward, call):
        assert names(name) == [forward, call, "Generator", forward]
    assert names("initial_settings") == ["initialize", "initialize", "initial_settings", None]
    steps = ["critic_step", "critic_step", "CriticTrainer", "critic_step"]
    assert names("critic_step", "wgan") == steps


def test_code_is_shown_as_it_stands() -> None:
    done = run("dcgan", "train_step", "--framework", "chainer", "keras")
    assert done.returncode == 0, done.stderr
    shown = [line[7:] for line in done.stdout.splitlines() if re.match(r".\s*\d+( |$)", line)]
    for framework in ("chainer", "keras"):
        definition = find_in(framework, "dcgan", "train_step")
        assert definition is not None
        assert f"# {framework}/dcgan.py, line {definition.first}" in done.stdout
        lines = read_script(framework, "dcgan").splitlines()
        code = lines[definition.first - 1 : definition.last]
        start = shown.index(code[0])
        assert shown[start : start + len(code)] == code
    assert "pytorch" not in done.stdout


@pytest.mark.parametrize(("columns", "beside"), [("400", True), ("100", False)])
def test_a_wide_terminal_has_them_side_by_side(columns: str, beside: bool) -> None:
    done = run("gan", "generator_loss", FORCE_COLOR="1", COLUMNS=columns, TERM="xterm")
    assert done.returncode == 0, done.stderr
    assert "\x1b[" in done.stdout
    text = re.sub(r"\x1b\[[\d;]*m", "", done.stdout)
    titles = [line for line in text.splitlines() if "/gan.py:" in line]
    assert len(titles) == (1 if beside else 4)
    assert max(map(len, text.splitlines())) <= int(columns)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dcgan", "train_stp"], "dcgan has no 'train_stp': did you mean train_step?"),
        (["dcgan", "Forward"], "did you mean UpBlock.forward?"),
        (["dcgan", "xyzzy"], "dcgan has no 'xyzzy': there are Config, preprocess, "),
        (["DCGAM"], "unknown model 'DCGAM': did you mean dcgan?"),
        (["xyzzy"], "unknown model 'xyzzy': known: ae, "),
        (["--how", "xyzzy"], "--how 'xyzzy': nothing like it in the table, which has: "),
        (["--how", ""], "--how '': nothing like it in the table, which has: "),
        (["dcgan", "--how", "detach"], "--how searches all models: leave out dcgan"),
        (["dcgan", "build", "--framework", "jax"], "unknown framework 'jax'; known: pytorch, "),
    ],
)
def test_a_near_miss_says_what_was_meant(arguments: list[str], said: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_lists() -> None:
    done = run()
    assert done.returncode == 0
    assert '--how "freeze a network"' in done.stdout
    listed = run("vae").stdout.splitlines()
    assert any(line.startswith("kl_divergence ") for line in listed)
    assert not any("__init__" in line for line in listed)
    missing = run("ae", "initialize")
    assert "keras does without initialize" in missing.stdout


def test_a_reader_that_goes_away_is_no_error() -> None:
    """As `| head -1` does."""
    program = f"{sys.executable} -m tools.answer cyclegan | true"
    done = subprocess.run(
        ["bash", "-c", program], cwd=ROOT, env=environment(), capture_output=True, text=True
    )
    assert done.stderr == ""
