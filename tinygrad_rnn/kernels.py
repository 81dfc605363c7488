"""The Numba kernels that eager operations call; imported when one is first needed. Compiled programs have instructions
of their own, in ``compiler/instructions``.

A kernel computes what its primitive's ``reference`` computes, on float arrays, in one pass where NumPy takes many.
Two rules hold for all: ``error_model="numpy"`` (else a division might raise, and the loop does not vectorise), and
of the fast-math flags only ``contract`` (the others turn nan into numbers).

exp and float32's tanh are our own because the C library's do not vectorise: a Taylor polynomial after the usual
reduction by powers of two; and a rational function fitted by least squares to a relative error of 4e-10 on [-8, 8],
where float32 rounding (3e-7) is all that remains.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, overload

from .kernel_cache import cached

Array = npt.NDArray[Any]


def _kernel(*fastmath: str) -> Callable[[Any], Any]:
    make = numba.njit(error_model="numpy", fastmath={*fastmath}, nogil=True)
    return lambda function: cached(make(function), function)


kernel: Any = _kernel("contract")
F = np.float32
INF = F(np.inf)


@intrinsic
def _bits_as_float32(_typing: Any, _bits: Any) -> Any:
    """The float32 whose bits are those of an int32."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@intrinsic
def _bits_as_float64(_typing: Any, _bits: Any) -> Any:
    """The float64 whose bits are those of an int64."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), generate


if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]  # plain Python, to debug and to mutate: the same formulas, as quiet
    kernel = np.errstate(all="ignore")
    _bits_as_float32 = lambda bits: bits.view(np.float32)  # type: ignore[assignment]  # noqa: E731
    _bits_as_float64 = lambda bits: bits.view(np.float64)  # type: ignore[assignment]  # noqa: E731


@kernel
def _tanh32(x):
    u = min(x * x, F(64.0))
    p = u * F(-1.4548392e-11) + F(3.3572835e-08)
    p = p * u + F(2.9205352e-05)
    p = p * u + F(3.9266488e-03)
    p = p * u + F(1.3726221e-01)
    p = p * u + F(1.0)
    q = u * F(1.3723882e-06) + F(4.0421647e-04)
    q = q * u + F(2.7458502e-02)
    q = q * u + F(4.7059554e-01)
    q = q * u + F(1.0)
    y = min(max(x, F(-8.0)), F(8.0)) * p / q
    y = F(1.0) if x > F(9.0) else y
    y = F(-1.0) if x < F(-9.0) else y
    return x if x != x else y


@kernel
def _exp32(x):
    k = np.floor(x * F(1.44269504) + F(0.5))
    r = x - k * F(0.693359375) + k * F(2.12194440e-4)  # ln 2 in two parts
    p = r * F(1 / 5040) + F(1 / 720)
    p = p * r + F(1 / 120)
    p = p * r + F(1 / 24)
    p = p * r + F(1 / 6)
    p = p * r + F(0.5)
    p = p * r + F(1.0)
    p = p * r + F(1.0)
    exponent = np.int32(min(max(F(-151.0), k), F(128.0)))
    half = exponent >> np.int32(1)  # in two factors, since 2^k itself may be subnormal, or more than the largest number
    y = p * _bits_as_float32((half + np.int32(127)) << np.int32(23))
    y = y * _bits_as_float32((exponent - half + np.int32(127)) << np.int32(23))
    y = F(0.0) if x < F(-104.0) else y
    return INF if x > F(88.72284) else y


@kernel
def _exp64(x):
    k = np.floor(x * 1.4426950408889634 + 0.5)
    r = x - k * 6.93145751953125e-1 - k * 1.42860682030941723212e-6
    p = r * (1 / 6227020800) + 1 / 479001600
    p = p * r + 1 / 39916800
    p = p * r + 1 / 3628800
    p = p * r + 1 / 362880
    p = p * r + 1 / 40320
    p = p * r + 1 / 5040
    p = p * r + 1 / 720
    p = p * r + 1 / 120
    p = p * r + 1 / 24
    p = p * r + 1 / 6
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    exponent = np.int64(min(max(-1076.0, k), 1024.0))
    half = exponent >> np.int64(1)
    y = p * _bits_as_float64((half + np.int64(1023)) << np.int64(52))
    y = y * _bits_as_float64((exponent - half + np.int64(1023)) << np.int64(52))
    y = 0.0 if x < -745.2 else y
    return np.inf if x > 709.782712893384 else y


def fast_exp(x):
    """exp of a scalar inside a kernel."""
    return _exp32(x) if type(x) is F else _exp64(x)


def fast_tanh(x):
    """tanh of a scalar inside a kernel: the vectorising one for float32, the C library's for float64."""
    return _tanh32(x) if type(x) is F else math.tanh(x)


