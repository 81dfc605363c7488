"""Operators that move, repeat, choose or make elements, and those about shapes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .... import functional as T
from .... import primitives as P
from ....errors import DataError
from ....tensors import Tensor, as_tensor
from ....thread_state import current
from ...composed_operators import flat_positions, last_of_each, padded, wrapped
from ..constant_folding import Constant
from .table import affordable, axis_of, integers, operator, simple, single, static

if TYPE_CHECKING:
    from ..running import Node


simple(
    Transpose=lambda x, perm=None: x.permute(tuple(reversed(range(x.ndim))) if perm is None else tuple(perm)),
    Concat=lambda *xs, axis=1: T.concat(xs, axis),
    Squeeze=lambda x, axes=None: x.squeeze(None if axes is None else _axes(axes, x.ndim)),
    Shape=lambda x, start=0, end=None: Constant(np.array(x.shape[start:end], np.int64)),
    Size=lambda x: Constant(np.array(x.numel(), np.int64)),
    NonZero=lambda x: as_tensor(np.array(np.nonzero(x.numpy()), np.int64)),
    Trilu=lambda x, k=None, upper=1: (x.triu if upper else x.tril)(0 if k is None else int(single(k, "k"))),
)


def _axes(axes: Any, rank: int) -> tuple[int, ...]:
    return tuple(axis_of(a, rank) for a in integers(axes, "axes"))


@operator("Reshape")
def _reshape(_node: Node, x: Tensor, shape: Any, allowzero: int = 0) -> Tensor:
    sizes = list(integers(shape, "shape"))
    if not allowzero:
        sizes = [x.shape[i] if n == 0 and i < x.ndim else n for i, n in enumerate(sizes)]
    return x if tuple(sizes) == x.shape else x.reshape(sizes)


@operator("Flatten")
def _flatten(_node: Node, x: Tensor, axis: int = 1) -> Tensor:
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape((math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


@operator("Unsqueeze")
def _unsqueeze(_node: Node, x: Tensor, axes: Any) -> Tensor:
    chosen = integers(axes, "axes")
    rank = x.ndim + len(chosen)
    at = {axis_of(a, rank) for a in chosen}
    if len(at) != len(chosen):
        raise DataError(f"axes {chosen} name a dimension twice")
    sizes = iter(x.shape)
    return x.reshape(tuple(1 if i in at else next(sizes) for i in range(rank)))


@operator("Split")
def _split(node: Node, x: Tensor, split: Any = None, axis: int = 0, num_outputs: int | None = None) -> Any:
    if split is not None:
        return x.split(list(integers(split, "split")), axis)
    count = num_outputs or len(node.outputs)
    size = -(-x.shape[axis_of(axis, x.ndim)] // count)
    pieces = x.split(max(1, size), axis)
    if len(pieces) != count:
        raise DataError(f"{x.shape[axis]} elements cannot be split into {count} pieces")
    return pieces


@operator("Slice")
def _slice(_node: Node, x: Tensor, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Tensor:
    first, last = integers(starts, "starts"), integers(ends, "ends")
    chosen = range(len(first)) if axes is None else integers(axes, "axes")
    strides = (1,) * len(first) if steps is None else integers(steps, "steps")
    if not len(first) == len(last) == len(chosen) == len(strides) or 0 in strides:
        raise DataError("starts, ends, axes and steps differ in number, or a step is 0")
    index = [slice(None)] * x.ndim
    for a, begin, end, step in zip(chosen, first, last, strides):
        size = x.shape[axis_of(a, x.ndim)]
        if step < 0 and end < -size:
            index[a] = slice(min(begin, size - 1), None, step)
        else:
            index[a] = slice(begin, end, step)
    return x if all(part == slice(None) for part in index) else x[tuple(index)]


@operator("Gather")
def _gather(_node: Node, x: Tensor, indices: Tensor, axis: int = 0) -> Tensor:
    axis = axis_of(axis, x.ndim)
    if not indices.ndim:
        at = int(indices.numpy())
        return x[(*(slice(None),) * axis, at)]
    if current.tracer is not None or (indices.numpy() < 0).any():
        indices = wrapped(indices, x.shape[axis])
    return T.take(x, indices, axis)


@operator("GatherElements")
def _gather_elements(_node: Node, x: Tensor, indices: Tensor, axis: int = 0) -> Tensor:
    axis = axis_of(axis, x.ndim)
    return x.gather(axis, wrapped(indices, x.shape[axis]))


@operator("GatherND")
def _gather_nd(_node: Node, x: Tensor, indices: Tensor, batch_dims: int = 0) -> Tensor:
    return x.reshape((-1, *x.shape[batch_dims + indices.shape[-1] :]))[_rows(x.shape, indices.numpy(), batch_dims)]


def _rows(shape: tuple[int, ...], indices: np.ndarray[Any, Any], batch: int = 0) -> np.ndarray[Any, Any]:
    """For each vector of ``indices``, the row it names once the dimensions it goes through are one."""
    named = indices.shape[-1]
    where = np.arange(math.prod(shape[: batch + named])).reshape(shape[: batch + named])
    if np.any(indices >= np.asarray(shape[batch : batch + named])) or np.any(
        indices < -np.asarray(shape[batch : batch + named])
    ):
        raise DataError(f"an index is outside shape {shape}")
    lead = np.indices(indices.shape[:batch]).reshape(batch, *indices.shape[:batch], *(1,) * (indices.ndim - 1 - batch))
    return where[(*lead, *np.moveaxis(indices, -1, 0))]


@operator("ScatterElements", "Scatter")
def _scatter_elements(
    _node: Node, x: Tensor, indices: Tensor, updates: Tensor, axis: int = 0, reduction: str = "none"
) -> Tensor:
    axis = axis_of(axis, x.ndim)
    at = flat_positions(x, axis, wrapped(indices, x.shape[axis])).reshape(-1)
    return _scattered(x.reshape(-1), at, updates.reshape(-1), reduction).reshape(x.shape)


@operator("ScatterND")
def _scatter_nd(_node: Node, x: Tensor, indices: Tensor, updates: Tensor, reduction: str = "none") -> Tensor:
    rows = _rows(x.shape, indices.numpy())
    rest = x.shape[indices.shape[-1] :]
    at = as_tensor(rows.reshape(-1))
    return _scattered(x.reshape((-1, *rest)), at, updates.reshape((-1, *rest)), reduction).reshape(x.shape)


def _scattered(rows: Tensor, at: Tensor, updates: Tensor, reduction: str) -> Tensor:
    if reduction not in ("none", "add"):
        raise DataError(f'reduction "{reduction}" is not supported; "none" and "add" are')
    if reduction == "add":
        return rows + P.scatter_rows(updates, at, rows=rows.shape[0])
    positions, updates = last_of_each(at.numpy(), updates)
    put = P.scatter_rows(updates, as_tensor(positions), rows=rows.shape[0])
    kept = np.ones((rows.shape[0], *(1,) * (rows.ndim - 1)), bool)
    kept[positions] = False
    return T.where(as_tensor(kept), rows, put)


@operator("Expand")
def _expand(_node: Node, x: Tensor, shape: Any) -> Tensor:
    wanted = affordable(np.broadcast_shapes(x.shape, affordable(integers(shape, "shape"))))
    return x if wanted == x.shape else x.broadcast_to(wanted)


@operator("Tile")
def _tile(_node: Node, x: Tensor, repeats: Any) -> Tensor:
    times = integers(repeats, "repeats")
    affordable([n * t for n, t in zip(x.shape, times)])
    return x.repeat(times)


@operator("ConstantOfShape")
def _constant_of_shape(node: Node, shape: Any, value: Any = None) -> Tensor:
    filling = np.zeros(1, np.float32) if value is None else node.array(value)
    return as_tensor(np.full(affordable(integers(shape, "shape")), filling.reshape(-1)[0], filling.dtype))


@operator("Range")
def _range(_node: Node, start: Any, limit: Any, delta: Any) -> Tensor:
    first, last, step = (single(x, "a limit") for x in (start, limit, delta))
    if not step:
        raise DataError("a step of 0 never gets anywhere")
    affordable([max(0, math.ceil((float(last) - float(first)) / float(step)))])
    return as_tensor(np.arange(first, last, step).astype(static(start, "start").dtype))


@operator("OneHot")
def _one_hot(_node: Node, indices: Tensor, depth: Any, values: Tensor, axis: int = -1) -> Tensor:
    classes = int(single(depth, "depth"))
    affordable([classes, indices.numel()])
    at = indices.numpy()
    hot = as_tensor(np.expand_dims(np.where(at < 0, at + classes, at), -1) == np.arange(classes))
    chosen = T.where(hot, values[1], values[0])
    axis = axis_of(axis, chosen.ndim)
    return chosen.permute([*range(axis), chosen.ndim - 1, *range(axis, chosen.ndim - 1)])


@operator("Pad")
def _pad(
    _node: Node,
    x: Tensor,
    pads: Any,
    constant_value: Any = None,
    axes: Any = None,
    mode: str = "constant",
    value: float = 0.0,
) -> Tensor:
    widths = integers(pads, "pads")
    chosen = range(x.ndim) if axes is None else [axis_of(a, x.ndim) for a in integers(axes, "axes")]
    if len(widths) != 2 * len(chosen):
        raise DataError(f"{len(widths)} pads for {len(chosen)} dimensions; there are two for each")
    pairs = [(0, 0)] * x.ndim
    for k, a in enumerate(chosen):
        pairs[a] = widths[k], widths[k + len(chosen)]
    affordable([n + a + b for n, (a, b) in zip(x.shape, pairs)])
    filling = value if constant_value is None else single(constant_value, "constant_value")
    if mode == "constant":
        return padded(x, pairs, filling)
    if mode not in ("reflect", "edge", "wrap"):
        raise DataError(f"mode {mode!r} is not supported; constant, reflect, edge and wrap are")
    at = np.pad(np.arange(x.numel()).reshape(x.shape), pairs, mode=mode)  # type: ignore[call-overload]
    return x.reshape(-1)[at]


@operator("ReverseSequence")
def _reverse_sequence(_node: Node, x: Tensor, lengths: Tensor, batch_axis: int = 1, time_axis: int = 0) -> Tensor:
    times = np.broadcast_to(np.arange(x.shape[time_axis])[:, None], (x.shape[time_axis], x.shape[batch_axis]))
    ends = lengths.numpy()
    turned = np.where(times < ends, ends - 1 - times, times)
    order = turned if time_axis == 0 else turned.T
    shape = [x.shape[a] if a in (time_axis, batch_axis) else 1 for a in range(x.ndim)]
    return x.gather(time_axis, as_tensor(np.ascontiguousarray(np.broadcast_to(order.reshape(shape), x.shape))))


@operator("EyeLike")
def _eye_like(node: Node, x: Tensor, dtype: int | None = None, k: int = 0) -> Tensor:
    return as_tensor(np.eye(x.shape[0], x.shape[1], k=k, dtype=x.dtype if dtype is None else node.dtype(dtype)))


@operator("Compress")
def _compress(_node: Node, x: Tensor, condition: Tensor, axis: int | None = None) -> Tensor:
    at = np.flatnonzero(condition.numpy())
    return x.reshape(-1)[at] if axis is None else x[(*(slice(None),) * axis_of(axis, x.ndim), at)]
