"""The frameworks, and which of them are installed; none is imported."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os

from common.errors import UserError

# By the folder of their scripts: the packages, one of which must be installed. The first also names
# the module.
PACKAGES = {
    "pytorch": ("torch",),
    "tensorflow": ("tensorflow", "tensorflow-cpu"),
    "keras": ("keras",),
    "chainer": ("chainer",),
}

KERAS_BACKENDS = ("tensorflow", "torch", "jax")


def find_version(framework: str) -> str | None:
    """The installed version of a framework, or None."""
    for package in PACKAGES[framework]:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def find_missing(framework: str) -> str | None:
    """The first module that a framework's scripts need and that is not installed, or None.

    Raises:
        UserError: KERAS_BACKEND names a backend that the scripts cannot train on.
    """
    needed = [PACKAGES[framework][0]]
    if framework == "keras":
        backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
        if backend not in KERAS_BACKENDS:
            raise UserError(
                f"KERAS_BACKEND={backend}: cannot train here; "
                f"set {', '.join(KERAS_BACKENDS[:-1])} or {KERAS_BACKENDS[-1]}"
            )
        needed.append(backend)
    for module in needed:
        found = importlib.util.find_spec(module)
        # Without the package, the folder of scripts of that name is found, which has no origin.
        if found is None or found.origin is None:
            return module
    return None
