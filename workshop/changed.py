"""Names the models whose proof a change can have touched, for `make proof`.

`python -m workshop.changed COMMIT` compares the working tree with a commit and prints names with
commas between: those whose scripts or descriptions differ, and all where anything differs that
models share. It prints nothing where only pages, pictures or programs differ. Without a commit, or
where it is unknown or the one that is checked out, it prints all.
"""

from __future__ import annotations

import argparse
import re
import subprocess
from collections.abc import Iterable
from pathlib import PurePosixPath

from common.run import launch
from tools.library.scripts import MODELS, PACKAGES, ROOT

SHARED = ("common", "tests", "requirements", "tools/library", "tools/exercise", *PACKAGES)
DESCRIPTIONS = "tests/models"
# Tests of pages and programs; what they hold is in `make test`.
APART = ("tests/site", "tests/tools", "tests/workshop", "tests/data", "tests/measures")
IMPORTED = re.compile(r"^from tests\.models(?:\.(\w+))? import (.*)$", re.MULTILINE)


def find_dependents() -> dict[str, set[str]]:
    """By model, those whose description builds on that model's, itself included."""
    builds_on = {}
    for model in MODELS:
        text = (ROOT / DESCRIPTIONS / f"{model}.py").read_text(encoding="utf-8")
        found = {word for match in IMPORTED.findall(text) for word in re.findall(r"\w+", match[1])}
        builds_on[model] = {match[0] for match in IMPORTED.findall(text)} | found
    dependents = {model: {model} for model in MODELS}
    for _ in MODELS:  # those of dependents too
        for model, names in builds_on.items():
            for name in names & set(MODELS):
                dependents[name] |= dependents[model]
    return dependents


def choose(files: Iterable[str]) -> list[str]:
    """The models to prove after changes in these files, named from the suite's root."""
    chosen: set[str] = set()
    for file in files:
        path = PurePosixPath(file)
        if path.stem in MODELS and path.suffix == ".py" and str(path.parent) in PACKAGES:
            chosen.add(path.stem)
        elif path.stem in MODELS and str(path.parent) == DESCRIPTIONS:
            chosen |= find_dependents()[path.stem]
        elif any(path.is_relative_to(place) for place in APART):
            continue
        elif any(path.is_relative_to(place) for place in SHARED):
            return list(MODELS)
    return [model for model in MODELS if model in chosen]


def git(*arguments: str) -> str:
    """What git prints; nothing where it fails."""
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def find_changed(commit: str) -> list[str]:
    """The models to prove since a commit; all where git cannot compare with it."""
    known = git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}") if commit else ""
    if not known or known == git("rev-parse", "HEAD"):
        return list(MODELS)
    changed = git("diff", "--name-only", "--no-renames", known)
    untracked = git("ls-files", "--others", "--exclude-standard")
    return choose([*changed.splitlines(), *untracked.splitlines()])


def main() -> None:
    """Print the names."""
    parser = argparse.ArgumentParser(prog="python -m workshop.changed", description=__doc__)
    parser.add_argument("commit", nargs="?", default="", help="default: none, so all models")
    print(",".join(find_changed(parser.parse_args().commit)))


if __name__ == "__main__":
    launch(main)
