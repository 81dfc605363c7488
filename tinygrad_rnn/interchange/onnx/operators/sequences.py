"""Sequences and optionals: lists of tensors, and tensors that may be missing, while a graph is computed.

A sequence is a tuple here, a missing value None. Only these operators and those that hold graphs take sequences.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from .... import functional as T
from ....errors import DataError
from ....tensors import Tensor
from ....words import words
from ..constant_folding import Constant
from .table import axis_of, integers, operator, simple, static

if TYPE_CHECKING:
    from ..running import Node

#: operators that may be given a sequence
TAKE_SEQUENCES = words(
    "SequenceAt SequenceLength SequenceInsert SequenceErase ConcatFromSequence Optional OptionalHasElement "
    "OptionalGetElement Identity If Loop"
)


def _items(x: Any) -> tuple[Tensor, ...]:
    if not isinstance(x, tuple):
        raise DataError("its first input should be a sequence, and is a tensor or missing")
    return x


def _position(x: Tensor, count: int) -> int:
    (at,) = integers(x, "the position")
    if not -count <= at < count:
        raise DataError(f"position {at} is none of a sequence of {count}")
    return at % count


simple(
    SequenceConstruct=lambda *tensors: [tensors],
    SequenceEmpty=lambda dtype=1: [()],
    SequenceLength=lambda sequence: Constant(np.array(len(_items(sequence)), np.int64)),
    Optional=lambda x=None, type=None: [x],
    OptionalHasElement=lambda x=None: Constant(np.array(x is not None)),
)


@operator("SequenceAt")
def _at(_node: Node, sequence: Any, position: Tensor) -> Any:
    items = _items(sequence)
    return items[_position(position, len(items))]


@operator("SequenceInsert")
def _insert(_node: Node, sequence: Any, x: Tensor, position: Tensor | None = None) -> Any:
    items = _items(sequence)
    at = len(items)
    if position is not None and integers(position, "the position") != (at,):
        at = _position(position, len(items))
    return [(*items[:at], x, *items[at:])]


@operator("SequenceErase")
def _erase(_node: Node, sequence: Any, position: Tensor | None = None) -> Any:
    items = _items(sequence)
    if not items:
        raise DataError("an empty sequence has nothing to erase")
    at = len(items) - 1 if position is None else _position(position, len(items))
    return [(*items[:at], *items[at + 1 :])]


@operator("ConcatFromSequence")
def _concat(_node: Node, sequence: Any, axis: int, new_axis: int = 0) -> Tensor:
    items = _items(sequence)
    if not items:
        raise DataError("an empty sequence has no tensor to join")
    axis = axis_of(axis, items[0].ndim + bool(new_axis))
    return T.stack(list(items), axis) if new_axis else T.concat(list(items), axis)


@operator("SplitToSequence")
def _split(_node: Node, x: Tensor, split: Tensor | None = None, axis: int = 0, keepdims: int = 1) -> Any:
    axis = axis_of(axis, x.ndim)
    size, front = x.shape[axis], (slice(None),) * axis
    if split is None and not keepdims:
        return [tuple(x[(*front, t)] for t in range(size))]
    if split is None or not static(split, "the sizes").ndim:
        each = 1 if split is None else integers(split, "the size")[0]
        if each < 1:
            raise DataError(f"pieces of size {each} are none")
        sizes = [min(each, size - start) for start in range(0, size, each)]
    else:
        sizes = list(integers(split, "the sizes"))
    if min(sizes, default=0) < 0 or sum(sizes) != size:
        raise DataError(f"sizes {sizes} do not make up the {size} of axis {axis}")
    ends = np.cumsum([0, *sizes]).tolist()
    return [tuple(x[(*front, slice(a, b))] for a, b in pairwise(ends))]


@operator("OptionalGetElement")
def _get(_node: Node, x: Any) -> Any:
    if x is None:
        raise DataError("the optional is empty")
    return [x]
