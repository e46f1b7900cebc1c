"""Exercises: each starts unsolved and is solved by its answer, and known mistakes are named."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common.errors import UserError
from tests.models import MODELS as CHOSEN
from tests.probes.exercise_probe import read_learners
from tests.support.ports import (
    FRAMEWORKS,
    PROBES,
    WHOLE,
    chosen_ports,
    environment,
    run_probe,
    side_by_side,
)
from tools.exercise.__main__ import main as exercise
from tools.exercise.__main__ import start
from tools.exercise.hints import list_hints
from tools.exercise.mistakes import find_mistakes, read_mistakes
from tools.exercise.progress import Notes
from tools.exercise.sheet import (
    GAP,
    GIVEN,
    LEVELS,
    PATH_LINE,
    Outline,
    Sheet,
    choose,
    solve,
)
from tools.library.definitions import find_definitions, read_script
from tools.library.entries import LANGUAGES, read_entries
from tools.library.scripts import MODELS, ROOT

# Of every model, with QUARTET_PROOF=1: that takes ten minutes more.
BOOK = tuple(CHOSEN) if WHOLE else ("convae", "dcgan", "gan", "pix2pix", "vae", "wgan")
GRADED = [framework for framework in FRAMEWORKS if framework in chosen_ports()]
each_framework = pytest.mark.parametrize("framework", FRAMEWORKS)
each_model = pytest.mark.parametrize("model", MODELS)
each_level = pytest.mark.parametrize("level", LEVELS)


def run(*arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the program as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "tools.exercise", *map(str, arguments)],
        cwd=ROOT,
        env={**environment(), **more},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def write(tmp_path: Path, model="gan", framework="pytorch", level=1, part=None) -> Path:
    """The file of an exercise."""
    return start(choose(model, framework, level, part), "en", tmp_path)


# The files.


@each_level
@each_model
@each_framework
def test_a_file_has_gaps_that_the_answer_fills(tmp_path, framework, model, level) -> None:
    """Empty at first; with all gaps filled it is the script, but for where it lies."""
    sheet = Sheet.read(write(tmp_path, model, framework, level))
    gaps = [gap.name for gap in sheet.exercise.gaps]
    assert gaps
    assert sheet.untouched() == gaps
    assert sheet.text.count(GAP) == len(gaps)
    lines = solve(sheet).splitlines()
    answer = read_script(framework, model).splitlines()
    head = len(lines) - len(answer)
    assert all(not line or line.startswith("#") for line in lines[:head])
    other = [(a, b) for a, b in zip(lines[head:], answer, strict=True) if a != b]
    assert [old for _, old in other] == [PATH_LINE]
    assert Sheet(sheet.path, solve(sheet), sheet.exercise).untouched() == []


@each_model
@each_framework
def test_levels_take_out_more_and_more(framework, model) -> None:
    two, three = ({g.name for g in choose(model, framework, n, None).gaps} for n in (2, 3))
    assert two < three
    assert not GIVEN & three
    assert {"build", "train_step"} <= three
    kept = find_definitions(read_script(framework, model)).keys() - three
    assert {name for name in kept if "." not in name} == {
        *GIVEN,
        *(n for n in kept if n[0].isupper() and "." not in n),
    }


@each_model
def test_questions_are_asked_in_every_language(model, tmp_path) -> None:
    question = read_entries()[model].exercise
    for language in LANGUAGES:
        assert len(question[language]) > 40
        path = start(choose(model, "pytorch", 2, None), language, tmp_path / language)
        text = path.read_text(encoding="utf-8")
        # In this encoding a Japanese letter has two bytes, as it takes the room of two.
        assert all(len(line.encode("cp932", "replace")) <= 110 for line in text.splitlines()[:9])
        assert "dense" in text or "conv" in text  # the layers' names
        assert Sheet.read(path).exercise.model == model


def test_a_learners_file_is_never_overwritten(tmp_path) -> None:
    path = write(tmp_path)
    path.write_text("my work", encoding="utf-8")
    with pytest.raises(UserError, match="left as it is"):
        write(tmp_path)
    assert path.read_text(encoding="utf-8") == "my work"


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ("", "first line"),
        ("# Exercise: gan in pytorch, level 4", "first line"),
        ("# Exercise: ../../etc in pytorch, level 1, x", "first line"),
        ("# Exercise: os in pytorch, level 1, train_step", "unknown model"),
        ("# Exercise: gan in torch, level 1, train_step", "unknown framework"),
        ("# Exercise: gan in pytorch, level 1, exec", "no such part"),
        ("# Exercise: gan in pytorch, level 2, train_step", "only level 1"),
    ],
)
def test_a_header_is_read_and_not_run(tmp_path, first, said) -> None:
    path = tmp_path / "gan.py"
    path.write_text(f"{first}\nraise SystemExit\n", encoding="utf-8")
    with pytest.raises(UserError, match=said):
        Sheet.read(path)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"#" * (1 << 21)])
def test_a_file_that_is_no_text_is_refused(tmp_path, content) -> None:
    path = tmp_path / "gan.py"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"as text|too large"):
        Sheet.read(path)


# Grading.


@pytest.fixture(scope="session")
def grades(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list]]:
    """The grades of tests/probes/exercise_probe.py, by framework and name."""
    folder = tmp_path_factory.mktemp("exercises")
    probe = PROBES / "exercise_probe.py"

    def grade(framework: str) -> dict[str, list]:
        out = folder / f"{framework}.json"
        run_probe(framework, probe, framework, out, ",".join(BOOK))
        return json.loads(out.read_text())

    return side_by_side(grade, GRADED)


@pytest.mark.parametrize("model", BOOK)
@pytest.mark.parametrize("framework", GRADED)
def test_the_answer_solves_its_exercise(grades, framework, model) -> None:
    found = grades[framework][f"{model} solved"]
    assert len(found) > 15
    assert [grade for grade in found if grade[1] != "right"] == []


@each_level
@pytest.mark.parametrize("model", BOOK)
@pytest.mark.parametrize("framework", GRADED)
def test_an_exercise_starts_unsolved(grades, framework, model, level) -> None:
    """Nothing is called wrong that has not been tried, and something is left to do."""
    statuses = [grade[1] for grade in grades[framework][f"{model} {level} open"]]
    assert "not attempted" in statuses
    assert "wrong" not in statuses
    assert statuses[0] == "right"
    assert statuses[-1] == "not reached"


def learners(kind: str, name: str) -> pytest.MarkDecorator:
    """A test's learners: their places among those of their kind, and what they have written."""
    chosen = [
        pytest.param(index, each, id=f"{each['framework']}-{each[name].replace(' ', '_')}")
        for index, each in enumerate(read_learners()[kind])
        if each["framework"] in GRADED and each["model"] in BOOK
    ]
    return pytest.mark.parametrize(("index", "learner"), chosen)


