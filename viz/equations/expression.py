"""Formulas as small trees, and the little algebra that keeps them readable.

A tree is made by the functions below, each of which is told what the engine computed and answers what a person would
write for it: ``1 * g`` is ``g``, ``y * y`` is ``y**2``, what was made a matrix of one row and unmade again was a row
all along. No rule changes the value.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_rnn.primitives.record import normalize_axis


@dataclass(frozen=True)
class Symbol:
    """A value with a name: ``h_3``, or with ``gradient`` the loss's derivative with respect to it, ``dh_3``."""

    stem: str
    step: int | None  #: time step as printed, from 1; 0 is an initial state
    gradient: bool = False
    inner: int | None = None  #: the repetition of a loop inside of the step, from 1; 0 is what that begins with


@dataclass(frozen=True, eq=False)
class Apply:
    """An operation on formulas: ``+`` and ``*`` of any number of them, else a primitive by its name."""

    op: str
    args: tuple[Expression, ...]
    attrs: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] = ()


Expression = Symbol | Apply | float


def is_(x: Expression, op: str) -> bool:
    """Whether it is the result of this operation."""
    return isinstance(x, Apply) and x.op == op


def parts(x: Expression) -> Iterator[Symbol]:
    """The symbols in a formula, in the order they are written."""
    if isinstance(x, Symbol):
        yield x
    elif isinstance(x, Apply):
        for argument in x.args:
            yield from parts(argument)


def operations(x: Expression) -> Iterator[Apply]:
    """The operations in a formula."""
    if isinstance(x, Apply):
        yield x
        for argument in x.args:
            yield from operations(argument)


def is_number(x: Expression) -> bool:
    """Whether it is a number or an arithmetic of numbers: the same whatever the shape."""
    if isinstance(x, Apply):
        return x.op in ("+", "*", "neg", "div", "pow") and all(map(is_number, x.args))
    return not isinstance(x, Symbol)


def ascending(x: Expression) -> Expression:
    """A gradient's contributions arrive from the last time step to the first; a person writes them the other way."""
    if not isinstance(x, Apply) or x.op != "+":
        return x
    added = [term for term in x.args[::-1] if not is_(term, "neg")]
    taken = [term for term in x.args[::-1] if is_(term, "neg")]
    return Apply("+", (*added, *taken), {}, x.shape)


def plus(terms: Sequence[Expression], shape: tuple[int, ...]) -> Expression:
    """Their sum; pieces of one array, each put in its place, are that array."""
    flat = [u for t in terms for u in (t.args if isinstance(t, Apply) and t.op == "+" else (t,)) if u != 0]
    flat = _collected(_put_together(flat), shape)
    if len(flat) < 2:
        return flat[0] if flat else 0.0
    return _pieces(flat) or Apply("+", tuple(flat), {}, shape)


def _put_together(terms: Sequence[Expression]) -> list[Expression]:
    """The terms, with those that are scattered to the same index of zeros as one scatter of their sum."""
    found: dict[str | int, list[Expression]] = {}
    for k, term in enumerate(terms):
        placed = isinstance(term, Apply) and term.op == "scatter"
        found.setdefault(repr(term.attrs["index"]) if isinstance(term, Apply) and placed else k, []).append(term)
    return [_sum_in_place(own) if len(own) > 1 else own[0] for own in found.values()]


def _sum_in_place(terms: Sequence[Expression]) -> Expression:
    placed = [term for term in terms if isinstance(term, Apply)]
    first = placed[0]
    shape = np.broadcast_to(0, first.shape)[first.attrs["index"]].shape
    return Apply("scatter", (plus([term.args[0] for term in placed], shape),), first.attrs, first.shape)


def _collected(terms: Sequence[Expression], shape: tuple[int, ...]) -> list[Expression]:
    """``h + h`` is ``2 h``, and numbers are added up."""
    counts: dict[Hashable, tuple[Expression, list[Expression]]] = {}
    number = 0.0
    for term in terms:
        if isinstance(term, float):
            number += term
        else:
            factor, rest = _scaled(term)
            counts.setdefault(_same(rest), (rest, []))[1].append(factor)
    if len(counts) + (number != 0) == len(terms):
        return list(terms)
    found = [times([_added(factors), rest], shape) for rest, factors in counts.values()]
    return found + ([number] if number != 0 else [])


