"""The interpreter: one compiled loop over a table of integers runs a whole training step.

A row of the table is an instruction: an opcode, addresses, sizes. Elementwise instructions stand in *regions*: a region
takes its operands tile by tile, small enough for the first-level cache, and runs all its instructions on one tile
before the next. There every operand is a plain run of ``n`` numbers, so an opcode is one short loop.

What the table cannot express (`HOST`) is handed back to Python, which computes it with the primitive's reference and
calls again.
"""

from __future__ import annotations

import ctypes
import math
import os
from pathlib import Path
from typing import Any

import llvmlite.binding
import numba
import numpy as np
import scipy_openblas32
from numba import carray  # type: ignore[attr-defined]
from numba.core import types
from numba.extending import intrinsic, overload

from ..kernels import _shifted_exponentials, _total, fast_exp, fast_tanh, kernel

#: elementwise opcodes, by the primitive's name; the rest are the interpreter's own
ELEMENTWISE = (
    "add", "sub", "mul", "div", "exp", "log", "sqrt", "tanh", "sigmoid", "abs", "pow", "maximum", "minimum", "where",
    "greater", "greater_equal", "equal", "not_equal", "not_equal_integers", "greater_integers",
    "load", "load_bool", "splat", "store", "store_bool",
)  # fmt: skip
(
    ADD, SUB, MUL, DIV, EXP, LOG, SQRT, TANH, SIGMOID, ABS, POW, MAXIMUM, MINIMUM, WHERE,
    GREATER, GREATER_EQUAL, EQUAL, NOT_EQUAL, NOT_EQUAL_INTEGERS, GREATER_INTEGERS,
    LOAD, LOAD_BOOL, SPLAT, STORE, STORE_BOOL,
) = range(25)  # fmt: skip
(
    REGION, GEMM, COPY, ZERO, SUM, MAX, SOFTMAX, LOG_SOFTMAX, LOGSUMEXP, CROSS_ENTROPY, TAKE, SCATTER_ROWS, ONE_HOT,
    ARGMAX, CHECK, HOST,
) = range(100, 116)  # fmt: skip
NAMES = dict(enumerate(ELEMENTWISE)) | dict(
    enumerate(
        ("region", "gemm", "copy", "zero", "sum", "max", "softmax", "log_softmax", "logsumexp", "cross_entropy", "take",
         "scatter_rows", "one_hot", "argmax", "check", "host"), start=100)
)  # fmt: skip

#: columns of a row
WIDTH = 14

_blas = ctypes.CDLL(str(next(Path(scipy_openblas32.get_lib_dir()).glob("libscipy_openblas*"))))
for _name in ("sgemm", "dgemm", "sgemv", "dgemv"):
    _address = ctypes.cast(getattr(_blas, f"scipy_{_name}_"), ctypes.c_void_p).value
    llvmlite.binding.add_symbol(f"scipy_{_name}_", _address)
set_blas_threads = _blas.scipy_openblas_set_num_threads
if "OPENBLAS_NUM_THREADS" not in os.environ:  # small products lose more to a second thread than they gain
    set_blas_threads(1)

# pointers are passed as the integers they are
_int = types.int64
_sgemm = types.ExternalFunction("scipy_sgemm_", types.void(*[_int] * 13))
_dgemm = types.ExternalFunction("scipy_dgemm_", types.void(*[_int] * 13))
_sgemv = types.ExternalFunction("scipy_sgemv_", types.void(*[_int] * 11))
_dgemv = types.ExternalFunction("scipy_dgemv_", types.void(*[_int] * 11))