@overload(fast_exp, inline="always")
def _(x):
    return (lambda x: _exp32(x)) if x == types.float32 else (lambda x: _exp64(x))


@overload(fast_tanh, inline="always")
def _(x):
    return (lambda x: _tanh32(x)) if x == types.float32 else (lambda x: math.tanh(x))


# Elementwise ---------------------------------------------------------------------------------------------


@kernel
def _tanh(x, y):
    for i in range(x.size):
        y[i] = fast_tanh(x[i])


@kernel
def _sigmoid(x, y):
    one = x.dtype.type(1)
    for i in range(x.size):
        y[i] = one / (one + fast_exp(-x[i]))


def _elementwise(loop: Any) -> Callable[[Array], Array]:
    def run(x: Array) -> Array:
        flat = np.ascontiguousarray(x).ravel()
        y = np.empty_like(flat)
        loop(flat, y)
        return y.reshape(x.shape)

    return run


tanh = _elementwise(_tanh)
sigmoid = _elementwise(_sigmoid)


# Rows: softmax and its relatives -------------------------------------------------------------------------


#: how many numbers are added one after the other; what is longer is added block by block
BLOCK = 512


@_kernel("contract", "reassoc")
def _block(row):
    """Sum in any order, so that it vectorises; nan and inf come through."""
    total = row.dtype.type(0)
    for j in range(row.size):
        total += row[j]
    return total


@kernel
def _total(row):
    """The sum: of blocks, which are added with what each addition lost, so that the error does not grow with the size.

    The correction is A. Neumaier's (1974), ZAMM 54, 39-51.
    """
    if row.size <= BLOCK:
        return _block(row)
    total = lost = row.dtype.type(0)
    for start in range(0, row.size, BLOCK):
        part = _block(row[start : start + BLOCK])
        after = total + part
        lost += (total - after) + part if abs(total) >= abs(part) else (part - after) + total
        total = after
    return total + lost if math.isfinite(total) else total


@kernel
def _shift(row):
    """The largest element, or 0 if that is not finite: what is subtracted so that no exp overflows."""
    a = b = c = d = row[0]
    quarter = row.size // 4
    for j in range(quarter):  # four at a time need not wait for each other
        a, b = max(a, row[j]), max(b, row[quarter + j])
        c, d = max(c, row[2 * quarter + j]), max(d, row[3 * quarter + j])
    for j in range(4 * quarter, row.size):
        a = max(a, row[j])
    top = max(max(a, b), max(c, d))
    return top if math.isfinite(top) else row.dtype.type(0)


@kernel
def _shifted_exponentials(row, e):
    """``e = exp(row - shift)``."""
    shift = _shift(row)
    for j in range(row.size):
        e[j] = fast_exp(row[j] - shift)


@_kernel("contract", "reassoc")
def _count(row, value):
    """The number of occurrences of a value."""
    count = row.dtype.type(0)
    for j in range(row.size):
        count += row.dtype.type(1) if row[j] == value else row.dtype.type(0)
    return count


@kernel
def _shifted_logarithm(row, e):
    """The shift, and the logarithm of the sum of ``exp(row - shift)``; ``e`` is for its use.

    The largest element's 1 is kept out of the sum: rounded to 1 + rest, a small rest would lose its digits.
    """
    shift, zero, one = _shift(row), row.dtype.type(0), row.dtype.type(1)
    for j in range(row.size):
        e[j] = zero if row[j] == shift else fast_exp(row[j] - shift)
    rest = _count(row, shift) - one + _total(e)
    # log takes less time than log1p; NumPy's give -inf for 0, where Python's would raise if nothing is compiled
    return shift, row.dtype.type(np.log(one + rest) if rest > one else np.log1p(rest))


