"""The content of `config.json`: settings, data, versions."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import json
import platform

from common.data import Data
from common.run.flags import Settings

PACKAGES = ("numpy", "torch", "tensorflow", "tensorflow-cpu", "keras", "jax", "chainer", "cupy")


def describe(model: str, framework: str, config: Settings, data: Data) -> str:
    """The text of `config.json`."""
    about = {
        "model": model,
        "framework": framework,
        "settings": dataclasses.asdict(config),
        "image_shape": data.image_shape,
        "dataset": {
            "name": data.name,
            "classes": data.class_names,
            "train_images": len(data.train),
            "test_images": len(data.test),
            "fingerprint": data.fingerprint(),
        },
        "versions": {
            "python": platform.python_version(),
            "platform": platform.platform(),
            **_versions(),
        },
    }
    return json.dumps(about, indent=2) + "\n"


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
