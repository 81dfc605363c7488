"""Reading and writing by position: indexing, gather, scatter, and views of shared memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .... import functional as T
from .... import primitives as P
from ....tensors import Tensor, as_tensor
from ...composed_operators import flat_positions, put, taken, write_through
from ...program import constant
from .table import handles

if TYPE_CHECKING:
    from ..recorder import Call


@handles("getitem")
def _getitem(call: Call, x: Any, index: Any) -> Any:
    index = list(index) if isinstance(index, tuple) else [index]
    if not any(isinstance(part, Tensor) and part.serial in call.recorder.live for part in index):
        return x[tuple(np.asarray(part) if isinstance(part, (Tensor, list)) else part for part in index)]
    if any(isinstance(part, Tensor) and part.dtype.kind == "b" for part in index):
        call.recorder.note("a mask that depends on data selects what it selected")
        return x[tuple(part.numpy() if isinstance(part, Tensor) else part for part in index)]
    return taken(x, index)


@handles("select")
def _select(_call: Call, x: Any, dim: int, index: Any) -> Any:
    before = (slice(None),) * (dim % x.ndim)
    if isinstance(index, Tensor):
        return taken(x, [*before, index])
    return x[(*before, int(index))]


@handles("slice")
def _slice(_call: Call, x: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
    return x[(*(slice(None),) * (dim % x.ndim), slice(start, end if end is None else min(end, x.shape[dim]), step))]


@handles("index")
def _index(call: Call, x: Any, indices: Any) -> Any:
    return _getitem(call, x, tuple(slice(None) if part is None else part for part in indices))


@handles("gather")
def _gather(_call: Call, x: Any, dim: int, index: Any, **_kwargs: Any) -> Any:
    if not x.ndim or index.ndim != x.ndim:
        return NotImplemented
    return T.take(x.reshape(-1), flat_positions(x, dim, index))


@handles("scatter", "scatter_add")
def _scatter(
    call: Call, x: Any, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: Any = None
) -> Any:
    src = value if src is None else src
    if reduce is not None or not x.ndim:
        return NotImplemented
    flat = flat_positions(x, dim, index)
    if isinstance(src, Tensor):
        src = src[tuple(slice(0, n) for n in index.shape)]
    else:
        src = constant(np.full(index.shape, src, x.dtype))
    added = P.scatter_rows(src.reshape(-1), flat.reshape(-1), rows=x.numel()).reshape(x.shape)
    if call.name.startswith("scatter_add"):
        return x + added
    hits = P.scatter_rows(constant(np.ones(index.numel(), x.dtype)), flat.reshape(-1), rows=x.numel()).reshape(x.shape)
    if hits.numpy().max(initial=0) > 1:
        return NotImplemented  # which of two values wins is nobody's promise
    return T.where(hits > 0, added, x)


@handles("masked_select")
def _masked_select(call: Call, x: Any, mask: Any) -> Any:
    shape = np.broadcast_shapes(x.shape, mask.shape)
    return _getitem(call, x.broadcast_to(shape), mask.broadcast_to(shape))


@handles("index_put", "_unsafe_index_put", "_index_put_impl")
def _index_put(call: Call, x: Any, indices: Any, values: Any, accumulate: bool = False, *_unsafe: Any) -> Any:
    if not accumulate:
        return _setitem(call, x, tuple(slice(None) if part is None else part for part in indices), values)
    parts = tuple(slice(None) if part is None else part.numpy() for part in indices)
    if any(isinstance(part, Tensor) and part.serial in call.recorder.live for part in indices):
        call.recorder.note("an index that depends on data writes where it wrote")
    where = np.arange(x.numel()).reshape(x.shape)[parts]
    given = as_tensor(values).astype(x.dtype).broadcast_to(where.shape).reshape(-1)
    return x + P.scatter_rows(given, constant(where.ravel()), rows=x.numel()).reshape(x.shape)


@handles("index_add")
def _index_add(_call: Call, x: Any, dim: int, index: Any, source: Any, *, alpha: Any = 1) -> Any:
    if dim % x.ndim:
        return NotImplemented
    return x + P.scatter_rows(source if alpha == 1 else source * alpha, index, rows=x.shape[0])


@handles("setitem")
def _setitem(call: Call, x: Any, index: Any, value: Any) -> Any:
    index = list(index) if isinstance(index, tuple) else [index]
    parts = []
    for part in index:
        if isinstance(part, Tensor):
            if part.serial in call.recorder.live:
                if part.dtype.kind == "b" and len(index) == 1 and part.shape == x.shape and _scalar(value):
                    return T.where(part, value, x)
                call.recorder.note("an index that depends on data writes where it wrote")
            part = part.numpy()
        parts.append(np.asarray(part) if isinstance(part, list) else part)
    where = np.arange(x.numel()).reshape(x.shape)[tuple(parts)]
    value = as_tensor(value).astype(x.dtype)
    if value.shape != where.shape:
        while value.ndim > where.ndim:
            value = value.squeeze(0)
        value = value.broadcast_to(where.shape)
    if (len(parts) == 1 and isinstance(parts[0], (int, slice))) or all(isinstance(p, (int, slice)) for p in parts):
        return put(x, tuple(parts), value)
    return write_through(x, where, value)


def _scalar(value: Any) -> bool:
    return not isinstance(value, Tensor) or value.ndim == 0