def _same(x: Expression) -> Hashable:
    """Equal for formulas that are written alike."""
    if not isinstance(x, Apply):
        return x
    return x.op, x.shape, repr(sorted(x.attrs.items())), *map(_same, x.args)


def _scaled(x: Expression) -> tuple[Expression, Expression]:
    """The number that a formula is a multiple of, and the rest of it."""
    if isinstance(x, Apply) and x.op == "neg":
        factor, rest = _scaled(x.args[0])
        return negative(factor, ()), rest
    if isinstance(x, Apply) and x.op == "*" and is_number(x.args[0]):
        rest = x.args[1] if len(x.args) == 2 else Apply("*", x.args[1:], {}, x.shape)
        return x.args[0], rest
    return 1.0, x


def _added(factors: Sequence[Expression]) -> Expression:
    """Their sum: a number, or as many times a fraction as it is there."""
    fractions = [x for x in factors if isinstance(x, Apply)]
    if not fractions:
        return float(sum(x for x in factors if isinstance(x, float)))
    total = sum(map(_value, factors))
    if total == int(total):
        return float(total)
    return times([float(len(factors)), factors[0]], ()) if len(set(map(_same, factors))) == 1 else plus(factors, ())


def _value(x: Expression) -> float:
    """The value of an operation on numbers."""
    if not isinstance(x, Apply):
        assert isinstance(x, float)
        return x
    first, *others = map(_value, x.args)
    if x.op == "neg":
        return -first
    if x.op in ("div", "pow"):
        return first / others[0] if x.op == "div" else float(first ** others[0])
    return sum(others, first) if x.op == "+" else math.prod(others, start=first)


def _pieces(terms: Sequence[Expression]) -> Expression | None:
    """One array of terms that were each put in their place in zeros, if together they fill it."""
    found: dict[int, tuple[int, Expression]] = {}
    shape: tuple[int, ...] = ()
    for term in terms:
        if not isinstance(term, Apply) or term.op != "scatter":
            return None
        shape, index = term.shape, term.attrs["index"]
        if len(index) == 1 and isinstance(index[0], int):  # the first axis, one by one
            op, size, start, stop = "stack", shape[0], index[0] % shape[0], index[0] % shape[0] + 1
        elif _of_last_axis(index, shape):
            op, size, (start, stop, _) = "concat", shape[-1], index[-1].indices(shape[-1])
        else:
            return None
        found[start] = stop, term.args[0]
    ends = [0, *(found[start][0] for start in sorted(found))]
    if sorted(found) != ends[:-1] or ends[-1] != size or len(found) < len(terms):
        return None
    axis = {"stack": 0, "concat": -1}[op]
    return Apply(op, tuple(found[start][1] for start in sorted(found)), {"axis": axis}, shape)


def _of_last_axis(index: tuple[Any, ...], shape: tuple[int, ...]) -> bool:
    """Whether it is a stretch of the last axis and all of the others."""
    if not isinstance(index[-1], slice) or index[-1].step:
        return False
    others = index[:-1]
    each = all(isinstance(part, slice) and part == slice(None) for part in others)
    return (len(others) == 1 and others[0] is Ellipsis) or (len(index) == len(shape) > 1 and each)


def negative(x: Expression, shape: tuple[int, ...]) -> Expression:
    """``-x``."""
    if isinstance(x, float):
        return -x
    return x.args[0] if isinstance(x, Apply) and x.op == "neg" else Apply("neg", (x,), {}, shape)


def times(factors: Sequence[Expression], shape: tuple[int, ...]) -> Expression:
    """Their elementwise product, the sign in front, equal neighbours as a square."""
    number, flat, sign = 1.0, list[Expression](), 1
    for factor in factors:
        if isinstance(factor, Apply) and factor.op == "neg":
            factor, sign = factor.args[0], -sign
        for x in factor.args if isinstance(factor, Apply) and factor.op == "*" else (factor,):
            if isinstance(x, float):
                number *= x
            elif flat and flat[-1] == x:
                flat[-1] = Apply("pow", (x, 2.0), {}, shape)
            else:
                flat.append(x)
    if number < 0:
        number, sign = -number, -sign
    if number == 0:
        return 0.0
    flat = ([] if number == 1 and flat else [number]) + flat
    product = flat[0] if len(flat) == 1 else Apply("*", tuple(flat), {}, shape)
    return product if sign > 0 else negative(product, shape)


