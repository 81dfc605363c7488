"""JAX's gathers and scatters, as indexing.

JAX itself runs each of them once on an array of element numbers, 0, 1, 2, ...; the result says which element goes
where.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np

from .... import functional as T
from .... import primitives as P
from ....tensors import Tensor, as_tensor
from ...composed_operators import put, write_through
from ..conversion import raw
from .table import primitive


def _numbers(shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """An array of this shape whose elements are 0, 1, 2, ... in row-major order."""
    return np.arange(math.prod(shape), dtype=np.int32).reshape(shape)


@primitive("gather")
def _gather(eqn: Any, x: Any, indices: Any, **params: Any) -> Tensor:
    x = as_tensor(x)
    filling = params.get("fill_value")
    asked = {**params, "fill_value": -1}
    where = np.asarray(jax.lax.gather_p.bind(_numbers(x.shape), np.asarray(raw(indices)), **asked))
    outside = where < 0
    inside = np.where(outside, 0, where)
    taken = _rows(x, inside)
    if not outside.any():
        return taken
    return T.where(as_tensor(outside), np.nan if filling is None else float(filling), taken)


def _rows(x: Tensor, where: np.ndarray[Any, Any]) -> Tensor:
    """Elements by their positions in the flattened array; taken as whole rows, where the positions are whole rows."""
    width = math.prod(x.shape[1:])
    tail = x.shape[1:]
    if x.ndim > 1 and width > 1 and where.shape[where.ndim - len(tail) :] == tail:
        rows = where.reshape((*where.shape[: where.ndim - len(tail)], width))
        first = rows[..., 0]
        if (first % width == 0).all() and np.array_equal(rows, first[..., None] + np.arange(width)):
            return T.take(x, as_tensor(first // width))
    return x.reshape(-1)[where]


@primitive("scatter", "scatter-add", "scatter_add")
def _scatter(eqn: Any, x: Any, indices: Any, updates: Any, **params: Any) -> Tensor:
    x, updates = as_tensor(x), as_tensor(updates)
    numbers = params["dimension_numbers"]
    batching = tuple(getattr(numbers, "operand_batching_dims", ()))
    window = iter(updates.shape[d] for d in numbers.update_window_dims)
    missing = (*numbers.inserted_window_dims, *batching)
    sizes = tuple(1 if d in missing else next(window) for d in range(x.ndim))
    more = {"operand_batching_dims": batching} if batching else {}
    if batching:
        more["start_indices_batching_dims"] = tuple(numbers.scatter_indices_batching_dims)
    backwards = jax.lax.GatherDimensionNumbers(
        offset_dims=tuple(numbers.update_window_dims),
        collapsed_slice_dims=tuple(numbers.inserted_window_dims),
        start_index_map=tuple(numbers.scatter_dims_to_operand_dims),
        **more,
    )
    where = np.asarray(
        jax.lax.gather(
            _numbers(x.shape), np.asarray(raw(indices)), backwards, sizes, mode=params.get("mode"), fill_value=-1
        )
    )
    flat, values = where.reshape(-1), updates.reshape(-1)
    if (flat < 0).any():
        values, flat = values[np.flatnonzero(flat >= 0)], flat[flat >= 0]
    if eqn.primitive.name != "scatter":
        added = P.scatter_rows(values, as_tensor(flat.astype(np.int64)), rows=x.numel())
        return x + added.reshape(x.shape)
    return write_through(x, flat, values)


def _starts(x: Tensor, sizes: Any, starts: Any) -> tuple[slice, ...]:
    """The first positions of a slice of these sizes: moved inside, as JAX does."""
    at = [int(np.asarray(raw(s))) for s in starts]
    at = [min(max(0, s + n if s < 0 else s), n - size) for s, n, size in zip(at, x.shape, sizes)]
    return tuple(slice(s, s + size) for s, size in zip(at, sizes))


@primitive("dynamic_slice")
def _dynamic_slice(_eqn: Any, x: Any, *starts: Any, slice_sizes: Any, **_params: Any) -> Tensor:
    x = as_tensor(x)
    return x[_starts(x, slice_sizes, starts)]


@primitive("dynamic_update_slice")
def _dynamic_update_slice(_eqn: Any, x: Any, update: Any, *starts: Any, **_params: Any) -> Tensor:
    x, update = as_tensor(x), as_tensor(update)
    return put(x, _starts(x, update.shape, starts), update)
