# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Elementwise instructions: each is one short loop over a tile.

Columns of a row: the result's address and its bytes per tile, then the same for each operand.
"""

from __future__ import annotations

import numpy as np

from ...kernels import fast_exp, fast_tanh
from .memory import at, inner, instruction, integers, octets


@inner
def _one(r, tile, n, like):
    """The tiles of the result and of one operand."""
    return at(r[1] + tile * r[2], n, like), at(r[3] + tile * r[4], n, like)


@inner
def _two(r, tile, n, like):
    """The tiles of the result and of two operands."""
    return at(r[1] + tile * r[2], n, like), at(r[3] + tile * r[4], n, like), at(r[5] + tile * r[6], n, like)


@inner
def _compared(r, tile, n, like):
    """The same where the result is boolean."""
    return octets(r[1] + tile * r[2], n), at(r[3] + tile * r[4], n, like), at(r[5] + tile * r[6], n, like)


@instruction
def add(r, tile, n, like):
    y, a, b = _two(r, tile, n, like)
    for i in range(n):
        y[i] = a[i] + b[i]
    return 0


@instruction
def sub(r, tile, n, like):
    y, a, b = _two(r, tile, n, like)
    for i in range(n):
        y[i] = a[i] - b[i]
    return 0


@instruction
def mul(r, tile, n, like):
    y, a, b = _two(r, tile, n, like)
    for i in range(n):
        y[i] = a[i] * b[i]
    return 0


@instruction
def div(r, tile, n, like):
    y, a, b = _two(r, tile, n, like)
    for i in range(n):
        y[i] = a[i] / b[i]
    return 0


@instruction
def pow_(r, tile, n, like):
    y, a, b = _two(r, tile, n, like)
    for i in range(n):
        y[i] = a[i] ** b[i]
    return 0


@instruction
def maximum(r, tile, n, like):
    y, a, b = _two(r, tile, n, like)
    for i in range(n):
        y[i] = a[i] if a[i] > b[i] or a[i] != a[i] else b[i]  # of 0.0 and -0.0 the second, as NumPy's
    return 0


@instruction
def minimum(r, tile, n, like):
    y, a, b = _two(r, tile, n, like)
    for i in range(n):
        y[i] = a[i] if a[i] < b[i] or a[i] != a[i] else b[i]
    return 0


@instruction
def exp(r, tile, n, like):
    y, a = _one(r, tile, n, like)
    for i in range(n):
        y[i] = fast_exp(a[i])
    return 0


@instruction
def log(r, tile, n, like):
    y, a = _one(r, tile, n, like)
    for i in range(n):
        y[i] = np.log(a[i])
    return 0


@instruction
def sqrt(r, tile, n, like):
    y, a = _one(r, tile, n, like)
    for i in range(n):
        y[i] = np.sqrt(a[i])
    return 0


@instruction
def tanh(r, tile, n, like):
    y, a = _one(r, tile, n, like)
    for i in range(n):
        y[i] = fast_tanh(a[i])
    return 0


@instruction
def abs_(r, tile, n, like):
    y, a = _one(r, tile, n, like)
    for i in range(n):
        y[i] = abs(a[i])
    return 0


@instruction
def sigmoid(r, tile, n, like):
    y, a = _one(r, tile, n, like)
    one = y.dtype.type(1)
    for i in range(n):
        y[i] = one / (one + fast_exp(-a[i]))
    return 0


@instruction
def where(r, tile, n, like):
    y, chosen = at(r[1] + tile * r[2], n, like), octets(r[3] + tile * r[4], n)
    a, b = at(r[5] + tile * r[6], n, like), at(r[7] + tile * r[8], n, like)
    for i in range(n):
        y[i] = a[i] if chosen[i] else b[i]
    return 0


@instruction
def greater(r, tile, n, like):
    y, a, b = _compared(r, tile, n, like)
    for i in range(n):
        y[i] = a[i] > b[i]
    return 0


@instruction
def greater_equal(r, tile, n, like):
    y, a, b = _compared(r, tile, n, like)
    for i in range(n):
        y[i] = a[i] >= b[i]
    return 0


@instruction
def equal(r, tile, n, like):
    y, a, b = _compared(r, tile, n, like)
    for i in range(n):
        y[i] = a[i] == b[i]
    return 0


@instruction
def not_equal(r, tile, n, like):
    y, a, b = _compared(r, tile, n, like)
    for i in range(n):
        y[i] = a[i] != b[i]
    return 0


@instruction
def greater_integers(r, tile, n, like):
    y = octets(r[1] + tile * r[2], n)
    a, b = integers(r[3] + tile * r[4], n), integers(r[5] + tile * r[6], n)
    for i in range(n):
        y[i] = a[i] > b[i]
    return 0


@instruction
def not_equal_integers(r, tile, n, like):
    y = octets(r[1] + tile * r[2], n)
    a, b = integers(r[3] + tile * r[4], n), integers(r[5] + tile * r[6], n)
    for i in range(n):
        y[i] = a[i] != b[i]
    return 0


def of_numbers(function, operands, boolean):
    """An instruction that calls ``function`` for each element of one to three operands."""
    one, result = inner(function), _truth if boolean else _number
    if operands == 1:

        def made(r, tile, n, like):
            y, a = result(r, tile, n, like), at(r[3] + tile * r[4], n, like)
            for i in range(n):
                y[i] = one(a[i])
            return 0

    elif operands == 2:

        def made(r, tile, n, like):
            y, (_, a, b) = result(r, tile, n, like), _two(r, tile, n, like)
            for i in range(n):
                y[i] = one(a[i], b[i])
            return 0

    else:

        def made(r, tile, n, like):
            y, (_, a, b) = result(r, tile, n, like), _two(r, tile, n, like)
            c = at(r[7] + tile * r[8], n, like)
            for i in range(n):
                y[i] = one(a[i], b[i], c[i])
            return 0

    return made


@inner
def _number(r, tile, n, like):
    return at(r[1] + tile * r[2], n, like)


@inner
def _truth(r, tile, n, like):
    return octets(r[1] + tile * r[2], n)
