"""One file per framework: seed, device, and the way of parameters to and from NumPy.

What they share stands here, above all the meaning of `--precision`: `float32` is not rounded
further, on any device; `tf32` lets a GPU round the factors of matrix products and convolutions to
10 bits; `bfloat16`, also called mixed precision, has them in 16 bits, of which 7 are the fraction.
Weights, the averages of batch norm, what networks give, losses and updates are then still of 32
bits.
"""

import contextlib
import ctypes

from common.errors import UserError

DTYPES = {  # of weights and arrays
    "float32": "float32",
    "tf32": "float32",
    "bfloat16": "float32",
    "float64": "float64",
}


def check_precision(precision: str, on_gpu: bool) -> None:
    """Refuse what only a GPU can do.

    Args:
        precision: what `--precision` gives.
        on_gpu: where the run computes.

    Raises:
        UserError: it is `tf32`, and the run is not on a GPU.
    """
    if precision == "tf32" and not on_gpu:
        raise UserError(
            "--precision tf32: a way of GPUs to multiply, and this run is on the CPU; "
            "use --precision float32, or --device gpu where there is one"
        )


def keep_memory() -> None:
    """Let freed memory stay with the process, where the C library is glibc.

    Otherwise each large array is memory that the system hands out anew and fills with zeros, page
    by page, and a step makes hundreds. TensorFlow and JAX see to it by themselves; PyTorch's and
    NumPy's arrays come from the C library. Source: mallopt(3), of the Linux manual pages.
    """
    mmap_max, trim_threshold = -4, -1
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, 2**31 - 1)
