"""One operation of every time step, done for all steps at once: its operands and result have time in front."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import primitives as P
from ..primitives.record import Shape, broadcast, normalize_axis, same_shape, size_of
from ..tensors import Tensor

#: gives an operand with time in front
Stacked = Callable[[int], Any]


class _Step:
    """An operation as one step does it: what it is, the shapes it is of, and which operands differ between steps."""

    def __init__(self, op: Any, attrs: dict[str, Any], shape: Shape, operands: Sequence[Any], moving: Sequence[bool]):
        self.op, self.attrs, self.shape, self.operands, self.moving = op, attrs, shape, operands, moving

    def shape_of(self, slot: int) -> Shape:
        x = self.operands[slot]
        return x.shape if isinstance(x, Tensor) else ()


def how(op: Any, attrs: dict[str, Any], shape: Shape, operands: Sequence[Any], moving: Sequence[bool]) -> Any:
    """``done(time, stacked)`` that gives the results of all steps; None if there is no such way.

    ``stacked(slot)`` gives an operand that is moving with time in front; ``operands`` are those of one step.
    """
    step = _Step(op, attrs, shape, operands, moving)
    if op.elementwise and op.shape in (broadcast, same_shape) and op.along is None:
        return lambda time, stacked: _each(step, time, stacked)
    along_axes = op.kind in ("reduction", "axis") and "axis" in attrs and len(operands) == 1
    rule = _along if along_axes else _RULES.get(op)
    return None if rule is None else rule(step)


def _each(step: _Step, time: int, stacked: Stacked) -> Any:
    rank = len(step.shape)
    spread = [
        _spread(stacked(slot), time, step.shape_of(slot), rank) if moves else x
        for slot, (x, moves) in enumerate(zip(step.operands, step.moving))
    ]
    return step.op(*spread, **step.attrs)


def _spread(stack: Any, time: int, shape: Shape, rank: int) -> Any:
    """Axes of size 1 after time, as many as broadcasting would put there."""
    return stack if len(shape) == rank else P.reshape(stack, shape=(time, *(1,) * (rank - len(shape)), *shape))


def _product(step: _Step) -> Any:
    a, b = step.shape_of(0), step.shape_of(1)
    if step.moving[0] and not any(step.moving[1:]) and len(b) == 2 and len(a) <= 2:
        return lambda time, stacked: _rows_times(stacked(0), step, time)
    if step.op is P.matmul and step.moving == [False, True] and len(a) == 2 and len(b) <= 2:
        return lambda time, stacked: _times_columns(step.operands[0], stacked(1), time)
    return None


def _rows_times(stack: Any, step: _Step, time: int) -> Any:
    rows = P.reshape(stack, shape=(size_of(stack.shape[:-1]), stack.shape[-1]))
    made = step.op(rows, *step.operands[1:], **step.attrs)
    return made if len(stack.shape) == 2 else P.reshape(made, shape=(time, *step.shape))


def _times_columns(a: Any, stack: Any, time: int) -> Any:
    """The same matrix times the columns of each step, as rows times its transpose."""
    transposed = P.permute(a, axes=(1, 0))
    if len(stack.shape) == 2:
        return P.matmul(stack, transposed)
    _, inner, columns = stack.shape
    if columns == 1:
        made = P.matmul(P.reshape(stack, shape=(time, inner)), transposed)
        return P.reshape(made, shape=(time, a.shape[0], 1))
    rows = P.reshape(P.permute(stack, axes=(0, 2, 1)), shape=(time * columns, inner))
    made = P.reshape(P.matmul(rows, transposed), shape=(time, columns, a.shape[0]))
    return P.permute(made, axes=(0, 2, 1))


def _of_rows(step: _Step) -> Any:
    """The rule for operations that take any number of dimensions in front: their settings do not change."""
    return lambda _time, stacked: step.op(stacked(0), *map(stacked, range(1, len(step.operands))), **step.attrs)


def _cross_entropy(step: _Step) -> Any:
    if not all(step.moving):
        return None
    if len(step.shape) == 0:
        return _of_rows(step)

    def done(time: int, stacked: Stacked) -> Any:
        logits, targets = stacked(0), stacked(1)
        made = step.op(
            P.reshape(logits, shape=(size_of(logits.shape[:-1]), logits.shape[-1])),
            P.reshape(targets, shape=(size_of(targets.shape),)),
            **step.attrs,
        )
        return P.reshape(made, shape=(time, *step.shape))

    return done


def _take(step: _Step) -> Any:
    if step.moving != [False, True]:
        return None
    return lambda _time, stacked: step.op(step.operands[0], stacked(1), **step.attrs)


def _along(step: _Step) -> Any:
    """The rule for operations along axes: the axes are one further on."""
    axis = step.attrs["axis"]
    rank = len(step.shape_of(0))
    if axis is None and "keepdims" not in step.attrs:
        return None
    axes = normalize_axis(axis, rank)
    moved: Any = tuple(a + 1 for a in axes)
    if isinstance(axis, int):
        (moved,) = moved
    return lambda _time, stacked: step.op(stacked(0), **(step.attrs | {"axis": moved}))


def _reshape(step: _Step) -> Any:
    return lambda time, stacked: P.reshape(stacked(0), shape=(time, *step.shape))


def _permute(step: _Step) -> Any:
    axes = (0, *(a % len(step.shape) + 1 for a in step.attrs["axes"]))
    return lambda _time, stacked: P.permute(stacked(0), axes=axes)


def _broadcast_to(step: _Step) -> Any:
    shape, rank = step.shape_of(0), len(step.shape)
    return lambda time, stacked: P.broadcast_to(_spread(stacked(0), time, shape, rank), shape=(time, *step.shape))


def _side_by_side(step: _Step) -> Any:
    axis = step.attrs["axis"] % len(step.shape) + 1

    def done(time: int, stacked: Stacked) -> Any:
        every = [
            stacked(slot) if moves else P.broadcast_to(x, shape=(time, *x.shape))
            for slot, (x, moves) in enumerate(zip(step.operands, step.moving))
        ]
        return step.op(*every, axis=axis)

    return done


def _getitem(step: _Step) -> Any:
    index = step.attrs["index"]
    if not all(part is None or part is Ellipsis or type(part) in (int, slice) for part in index):
        return None
    return lambda _time, stacked: P.getitem(stacked(0), index=(slice(None), *index))


_RULES: dict[Any, Callable[[_Step], Any]] = {
    P.linear: _product,
    P.matmul: _product,
    P.cross_entropy: _cross_entropy,
    P.one_hot: _of_rows,
    P.take: _take,
    P.reshape: _reshape,
    P.permute: _permute,
    P.broadcast_to: _broadcast_to,
    P.concat: _side_by_side,
    P.stack: _side_by_side,
    P.getitem: _getitem,
}