@learners("learner", "mistake")
def test_a_known_mistake_is_named(grades, index, learner) -> None:
    """However it is written: by the first check that is wrong."""
    found = grades[learner["framework"]][f"learner {index}"]
    wrong = [grade for grade in found if grade[1] == "wrong"]
    assert wrong
    assert wrong[0][2]  # what was expected, and what came
    names = wrong[0][3]
    assert len(names) == 1, wrong[0]
    assert names[0].startswith(learner["mistake"]), wrong[0]


@learners("other", "name")
def test_what_has_no_name_is_judged_by_its_numbers(grades, index, learner) -> None:
    found = grades[learner["framework"]][f"other {index}"]
    wrong = [grade for grade in found if grade[1] == "wrong"]
    if "wrong" in learner:
        assert wrong[0][0] == learner["wrong"]
        assert learner["said"] in wrong[0][2]
    else:
        assert [grade for grade in found if grade[1] != "right"] == []


def test_every_mistake_can_be_made() -> None:
    """Somewhere in each framework that it is written for, and it leaves Python."""
    for mistake in read_mistakes():
        for framework in mistake.edits:
            made = 0
            for model in MODELS:
                exercise = choose(model, framework, 3, None)
                names = [gap.name for gap in exercise.gaps]
                for each, text in find_mistakes(exercise, names):
                    if each is mistake:
                        compile(text, model, "exec")
                        assert text != exercise.answer
                        made += 1
            assert made, (mistake.name, framework)


