"""Reductions over axes, softmax, running sums, orders."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ....errors import DataError
from ....tensors import Tensor, as_tensor
from .table import TABLE, axis_of, integers, operator, single

if TYPE_CHECKING:
    from ..running import Node


def _reduction(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def reduced(_node: Node, x: Tensor, axes: Any = None, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Tensor:
        chosen = () if axes is None else tuple(axis_of(a, x.ndim) for a in integers(axes, "axes"))
        if not chosen and noop_with_empty_axes:
            return function(x, (), True)
        return function(x, chosen or None, bool(keepdims))

    return reduced


def _product(x: Tensor, axes: Any, keepdims: bool) -> Tensor:
    for axis in range(x.ndim) if axes is None else axes:
        x = x.prod(axis, True)
    return x if keepdims else x.squeeze(axes) if axes is not None else x.reshape(())


for _name, _function in {
    "ReduceSum": lambda x, axes, keep: x.sum(axes, keep),
    "ReduceMean": lambda x, axes, keep: x.mean(axes, keep),
    "ReduceMax": lambda x, axes, keep: x.max(axes, keep),
    "ReduceMin": lambda x, axes, keep: x.min(axes, keep).astype(x.dtype),
    "ReduceProd": _product,
    "ReduceSumSquare": lambda x, axes, keep: x.square().sum(axes, keep),
    "ReduceL1": lambda x, axes, keep: x.abs().sum(axes, keep),
    "ReduceL2": lambda x, axes, keep: x.square().sum(axes, keep).sqrt(),
    "ReduceLogSum": lambda x, axes, keep: x.sum(axes, keep).log(),
    "ReduceLogSumExp": lambda x, axes, keep: x.logsumexp(axes, keep),
}.items():
    TABLE["", _name] = _reduction(_function)


@operator("Softmax", "LogSoftmax")
def _softmax(node: Node, x: Tensor, axis: int | None = None) -> Tensor:
    if node.opset < 13:  # the axis and all after it count as one
        axis = axis_of(1 if axis is None else axis, x.ndim)
        flat = x.reshape((math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))
        return (flat.softmax(1) if node.op == "Softmax" else flat.log_softmax(1)).reshape(x.shape)
    axis = -1 if axis is None else axis
    return x.softmax(axis) if node.op == "Softmax" else x.log_softmax(axis)


@operator("ArgMax", "ArgMin")
def _argmax(node: Node, x: Tensor, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    axis = axis_of(axis, x.ndim)
    values = -x if node.op == "ArgMin" else x
    at = x.shape[axis] - 1 - values.flip(axis).argmax(axis) if select_last_index else values.argmax(axis)
    return at.expand_dims(axis) if keepdims else at


@operator("TopK")
def _top_k(_node: Node, x: Tensor, k: Any, axis: int = -1, largest: int = 1, sorted: int = 1) -> tuple[Tensor, ...]:
    axis, count = axis_of(axis, x.ndim), int(single(k, "k"))
    if not 0 <= count <= x.shape[axis]:
        raise DataError(f"the first {count} of {x.shape[axis]} elements cannot be chosen")
    return tuple(x.topk(count, axis, bool(largest)))


@operator("CumSum")
def _cumsum(_node: Node, x: Tensor, axis: Any, exclusive: int = 0, reverse: int = 0) -> Tensor:
    along = axis_of(int(single(axis, "axis")), x.ndim)
    turned = x.flip(along) if reverse else x
    total = turned.cumsum(along)
    total = (total - turned if exclusive else total).astype(x.dtype)
    return total.flip(along) if reverse else total


@operator("Unique")
def _unique(_node: Node, x: Tensor, axis: int | None = None, sorted: int = 1) -> Any:
    if axis is not None or not sorted:
        raise DataError("only the flattened, sorted form is supported")
    _, first, inverse, counts = np.unique(x.numpy(), return_index=True, return_inverse=True, return_counts=True)
    return x.reshape(-1)[first], *(as_tensor(a.reshape(-1).astype(np.int64)) for a in (first, inverse, counts))