def over(a: Expression, b: Expression, shape: tuple[int, ...]) -> Expression:
    """``a / b``."""
    if isinstance(a, Apply) and a.op == "neg":
        return negative(over(a.args[0], b, shape), shape)
    return a if b == 1 else Apply("div", (a, b), {}, shape)


def turned(x: Expression, axes: Sequence[int], shape: tuple[int, ...]) -> Expression:
    """Dimensions in another order."""
    if is_number(x):
        return x
    axes = tuple(axis % len(shape) for axis in axes)
    if isinstance(x, Apply) and x.op == "permute" and axes == x.attrs["axes"] == (1, 0):
        return x.args[0]
    return Apply("permute", (x,), {"axes": axes}, shape)


def picked(x: Expression, index: tuple[Any, ...], attrs: dict[str, Any], shape: tuple[int, ...]) -> Expression:
    """``x[index]``; of a stack at a known place it is what was put there, and of zeros that one place was filled in
    what that is, or zero."""
    if is_(x, "full"):
        return x.args[0] if not shape else Apply("full", x.args, {"shape": shape}, shape)  # type: ignore[union-attr]
    if isinstance(x, Apply) and index and isinstance(index[0], int):
        size = x.shape[0] if x.shape else 0
        place = index[0] % size if size else 0
        if x.op == "stack" and x.attrs.get("axis", 0) == 0 and len(x.args) == size:
            rest = index[1:]
            inner = x.args[place]
            return picked(inner, rest, {**attrs, "index": rest}, shape) if rest else inner
        if x.op == "scatter" and len(index) == 1:
            first, *rest = x.attrs["index"]
            if isinstance(first, int):
                if first % size != place:
                    return 0.0
                return Apply("scatter", x.args, {"index": tuple(rest), "shape": shape}, shape) if rest else x.args[0]
            if len(rest) == 1 and first == slice(None) and x.shape[1] == 1 and isinstance(rest[0], int):
                return Apply("getitem", x.args, {**attrs, "index": (slice(place, place + 1),)}, shape)
            if not rest and isinstance(first, slice):
                filled = range(*first.indices(size))
                if place not in filled:
                    return 0.0
                position = (filled.index(place),)
                return picked(x.args[0], position, {**attrs, "index": position}, shape)
    return Apply("getitem", (x,), attrs, shape)


def summed(x: Expression, attrs: dict[str, Any], shape: tuple[int, ...]) -> Expression:
    """``x.sum(axis)``; of a sum over the same axis, kept as one row, it is that sum."""
    axes = attrs.get("axis")
    if isinstance(x, Apply) and x.op == "sum" and x.attrs.get("keepdims") and x.attrs.get("axis") == axes is not None:
        return Apply("sum", x.args, attrs, shape)
    return Apply("sum", (x,), attrs, shape)


def reshaped(x: Expression, old: tuple[int, ...], shape: tuple[int, ...]) -> Expression:
    """The same elements in another shape."""
    if isinstance(x, Apply) and x.op == "reshape":  # only the last counts
        return reshaped(x.args[0], x.attrs["was"], shape)
    if old == shape or is_number(x):
        return x
    if isinstance(x, Apply) and x.op == "sum" and x.attrs.get("keepdims"):
        axes = normalize_axis(x.attrs["axis"], len(old))
        if shape == tuple(n for axis, n in enumerate(old) if axis not in axes):
            return Apply("sum", x.args, {"axis": x.attrs["axis"]}, shape)
    if isinstance(x, Apply) and x.op == "@" and isinstance(x.args[0], Apply) and x.args[0].op == "reshape":
        rows = x.args[0]
        if shape[:-1] == rows.attrs["was"][:-1]:  # made rows of, multiplied, and put back
            return Apply("@", (rows.args[0], x.args[1]), {}, shape)
    return Apply("reshape", (x,), {"was": old}, shape)


def product(a: Expression, b: Expression, shape: tuple[int, ...]) -> Expression:
    """``a @ b``; the column of one vector times the row of another is their outer product."""
    if isinstance(a, Apply) and a.op == "permute" and is_(row := a.args[0], "reshape") and is_(b, "reshape"):
        assert isinstance(row, Apply) and isinstance(b, Apply)
        if len(row.attrs["was"]) == len(b.attrs["was"]) == 1:
            return Apply("outer", (row.args[0], b.args[0]), {}, shape)
    return Apply("@", (a, b), {}, shape)