# Hostile files, as a user runs into them.


@pytest.mark.skipif("pytorch" not in GRADED, reason="PyTorch is not among QUARTET_PORTS")
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("import os\n    os._exit(7)", "exit status 7"),
        ("import os, signal\n    os.kill(os.getpid(), signal.SIGSEGV)", "signal 11"),
        ("while True:\n        pass", "right until it stopped\n\nnot done after 8 seconds"),
        ("raise SystemExit(0)", ": it ends the program, by sys.exit(0)"),
        ("return 1 / 0", "ZeroDivisionError"),
        ("print('a look')\n    return 0", "printed by the file:\n  a look\n"),
        ("return fake_logits.no_such", "AttributeError"),
        ("return (", "the file is Python"),
    ],
)
def test_hostile_code_ends_in_a_clear_line(tmp_path, body, said) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text().replace(GAP, body))
    before = path.read_text()
    done = run("check", path, "--limit", "8")
    assert done.returncode == 1, done.stderr
    assert said in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert path.read_text() == before


@pytest.mark.skipif("pytorch" not in GRADED, reason="PyTorch is not among QUARTET_PORTS")
def test_a_way_through_the_book(tmp_path) -> None:
    """Start, hints, a mistake, the answer, solved, and the overview knows."""
    done = run("start", "gan", "--framework", "pytorch", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    path = tmp_path / "level-1" / "pytorch" / "gan.py"
    assert str(path) in done.stdout
    text = path.read_text()

    path.write_text(text.replace(GAP, "return torch.log(1 - torch.sigmoid(fake_logits)).mean()"))
    done = run("check", path)
    assert done.returncode == 1
    assert "It looks like this: the saturating loss" in done.stdout
    first, second = run("hint", path).stdout, run("hint", path).stdout
    assert "Ask the discriminator's loss" in first
    assert first != second

    done = run("answer", path)
    assert "binary_cross_entropy_with_logits" in done.stdout
    assert "tensorflow/gan.py" not in done.stdout
    assert "◐" in run("--all", "--out", tmp_path).stdout

    path.write_text(text.replace(GAP, "return torch.nn.functional.softplus(-fake_logits).mean()"))
    done = run("check", path)
    assert done.returncode == 0, done.stdout
    assert "Solved" in done.stdout
    assert "tensorflow/gan.py" in run("answer", path).stdout
    done = run("--all", "--out", tmp_path)
    assert f"1 of {3 * 4 * len(MODELS)} solved" in done.stdout


@pytest.mark.skipif("pytorch" not in GRADED, reason="PyTorch is not among QUARTET_PORTS")
def test_watching_a_file_until_it_is_solved(tmp_path) -> None:
    """It grades what is there, then what is saved, and ends when that is right."""
    path = write(tmp_path)
    text = path.read_text()
    command = [sys.executable, "-u", "-m", "tools.exercise", "watch", str(path)]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True
    ) as watching:
        assert watching.stdout is not None
        said = []
        for line in watching.stdout:
            said.append(line)
            if line.startswith("waiting"):
                path.write_text(
                    text.replace(GAP, "return torch.nn.functional.softplus(-fake_logits).mean()")
                )
    assert watching.returncode == 0
    assert sum(line.startswith("waiting") for line in said) == 1
    assert any(line.startswith("Next: generator_loss") for line in said)
    assert any(line.startswith("Solved") for line in said)


