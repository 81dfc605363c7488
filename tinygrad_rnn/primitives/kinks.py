"""Points where primitives are not differentiable, and the distance of their operands to such a point.

A rule is called with the operands as arrays or Python numbers, with how far rounding may have moved each of them, and
with the primitive's settings. It answers two arrays in the result's shape, or broadcastable to it: each element's
distance to the nearest kink, and how far its operands may have moved. None: there is no kink for such operands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .record import normalize_axis

Found = tuple[Any, Any] | None


def at_zero(operands: Sequence[Any], wobbles: Sequence[Any]) -> Found:
    """The slope jumps at 0."""
    return np.abs(operands[0]), np.asarray(wobbles[0])


def steep_at_zero(operands: Sequence[Any], _wobbles: Sequence[Any]) -> Found:
    """The slope is infinite at exactly 0."""
    return np.abs(operands[0]), np.asarray(0.0)


def of_power(operands: Sequence[Any], _wobbles: Sequence[Any]) -> Found:
    """At base 0 the slope is infinite, or its own slope is, unless the exponent is 0, 1, 2, ..."""
    base, exponent = map(np.asarray, operands)
    smooth = (exponent >= 0) & (exponent == np.rint(exponent))
    return np.where(smooth, np.inf, np.abs(base)), np.asarray(0.0)


def where_equal(operands: Sequence[Any], wobbles: Sequence[Any]) -> Found:
    """A comparison, or the larger of two, changes where the operands are equal.

    Of two integers there is no kink here: it is where they were made from floats (`of_cast`, `of_largest`).
    """
    a, b = map(np.asarray, operands)
    return (np.abs(a - b), np.add(*wobbles)) if "f" in (a.dtype.kind, b.dtype.kind) else None


def of_largest(operands: Sequence[Any], wobbles: Sequence[Any], *, axis: Any, keepdims: bool = False) -> Found:
    """Another element becomes the largest where two are."""
    x = np.asarray(operands[0])
    largest = x == x.max(axis=axis, keepdims=True)
    ahead = x.max(axis=axis, keepdims=True) - np.where(largest, -np.inf, x).max(axis=axis, keepdims=True)
    gap = np.where(largest.sum(axis=axis, keepdims=True) > 1, 0.0, ahead)
    wobble = 2 * np.max(np.broadcast_to(wobbles[0], x.shape), axis=axis, keepdims=True)
    axes = normalize_axis(axis, x.ndim)
    return (gap, wobble) if keepdims else (np.squeeze(gap, axes), np.squeeze(wobble, axes))


def where_neighbours_meet(operands: Sequence[Any], wobbles: Sequence[Any], *, axis: int) -> Found:
    """An element changes places with its neighbour in the order."""
    x = np.asarray(operands[0])
    beside = [(0, 0)] * x.ndim
    beside[axis] = (1, 1)
    apart = np.pad(np.diff(np.sort(x, axis), axis=axis), beside, constant_values=np.inf)
    count = x.shape[axis]
    gap = np.minimum(np.take(apart, range(count), axis), np.take(apart, range(1, count + 1), axis))
    return gap, np.broadcast_to(2 * np.max(wobbles[0], axis=axis, keepdims=True, initial=0), x.shape)


def at_whole_quotients(operands: Sequence[Any], wobbles: Sequence[Any]) -> Found:
    """A quotient rounded down jumps where it is a whole number."""
    dividend, divisor = map(np.asarray, operands)
    beyond = np.mod(dividend, divisor)
    return np.minimum(np.abs(beyond), np.abs(divisor - beyond)), np.add(*wobbles)


def of_cast(operands: Sequence[Any], wobbles: Sequence[Any], *, dtype: Any) -> Found:
    """Floats made integers jump where they are whole; a change of precision has no kink."""
    rounds = np.asarray(operands[0]).dtype.kind == "f" and np.dtype(dtype).kind in "iu"
    return at_whole_quotients([operands[0], 1.0], [wobbles[0], 0.0]) if rounds else None
