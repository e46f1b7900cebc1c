"""Large convolutions of JAX as matrix products, for the tests' CPU.

XLA's own, and above all their gradients, are ten times slower there in float64, and take half a
minute to compile in float32. Small ones (ConvAE's, and the first and last of each GAN) stay XLA's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

LARGE = 10_000  # numbers in a kernel
XLA_CONV, XLA_TRANSPOSE = lax.conv_general_dilated, lax.conv_transpose


def install() -> None:
    """Put them in the place of XLA's, wherever Keras asks for them."""
    lax.conv_general_dilated, lax.conv_transpose = convolve, convolve_transposed


def _plain(kernel: jax.Array, dimension_numbers: Any, **named: Any) -> bool:
    """Whether it is large and what Keras' layers ask for: N H W C, H W I O, nothing grouped."""
    dilation, groups = named.get("rhs_dilation"), named.get("feature_group_count", 1)
    dilated = set(np.ravel(dilation)) > {1} if dilation is not None else False
    last = tuple(dimension_numbers.lhs_spec) == (0, 3, 1, 2)
    return kernel.size > LARGE and last and groups == 1 and not dilated


def _meets(small: int, large: int, size: int, stride: int, dtype: Any) -> np.ndarray:
    """1 where input x is y * stride + k, which the kernel's place k meets, else 0: (k, y, x)."""
    k, y, x = np.ogrid[:size, :small, :large]
    return (y * stride + k == x).astype(dtype)


def convolve(
    x: jax.Array,
    kernel: jax.Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    *more: Any,
    **named: Any,
) -> jax.Array:
    """As `lax.conv_general_dilated`."""
    if more or not _plain(kernel, **named):
        return XLA_CONV(x, kernel, window_strides, padding, *more, **named)
    sizes = kernel.shape[:2]
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(x.shape[1:3], sizes, window_strides, padding)
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    rows, columns = (
        _meets((n - size) // stride + 1, n, size, stride, x.dtype)
        for n, size, stride in zip(x.shape[1:3], sizes, window_strides, strict=True)
    )
    seen = jnp.einsum("nrqc,iyr->nyiqc", x, rows)
    seen = jnp.einsum("nyiqc,jxq->nyxijc", seen, columns)
    return jnp.einsum("nyxijc,ijco->nyxo", seen, kernel)


def convolve_transposed(
    x: jax.Array,
    kernel: jax.Array,
    strides: Sequence[int],
    padding: Any,
    *more: Any,
    **named: Any,
) -> jax.Array:
    """As `lax.conv_transpose`: the same steps backwards, then cut (or filled up) at the edges."""
    plain = named.pop("transpose_kernel", False) and _plain(kernel, **named)
    if more or not plain or isinstance(padding, str):
        return XLA_TRANSPOSE(x, kernel, strides, padding, *more, transpose_kernel=True, **named)
    sizes = kernel.shape[:2]  # of H W O I
    rows, columns = (
        _meets(n, (n - 1) * stride + size, size, stride, x.dtype)
        for n, size, stride in zip(x.shape[1:3], sizes, strides, strict=True)
    )
    given = jnp.einsum("nyxc,ijoc->nyxijo", x, kernel)
    given = jnp.einsum("nyxijo,jxq->nyiqo", given, columns)
    made = jnp.einsum("nyiqo,iyr->nrqo", given, rows)
    cuts = [(a - k + 1, b - k + 1, 0) for (a, b), k in zip(padding, sizes, strict=True)]
    return lax.pad(made, jnp.zeros((), x.dtype), [(0, 0, 0), *cuts, (0, 0, 0)])
