"""Rows of one tensor, one a time step: read all at once, and put side by side all at once."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

from .. import primitives as P
from ..thread_state import current


def read_at_once(rows: list[Any]) -> Any:
    """Tensors, stacked: what they are rows of, if they are of one tensor; a copy of those that ask for no gradient."""
    found_slices = slices(rows)
    if found_slices is not None:
        index, axis = found_slices
        source = rows[0].operands[0]
        whole = all(part == slice(0, n, 1) for part, n in zip(index, source.shape)) and len(index) <= len(source.shape)
        found = source if whole else P.getitem(source, index=index)
        if axis:
            found = P.permute(found, axes=(axis, *(k for k in range(len(found.shape)) if k != axis)))
        return found
    return P.stack(*rows, axis=0)


def alike(rows: list[Any]) -> bool:
    """Whether tensors can be copied side by side; those that ask for a gradient, as weights do, stay where they are."""
    return not any(x.requires_grad for x in rows) and len({(x.shape, x.dtype) for x in rows}) == 1


def slices(rows: list[Any]) -> tuple[tuple[Any, ...], int] | None:
    """The index that reads all rows at once, and where time is then."""
    if any(x.op is not P.getitem or x.operands[0] is not rows[0].operands[0] for x in rows):
        return None
    source = rows[0].operands[0]
    indices = [x.attrs["index"] for x in rows]
    if any(type(part) not in (int, slice) for part in indices[0]) or len({len(index) for index in indices}) > 1:
        return None
    moving = [k for k, parts in enumerate(zip(*indices)) if any(part != parts[0] for part in parts)]
    if len(moving) != 1 or any(type(index[moving[0]]) is not int for index in indices):
        return None
    (at,) = moving
    size = source.shape[at]
    numbers = [index[at] % size for index in indices]
    step = numbers[1] - numbers[0]
    if not step or any(b - a != step for a, b in pairwise(numbers)):
        return None
    stop = numbers[-1] + (1 if step > 0 else -1)
    along = slice(numbers[0], None if stop < 0 else stop, step)
    return (*indices[0][:at], along, *indices[0][at + 1 :]), sum(type(part) is slice for part in indices[0][:at])


def gather(x: Any) -> None:
    """Let an operation that joins consecutive rows of one stack take them at once."""
    if x.op is None or not x.op.joins or len(x.operands) < 4:
        return
    pieces: list[_Rows] = []
    axis = x.attrs["axis"] % len(x.shape)
    for y in x.operands:
        row = y.attrs["index"][0] if _is_row(y) else None
        if pieces and row is not None and pieces[-1].stack is y.operands[0] and pieces[-1].stop == row:
            pieces[-1] = pieces[-1]._replace(stop=row + 1)
        elif row is not None:
            pieces.append(_Rows(y, y.operands[0], row, row + 1))
        else:
            pieces.append(_Rows(y))
    if len(pieces) > len(x.operands) // 2:
        return
    current.scope = x.scope
    parts = [_piece(piece, axis, x.op is P.stack) for piece in pieces]
    if len(parts) == 1:
        x.op, x.operands, x.attrs = P.broadcast_to, (parts[0],), {"shape": x.shape}
    else:
        x.op, x.operands, x.attrs = P.concat, tuple(parts), {"axis": axis}


class _Rows(NamedTuple):
    """A tensor, or rows of a stack the first of which it is."""

    x: Any
    stack: Any = None
    first: int = 0
    stop: int = 1


def _piece(rows: _Rows, axis: int, new_axis: bool) -> Any:
    """Rows of a stack, or one tensor, as a part of what they are put side by side in."""
    x, stack, first, stop = rows
    if stack is None:
        return P.reshape(x, shape=(*x.shape[:axis], 1, *x.shape[axis:])) if new_axis else x
    part = stack if stop - first == len(stack) else P.getitem(stack, index=(slice(first, stop),))
    if axis:
        part = P.permute(part, axes=(*range(1, axis + 1), 0, *range(axis + 1, len(part.shape))))
    shape = x.shape
    whole = (*shape[:axis], (stop - first) * shape[axis], *shape[axis + 1 :])
    return part if new_axis else P.reshape(part, shape=whole)


def _is_row(x: Any) -> bool:
    return x.op is P.getitem and [type(part) for part in x.attrs["index"]] == [int]
