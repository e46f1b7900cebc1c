"""Make Chainer 7.8.1 importable, and correct, on NumPy 2.

Chainer's last release (January 2022) predates NumPy 2 and setuptools 82. Import this module before
Chainer. It does not change NumPy for other frameworks in the process: only the one function that
uses a removed name gets it back.

- `chainer._environment_check` imports `pkg_resources` (gone from setuptools 82) and, on macOS,
  `numpy.distutils` (gone on Python 3.12), only to warn: an empty check replaces it.
- `as_strided` uses `numpy.sctypes` (gone from NumPy 2.0), at import and in its gradient.
- `Deconvolution2D.backward` fails on every NumPy if only its W needs a gradient ("too many values
  to unpack"): fixed in Chainer's repository (#8624), never released.
"""

from __future__ import annotations

import importlib.metadata
import sys
import types
import warnings
from typing import Any

import numpy as np

SCTYPES = {
    "int": [np.int8, np.int16, np.int32, np.int64],
    "uint": [np.uint8, np.uint16, np.uint32, np.uint64],
    "float": [np.float16, np.float32, np.float64],
    "complex": [np.complex64, np.complex128],
    "others": [bool, object, bytes, str, np.void],
}


class _NumPyWithSctypes(types.ModuleType):
    """NumPy as `as_strided` expects it."""

    sctypes = SCTYPES

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def _import_chainer() -> None:
    try:
        importlib.metadata.version("chainer")
    except importlib.metadata.PackageNotFoundError:
        # `import chainer` would find the folder of that name.
        raise ModuleNotFoundError(
            "Chainer is not installed; README.md says how to install it", name="chainer"
        ) from None
    check = types.ModuleType("chainer._environment_check")
    check.check = lambda: None  # type: ignore[attr-defined]
    sys.modules["chainer._environment_check"] = check
    missing = not hasattr(np, "sctypes")
    if missing:
        np.sctypes = SCTYPES  # type: ignore[attr-defined]  # noqa: NPY201
    try:
        import chainer  # noqa: F401
    finally:
        if missing:
            del np.sctypes  # type: ignore[attr-defined]  # noqa: NPY201


def _mend_as_strided() -> None:
    # By module name: `chainer.functions.array` holds a function of the same name.
    gradient = sys.modules["chainer.functions.array.as_strided"].AsStridedGrad
    forward = gradient.forward
    names = {**forward.__globals__, "np": _NumPyWithSctypes("numpy")}
    gradient.forward = types.FunctionType(forward.__code__, names, "forward")


def _mend_deconvolution() -> None:
    module = sys.modules["chainer.functions.connection.deconvolution_2d"]
    function = module.Deconvolution2DFunction
    set_cover_all = function._set_cover_all

    def accept_variables(self: Any, x: Any, w: Any) -> None:
        set_cover_all(self, getattr(x, "shape", x), getattr(w, "shape", w))

    function._set_cover_all = accept_variables


with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    _import_chainer()
_mend_as_strided()
_mend_deconvolution()
