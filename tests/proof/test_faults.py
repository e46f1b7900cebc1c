"""The faults of the table can be planted; `python -m workshop.faults` shows they are caught."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from common.errors import UserError
from tests.models import MODELS as DESCRIBED
from tests.support.ports import FRAMEWORKS, chosen_ports
from tools.library.definitions import read_script
from tools.library.scripts import MODELS, ROOT
from workshop.faults import QUICK, Fault, Player, make_faults, prepare, read_faults

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
    """Each script is changed by operators, and each model by hand, in all four alike."""
    made = Counter((fault.framework, fault.model) for fault in make_faults())
    assert set(made) == {(framework, model) for framework in FRAMEWORKS for model in MODELS}
    assert min(made.values()) >= 20
    together = {fault.models for fault in FAULTS if len(fault.edits) == len(FRAMEWORKS)}
    assert together == {(model,) for model in MODELS}


def test_what_operators_make_can_be_planted(tmp_path: Path) -> None:
    """It is Python, and another program than the script."""
    for fault in make_faults()[::13]:  # of all kinds
        script = read_script(fault.framework, fault.model)
        assert ast.dump(ast.parse(fault.text)) != ast.dump(ast.parse(script)), fault.name
    fault = make_faults()[0].as_fault()
    copy = copy_of(fault, tmp_path)
    fault.plant(copy)
    assert {(copy / file).read_text(encoding="utf-8") for file in fault.edits} == {
        make_faults()[0].text
    }


@pytest.mark.skipif("pytorch" not in chosen_ports(), reason="PyTorch is not among QUARTET_PORTS")
@pytest.mark.skipif("ae" not in DESCRIBED, reason="QUARTET_MODELS leaves it out")
def test_a_player_sees_faults(tmp_path: Path) -> None:
    """In the text, the numbers, the initial weights; and a script that ends its process."""
    prepare(["ae"], tmp_path)
    script = read_script("pytorch", "ae")
    seen = {}
    with Player("pytorch", tmp_path) as player:
        for old, new in (
            ("", ""),
            ("= 1000", "= 100"),
            ("reconstructions, images", "reconstructions, images * 1.000001"),
            ("0.999), ", "0.99), "),
            ("xavier_uniform_(layer.weight)", "normal_(layer.weight, 0.0, 0.02)"),
            ("import torch\n", "import os\nos._exit(3)\n"),
            ("import torch\n", "import torch, nowhere\n"),
        ):
            assert old in script
            seen[new] = player.find("ae", script.replace(old, new, 1))
    assert seen.pop("") is None
    expected = (
        ("= 100", "test_twins: Config"),
        ("images * 1", "reconstruction_loss of step "),
        ("0.99), ", "reconstruction_loss of step "),
        ("normal_", "AssertionError"),
        ("_exit", "it ends the process"),
        ("nowhere", "ModuleNotFoundError"),
    )
    for (new, said), found in zip(expected, seen.values(), strict=True):
        assert found is not None, new
        assert said in found, (new, found)


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
