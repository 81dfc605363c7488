"""Reading elements out by position, and its mirror image: adding them back in.

`getitem` and `scatter`, `take` and `scatter_rows` are each other's derivatives. An unrolled network reads a
row per time step; were each read's gradient built densely, T steps would cost O(T^2). So the reading
primitives say how to ``accumulate`` their contribution into one buffer in place.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DTypeError, OutOfRangeError, ShapeError
from ..optional_packages import can_compile
from . import dtypes, kinks
from .record import KERNEL_MIN_SIZE, Primitive, Shape, along_axis, load_kernel
from .reduce import max_shape, ranked

Index = tuple[Any, ...]


def _selects_once(index: Index) -> bool:
    """Whether no element can be selected twice: no integer arrays (a mask selects once)."""
    return not any(isinstance(part, np.ndarray) and part.dtype != bool for part in index)


def _add_at(buffer: Any, index: Index, g: Any) -> None:
    if _selects_once(index):
        buffer[index] += g
    else:
        positions = np.arange(buffer.size).reshape(buffer.shape)[index].ravel()
        flat = np.ascontiguousarray(g).reshape(-1)
        if buffer.flags.c_contiguous:
            _add_repeated(buffer.reshape(-1), flat, positions)
        else:
            fresh = np.zeros(buffer.size, buffer.dtype)
            _add_repeated(fresh, flat, positions)
            buffer += fresh.reshape(buffer.shape)


def _add_repeated(buffer: Any, rows: Any, indices: Any) -> None:
    """``buffer[indices[i]] += rows[i]``; those of one index are added in pairs, so that the error grows with log n."""
    if rows.dtype.kind in "iub":
        np.add.at(buffer, indices, rows)
        return
    order = np.argsort(indices, kind="stable")
    indices, rows = indices[order], rows[order]
    while (again := indices[1:] == indices[:-1]).any():
        starts = np.flatnonzero(np.append(True, ~again))
        rank = np.arange(indices.size) - np.repeat(starts, np.diff(np.append(starts, indices.size)))
        second = np.flatnonzero(rank % 2)
        rows[second - 1] += rows[second]
        kept = rank % 2 == 0
        indices, rows = indices[kept], rows[kept]
    buffer[indices] += rows


def _getitem_shape(x: Shape, *, index: Index) -> Shape:
    try:
        return np.broadcast_to(np.empty((), bool), x)[index].shape
    except IndexError as error:
        raise OutOfRangeError(f"{error}") from None


def _scatter_shape(g: Shape, *, index: Index, shape: Shape) -> Shape:
    selected = _getitem_shape(shape, index=index)
    if g != selected:
        raise ShapeError(f"the index selects {selected} of {shape}, but the value to put there has shape {g}")
    return shape


def _scatter(g: Any, *, index: Index, shape: Shape) -> Any:
    buffer = np.zeros(_scatter_shape(g.shape, index=index, shape=shape), g.dtype)  # NumPy would broadcast
    _add_at(buffer, index, g)
    return buffer


getitem: Primitive = Primitive(
    "getitem",
    "[ ]",
    _getitem_shape,
    lambda x, *, index: x[index],
    vjp=(lambda g, _y, _x, *, index: scatter(g, index=index, shape=_x.shape),),
    rule=(r"\bar x_{[k]} \mathrel{+}= \bar y",),
    accumulate=lambda buffer, g, _y, _x, *, index: _add_at(buffer, index, g),
    view=True,
    leaves_out=True,
    kind="movement",
    infix="[]",
    sentence="puts its gradient back at the place in {targets} it was read from",
)
scatter: Primitive = Primitive(
    "scatter",
    "[ ] +=",
    _scatter_shape,
    _scatter,
    vjp=(lambda g, _y, _x, *, index, shape: getitem(g, index=index),),
    rule=(r"\bar x = \bar y_{[k]}",),
    kind="movement",
    exact=False,
)


def _take_shape(table: Shape, indices: Shape) -> Shape:
    if not table:
        raise ShapeError("there are no rows to take from a 0-dimensional tensor")
    return indices + table[1:]


def _check_indices(table: Any, indices: Any) -> None:
    if indices.dtype.kind not in "iu":
        raise OutOfRangeError(f"indices must be integers, not {indices.dtype}")
    if indices.size and (indices.min() < 0 or indices.max() >= table.shape[0]):
        at = np.argwhere((indices < 0) | (indices >= table.shape[0]))[0]
        where = f" at position {tuple(map(int, at))}" if indices.ndim else ""
        raise OutOfRangeError(
            f"index {indices[tuple(at)]}{where} is outside the {table.shape[0]} rows of the table; "
            f"use indices from 0 to {table.shape[0] - 1}"
        )


def _scatter_rows_shape(g: Shape, indices: Shape, *, rows: int) -> Shape:
    if g[: len(indices)] != indices:
        raise ShapeError(f"indices of shape {indices} want as many rows, but the value has shape {g}")
    return (rows, *g[len(indices) :])


def _scatter_rows(g: Any, indices: Any, *, rows: int) -> Any:
    buffer = np.zeros(_scatter_rows_shape(g.shape, indices.shape, rows=rows), g.dtype)
    _add_rows(buffer, g, None, None, indices)
    return buffer


def _add_rows(buffer: Any, g: Any, _y: Any, _table: Any, indices: Any) -> None:
    if g.size >= KERNEL_MIN_SIZE and g.dtype.char in "fd" and buffer.flags.c_contiguous and can_compile():
        load_kernel("add_rows")(buffer, g, indices)
    else:
        _add_repeated(buffer, g.reshape(indices.size, *buffer.shape[1:]), indices.reshape(-1))


take = Primitive(
    "take",
    "rows",
    _take_shape,
    lambda table, indices: table[indices],
    vjp=(lambda g, _y, _table, indices: scatter_rows(g, indices, rows=_table.shape[0]), None),
    rule=(r"\bar E_{[i]} \mathrel{+}= \bar y", ""),
    check=_check_indices,
    accumulate=_add_rows,
    leaves_out=True,
    kind="index",
    dtype=dtypes.first,
    exact=True,
    sentence="adds its gradient to the rows of {targets} that were looked up",
)
scatter_rows: Primitive = Primitive(
    "scatter_rows",
    "rows +=",
    _scatter_rows_shape,
    _scatter_rows,
    vjp=(lambda g, _y, _x, indices, *, rows: take(g, indices), None),
    rule=(r"\bar x = \bar y_{[i]}", ""),
    kind="index",
    dtype=dtypes.first,
)


def check_targets(target: Any, classes: int, ignore_index: int) -> None:
    """Every target is a class index or the one to ignore; else say which is not."""
    if target.dtype.kind not in "iu":
        raise DTypeError(f"targets must be class indices (integers), not {target.dtype}")
    wrong = (target != ignore_index) & ((target < 0) | (target >= classes))
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise OutOfRangeError(f"target {target[at]} at position {at} is not one of the {classes} classes")


def _check_classes(indices: Any, *, num_classes: int, dtype: Any, strict: bool) -> None:
    if strict:
        check_targets(indices, num_classes, ignore_index=0)


#: Unless ``strict``, an index that is no class gives a row of zeros.
one_hot = Primitive(
    "one_hot",
    "one-hot",
    lambda indices, *, num_classes, dtype, strict: (*indices, num_classes),
    lambda indices, *, num_classes, dtype, strict: (indices[..., None] == np.arange(num_classes)).astype(dtype),
    check=_check_classes,
    kind="index",
    dtype=dtypes.asked,
    exact=True,
)
argmax = Primitive(
    "argmax",
    "argmax",
    max_shape,
    lambda x, *, axis: np.argmax(ranked(x, axis).real, axis),
    kind="reduction",
    dtype=dtypes.position,
    exact=True,
    kink=kinks.of_largest,
)


argsort = Primitive(
    "argsort",
    "argsort",
    along_axis,
    lambda x, *, axis: np.argsort(ranked(x, axis).real, axis, kind="stable"),
    kind="axis",
    dtype=dtypes.position,
    kink=kinks.where_neighbours_meet,
)
