"""The faults of the table can be planted; `python -m workshop.faults` shows they are caught."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import UserError
from tests.support.ports import FRAMEWORKS
from tools.library.scripts import MODELS, ROOT
from workshop.faults import QUICK, Fault, read_faults

FAULTS = read_faults()


def copy_of(fault: Fault, folder: Path) -> Path:
    """The files that a fault changes, and no others."""
    for file in fault.edits:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, folder / file)
    return folder


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_can_be_planted(fault: Fault, tmp_path: Path) -> None:
    copy = copy_of(fault, tmp_path)
    fault.plant(copy)
    for file in fault.edits:
        planted = (copy / file).read_text(encoding="utf-8")
        assert planted != (ROOT / file).read_text(encoding="utf-8")
        compile(planted, file, "exec")


@pytest.mark.parametrize(("old", "times"), [("c", 0), ("b", 2)])
def test_a_text_has_to_be_there_once(old: str, times: int, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("a b b", encoding="utf-8")
    fault = Fault("a fault", {"script.py": (old, "")}, ())
    with pytest.raises(UserError, match=f"a fault: script.py has '{old}' {times} times"):
        fault.plant(tmp_path)


def test_the_table_covers_everything() -> None:
    """Each script, in one framework only and in all four alike."""
    assert len(FAULTS) >= 50
    alone = {file for fault in FAULTS if len(fault.edits) == 1 for file in fault.edits}
    assert alone >= {f"{framework}/{model}.py" for framework in FRAMEWORKS for model in MODELS}
    together = {fault.models for fault in FAULTS if len(fault.edits) == len(FRAMEWORKS)}
    assert together == {(model,) for model in MODELS}


@pytest.mark.parametrize("model", MODELS)
def test_a_fault_is_sought_in_its_model_alone(model: str) -> None:
    """No test of another model is there to fail, whatever the fault."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "tests/proof/test_parity.py"],
        cwd=ROOT,
        env={**os.environ, "QUARTET_MODELS": model},
        capture_output=True,
        text=True,
        check=True,
    )
    others = [name for name in MODELS if name != model]
    ids = re.findall(r"\[(.*)\]$", done.stdout, re.MULTILINE)
    assert ids
    assert [each for each in ids if set(each.split("-")) & set(others)] == []


def test_make_quick_runs_the_same_tests() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    listed = re.search(
        r"^QUICK := \$\(addprefix tests/,(.*)\)$", makefile.replace("\\\n", ""), re.MULTILINE
    )
    assert listed is not None
    assert [f"tests/{name}" for name in listed[1].split()] == QUICK
