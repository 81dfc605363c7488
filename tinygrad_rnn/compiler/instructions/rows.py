# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Instructions on rows: sums and maxima along an axis, softmax and its relatives."""

from __future__ import annotations

import math

import numpy as np

from ...kernels import _shifted_exponentials, _total
from .memory import at, instruction, integers


@instruction
def sum_(r, tile, n, like):
    """(outer, reduced, inner) summed over the middle."""
    outer, reduced, inner = r[3], r[4], r[5]
    x, y = at(r[2], outer * reduced * inner, like), at(r[1], outer * inner, like)
    if inner == 1:
        for i in range(outer):
            y[i] = _total(x[i * reduced : (i + 1) * reduced])
        return 0
    for i in range(outer):
        row = y[i * inner : (i + 1) * inner]
        row[:] = 0
        for j in range(reduced):
            start = (i * reduced + j) * inner
            for k in range(inner):
                row[k] += x[start + k]
    return 0


@instruction
def max_(r, tile, n, like):
    """(outer, reduced, inner): the largest along the middle; nan if there is one."""
    outer, reduced, inner = r[3], r[4], r[5]
    x, y = at(r[2], outer * reduced * inner, like), at(r[1], outer * inner, like)
    for i in range(outer):
        for k in range(inner):
            best = x[i * reduced * inner + k]
            for j in range(1, reduced):
                v = x[(i * reduced + j) * inner + k]
                best = v if (v > best or v != v) and best == best else best
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
        _, total = _shifted_exponentials(x[i * cols : (i + 1) * cols], e)
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
        shift, total = _shifted_exponentials(row, e)
        shift += x.dtype.type(math.log(total))
        for j in range(cols):
            e[j] = row[j] - shift
    return 0


@instruction
def logsumexp(r, tile, n, like):
    rows, cols = r[4], r[5]
    x, y = at(r[2], rows * cols, like), at(r[1], rows, like)
    e = np.empty(cols, x.dtype)
    for i in range(rows):
        shift, total = _shifted_exponentials(x[i * cols : (i + 1) * cols], e)
        y[i] = shift + x.dtype.type(math.log(total))
    return 0


@instruction
def cross_entropy(r, tile, n, like):
    rows, cols, ignored = r[4], r[5], r[6]
    x, y, target = at(r[2], rows * cols, like), at(r[1], rows, like), integers(r[3], rows)
    e = np.empty(cols, x.dtype)
    for i in range(rows):
        y[i] = 0
        if target[i] != ignored:
            row = x[i * cols : (i + 1) * cols]
            shift, total = _shifted_exponentials(row, e)
            y[i] = shift + x.dtype.type(math.log(total)) - row[target[i]]
    return 0
