"""Reductions and what is made of them: sums, extrema, the stable log-sum-exp family, running sums.

Ties: the gradient of `max` is shared equally among the elements that attain it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ShapeError
from .elementwise import cast, equal, exp
from .record import Primitive, Shape, normalize_axis, reduced_shape, same_shape
from .shape import broadcast_to, reshape


def _kept(g: Any, x: Any, axis: Any) -> Any:
    """``g`` of a reduction over ``axis`` with the reduced axes put back at size 1, whatever ``keepdims`` was."""
    return reshape(g, shape=reduced_shape(x.shape, axis=axis, keepdims=True))


def ranked(x: Any, axis: Any) -> Any:
    """``x``; NumPy takes axis 0 of a 0-dimensional array for good, we do not."""
    if not x.ndim:
        normalize_axis(axis, 0)
    return x


def max_shape(x: Shape, *, axis: Any, keepdims: bool = False) -> Shape:
    if any(x[a] == 0 for a in normalize_axis(axis, len(x))):
        raise ShapeError("an empty dimension has no maximum; reduce over one with at least one element")
    return reduced_shape(x, axis=axis, keepdims=keepdims)


def _shared_by_ties(x: Any, y: Any, axis: Any) -> Any:
    ties = cast(equal(x, _kept(y, x, axis)), dtype=x.dtype)
    return ties / ties.sum(axis=axis, keepdims=True)


def _logsumexp(x: Any, *, axis: Any, keepdims: bool) -> Any:
    top = ranked(x, axis).real.max(axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):
        y = np.log(np.exp(x - top).sum(axis=axis, keepdims=True)) + top
    return y if keepdims else np.squeeze(y, axis=normalize_axis(axis, x.ndim))


def _softmax(x: Any, *, axis: int) -> Any:
    e = np.exp(x - ranked(x, axis).real.max(axis=axis, keepdims=True, initial=-np.inf))
    return e / e.sum(axis=axis, keepdims=True)


sum_ = Primitive(
    "sum", "Σ", reduced_shape, lambda x, *, axis, keepdims: np.sum(ranked(x, axis), axis, keepdims=keepdims),
    vjp=(lambda g, _y, _x, *, axis, keepdims: broadcast_to(_kept(g, _x, axis), shape=_x.shape),),
    rule=(r"\bar x_i = \bar y",),
)  # fmt: skip
max_ = Primitive(
    "max", "max", max_shape, lambda x, *, axis, keepdims: np.max(ranked(x, axis), axis, keepdims=keepdims),
    vjp=(lambda g, y, x, *, axis, keepdims: _kept(g, x, axis) * _shared_by_ties(x, y, axis),),
    rule=(r"\bar x_i = \bar y\,[x_i = y] / \#\text{ties}",),
)  # fmt: skip
logsumexp = Primitive(
    "logsumexp", "log Σ exp", reduced_shape, _logsumexp,
    vjp=(lambda g, y, x, *, axis, keepdims: _kept(g, x, axis) * exp(x - _kept(y, x, axis)),),
    rule=(r"\bar x = \bar y \odot e^{x - y}",),
    kernel="logsumexp",
)  # fmt: skip
softmax = Primitive(
    "softmax", "softmax", lambda x, *, axis: (normalize_axis(axis, len(x)), x)[1], _softmax,
    vjp=(lambda g, y, _x, *, axis: y * (g - (g * y).sum(axis=axis, keepdims=True)),),
    rule=(r"\bar x = y \odot (\bar y - \textstyle\sum \bar y \odot y)",),
    kernel="softmax",
)  # fmt: skip
log_softmax = Primitive(
    "log_softmax", "log softmax", lambda x, *, axis: (normalize_axis(axis, len(x)), x)[1],
    lambda x, *, axis: x - _logsumexp(x, axis=axis, keepdims=True),
    vjp=(lambda g, y, _x, *, axis: g - exp(y) * g.sum(axis=axis, keepdims=True),),
    rule=(r"\bar x = \bar y - e^y \odot \textstyle\sum \bar y",),
    kernel="log_softmax",
)  # fmt: skip
cumsum: Primitive = Primitive(
    "cumsum", "running Σ", lambda x, *, axis: (normalize_axis(axis, len(x)), same_shape(x))[1],
    lambda x, *, axis: np.cumsum(ranked(x, axis), axis),
    vjp=(lambda g, _y, _x, *, axis: _reversed(cumsum(_reversed(g, axis), axis=axis), axis),),
    rule=(r"\bar x_i = \textstyle\sum_{j \ge i} \bar y_j",),
)  # fmt: skip


def _reversed(x: Any, axis: int) -> Any:
    return x[(slice(None),) * (axis % len(x.shape)) + (slice(None, None, -1),)]
