# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Matrix products: by BLAS, called from compiled code by symbol; by a plain loop where the call would cost more."""

from __future__ import annotations

import numba
from numba import carray  # type: ignore[attr-defined]
from numba.core import types
from numba.extending import overload

from ...primitives.linalg import PIECE
from .memory import INNER, at, inner, instruction, itemsize, pointer_to, release, room

# pointers are passed as the integers they are
_int = types.int64
_to_int32 = pointer_to(types.int32)
_sgemm = types.ExternalFunction("blas_sgemm", types.void(*[_int] * 13))
_dgemm = types.ExternalFunction("blas_dgemm", types.void(*[_int] * 13))
_sgemv = types.ExternalFunction("blas_sgemv", types.void(*[_int] * 11))
_dgemv = types.ExternalFunction("blas_dgemv", types.void(*[_int] * 11))


def _gemm(like, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
    raise NotImplementedError


def _gemv(like, t, m, n, alpha, a, lda, x, incx, beta, y, incy):
    raise NotImplementedError


@overload(_gemm)
def _(like, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
    f = _sgemm if like.dtype == types.float32 else _dgemm

    def call(like, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
        f(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)

    return call


@overload(_gemv)
def _(like, t, m, n, alpha, a, lda, x, incx, beta, y, incy):
    f = _sgemv if like.dtype == types.float32 else _dgemv

    def call(like, t, m, n, alpha, a, lda, x, incx, beta, y, incy):
        f(t, m, n, alpha, a, lda, x, incx, beta, y, incy)

    return call


@numba.njit(fastmath={"contract", "reassoc"}, **INNER)
def _dot(x, y, n):
    total = x.dtype.type(0)
    for i in range(n):
        total += x[i] * y[i]
    return total


@inner
def _small_product(a, b, c, m, n, k, ta, tb, lda, ldb, ldc, accumulate, like):
    """``C (+)= A B`` for sizes at which a call to BLAS costs more than the product."""
    size = itemsize(like)
    for i in range(m):
        row = at(c + i * ldc * size, n, like)
        if not accumulate:
            row[:] = 0
        if tb and not ta:
            left = at(a + i * lda * size, k, like)
            for j in range(n):
                row[j] += _dot(left, at(b + j * ldb * size, k, like), k)
            continue
        for p in range(k):
            factor = at(a + (p * lda + i if ta else i * lda + p) * size, 1, like)[0]
            if tb:
                column = at(b, (n - 1) * ldb + k, like)
                for j in range(n):
                    row[j] += factor * column[j * ldb + p]
            else:
                right = at(b + p * ldb * size, n, like)
                for j in range(n):
                    row[j] += factor * right[j]


@instruction
def gemm(r, tile, number, like):
    """``C = A B`` or ``C += A B``, row-major; BLAS is column-major, so it is given the transposed problem."""
    sizes, a, b, c, m, n, k = r[1], r[2], r[3], r[4], r[5], r[6], r[7]
    ta, tb, lda, ldb, ldc, accumulate = r[8], r[9], r[10], r[11], r[12], r[13]
    if m * n * k <= 1024 or (k == 1 and m * n <= 65536):
        _small_product(a, b, c, m, n, k, ta, tb, lda, ldb, ldc, accumulate, like)
        return 0
    if k <= PIECE:
        _by_blas(sizes, sizes + 8, a, b, c, m, n, ta, tb, accumulate, like)
        return 0
    length, size = room(4), itemsize(like)
    for start in range(0, k, PIECE):
        carray(_to_int32(length), 1)[0] = min(PIECE, k - start)
        left, right = a + start * (lda if ta else 1) * size, b + start * (1 if tb else ldb) * size
        _by_blas(sizes, length, left, right, c, m, n, ta, tb, accumulate or start > 0, like)
    release(length)
    return 0


@inner
def _by_blas(sizes, ik, a, b, c, m, n, ta, tb, accumulate, like):
    # the block at ``sizes``: m, n, k (from ``ik``), lda, ldb, ldc, 1 as int32; 'N', 'T', 0.0 and 1.0, 8 bytes each
    im, in_, ilda, ildb, ildc, ione = sizes, sizes + 4, sizes + 12, sizes + 16, sizes + 20, sizes + 24
    plain, transposed, zero, one = sizes + 32, sizes + 40, sizes + 48, sizes + 56
    beta = one if accumulate else zero
    if m == 1 and not ta:
        if tb:
            _gemv(like, transposed, ik, in_, one, b, ildb, a, ione, beta, c, ione)
        else:
            _gemv(like, plain, in_, ik, one, b, ildb, a, ione, beta, c, ione)
    elif n == 1 and not ta:
        _gemv(like, transposed, ik, im, one, a, ilda, b, ione if tb else ildb, beta, c, ildc)
    else:
        _gemm(
            like,
            transposed if tb else plain,
            transposed if ta else plain,
            in_,
            im,
            ik,
            one,
            b,
            ildb,
            a,
            ilda,
            beta,
            c,
            ildc,
        )
    return 0
