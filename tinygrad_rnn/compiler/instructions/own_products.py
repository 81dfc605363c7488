# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""BLAS's gemm and gemv as plain loops, for where no BLAS is installed: correct, and slow.

They are called as BLAS is: matrices are column-major, and every argument is the address of what it stands for.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numba
from numba import carray  # type: ignore[attr-defined]
from numba.core import types

from .memory import OPTIONS, inner, pointer_to


def addresses() -> dict[str, int]:
    """The addresses of gemm and gemv for both float types, by BLAS's names."""
    return {name: function.address for name, function in _compiled().items()}


@cache
def _compiled() -> dict[str, Any]:
    """The compiled functions by BLAS's names ("sgemm"); kept, for an address is valid while its function exists."""
    return {
        letter + name: numba.cfunc(types.void(*[types.int64] * count), **OPTIONS)(function)
        for letter, real in (("s", types.float32), ("d", types.float64))
        for name, function, count in zip(("gemm", "gemv"), _plain(real), (13, 11))
    }


def _plain(real: Any) -> tuple[Any, Any]:
    """Loops for gemm, whose ``alpha`` is 1 and ``beta`` 0 or 1, and for gemv."""
    as_floats, as_integers, as_letters = pointer_to(real), pointer_to(types.int32), pointer_to(types.uint8)

    @inner
    def floats(address, n):
        return carray(as_floats(address), n)

    @inner
    def integer(address):
        return types.int64(carray(as_integers(address), 1)[0])

    @inner
    def is_transposed(address):
        return carray(as_letters(address), 1)[0] != 78  # N

    @inner
    def six(m, n, k, lda, ldb, ldc):
        return integer(m), integer(n), integer(k), integer(lda), integer(ldb), integer(ldc)

    def gemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
        rows, cols, depth, across, down, apart = six(m, n, k, lda, ldb, ldc)
        keep, size = floats(beta, 1)[0], floats(beta, 1).itemsize
        left = floats(a, across * (rows if is_transposed(ta) else depth))
        right = floats(b, down * (depth if is_transposed(tb) else cols))
        for j in range(cols):
            out = floats(c + j * apart * size, rows)
            if keep == 0:
                out[:] = 0
            for p in range(depth):
                factor = right[p * down + j] if is_transposed(tb) else right[j * down + p]
                for i in range(rows):
                    out[i] += factor * (left[i * across + p] if is_transposed(ta) else left[p * across + i])

    def gemv(t, m, n, alpha, a, lda, x, incx, beta, y, incy):
        rows, cols, across, between, apart, _ = six(m, n, lda, incx, incy, incy)
        transposed, keep = is_transposed(t), floats(beta, 1)[0]
        left = floats(a, across * cols)
        inputs, outputs = (rows, cols) if transposed else (cols, rows)
        right, out = floats(x, between * inputs), floats(y, apart * outputs)
        for i in range(outputs):
            total = keep if keep == 0 else out[i * apart]
            for p in range(inputs):
                total += right[p * between] * left[i * across + p if transposed else p * across + i]
            out[i * apart] = total

    return gemm, gemv