@kernel
def _softmax(x, y):
    for i in range(x.shape[0]):
        _shifted_exponentials(x[i], y[i])
        total = _total(y[i])
        scale = x.dtype.type(1) / total if math.isfinite(total) else x.dtype.type(np.nan)
        for j in range(x.shape[1]):
            y[i, j] *= scale


@kernel
def _log_softmax(x, y):
    for i in range(x.shape[0]):
        shift, log_total = _shifted_logarithm(x[i], y[i])
        for j in range(x.shape[1]):
            y[i, j] = (x[i, j] - shift) - log_total


@kernel
def _cross_entropy(x, target, ignore_index, losses):
    e = np.empty(x.shape[1], x.dtype)
    for i in range(x.shape[0]):
        losses[i] = 0
        if target[i] != ignore_index:
            shift, log_total = _shifted_logarithm(x[i], e)
            losses[i] = log_total - (x[i, target[i]] - shift)


def _rowwise(loop: Any) -> Callable[..., Array]:
    def run(x: Array, *, axis: int) -> Array:
        last = np.ascontiguousarray(np.moveaxis(x, axis, -1))
        y = np.empty_like(last)
        if last.size:
            loop(last.reshape(-1, last.shape[-1]), y.reshape(-1, last.shape[-1]))
        return np.ascontiguousarray(np.moveaxis(y, -1, axis))

    return run


softmax = _rowwise(_softmax)
log_softmax = _rowwise(_log_softmax)


@kernel
def _logsumexp(x, y):
    e = np.empty(x.shape[1], x.dtype)
    for i in range(x.shape[0]):
        shift, log_total = _shifted_logarithm(x[i], e)
        y[i] = shift + log_total


def logsumexp(x: Array, *, axis: int | tuple[int, ...] | None, keepdims: bool) -> Array:
    reduced = tuple(range(x.ndim)) if axis is None else tuple(a % x.ndim for a in np.atleast_1d(axis))
    kept = tuple(a for a in range(x.ndim) if a not in reduced)
    y = np.empty(tuple(x.shape[a] for a in kept), x.dtype)
    if y.size:
        _logsumexp(np.ascontiguousarray(x.transpose(kept + reduced)).reshape(y.size, -1), y.ravel())
    return y.reshape(tuple(1 if a in reduced else n for a, n in enumerate(x.shape))) if keepdims else y


def cross_entropy(logits: Array, target: Array, *, ignore_index: int) -> Array:
    losses = np.empty(target.shape, logits.dtype)
    rows = np.ascontiguousarray(logits).reshape(-1, logits.shape[-1])
    _cross_entropy(rows, np.ascontiguousarray(target).ravel(), ignore_index, losses.ravel())
    return losses


# Gather and scatter --------------------------------------------------------------------------------------


@kernel
def _add_rows(buffer, rows, indices, width, first, after, lost):
    """Rows of one index are added with what each addition lost (D. E. Knuth (1997), section 4.2.2, theorem B).

    For its use: ``first``, of each row in the buffer, where its index occurs first; ``after``, where the next time;
    and ``lost``, a row.
    """
    first[:] = -1
    for i in range(indices.size - 1, -1, -1):
        after[i], first[indices[i]] = first[indices[i]], i
    for i in range(indices.size):
        if first[indices[i]] != i:
            continue  # it is added together with the first of its index
        y = buffer[indices[i] * width : (indices[i] + 1) * width]
        if after[i] < 0:
            for j in range(width):
                y[j] += rows[i * width + j]
            continue
        lost[:] = 0
        k = i
        while k >= 0:
            for j in range(width):
                before, part = y[j], rows[k * width + j]
                total = before + part
                added = total - before
                lost[j] += (before - (total - added)) + (part - added)
                y[j] = total
            k = after[k]
        for j in range(width):
            if math.isfinite(y[j]):
                y[j] += lost[j]


def add_rows(buffer: Array, rows: Array, indices: Array) -> None:
    """``buffer[indices[i]] += rows[i]`` in place; an index that occurs twice adds twice."""
    width = math.prod(buffer.shape[1:])
    flat, taken = np.ascontiguousarray(rows).ravel(), np.ascontiguousarray(indices).ravel()
    first, after, lost = np.empty(len(buffer), np.int64), np.empty(taken.size, np.int64), np.empty(width, buffer.dtype)
    _add_rows(buffer.reshape(-1), flat, taken, width, first, after, lost)
