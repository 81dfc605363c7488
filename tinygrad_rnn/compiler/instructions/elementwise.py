# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Elementwise instructions: each is one short loop over a tile.

Columns of a row: the result's address and its bytes per tile, then the same for each operand.
"""

from __future__ import annotations

import numpy as np

from ...kernels import fast_exp, fast_tanh
from .memory import INSTRUCTIONS, at, inner, instruction, integers, octets


@inner
def _two(r, tile, n, like):
    """The tiles of the result and of two operands."""
    return at(r[1] + tile * r[2], n, like), at(r[3] + tile * r[4], n, like), at(r[5] + tile * r[6], n, like)


@instruction
def where(r, tile, n, like):
    y, chosen = at(r[1] + tile * r[2], n, like), octets(r[3] + tile * r[4], n)
    a, b = at(r[5] + tile * r[6], n, like), at(r[7] + tile * r[8], n, like)
    for i in range(n):
        y[i] = a[i] if chosen[i] else b[i]
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


@instruction
def sigmoid(r, tile, n, like):
    y, a = _number(r, tile, n, like), at(r[3] + tile * r[4], n, like)
    one = y.dtype.type(1)
    for i in range(n):
        y[i] = one / (one + fast_exp(-a[i]))
    return 0


def of_numbers(function, operands, boolean, name=""):
    """An instruction that calls ``function`` for each element of one to three operands.

    Where it is kept, it is by its ``name``.
    """
    one, result = inner(function), _truth if boolean else _number
    if operands == 1:

        def each(r, tile, n, like):
            y, a = result(r, tile, n, like), at(r[3] + tile * r[4], n, like)
            for i in range(n):
                y[i] = one(a[i])
            return 0

    elif operands == 2:

        def each(r, tile, n, like):
            y, (_, a, b) = result(r, tile, n, like), _two(r, tile, n, like)
            for i in range(n):
                y[i] = one(a[i], b[i])
            return 0

    else:

        def each(r, tile, n, like):
            y, (_, a, b) = result(r, tile, n, like), _two(r, tile, n, like)
            c = at(r[7] + tile * r[8], n, like)
            for i in range(n):
                y[i] = one(a[i], b[i], c[i])
            return 0

    each.__qualname__ = name
    return each


@inner
def _number(r, tile, n, like):
    return at(r[1] + tile * r[2], n, like)


@inner
def _truth(r, tile, n, like):
    return octets(r[1] + tile * r[2], n)


#: what one element of the result is, of one element of each operand
_NUMBERS = {
    "add": (lambda a, b: a + b, 2),
    "sub": (lambda a, b: a - b, 2),
    "mul": (lambda a, b: a * b, 2),
    "div": (lambda a, b: a / b, 2),
    "pow": (lambda a, b: a**b, 2),
    "maximum": (lambda a, b: a if a > b or a != a else b, 2),  # of 0.0 and -0.0 the second, as NumPy's
    "minimum": (lambda a, b: a if a < b or a != a else b, 2),
    "exp": (lambda a: fast_exp(a), 1),
    "log": (lambda a: np.log(a), 1),
    "sqrt": (lambda a: np.sqrt(a), 1),
    "tanh": (lambda a: fast_tanh(a), 1),
    "abs": (lambda a: abs(a), 1),
}
_TRUTHS = {
    "greater": lambda a, b: a > b,
    "greater_equal": lambda a, b: a >= b,
    "equal": lambda a, b: a == b,
    "not_equal": lambda a, b: a != b,
}
for _name, (_function, _count) in _NUMBERS.items():
    INSTRUCTIONS[_name] = of_numbers(_function, _count, False, _name)
for _name, _function in _TRUTHS.items():
    INSTRUCTIONS[_name] = of_numbers(_function, 2, True, _name)
