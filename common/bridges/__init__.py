"""One module per framework: seed, device, precision, and parameters to and from NumPy.

This file defines what `--precision` means in all of them. `float32` is computed without further
rounding on any device. `tf32` lets a GPU round the operands of matrix products and convolutions to
a fraction of 10 bits. `bfloat16` is mixed precision: these operands have 16 bits, 7 of them for the
fraction, while weights, running averages, network outputs, losses and updates keep 32 bits.
"""

import contextlib
import ctypes

from common.errors import UserError

DTYPES = {  # of weights and arrays, by precision
    "float32": "float32",
    "tf32": "float32",
    "bfloat16": "float32",
    "float64": "float64",
}


def check_precision(precision: str, on_gpu: bool) -> None:
    """Refuse a precision that the device does not have.

    Args:
        precision: the value of `--precision`.
        on_gpu: whether the run computes on a GPU.

    Raises:
        UserError: the precision is `tf32`, and the run is not on a GPU.
    """
    if precision == "tf32" and not on_gpu:
        raise UserError(
            "--precision tf32: only GPUs multiply in tf32, and this run is on the CPU; "
            "use --precision float32, or --device gpu where there is one"
        )


def keep_memory() -> None:
    """Keep freed memory in the process, where the C library is glibc.

    By default glibc returns large arrays to the system, which must then allocate and zero new pages
    for the next ones: hundreds of times per step. TensorFlow and JAX have allocators of their own;
    PyTorch and NumPy use the C library's. Source: mallopt(3) in the Linux manual pages.
    """
    mmap_max, trim_threshold = -4, -1
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, 2**31 - 1)