#: functions that only `run` calls; they are cached with it
_OPTIONS: Any = {"error_model": "numpy", "nogil": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
inner = numba.njit(fastmath={"contract"}, **_OPTIONS)
reordering = numba.njit(fastmath={"contract", "reassoc"}, **_OPTIONS)


@intrinsic
def _pointer(_typing, address, like):
    """The address as a pointer to elements of the type of ``like``."""
    target = types.CPointer(like.dtype)

    def generate(context, builder, _signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(target))

    return target(address, like), generate


@inner
def at(address, n, like):
    """The ``n`` numbers at an address, as an array."""
    return carray(_pointer(address, like), n)


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


@reordering
def _dot(x, y, n):
    total = x.dtype.type(0)
    for i in range(n):
        total += x[i] * y[i]
    return total


@inner
def _small_product(a, b, c, m, n, k, ta, tb, lda, ldb, ldc, accumulate, like):
    """``C (+)= A B`` for sizes at which a call to BLAS costs more than the product."""
    size = like.itemsize
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


@inner
def _product(r, like):
    """``C = A B`` or ``C += A B``, row-major; BLAS is column-major, so it is given the transposed problem."""
    sizes, a, b, c, m, n, k = r[1], r[2], r[3], r[4], r[5], r[6], r[7]
    ta, tb, lda, ldb, ldc, accumulate = r[8], r[9], r[10], r[11], r[12], r[13]
    if m * n * k <= 1024 or (k == 1 and m * n <= 65536):
        _small_product(a, b, c, m, n, k, ta, tb, lda, ldb, ldc, accumulate, like)
        return
    # the block at ``sizes``: m, n, k, lda, ldb, ldc, 1 as int32, then 'N', 'T', 0.0 and 1.0, 8 bytes each
    im, in_, ik, ilda, ildb, ildc, ione = sizes, sizes + 4, sizes + 8, sizes + 12, sizes + 16, sizes + 20, sizes + 24
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
        _gemm(like, transposed if tb else plain, transposed if ta else plain, in_, im, ik, one, b, ildb, a, ilda, beta,
              c, ildc)  # fmt: skip


@inner
def _copy(out, source, plan, like):
    """A strided copy of any rank; ``plan``: rank, sizes, strides of the source, strides of the result."""
    rank = plan[0]
    inner, s, d = plan[rank], plan[2 * rank], plan[3 * rank]
    total = 1
    for axis in range(rank - 1):
        total *= plan[1 + axis]
    for row in range(total):
        a, b, rest = source, out, row
        for axis in range(rank - 2, -1, -1):
            k = rest % plan[1 + axis]
            rest //= plan[1 + axis]
            a += k * plan[1 + rank + axis] * like.itemsize
            b += k * plan[1 + 2 * rank + axis] * like.itemsize
        x, y = at(a, (inner - 1) * s + 1, like), at(b, (inner - 1) * d + 1, like)
        if s == 1 and d == 1:
            for i in range(inner):
                y[i] = x[i]
        else:
            for i in range(inner):
                y[i * d] = x[i * s]


@inner
def _sum(out, source, outer, reduced, inner, like):
    x, y = at(source, outer * reduced * inner, like), at(out, outer * inner, like)
    if inner == 1:
        for i in range(outer):
            y[i] = _total(x[i * reduced : (i + 1) * reduced])
        return
    for i in range(outer):
        row = y[i * inner : (i + 1) * inner]
        row[:] = 0
        for j in range(reduced):
            start = (i * reduced + j) * inner
            for k in range(inner):
                row[k] += x[start + k]


@inner
def _max(out, source, outer, reduced, inner, like):
    x, y = at(source, outer * reduced * inner, like), at(out, outer * inner, like)
    for i in range(outer):
        for k in range(inner):
            best = x[i * reduced * inner + k]
            for j in range(1, reduced):
                v = x[(i * reduced + j) * inner + k]
                best = v if (v > best or v != v) and best == best else best
            y[i * inner + k] = best


@inner
def _rowwise(op, out, source, rows, cols, like):
    x, y = at(source, rows * cols, like), at(out, rows * cols, like)
    one = like.dtype.type(1)
    for i in range(rows):
        row, e = x[i * cols : (i + 1) * cols], y[i * cols : (i + 1) * cols]
        shift, total = _shifted_exponentials(row, e)
        if op == SOFTMAX:
            scale = one / total if math.isfinite(total) else like.dtype.type(np.nan)
            for j in range(cols):
                e[j] *= scale
        else:
            shift += like.dtype.type(math.log(total))
            for j in range(cols):
                e[j] = row[j] - shift


@inner
def _rows_to_numbers(op, out, source, target, rows, cols, ignore, like, ints):
    """logsumexp, and cross-entropy, of each row."""
    x, y = at(source, rows * cols, like), at(out, rows, like)
    e = np.empty(cols, like.dtype)
    for i in range(rows):
        row = x[i * cols : (i + 1) * cols]
        y[i] = 0
        if op == LOGSUMEXP:
            shift, total = _shifted_exponentials(row, e)
            y[i] = shift + like.dtype.type(math.log(total))
        else:
            wanted = at(target, rows, ints)[i]
            if wanted != ignore:
                shift, total = _shifted_exponentials(row, e)
                y[i] = shift + like.dtype.type(math.log(total)) - row[wanted]


@inner
def _argmax(out, source, rows, cols, like, ints):
    x, y = at(source, rows * cols, like), at(out, rows, ints)
    for i in range(rows):
        best = 0
        for j in range(1, cols):
            v, top = x[i * cols + j], x[i * cols + best]
            if (v > top or v != v) and top == top:
                best = j
        y[i] = best


@inner
def _gather(op, r, like, ints):
    out, source, n, width = r[1], r[2], r[4], r[5]
    indices = at(r[3], n, ints)
    size = like.itemsize
    if op == TAKE:
        row_stride, col_stride = r[6], r[7]
        for i in range(n):
            y = at(out + i * width * size, width, like)
            x = at(source + indices[i] * row_stride * size, max((width - 1) * col_stride + 1, 0), like)
            if col_stride == 1:
                for j in range(width):
                    y[j] = x[j]
            else:
                for j in range(width):
                    y[j] = x[j * col_stride]
    elif op == SCATTER_ROWS:
        y = at(out, r[6] * width, like)
        y[:] = 0
        for i in range(n):
            row = at(out + indices[i] * width * size, width, like)
            x = at(source + i * width * size, width, like)
            for j in range(width):
                row[j] += x[j]
    else:
        y = at(out, n * width, like)
        y[:] = 0
        for i in range(n):
            if 0 <= indices[i] < width:
                y[i * width + indices[i]] = 1


@inner
def _move(op, r, tile, n, like, bools):
    """Into a region's tile, and out of it."""
    out, a = r[1] + tile * r[2], r[3] + tile * r[4]
    if op == SPLAT:
        y, value = at(out, n, like), at(a, 1, like)[0]
        for i in range(n):
            y[i] = value
    elif op == STORE and r[7] == 0:
        y, x = at(out, n, like), at(a, n, like)
        for i in range(n):
            y[i] = x[i]
    elif op == STORE:
        row, cols = r[5], r[7]
        for k in range(n // cols):
            y, x = at(out + k * row * like.itemsize, cols, like), at(a + k * cols * like.itemsize, cols, like)
            for i in range(cols):
                y[i] = x[i]
    elif op == LOAD:
        row, col, cols = r[5], r[6], r[7]
        for k in range(n // cols):
            y = at(out + k * cols * like.itemsize, cols, like)
            x = at(a + k * row * like.itemsize, (cols - 1) * col + 1, like)
            if col == 1:
                for i in range(cols):
                    y[i] = x[i]
            elif col == 0:
                value = x[0]
                for i in range(cols):
                    y[i] = value
            else:
                for i in range(cols):
                    y[i] = x[i * col]
    else:
        source_row, result_row, cols = r[5], r[6], r[7]
        col = r[8]
        for k in range(n // cols):
            y8, x8 = at(out + k * result_row, cols, bools), at(a + k * source_row, (cols - 1) * col + 1, bools)
            for i in range(cols):
                y8[i] = x8[i * col]


@inner
def _compare(op, r, tile, n, like, ints, bools):
    y = at(r[1] + tile * r[2], n, bools)
    if op >= NOT_EQUAL_INTEGERS:
        p, q = at(r[3] + tile * r[4], n, ints), at(r[5] + tile * r[6], n, ints)
        for i in range(n):
            y[i] = p[i] != q[i] if op == NOT_EQUAL_INTEGERS else p[i] > q[i]
        return
    a, b = at(r[3] + tile * r[4], n, like), at(r[5] + tile * r[6], n, like)
    if op == GREATER:
        for i in range(n):
            y[i] = a[i] > b[i]
    elif op == GREATER_EQUAL:
        for i in range(n):
            y[i] = a[i] >= b[i]
    elif op == EQUAL:
        for i in range(n):
            y[i] = a[i] == b[i]
    else:
        for i in range(n):
            y[i] = a[i] != b[i]


@inner
def _unary(op, y, a, n):
    one = y.dtype.type(1)
    if op == EXP:
        for i in range(n):
            y[i] = fast_exp(a[i])
    elif op == LOG:
        for i in range(n):
            y[i] = np.log(a[i])
    elif op == SQRT:
        for i in range(n):
            y[i] = np.sqrt(a[i])
    elif op == TANH:
        for i in range(n):
            y[i] = fast_tanh(a[i])
    elif op == SIGMOID:
        for i in range(n):
            y[i] = one / (one + fast_exp(-a[i]))
    else:
        for i in range(n):
            y[i] = abs(a[i])


@inner
def _elementwise(op, r, tile, n, like, ints, bools):
    if LOAD <= op <= STORE_BOOL:
        _move(op, r, tile, n, like, bools)
        return
    if GREATER <= op <= GREATER_INTEGERS:
        _compare(op, r, tile, n, like, ints, bools)
        return
    y = at(r[1] + tile * r[2], n, like)
    if op == WHERE:
        mask = at(r[3] + tile * r[4], n, bools)
        p, q = at(r[5] + tile * r[6], n, like), at(r[7] + tile * r[8], n, like)
        for i in range(n):
            y[i] = p[i] if mask[i] else q[i]
        return
    a = at(r[3] + tile * r[4], n, like)
    if EXP <= op <= ABS:
        _unary(op, y, a, n)
        return
    b = at(r[5] + tile * r[6], n, like)
    if op == ADD:
        for i in range(n):
            y[i] = a[i] + b[i]
    elif op == SUB:
        for i in range(n):
            y[i] = a[i] - b[i]
    elif op == MUL:
        for i in range(n):
            y[i] = a[i] * b[i]
    elif op == DIV:
        for i in range(n):
            y[i] = a[i] / b[i]
    elif op == POW:
        for i in range(n):
            y[i] = a[i] ** b[i]
    elif op == MAXIMUM:
        for i in range(n):
            y[i] = a[i] if a[i] >= b[i] or a[i] != a[i] else b[i]
    else:
        for i in range(n):
            y[i] = a[i] if a[i] <= b[i] or a[i] != a[i] else b[i]


@kernel
def run(table, end, start, like, ints, bools):
    """Run rows ``start`` to ``end`` of the table at an address; returns the row to hand to Python, the negative of a
    failed check, or the end.

    ``like``, ``ints`` and ``bools`` are arrays that only say the types.
    """
    code = carray(_pointer(table, ints), (end, WIDTH))
    pc = start
    while pc < end:
        r = code[pc]
        op = r[0]
        if op == REGION:
            last, tiles, full, tail = r[1], r[2], r[3], r[4]
            for tile in range(tiles):
                n = tail if tile == tiles - 1 else full
                for k in range(pc + 1, last):
                    _elementwise(code[k, 0], code[k], tile, n, like, ints, bools)
            pc = last
            continue
        if op == GEMM:
            _product(r, like)
        elif op == COPY:
            plan = at(r[3], 1 + 3 * at(r[3], 1, ints)[0], ints)
            if r[4] == 1:
                _copy(r[1], r[2], plan, bools)
            elif r[4] == like.itemsize:
                _copy(r[1], r[2], plan, like)
            else:
                _copy(r[1], r[2], plan, ints)
        elif op == ZERO:
            at(r[1], r[2], bools)[:] = 0
        elif op == SUM:
            _sum(r[1], r[2], r[3], r[4], r[5], like)
        elif op == MAX:
            _max(r[1], r[2], r[3], r[4], r[5], like)
        elif op in (SOFTMAX, LOG_SOFTMAX):
            _rowwise(op, r[1], r[2], r[3], r[4], like)
        elif op in (LOGSUMEXP, CROSS_ENTROPY):
            _rows_to_numbers(op, r[1], r[2], r[3], r[4], r[5], r[6], like, ints)
        elif op == ARGMAX:
            _argmax(r[1], r[2], r[3], r[4], like, ints)
        elif op == CHECK:
            indices, limit, ignore = at(r[1], r[2], ints), r[3], r[4]
            for i in range(indices.size):
                if (indices[i] < 0 or indices[i] >= limit) and indices[i] != ignore:
                    return -1 - pc
        elif op == HOST:
            return pc
        else:
            _gather(op, r, like, ints)
        pc += 1
    return pc
