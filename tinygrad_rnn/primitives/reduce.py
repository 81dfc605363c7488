"""Reductions and what is made of them: sums, extrema, the stable log-sum-exp family, running sums.

Ties: the gradient of `max` is shared equally among the elements that attain it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ShapeError
from . import dtypes, kinks
from .choices import cast, equal, less, where
from .elementwise import exp, tanh
from .record import Primitive, Shape, along_axis, normalize_axis, reduced_shape, size_of
from .shape import broadcast_to, reshape


def _kept(g: Any, x: Any, axis: Any) -> Any:
    """``g`` of a reduction over ``axis`` with the reduced axes put back at size 1, whatever ``keepdims`` was."""
    return reshape(g, shape=reduced_shape(x.shape, axis=axis, keepdims=True))


def _back_in(live: Any, _any_along: Any, shape: Shape, *, axis: Any, keepdims: bool) -> Any:
    """``live`` of a reduction with the reduced axes put back at size 1."""
    axes, sizes = normalize_axis(axis, len(shape)), iter(live.shape)
    return live if keepdims else reshape(live, shape=tuple(1 if i in axes else next(sizes) for i in range(len(shape))))


def _all_of(live: Any, any_along: Any, shape: Shape, *, axis: int) -> Any:
    """Along ``axis`` everything depends on everything."""
    return any_along(live, normalize_axis(axis, len(shape)))


def ranked(x: Any, axis: Any) -> Any:
    """``x``; NumPy takes axis 0 of a 0-dimensional array for good, we do not."""
    if not x.ndim:
        normalize_axis(axis, 0)
    return x


def max_shape(x: Shape, *, axis: Any, keepdims: bool = False) -> Shape:
    if any(x[a] == 0 for a in normalize_axis(axis, len(x))):
        raise ShapeError("an empty dimension has no maximum; reduce over one with at least one element")
    return reduced_shape(x, axis=axis, keepdims=keepdims)


def _max(x: Any, *, axis: Any, keepdims: bool) -> Any:
    """The largest; of 0.0 and -0.0 that is 0.0, whichever NumPy finds first, which depends on the processor."""
    y = np.max(ranked(x, axis), axis, keepdims=keepdims)
    if x.dtype.kind != "f" or np.all(y):
        return y
    return np.where((y == 0) & np.any((x == 0) & ~np.signbit(x), axis, keepdims=keepdims), y.dtype.type(0), y)


def _shared_by_ties(x: Any, y: Any, axis: Any) -> Any:
    ties = cast(equal(x, _kept(y, x, axis)), dtype=x.dtype)
    return ties / ties.sum(axis=axis, keepdims=True)


#: how many numbers are added one after the other, so that a rounding error grows with log n, not with n
BLOCK = 32


def total(x: Any, *, axis: Any, keepdims: bool) -> Any:
    """The sum over ``axis``: NumPy's where that is pairwise, along what is contiguous, else block by block."""
    only = axis[0] if type(axis) is tuple and len(axis) == 1 else axis
    if type(only) is int and -x.ndim <= only < x.ndim and x.shape[only] <= BLOCK:  # most sums of a small step
        return x.sum(only, keepdims=keepdims)
    axes = normalize_axis(axis, x.ndim)
    count = size_of(tuple(x.shape[a] for a in axes))
    if count <= BLOCK or (x.ndim == len(axes) and x.flags.forc) or not x.size:
        return np.sum(x, axes, keepdims=keepdims)
    for a in reversed(axes):
        while x.shape[a] > BLOCK and x.strides[a] != x.itemsize:
            whole = x.shape[a] // BLOCK * BLOCK
            before, after = x.shape[:a], x.shape[a + 1 :]
            parts = x[(slice(None),) * a + (slice(0, whole),)].reshape(*before, -1, BLOCK, *after).sum(a + 1)
            rest = x[(slice(None),) * a + (slice(whole, None),)].sum(a, keepdims=True)
            x = np.concatenate([parts, rest], a)
        x = x.sum(a, keepdims=True)
    return x if keepdims else np.squeeze(x, axes)


def _running(x: Any, *, axis: int) -> Any:
    """Running sums: of single precision in double, of double block by block, so that the error does not grow with n."""
    if ranked(x, axis).dtype.kind not in "fc" or x.shape[axis] <= BLOCK:
        return np.cumsum(x, axis)
    if x.dtype == np.float32:
        return np.cumsum(x, axis, np.float64).astype(x.dtype)
    x = np.moveaxis(x, axis, -1)
    blocks, whole = x.shape[-1] // BLOCK, x.shape[-1] // BLOCK * BLOCK
    inner = np.cumsum(x[..., :whole].reshape(*x.shape[:-1], blocks, BLOCK), -1)
    ends = _running(inner[..., -1], axis=-1)
    inner[..., 1:, :] += ends[..., :-1, None]
    rest = ends[..., -1:] + np.cumsum(x[..., whole:], -1)
    return np.moveaxis(np.concatenate([inner.reshape(*x.shape[:-1], whole), rest], -1), -1, axis)


def shifted_logarithm(x: Any, axis: int) -> tuple[Any, Any]:
    """The largest element along ``axis`` (0 where that is not finite), and ``log(sum(exp(x - it)))``; both kept.

    The largest element's 1 is kept out of the sum: rounded to 1 + rest, a small rest would lose its digits.
    """
    largest = np.argmax(x.real, axis, keepdims=True)
    top = np.take_along_axis(x.real, largest, axis)
    top = np.where(np.isfinite(top), top, top.dtype.type(0))
    e = np.exp(x - top)
    np.put_along_axis(e, largest, np.take_along_axis(e, largest, axis) - 1, axis)
    with np.errstate(divide="ignore"):
        return top, np.log1p(total(e, axis=axis, keepdims=True))


