"""Reductions, running sums, orders."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....tensors import Tensor, as_tensor
from ...composed_operators import running_logsumexp
from .table import primitive


@primitive("reduce_sum", "reduce_max", "reduce_min")
def _reduced(eqn: Any, x: Tensor, axes: Any, **_params: Any) -> Tensor:
    if not axes:
        return x
    return getattr(x, eqn.primitive.name.removeprefix("reduce_"))(tuple(axes))


@primitive("reduce_prod")
def _product(_eqn: Any, x: Tensor, axes: Any, **_params: Any) -> Tensor:
    for axis in sorted(axes, reverse=True):
        x = x.prod(axis)
    return x


@primitive("reduce_and", "reduce_or")
def _all(eqn: Any, x: Tensor, axes: Any, **_params: Any) -> Tensor:
    whole = x.astype(np.int64)
    return (whole.min(tuple(axes)) if eqn.primitive.name == "reduce_and" else whole.max(tuple(axes))) > 0


@primitive("argmax", "argmin")
def _argmax(eqn: Any, x: Tensor, axes: Any, index_dtype: Any, **_params: Any) -> Tensor:
    (axis,) = axes
    return (x if eqn.primitive.name == "argmax" else -x).argmax(axis).astype(index_dtype)


@primitive("cumsum")
def _cumsum(_eqn: Any, x: Tensor, axis: int, reverse: bool, **_params: Any) -> Tensor:
    return x.flip(axis).cumsum(axis).flip(axis) if reverse else x.cumsum(axis)


@primitive("cumlogsumexp")
def _cumlogsumexp(_eqn: Any, x: Tensor, axis: int, reverse: bool, **_params: Any) -> Tensor:
    return running_logsumexp(x.flip(axis), axis).flip(axis) if reverse else running_logsumexp(x, axis)


@primitive("cummax", "cummin")
def _cummax(eqn: Any, x: Tensor, axis: int, reverse: bool, **_params: Any) -> Tensor:
    values = x.numpy() if eqn.primitive.name == "cummax" else -x.numpy()
    values = np.flip(values, axis) if reverse else values
    best = np.maximum.accumulate(values, axis)
    first = np.ones(values.shape, bool)
    moved = np.moveaxis(first, axis, 0)
    moved[1:] = np.moveaxis(best, axis, 0)[1:] > np.moveaxis(best, axis, 0)[:-1]
    along = np.arange(x.shape[axis]).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    at = np.maximum.accumulate(np.where(first, along, 0), axis)
    at = np.flip(x.shape[axis] - 1 - at, axis) if reverse else at
    return x.gather(axis, as_tensor(np.ascontiguousarray(at)))


@primitive("sort")
def _sort(_eqn: Any, *operands: Any, dimension: int, num_keys: int, **_params: Any) -> list[Any]:
    tensors = [as_tensor(x) for x in operands]
    keys = [x.numpy() for x in reversed(tensors[:num_keys])]
    order = as_tensor(np.lexsort(keys, axis=dimension))
    return [x.gather(dimension, order) for x in tensors]


@primitive("top_k")
def _top_k(_eqn: Any, x: Tensor, k: int, **params: Any) -> tuple[Tensor, Tensor]:
    axis = params.get("axis", params.get("dimension", -1)) % x.ndim
    values, at = x.topk(k, axis)
    return values, at.astype(np.int32)
