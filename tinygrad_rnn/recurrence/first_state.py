"""The first state of a cell that is given none: found by comparing its first step with a later one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..recorded_value import made_from
from ..tensors import Tensor
from .loop import TracedStep
from .scan import leaves_of, mapped


def first_state(f: Callable[[Any, Any], tuple[Any, Any]], xs: Any, zeros: bool = False) -> Any:
    """The constants from which ``carry, y = f(carry, x)`` does what ``f(None, x)`` does; None where there are none.

    ``zeros``: only zeros will do. Asked while a function is compiled; ``f`` sees stand-ins for a row of ``xs``.
    """
    trees: list[Any] = []

    def step(rows: list[Tensor], states: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        values, before = iter(rows), iter(states)
        carry = mapped(lambda _: next(before), trees[0]) if states else None
        new, y = f(carry, mapped(lambda _: next(values), xs))
        trees.append(new)
        news, ys = leaves_of(new), leaves_of(y)
        return (news, ys) if states else ([], [*news, *ys])

    first = TracedStep(step, leaves_of(xs), [])
    news = leaves_of(trees[0])
    later = TracedStep(step, leaves_of(xs), news)
    ends = [*later.new, *later.outputs]
    found = matched(first.outputs, ends, first.rows, later.rows, later.states)
    if found is None or (zeros and any(x.op is not None or _traced(x) or x._array.any() for x in found)):
        return None
    constants = iter(found)
    return mapped(lambda _: next(constants), trees[0])


def matched(
    firsts: Sequence[Any],
    laters: Sequence[Any],
    rows: Sequence[Any],
    again: Sequence[Any],
    states: Sequence[Any],
    alike: Callable[[Any, Any], bool] = lambda _a, _b: False,
) -> list[Any] | None:
    """The constants that stand in the first step where ``states`` stand in a later one; None if they differ otherwise.

    ``firsts`` and ``laters`` are what the two steps give, ``rows`` and ``again`` their inputs; ``alike`` says which
    other leaves are the same.
    """
    same: dict[int, Any] = {b.serial: a for a, b in zip(rows, again)}
    carries, started = {x.serial for x in states}, {x.serial for x in rows}
    found: dict[int, Any] = {}
    pairs = list(zip(firsts, laters))
    while pairs:
        a, b = pairs.pop()
        if b.serial in carries:
            held = found.setdefault(b.serial, a)
            if a is not held and not _equal_constants(a, held):
                return None
            if _traced(a) and not _apart(a, started):
                return None
            continue
        known = same.get(b.serial)
        if known is not None or a is b:
            if known is not None and known is not a:
                return None
            continue
        if not _traced(b) or not _traced(a):
            if not _equal_constants(a, b):
                return None
            continue
        if a.op is not b.op or not _equal(a.attrs, b.attrs) or len(a.operands) != len(b.operands):
            return None
        if a.op is None and not alike(a, b):
            return None
        same[b.serial] = a
        for x, y in zip(a.operands, b.operands):
            if isinstance(y, Tensor) and y.serial in carries and not isinstance(x, Tensor):
                x = Tensor(np.full(y.shape, x, y.dtype))  # a number that stands for a whole state
            if isinstance(x, Tensor) and isinstance(y, Tensor):
                pairs.append((x, y))
            elif isinstance(x, Tensor) or isinstance(y, Tensor) or x != y:
                return None
    return None if found.keys() != carries else [found[x.serial] for x in states]


def _traced(x: Any) -> bool:
    """Whether it stands for a value that there is not yet."""
    return hasattr(x, "_tracer")


def _apart(x: Any, rows: set[int]) -> bool:
    """Whether ``x`` is computed from none of the ``rows``."""
    return rows.isdisjoint(y.serial for y in made_from([x], lambda y: y.operands if _traced(y) else ()))


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return type(a) is type(b) and a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(_equal, a, b))
    return bool(type(a) is type(b) and a == b)


def _equal_constants(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if _traced(a) or _traced(b) or a.op is not None or b.op is not None or a.requires_grad:
        return False
    return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a._array, b._array, equal_nan=True)