def _logsumexp(x: Any, *, axis: Any, keepdims: bool) -> Any:
    axes = normalize_axis(axis, x.ndim)
    if not size_of(tuple(x.shape[a] for a in axes)):
        with np.errstate(divide="ignore"):
            return np.log(np.exp(x).sum(axes, keepdims=keepdims))  # of nothing: -inf
    kept = tuple(a for a in range(x.ndim) if a not in axes)
    rows = x.transpose(kept + axes).reshape(*(x.shape[a] for a in kept), -1)
    top, logarithm = shifted_logarithm(rows, -1)
    return (top + logarithm).reshape(reduced_shape(x.shape, axis=axis, keepdims=keepdims))


def _softmax(x: Any, *, axis: int) -> Any:
    e = np.exp(x - ranked(x, axis).real.max(axis=axis, keepdims=True, initial=-np.inf))
    return e / total(e, axis=axis, keepdims=True)


def _log_softmax(x: Any, *, axis: int) -> Any:
    normalize_axis(axis, x.ndim)
    if not x.size:
        return np.exp(x)
    top, logarithm = shifted_logarithm(x, axis)
    return (x - top) - logarithm


def _log_softmax_grad(g: Any, y: Any, _x: Any, *, axis: int) -> Any:
    """``g - p sum(g)`` with ``p = e^y``, as ``g (1 - p) - p (sum(g) - g)``: 1 - p keeps its digits near 0."""
    t = tanh(y * -0.5)
    return g * (2 * t / (1 + t)) - exp(y) * (g.sum(axis=axis, keepdims=True) - g)


def _max_grad(g: Any, y: Any, x: Any, *, axis: Any, keepdims: bool) -> Any:
    return where(less(x, _kept(y, x, axis)), 0, _kept(g, x, axis) * _shared_by_ties(x, y, axis))


sum_ = Primitive(
    "sum",
    "Σ",
    reduced_shape,
    total,
    vjp=(lambda g, _y, _x, *, axis, keepdims: broadcast_to(_kept(g, _x, axis), shape=_x.shape),),
    rule=(r"\bar x_i = \bar y",),
    kind="reduction",
    dtype=dtypes.widened,
    sentence="gives every element of {targets} it summed the same gradient",
)
max_ = Primitive(
    "max",
    "max",
    max_shape,
    _max,
    vjp=(_max_grad,),
    rule=(r"\bar x_i = \bar y\,[x_i = y] / \#\text{ties}",),
    keeps=(lambda y, x, *, axis, keepdims: equal(cast(less(x, _kept(y, x, axis)), dtype=x.dtype), 0),),
    along=_back_in,
    kind="reduction",
    exact=True,
    kink=kinks.of_largest,
    latex=r"\max",
)
logsumexp = Primitive(
    "logsumexp",
    "log Σ exp",
    reduced_shape,
    _logsumexp,
    vjp=(lambda g, y, x, *, axis, keepdims: _kept(g, x, axis) * _shares(x, _kept(y, x, axis), axis),),
    rule=(r"\bar x = \bar y \odot e^{x - y}",),
    along=_back_in,
    kernel="logsumexp",
    kind="reduction",
    dtype=dtypes.real,
)
softmax = Primitive(
    "softmax",
    "softmax",
    along_axis,
    _softmax,
    vjp=(lambda g, y, _x, *, axis: y * (g - (g * y).sum(axis=axis, keepdims=True)),),
    rule=(r"\bar x = y \odot (\bar y - \textstyle\sum \bar y \odot y)",),
    along=_all_of,
    kernel="softmax",
    kind="axis",
    dtype=dtypes.real,
    usual={"axis": -1},
    sentence="sends to {targets} its gradient less what all probabilities have in common",
)
log_softmax = Primitive(
    "log_softmax",
    "log softmax",
    along_axis,
    _log_softmax,
    vjp=(_log_softmax_grad,),
    rule=(r"\bar x = \bar y - e^y \odot \textstyle\sum \bar y",),
    along=_all_of,
    kernel="log_softmax",
    kind="axis",
    dtype=dtypes.real,
    usual={"axis": -1},
)
cumsum: Primitive = Primitive(
    "cumsum",
    "running Σ",
    along_axis,
    _running,
    vjp=(lambda g, _y, _x, *, axis: _reversed(cumsum(_reversed(g, axis), axis=axis), axis),),
    rule=(r"\bar x_i = \textstyle\sum_{j \ge i} \bar y_j",),
    kind="axis",
    dtype=dtypes.widened,
)


def _shares(x: Any, y: Any, axis: Any) -> Any:
    """``e^(x - y)``, divided by its sum, which is 1 but for what was lost when ``y`` was rounded.

    Where nothing but -inf was added up, y is -inf and each share is 0.
    """
    e = exp(x - where(equal(y, -np.inf), 0, y))
    total = e.sum(axis=axis, keepdims=True)
    return e / where(equal(total, 0), 1, total)


def _reversed(x: Any, axis: int) -> Any:
    return x[(slice(None),) * (axis % len(x.shape)) + (slice(None, None, -1),)]