@pytest.mark.skipif("pytorch" not in GRADED, reason="PyTorch is not among QUARTET_PORTS")
def test_a_file_that_is_saved_while_it_is_graded(tmp_path) -> None:
    """It is graded anew, and nothing is said of what it was; nothing is left behind either."""
    path, scratch = write(tmp_path), tmp_path / "scratch"
    scratch.mkdir()
    text = path.read_text()
    path.write_text(text.replace(GAP, "import time\n    print('slow')\n    time.sleep(3600)"))
    command = [sys.executable, "-u", "-m", "tools.exercise", "watch", str(path)]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**environment(), "TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        text=True,
    ) as watching:
        deadline = time.monotonic() + 120
        while not any(b"slow" in p.read_bytes() for p in scratch.glob("*/printed")):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        right = "return torch.nn.functional.softplus(-fake_logits).mean()"
        path.write_text(text.replace(GAP, right))
        said = watching.communicate(timeout=120)[0]
    assert said.startswith("saved again")
    assert "wrong" not in said
    assert "Solved" in said
    assert list(scratch.glob("quartet-*")) == []


# The program.


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give a verb"),
        (["start", "dcgam", "--framework", "pytorch"], "unknown model"),
        (["start", "dcgan"], "--framework"),
        (["start", "dcgan", "--framework", "torch"], "unknown framework"),
        (["start", "dcgan", "--framework", "pytorch", "--level", "4"], "must be 1, 2 or 3"),
        (["start", "dcgan", "--framework", "pytorch", "--part", "loss"], "it has train_step"),
        (["check", "nowhere.py"], "no such file"),
        (["watch", "nowhere.py"], "no such file"),
        (["check", "nowhere.py", "--limit", "0"], "above 0"),
    ],
)
def test_refusals(arguments, said, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["exercise", *arguments])
    with pytest.raises(UserError, match=said):
        exercise()


@pytest.mark.parametrize("broken", ["def f(:", "x = \0", "(" * 10_000])
def test_the_answer_beside_a_file_that_is_not_python(tmp_path, broken) -> None:
    path = write(tmp_path)
    with open(path, "a", encoding="utf-8") as file:
        file.write(broken)
    done = run("answer", path)
    assert done.returncode == 2
    assert "not Python" in done.stderr
    assert "Traceback" not in done.stderr


def test_definitions_are_found_however_they_are_written() -> None:
    text = (
        "def one(x): return x\n\n\n"
        "@decorate\ndef two(\n    x,\n): # said here\n    # above\n    return x\n\n\n"
        'class Three:\n    def four(self, *x):\n        """Said."""\n'
        "        # why\n        return x\n"
    )
    found = find_definitions(text)
    assert {n: (d.first, d.last, d.signature) for n, d in found.items()} == {
        "one": (1, 1, ("x",)),
        "two": (4, 9, ("x",)),
        "Three": (12, 16, ()),
        "Three.four": (13, 16, ("self", "x")),
    }
    assert found["Three.four"].body == 15


def test_hints_lead_to_the_answer_but_for_its_last_line() -> None:
    for framework in FRAMEWORKS:
        for model in MODELS:
            for gap in choose(model, framework, 3, None).gaps:
                hints = list_hints(choose(model, framework, 3, None), gap)
                assert hints
                assert not any("\n\n" in hint for hint in hints)


def test_damaged_notes_are_as_none(tmp_path) -> None:
    path = write(tmp_path)
    for text in ("", "{", "[]", '{"hints": 3, "right": "x"}', "[" * 100_000):
        Notes.of(path).path.write_text(text)
        assert Notes.of(path) == Notes(Notes.of(path).path)


def test_every_function_has_a_place() -> None:
    """What level 1 can take out, the update, the networks, `build` and what is given are all."""
    for framework in FRAMEWORKS:
        for model in MODELS:
            script = Outline(read_script(framework, model))
            placed = {*script.single, *script.update, *script.networks, "build", *GIVEN}
            names = {n for n, each in script.definitions.items() if each.kind != "class"}
            names -= {name for name in names if name.startswith("Config.")}
            assert names <= placed, (framework, model, names - placed)
