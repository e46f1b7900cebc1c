"""Operators: each changes a planted text as it should, and nothing else of a script."""

from __future__ import annotations

import ast
import difflib
import tomllib

import pytest

from tests.support.ports import FRAMEWORKS
from tools.library.definitions import find_definitions, read_script
from tools.library.operators import OPERATORS, find_changes, make
from tools.library.scripts import MODELS, ROOT

with open(ROOT / "tests" / "tools" / "operators.toml", "rb") as file:
    CASES = tomllib.load(file)["case"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["operator"])
def test_a_planted_text_is_changed(case: dict[str, str]) -> None:
    text, lines = case["text"], case["expected"].splitlines()
    found = find_changes(text, case["framework"])
    changes = [each for each in found if each.operator == case["operator"]]
    made = [make(text, [change]) or "" for change in changes]
    fits = [each for each in made if _has(each.splitlines(), lines)]
    assert fits, made
    for change in changes:
        assert change.name
        assert text.splitlines()[change.line - 1].strip()


def _has(lines: list[str], some: list[str]) -> bool:
    return any(lines[n : n + len(some)] == some for n in range(len(lines)))


def test_every_operator_has_a_case() -> None:
    assert {case["operator"] for case in CASES} == set(OPERATORS)


SYMMETRIC = """
def reconstruction_loss(images, fakes):
    return F.l1_loss(fakes, images)

def absolute_error(x, y):
    return tf.reduce_mean(tf.abs(x - y))

def discriminator_loss(x, y):
    return x - y

def train_step(fakes, images):
    {}
"""


@pytest.mark.parametrize(
    ("call", "times"),
    [
        ("reconstruction_loss(fakes, images)", 0),
        ("absolute_error(f(fakes), images)", 0),
        ("discriminator_loss(fakes, images)", 1),
    ],
)
def test_operands_that_can_change_places_do_not(call: str, times: int) -> None:
    changes = find_changes(SYMMETRIC.format(call), "pytorch")
    found = [each for each in changes if each.operator == "exchanged arguments"]
    assert len(found) == times


def test_what_only_a_shape_is_taken_of_is_not_exchanged() -> None:
    text = (
        "def discriminator_loss(a, b):\n    return f(a, torch.ones_like(a)) - f(b, zeros(b.shape))"
    )
    made = [make(text, [change]) for change in find_changes(text, "pytorch")]
    assert any("f(b, torch.ones_like(a))" in str(each) for each in made)
    assert not any("ones_like(b)" in str(each) or "a.shape" in str(each) for each in made)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("model", MODELS)
def test_the_rest_of_a_script_stays_as_it_is(model: str, framework: str) -> None:
    """A change is small, in the part that it names; all parts of the model have some."""
    script = read_script(framework, model)
    changes = find_changes(script, framework)
    definitions = find_definitions(script)
    assert {change.part for change in changes} <= {"", *definitions}
    for change in changes[::7]:
        text = make(script, [change])
        assert text is not None
        ast.parse(text)
        lines = difflib.unified_diff(script.splitlines(), text.splitlines(), lineterm="", n=0)
        changed = [line for line in lines if line[0] in "+-" and line[:3] not in ("+++", "---")]
        assert 1 <= len(changed) <= 12, change


def test_changes_that_meet_are_not_made_at_once() -> None:
    text = "def a_loss(x, y):\n    return x + k * y"
    term = [each for each in find_changes(text, "pytorch") if each.operator == "term left out"]
    assert make(text, term) is None
