"""Checks that a script makes before it imports its framework, which takes seconds."""

from __future__ import annotations

import ast
import os
import signal
import sys
from pathlib import Path
from typing import Any


def check_flags(script: str) -> None:
    """Handle `--help`, wrong flags, Ctrl-C and a missing framework at once.

    Only the script's docstring and `Config` are evaluated. `Run` checks the command line again,
    together with the checkpoint that it may name.

    Args:
        script: its `__file__`.
    """
    signal.signal(signal.SIGINT, _leave)
    # Imported after the signal handler is set, because importing NumPy takes time too.
    from common.errors import UserError
    from common.frameworks import PACKAGES, find_missing
    from common.run import flags, launch

    path = Path(script).resolve()
    framework = path.parent.name

    def check() -> None:
        config, description = read(path)
        flags.fill(config, flags.given_flags(config, path, description, None), {})
        if framework in PACKAGES and (missing := find_missing(framework)):
            raise UserError(f"{missing} is not installed; docs/installation.md says how")

    launch(check)


def read(path: Path) -> tuple[Any, str]:
    """A script's `Config` and docstring, without importing its framework.

    Of the script only `Config`, constants, and imports of the standard library and of `common` run.
    """
    tree = ast.parse(path.read_bytes(), path)
    names = {"__name__": "__main__"}
    kept = [node for node in tree.body if _is_needed(node)]
    exec(compile(ast.Module(kept, []), path, "exec", dont_inherit=True), names)
    return names["Config"], ast.get_docstring(tree) or ""


def _is_needed(node: ast.stmt) -> bool:
    if isinstance(node, ast.ClassDef):
        return node.name == "Config"
    if isinstance(node, ast.Assign):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.ImportFrom):
        modules = [node.module or ""]
    elif isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
    else:
        return False
    return all(
        module.partition(".")[0] in {"common", *sys.stdlib_module_names}
        and not module.startswith("common.bridges")
        for module in modules
    )


def _leave(*_: object) -> None:
    """End the process: importing code might turn an exception into another one."""
    os.write(2, b"interrupted\n")
    os._exit(130)
