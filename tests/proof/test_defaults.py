"""Every cell of docs/defaults.md is what the installed framework does."""

from __future__ import annotations

import json

import pytest

from tests.support.ports import FRAMEWORKS, PROBES, ROOT, chosen_ports, run_probe

COLUMNS = {"pytorch": "PyTorch", "tensorflow": "TensorFlow", "keras": "Keras", "chainer": "Chainer"}


def documented(column: str) -> dict[str, str]:
    """A column of the table, by row."""
    lines = (ROOT / "docs" / "defaults.md").read_text(encoding="utf-8").splitlines()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if line.startswith("|") and not line.startswith("| ---")
    ]
    index = rows[0].index(column)
    return {row[0]: row[index] for row in rows[1:]}


@pytest.mark.parametrize("framework", [f for f in FRAMEWORKS if f in chosen_ports()])
def test_the_table_is_true(framework: str) -> None:
    said = run_probe(framework, PROBES / "defaults_probe.py", framework)
    assert json.loads(said.splitlines()[-1]) == documented(COLUMNS[framework])
