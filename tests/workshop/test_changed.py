"""Which models a change can have touched: those are proven before it lands."""

from __future__ import annotations

import subprocess

import pytest

from tools.library.scripts import MODELS, ROOT
from workshop import changed


@pytest.mark.parametrize(
    ("files", "models"),
    [
        (["keras/vae.py", "docs/models/gan.md"], ["vae"]),
        (["tests/models/wgan_gp.py"], ["wgan_gp"]),
        (["tests/models/ae.py"], ["ae", "convae"]),
        (["tests/models/gan.py"], ["alphagan", "cgan", "dcgan", "gan", "wgan", "wgan_gp"]),
        (["README.md", "tools/answer.py", "tests/site/test_site.py"], []),
        (["keras/vae.py", "common/run/run.py"], list(MODELS)),
        (["tests/reference/layers.py"], list(MODELS)),
        (["tensorflow/layers.py"], list(MODELS)),
        (["requirements/test.txt"], list(MODELS)),
        (["chainer/dragon.py"], list(MODELS)),
    ],
)
def test_what_a_change_can_have_touched(files: list[str], models: list[str]) -> None:
    assert changed.choose(files) == models


def test_what_git_cannot_compare_with_is_all() -> None:
    assert changed.find_changed("") == list(MODELS)
    assert changed.find_changed("HEAD") == list(MODELS)
    assert changed.find_changed("no-such-commit") == list(MODELS)


def test_since_a_commit(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    for name in (
        f"{framework}/{model}.py" for framework in ("pytorch", "keras") for model in MODELS
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@b", "-C", str(tmp_path)]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    (tmp_path / "pytorch" / "gan.py").write_text("x = 1\n")
    subprocess.run([*git, "commit", "-qam", "second"], check=True)
    (tmp_path / "keras" / "ae.py").write_text("x = 1\n")
    monkeypatch.setattr(changed, "ROOT", tmp_path)
    assert changed.find_changed("HEAD~1") == ["ae", "gan"]
    assert tmp_path != ROOT
