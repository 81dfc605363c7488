"""Elementwise primitives that compare and choose, and the change of dtype.

Ties: where `maximum`, `minimum` meet equal operands, each receives half the gradient (JAX and PyTorch do the same).
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from . import dtypes, kinks
from .record import Primitive, broadcast, same_shape

cast = Primitive(
    "cast",
    "cast",
    same_shape,
    # a complex step travels through a change of precision with its imaginary part
    lambda x, *, dtype: x if np.iscomplexobj(x) else x.astype(dtype),
    vjp=(lambda g, _y, _x, *, dtype: g,),
    rule=(r"\bar x = \bar y",),
    dtype=dtypes.asked,
    exact=True,
    kink=kinks.of_cast,
    sentence="hands its gradient on, unchanged, to {targets}",
)


def _half_of_ties(g: Any, mine: Any, other: Any, loses: Any) -> Any:
    """The gradient of an extremum for operand ``mine``: half of ``g`` at ties, 0 where it ``loses``, else all of it.

    A nan is never less or greater than another number, so it is chosen, as NumPy's maximum chooses it.
    """
    return where(equal(mine, other), g * 0.5, where(loses(mine, other), 0, g))


def _holds(condition: Any) -> Any:
    condition = condition if hasattr(condition, "dtype") else np.asarray(condition)
    return condition if condition.dtype.kind == "b" else not_equal(condition, 0)


def _not(condition: Any, dtype: Any) -> Any:
    # as numbers of the result's dtype, which compiled programs compare fastest
    return equal(cast(_holds(condition), dtype=dtype), 0)


maximum = Primitive(
    "maximum",
    "max",
    broadcast,
    np.maximum,
    vjp=(
        lambda g, _y, a, b: _half_of_ties(g, a, b, less),
        lambda g, _y, a, b: _half_of_ties(g, b, a, less),
    ),
    rule=(r"\bar a = \bar y \odot [a > b]", r"\bar b = \bar y \odot [b > a]"),
    keeps=(lambda y, a, b: _not(less(a, b), y.dtype), lambda y, a, b: _not(less(b, a), y.dtype)),
    exact=True,
    kink=kinks.where_equal,
    latex=r"\max",
)
minimum = Primitive(
    "minimum",
    "min",
    broadcast,
    np.minimum,
    vjp=(
        lambda g, _y, a, b: _half_of_ties(g, a, b, greater),
        lambda g, _y, a, b: _half_of_ties(g, b, a, greater),
    ),
    rule=(r"\bar a = \bar y \odot [a < b]", r"\bar b = \bar y \odot [b < a]"),
    keeps=(lambda y, a, b: _not(greater(a, b), y.dtype), lambda y, a, b: _not(greater(b, a), y.dtype)),
    exact=True,
    kink=kinks.where_equal,
    latex=r"\min",
)
# The untaken branch receives an exact zero, so a nan or inf computed there cannot leak through it.
where: Primitive = Primitive(
    "where",
    "where",
    broadcast,
    lambda condition, a, b: np.where(condition, a, b),  # np.where tells its signature from NumPy 2.4 on only
    vjp=(
        None,
        lambda g, _y, condition, _a, _b: where(condition, g, 0),
        lambda g, _y, condition, _a, _b: where(condition, 0, g),
    ),
    rule=("", r"\bar a = \bar y \odot [c]", r"\bar b = \bar y \odot [\lnot c]"),
    keeps=(None, lambda _y, condition, _a, _b: _holds(condition), lambda y, condition, *_: _not(condition, y.dtype)),
    dtype=dtypes.of_branches,
    exact=True,
    sentence="sends its gradient to whichever branch each element was taken from: {targets}",
)


def _compare(name: str, symbol: str, infix: str, latex: str, function: Any) -> Primitive:
    def reference(a: Any, b: Any) -> Any:
        return function(getattr(a, "real", a), getattr(b, "real", b))

    return Primitive(
        name, symbol, broadcast, reference, dtype=dtypes.boolean, kink=kinks.where_equal, infix=infix, latex=latex
    )


greater: Primitive = _compare("greater", ">", ">", ">", operator.gt)
greater_equal = _compare("greater_equal", "≥", ">=", r"\ge", operator.ge)
less: Primitive = _compare("less", "<", "<", "<", operator.lt)
less_equal: Primitive = _compare("less_equal", "≤", "<=", r"\le", operator.le)
equal: Primitive = _compare("equal", "=", "==", "=", operator.eq)
not_equal = _compare("not_equal", "≠", "!=", r"\ne", operator.ne)
