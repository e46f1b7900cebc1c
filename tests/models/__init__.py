"""What each model is, to the tests: one file per model, and nothing else in tests/ names one."""

from __future__ import annotations

import importlib
import os
import pkgutil

from tests.models.description import Model

CHOSEN = os.environ.get("QUARTET_MODELS")  # names with commas between; all if it is not set

MODELS: dict[str, Model] = {
    file.name: importlib.import_module(f"{__name__}.{file.name}").MODEL
    for file in pkgutil.iter_modules(__path__)
    if file.name != "description" and (not CHOSEN or file.name in CHOSEN.split(","))
}
