"""What each model is, to the tests: one file per model, and nothing else in tests/ names one."""

from __future__ import annotations

import importlib
import pkgutil

from models.description import Model

MODELS: dict[str, Model] = {
    file.name: importlib.import_module(f"models.{file.name}").MODEL
    for file in pkgutil.iter_modules(__path__)
    if file.name != "description"
}
