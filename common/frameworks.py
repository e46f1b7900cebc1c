"""Which frameworks there are, and which of them are installed, without importing any."""

from __future__ import annotations

import importlib.metadata

# By the folder of their scripts: the packages, of which one must be there.
PACKAGES = {
    "pytorch": ("torch",),
    "tensorflow": ("tensorflow", "tensorflow-cpu"),
    "keras": ("keras",),
    "chainer": ("chainer",),
}


def find_version(framework: str) -> str | None:
    """The installed version of a framework, or None."""
    for package in PACKAGES[framework]:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None
