"""Numbers of rows, of classes, of targets, as a program has them: in an index, in an array, as ones among zeros."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..graph import Node, Ref
from ..tensors import Array
from .edited_rules import looks_up, rows_of
from .series import Series

if TYPE_CHECKING:
    from .edit_context import Scene


def row_numbers(scene: Scene) -> Iterator[Series]:
    """Every series of row numbers or classes in the program: look-ups, targets, and the positions in one-hot values."""
    record = scene.record
    for family in scene.all_families:
        steps = tuple(n.scope.step for n in family)
        if looks_up(family[0]):
            yield Series(f"the numbers in {scene.named(family[0])}", [rows_of(record, n) for n in family], 0, steps)
        elif (numbers := [index_of(n) for n in family]) and None not in numbers and len(set(numbers)) > 1:
            yield Series(f"the number in {scene.named(family[0])}", [np.array([k]) for k in numbers], 0, steps)
        for slot, operand in enumerate(family[0].operands):
            line = scene.line(family, slot) if isinstance(operand, Ref) else None
            if line is None or any(record.nodes[index].requires_grad for index in line):
                continue
            arrays, name = [np.atleast_1d(record.values[index]) for index in line], scene.name_of(family[-1], slot)
            if all(a.dtype.kind in "iu" for a in arrays):
                yield Series(f"the numbers of {name}", arrays, 0, steps)
                for n in {len(a) for a in arrays if len(arrays) == 1 and len(a) > 1}:
                    yield Series(f"the numbers of {name}", [arrays[0][k : k + 1] for k in range(n)], 0, tuple(range(n)))
            for axis in range(arrays[0].ndim):
                if all(one_hot(a, axis) for a in arrays):
                    yield Series(f"the ones in {name}", [a.argmax(axis).ravel() for a in arrays], 0, steps)


def axis_of(node: Node) -> int:
    """The axis along which the node's index has its first integer, whole slices before it: 1 in ``E[:, word]``; −1."""
    index = node.attrs.get("index") if node.op is not None and node.op.name == "getitem" else None
    for axis, x in enumerate(index if isinstance(index, tuple) else (index,)):
        if isinstance(x, (int, np.integer)):
            return axis
        if not isinstance(x, slice) or x != slice(None):
            break
    return -1


def index_of(node: Node) -> int | None:
    """That integer, or None."""
    axis, index = axis_of(node), node.attrs.get("index")
    return None if axis < 0 else int(index[axis] if isinstance(index, tuple) else index)  # type: ignore[arg-type]


def one_hot(value: Array, axis: int, *, ones: bool = True) -> bool:
    """Whether ``value`` is one-hot along ``axis``, or 0 there, as a mask leaves it; without ``ones`` of any size."""
    if value.dtype.kind != "f" or value.shape[axis] < 2 or not value.any():
        return False
    one = np.all(value[value != 0] == 1) or not ones
    return bool(one and np.all(np.count_nonzero(value, axis) <= 1))
