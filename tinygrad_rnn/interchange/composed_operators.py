"""Operators that programs from elsewhere use and the engine has no name for, composed of those it has.

Every importer mirrors its framework's calls with these; what a framework calls them, and with which arguments, is said
beside it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import functional as T
from .. import primitives as P
from ..nn import functional as F
from ..tensors import Tensor
from .program import constant

# Elementwise ---------------------------------------------------------------------------------------------

#: functions of one number, under the names that frameworks share
OF_ONE: dict[str, Callable[[Tensor], Tensor]] = {
    **{name: getattr(Tensor, name) for name in ("abs", "exp", "log", "sqrt", "square", "sin", "cos", "tanh")},
    **{name: getattr(Tensor, name) for name in ("sigmoid", "relu", "softplus")},
    "neg": operator.neg,
    "sign": P.sign,
    "erf": P.erf,
    "erfc": P.erfc,
    "expm1": lambda x: x.exp() - 1.0,
    "exp2": lambda x: (x * math.log(2.0)).exp(),
    "log1p": lambda x: (1.0 + x).log(),
    "rsqrt": lambda x: 1.0 / x.sqrt(),
    "reciprocal": lambda x: 1.0 / x,
    "tan": lambda x: x.sin() / x.cos(),
    "sinh": lambda x: (x.exp() - (-x).exp()) * 0.5,
    "cosh": lambda x: (x.exp() + (-x).exp()) * 0.5,
}


def as_boolean(x: Any) -> Any:
    """Whether each element is not 0; numbers of Python's stay."""
    return x if not isinstance(x, Tensor) or x.dtype.kind == "b" else P.not_equal(x, 0)


def hard_sigmoid(x: Tensor, alpha: float, beta: float) -> Tensor:
    """``alpha x + beta`` limited to [0, 1]; on a limit the derivative is 0, unlike `Tensor.clip`'s."""
    x = x * alpha + beta
    return P.where(x < 1.0, P.where(x > 0.0, x, 0.0), 1.0)


def elu(x: Tensor, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Tensor:
    """``x`` where positive, ``alpha (e^(input_scale x) - 1)`` elsewhere; times ``scale``."""
    below = (P.where(x > 0, 0.0, x) * input_scale).exp() - 1.0
    return P.where(x > 0, x, below * alpha) * scale


def running_logsumexp(x: Tensor, axis: int) -> Tensor:
    """``log(sum of exp)`` of all elements along ``axis`` up to each, by strides of 1, 2, 4, ...: none underflows."""
    x, stride = x.transpose(0, axis), 1
    while stride < len(x):
        x = T.concat([x[:stride], T.stack([x[stride:], x[:-stride]]).logsumexp(0)])
        stride *= 2
    return x.transpose(0, axis)


# Shapes --------------------------------------------------------------------------------------------------


def padded(x: Tensor, pairs: Sequence[tuple[int, int]], value: Any = 0) -> Tensor:
    """``x`` with so many elements of ``value`` before and after along each dimension; fewer than 0 are cut off."""
    return F.pad(x, [n for pair in reversed(pairs) for n in pair], value=value)


def set_apart(x: Tensor, axis: int, between: int, value: Any = 0) -> Tensor:
    """``x`` with so many elements of ``value`` between each two along ``axis``."""
    if not between or x.shape[axis] < 2:
        return x
    apart = padded(x.expand_dims(axis + 1), [(0, between if i == axis + 1 else 0) for i in range(x.ndim + 1)], value)
    apart = apart.reshape((*x.shape[:axis], -1, *x.shape[axis + 1 :]))
    return apart[(*(slice(None),) * axis, slice(0, apart.shape[axis] - between))]


# Reading and writing by position -------------------------------------------------------------------------


def wrapped(index: Tensor, size: int) -> Tensor:
    """Positions from 0: those below 0 count from the end."""
    return P.where(index < 0, index + size, index)


def taken(x: Tensor, index: list[Any]) -> Any:
    """``x[index]`` with tensors of integers in it: positions are computed, not stored, so that they may change."""
    if Ellipsis in [part for part in index if not isinstance(part, Tensor)]:
        at = next(i for i, part in enumerate(index) if part is Ellipsis)
        named = sum(part is not None for part in index) - 1
        index = [*index[:at], *[slice(None)] * (x.ndim - named), *index[at + 1 :]]
    plain = [slice(None) if isinstance(part, Tensor) else part for part in index]
    if any(part is None or isinstance(part, int) for part in plain):
        return NotImplemented
    if any(part != slice(None) for part in plain):
        x = x[tuple(plain)]
    axes = [axis for axis, part in enumerate(index) if isinstance(part, Tensor)]
    if axes != list(range(axes[0], axes[0] + len(axes))):
        return NotImplemented
    first = axes[0]
    flat: Any = 0
    for axis in axes:
        flat = flat * x.shape[axis] + wrapped(index[axis], x.shape[axis])
    rest = [a for a in range(x.ndim) if a not in axes]
    rows = x.permute([*axes, *rest]) if first else x
    rows = rows.reshape((math.prod(x.shape[a] for a in axes), *(x.shape[a] for a in rest)))
    taken = T.take(rows, flat)
    if not first:
        return taken
    width = flat.ndim
    order = [*range(width, width + first), *range(width), *range(width + first, taken.ndim)]
    return taken.permute(order)


def flat_positions(x: Tensor, dim: int, index: Tensor) -> Tensor:
    """Positions in the flattened ``x`` of ``x[i][index[i][j]][j]`` with ``index`` along ``dim``."""
    dim %= max(1, x.ndim)
    strides = [math.prod(x.shape[i + 1 :]) for i in range(x.ndim)]
    others: Any = np.zeros((), np.int64)
    for axis, (n, stride) in enumerate(zip(index.shape, strides)):
        if axis != dim:
            others = others + (np.arange(n) * stride).reshape((-1, *(1,) * (len(index.shape) - axis - 1)))
    return index * strides[dim] + constant(np.broadcast_to(others, index.shape))


def put(x: Tensor, index: tuple[Any, ...], value: Tensor) -> Tensor:
    """``x`` with ``value`` at ``index``, which names no element twice."""
    mask = np.zeros(x.shape, bool)
    mask[index] = True
    put = P.scatter(value, index=index, shape=x.shape)
    return put if mask.all() else T.where(constant(mask), put, x)


def read_through(owner: Tensor, where: np.ndarray[Any, Any]) -> Tensor:
    """The elements of its owner that a view shows."""
    if where.shape == owner.shape and np.array_equal(where.ravel(), np.arange(where.size)):
        return owner
    return owner.reshape(-1)[where]


def write_through(owner: Tensor, where: np.ndarray[Any, Any], value: Tensor) -> Tensor:
    """The owner after ``value`` was written to the elements at ``where``."""
    flat, values = last_of_each(where.ravel(), value.reshape(-1))
    return put(owner.reshape(-1), (flat,), values).reshape(owner.shape)


def last_of_each(places: np.ndarray[Any, Any], values: Tensor) -> tuple[np.ndarray[Any, Any], Tensor]:
    """``places`` without repetitions, and their ``values``: of several for one place, the last."""
    last = {int(at): i for i, at in enumerate(places)}
    if len(last) == places.size:
        return places, values
    return np.array(list(last)), values[np.array(list(last.values()))]
