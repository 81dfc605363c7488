"""Primitives that only rearrange: their derivative puts the gradient back where the value came from."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ShapeError
from .record import Primitive, Shape, broadcast, normalize_axis, size_of


def _reshape_shape(x: Shape, *, shape: Shape) -> Shape:
    known = size_of(tuple(n for n in shape if n != -1))
    free = shape.count(-1)
    if free > 1 or any(n < -1 for n in shape):
        raise ShapeError(f"shape {shape} may have one -1 and no other negative size")
    if free and (known == 0 or size_of(x) % known):
        raise ShapeError(
            f"{size_of(x)} elements cannot be spread over {shape}; the sizes that are given must divide them"
        )
    result = tuple(size_of(x) // known if n == -1 else n for n in shape)
    if size_of(result) != size_of(x):
        raise ShapeError(f"{size_of(x)} elements cannot take the shape {shape} of {size_of(result)}")
    return result


def _reshape(x: Any, *, shape: Shape) -> Any:
    if min(shape, default=0) < -1:  # NumPy takes any negative size for -1
        _reshape_shape(x.shape, shape=shape)
    return np.reshape(x, shape)


reshape: Primitive = Primitive(
    "reshape",
    "reshape",
    _reshape_shape,
    _reshape,
    vjp=(lambda g, _y, _x, *, shape: reshape(g, shape=_x.shape),),
    rule=(r"\bar x = \operatorname{reshape}(\bar y)",),
    view=True,
    kind="movement",
    sentence="hands its gradient on to {targets} in the old shape",
)


def _permute_shape(x: Shape, *, axes: tuple[int, ...]) -> Shape:
    if normalize_axis(axes, len(x)) != tuple(range(len(x))):
        raise ShapeError(f"axes {axes} do not name each of the {len(x)} dimensions once")
    return tuple(x[a] for a in axes)


permute: Primitive = Primitive(
    "permute",
    "ᵀ",
    _permute_shape,
    lambda x, *, axes: np.transpose(x, axes),
    vjp=(lambda g, _y, _x, *, axes: permute(g, axes=tuple(int(a) for a in np.argsort([a % len(axes) for a in axes]))),),
    rule=(r"\bar x = \bar y^\top",),
    view=True,
    kind="movement",
    sentence="hands its gradient on to {targets} in the old order of dimensions",
)


def swap_last(x: Any) -> Any:
    """The (batch of) matrices transposed; arrays and tensors alike."""
    rank = len(x.shape)
    return permute(x, axes=(*range(rank - 2), rank - 1, rank - 2))


def _broadcast_to_shape(x: Shape, *, shape: Shape) -> Shape:
    if broadcast(x, shape) != shape:
        raise ShapeError(f"shape {x} cannot be broadcast to {shape}")
    return shape


broadcast_to = Primitive(
    "broadcast_to",
    "broadcast",
    _broadcast_to_shape,
    lambda x, *, shape: np.broadcast_to(x, shape),
    vjp=(lambda g, _y, _x, *, shape: g,),  # the walk un-broadcasts
    rule=(r"\bar x = \textstyle\sum_{\text{copies}} \bar y",),
    view=True,
    kind="movement",
    sentence="adds up its gradient over the copies it made of {targets}",
)


def _concat_shape(*shapes: Shape, axis: int) -> Shape:
    first = shapes[0]
    (axis,) = normalize_axis(axis, len(first))
    for operand, shape in enumerate(shapes):
        if len(shape) != len(first) or any(a != b for i, (a, b) in enumerate(zip(shape, first)) if i != axis):
            raise ShapeError(f"operand {operand} has shape {shape}, but operand 0 {first}; only axis {axis} may differ")
    return (*first[:axis], sum(shape[axis] for shape in shapes), *first[axis + 1 :])


def _concat_grad(slot: int, g: Any, _y: Any, *_operands: Any, axis: int) -> Any:
    axis %= len(g.shape)
    start = sum(x.shape[axis] for x in _operands[:slot])
    return g[(slice(None),) * axis + (slice(start, start + _operands[slot].shape[axis]),)]


concat = Primitive(
    "concat",
    "concat",
    _concat_shape,
    lambda *operands, axis: np.concatenate(operands, axis),
    vjp=_concat_grad,
    rule=(r"\bar x_i = \bar y_{[i]}",),
    kind="movement",
    usual={"axis": -1},
    sentence="cuts its gradient up again and hands each piece to what it came from: {targets}",
)


def _stack_shape(*shapes: Shape, axis: int) -> Shape:
    for operand, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise ShapeError(f"operand {operand} has shape {shape} but operand 0 has {shapes[0]}; make them equal")
    (axis,) = normalize_axis(axis, len(shapes[0]) + 1)
    return (*shapes[0][:axis], len(shapes), *shapes[0][axis:])


stack = Primitive(
    "stack",
    "stack",
    _stack_shape,
    lambda *operands, axis: np.stack(operands, axis),
    vjp=lambda slot, g, _y, *_operands, axis: g[(slice(None),) * (axis % len(g.shape)) + (slot,)],
    rule=(r"\bar x_i = \bar y_{[i]}",),
    kind="movement",
    sentence="cuts its gradient up again and hands each piece to what it came from: {targets}",
)
