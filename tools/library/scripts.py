"""The scripts as programs: where they are, and how to import one."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from common.errors import UserError
from common.frameworks import PACKAGES, find_version

ROOT = Path(__file__).resolve().parents[2]
MODELS = tuple(sorted(path.stem for path in (ROOT / "pytorch").glob("*.py")))


def check_model(model: str) -> None:
    """Raise UserError unless there is such a model."""
    if model not in MODELS:
        raise UserError(f"unknown model {model!r}; known: {', '.join(MODELS)}")


def choose_frameworks(names: str) -> list[str]:
    """The frameworks of a list with commas that are installed.

    Raises:
        UserError: one is not known, or none is installed.
    """
    wanted = names.split(",")
    for framework in wanted:
        if framework not in PACKAGES:
            raise UserError(f"unknown framework {framework!r}; known: {', '.join(PACKAGES)}")
    installed = [framework for framework in wanted if find_version(framework)]
    for framework in wanted:
        if framework not in installed:
            print(f"{framework} is not installed and is left out", file=sys.stderr)
    if not installed:
        raise UserError("none of the frameworks is installed; docs/installation.md says how")
    return installed


def load_script(framework: str, model: str) -> ModuleType:
    """Import a script under a name of its own; at most one framework's in a process."""
    folder = ROOT / framework
    name = f"{framework}_{model}"
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location(name, folder / f"{model}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: its dataclass looks itself up
    spec.loader.exec_module(module)
    return module
