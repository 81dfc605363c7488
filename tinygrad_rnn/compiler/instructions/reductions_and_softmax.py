# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Instructions on rows: sums and maxima along an axis, softmax and its relatives."""

from __future__ import annotations

import math

import numpy as np

from ...kernels import _shifted_exponentials, _shifted_logarithm, _total
from .memory import at, instruction, integers, itemsize, release, room
from .memory import inner as inner_function

#: how many rows are added one after the other
_ROWS = 128
_LANES = 16


@inner_function
def _added(x, rows, width, total):
    """``total`` = the sum of the first ``rows`` rows."""
    total[:] = x.dtype.type(0)
    for j in range(rows):
        start = j * width
        for k in range(width):
            total[k] += x[start + k]


@instruction
def sum_(r, tile, n, like):
    """(outer, reduced, inner) summed over the middle."""
    outer, reduced, inner = r[3], r[4], r[5]
    x, y = at(r[2], outer * reduced * inner, like), at(r[1], outer * inner, like)
    if inner == 1:
        for i in range(outer):
            y[i] = _total(x[i * reduced : (i + 1) * reduced])
        return 0
    zero = x.dtype.type(0)
    memory = room(2 * inner * itemsize(like))
    part, lost = at(memory, inner, like), at(memory + inner * itemsize(like), inner, like)
    for i in range(outer):
        row = y[i * inner : (i + 1) * inner]
        _added(x[i * reduced * inner :], min(reduced, _ROWS), inner, row)
        if reduced > _ROWS:  # as in kernels._total: blocks, with what is lost when they are added
            lost[:] = zero
            for first in range(_ROWS, reduced, _ROWS):
                _added(x[(i * reduced + first) * inner :], min(reduced - first, _ROWS), inner, part)
                for k in range(inner):
                    a, b = row[k], part[k]
                    after = a + b
                    lost[k] += (a - after) + b if abs(a) >= abs(b) else (b - after) + a
                    row[k] = after
            for k in range(inner):
                row[k] += lost[k] if math.isfinite(row[k]) else zero
    release(memory)
    return 0


@inner_function
def _largest(x, best):
    """The largest of a row; nan if there is one. Side by side in the lanes of ``best``, so that it vectorises."""
    whole = x.size // _LANES * _LANES
    for k in range(_LANES):
        best[k] = x[k]
    for start in range(_LANES, whole, _LANES):
        for k in range(_LANES):
            v, top = x[start + k], best[k]
            best[k] = v if (v > top) | (v != v) else top
    result = best[0]
    for v in best:
        result = v if (v > result or v != v) and result == result else result
    for v in x[whole:]:
        result = v if (v > result or v != v) and result == result else result
    return result


@inner_function
def _zero(x, count, apart):
    """The larger one of zeros that are the largest of ``count`` elements: 0.0, if it is among them."""
    for j in range(count):
        v = x[j * apart]
        if v == 0 and math.copysign(1.0, v) > 0:
            return v
    return x.dtype.type(-0.0)


@instruction
def max_(r, tile, n, like):
    """(outer, reduced, inner): the largest along the middle; nan if there is one."""
    outer, reduced, inner = r[3], r[4], r[5]
    x, y = at(r[2], outer * reduced * inner, like), at(r[1], outer * inner, like)
    if inner == 1 and reduced > _LANES:
        memory = room(_LANES * itemsize(like))
        for i in range(outer):
            row = x[i * reduced : (i + 1) * reduced]
            y[i] = _largest(row, at(memory, _LANES, like))
            if y[i] == 0:
                y[i] = _zero(row, reduced, 1)
        release(memory)
        return 0
    for i in range(outer):
        for k in range(inner):
            best = x[i * reduced * inner + k]
            for j in range(1, reduced):
                v = x[(i * reduced + j) * inner + k]
                best = v if (v > best or v != v) and best == best else best
            if best == 0:
                best = _zero(x[i * reduced * inner + k :], reduced, inner)
            y[i * inner + k] = best
    return 0


@instruction
def argmax(r, tile, n, like):
    rows, cols = r[3], r[4]
    x, y = at(r[2], rows * cols, like), integers(r[1], rows)
    for i in range(rows):
        best = 0
        for j in range(1, cols):
            v, top = x[i * cols + j], x[i * cols + best]
            if (v > top or v != v) and top == top:
                best = j
        y[i] = best
    return 0


@instruction
def softmax(r, tile, n, like):
    rows, cols = r[3], r[4]
    x, y = at(r[2], rows * cols, like), at(r[1], rows * cols, like)
    one, nan = x.dtype.type(1), x.dtype.type(np.nan)
    for i in range(rows):
        e = y[i * cols : (i + 1) * cols]
        _shifted_exponentials(x[i * cols : (i + 1) * cols], e)
        total = _total(e)
        scale = one / total if math.isfinite(total) else nan
        for j in range(cols):
            e[j] *= scale
    return 0


@instruction
def log_softmax(r, tile, n, like):
    rows, cols = r[3], r[4]
    x, y = at(r[2], rows * cols, like), at(r[1], rows * cols, like)
    for i in range(rows):
        row, e = x[i * cols : (i + 1) * cols], y[i * cols : (i + 1) * cols]
        shift, log_total = _shifted_logarithm(row, e)
        for j in range(cols):
            e[j] = (row[j] - shift) - log_total
    return 0


@instruction
def logsumexp(r, tile, n, like):
    rows, cols = r[4], r[5]
    x, y, memory = at(r[2], rows * cols, like), at(r[1], rows, like), room(cols * itemsize(like))
    e = at(memory, cols, like)
    for i in range(rows):
        shift, log_total = _shifted_logarithm(x[i * cols : (i + 1) * cols], e)
        y[i] = shift + log_total
    release(memory)
    return 0


@instruction
def cross_entropy(r, tile, n, like):
    rows, cols, ignored = r[4], r[5], r[6]
    x, y, target = at(r[2], rows * cols, like), at(r[1], rows, like), integers(r[3], rows)
    memory = room(cols * itemsize(like))
    e = at(memory, cols, like)
    for i in range(rows):
        y[i] = 0
        if target[i] != ignored:
            row = x[i * cols : (i + 1) * cols]
            shift, log_total = _shifted_logarithm(row, e)
            y[i] = log_total - (row[target[i]] - shift)
    release(memory)
    return 0
