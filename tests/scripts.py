"""The scripts as the tests see them: where they are, how to load one, how to run one."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
FRAMEWORKS = ("pytorch", "tensorflow", "keras", "chainer")
BACKENDS = ("tensorflow", "torch", "jax")  # of Keras
# One player per framework, and Keras again on each other backend.
PLAYERS = ("pytorch", "tensorflow", "keras", "chainer", "keras-torch", "keras-jax")
PACKAGES = {"pytorch": "torch", "tensorflow": "tensorflow", "keras": "keras", "chainer": "chainer"}


def chosen_players() -> tuple[str, ...]:
    """The players under test: all, or those that QUARTET_PLAYERS names, with commas between.

    One that is chosen and not installed fails its tests; it does not skip them.
    """
    named = os.environ.get("QUARTET_PLAYERS")
    players = tuple(named.split(",")) if named else PLAYERS
    unknown = set(players) - set(PLAYERS)
    if unknown:
        raise ValueError(f"QUARTET_PLAYERS: unknown {sorted(unknown)}; known: {PLAYERS}")
    return players


def environment(player: str = "", **more: str) -> dict[str, str]:
    """The environment of a player's process: `keras-jax` sets Keras' backend."""
    names = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "JAX_PLATFORMS": "cpu", **more}
    names.pop("KERAS_BACKEND", None)
    if player.startswith("keras"):
        names["KERAS_BACKEND"] = player.partition("-")[2] or "tensorflow"
    return names


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


def run_script(
    framework: str, *arguments: object, cwd: Path, model: str = "dcgan", **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a script as a user does, in the folder `cwd`; nothing is raised if it fails."""
    return subprocess.run(
        [sys.executable, str(ROOT / framework / f"{model}.py"), *map(str, arguments)],
        cwd=cwd,
        env=environment(framework, **more),
        text=True,
        capture_output=True,
        check=False,
        timeout=600,
    )


def version(player: str) -> str:
    """The installed version of a player's package."""
    return importlib.metadata.version(PACKAGES[player.partition("-")[0]])
