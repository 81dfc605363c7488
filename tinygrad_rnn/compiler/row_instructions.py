"""Instructions on whole values but for products: which nodes they compute, and what their rows say of the sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import primitives as P
from ..graph import Node
from ..primitives import Primitive
from ..primitives.record import normalize_axis, size_of
from .memory_layout import View

Shapes = Sequence[tuple[int, ...]]


class _Row(NamedTuple):
    fits: Callable[[Node, Sequence[Node], np.dtype[Any]], bool]  #: the node, what it reads, the program's float type
    columns: Callable[[Node, Shapes, Sequence[View]], tuple[Any, ...]]  #: those after the result; see the instruction


def has_row(node: Node, sources: Sequence[Node], real: np.dtype[Any]) -> bool:
    """Whether an instruction computes ``node`` in a program whose float type is ``real``."""
    row = _ROWS.get(node.op) if node.op is not None else None
    return row is not None and row.fits(node, sources, real)


def columns(node: Node, shapes: Shapes, views: Sequence[View]) -> tuple[Any, ...]:
    """The columns of the node's row after the result: its operands, of these ``shapes``, in ``views``, and sizes."""
    assert node.op is not None
    return _ROWS[node.op].columns(node, shapes, views)


def _by_indices(_node: Node, sources: Sequence[Node], real: np.dtype[Any]) -> bool:
    return sources[0].dtype == real and sources[1].dtype == np.int64


def _of_indices(node: Node, sources: Sequence[Node], real: np.dtype[Any]) -> bool:
    return sources[0].dtype == np.int64 and node.dtype == real


def _along_last(node: Node, sources: Sequence[Node], real: np.dtype[Any]) -> bool:
    x = sources[0]
    return x.dtype == real and bool(x.shape) and node.attrs["axis"] % len(x.shape) == len(x.shape) - 1


def _adjacent(node: Node, sources: Sequence[Node], real: np.dtype[Any]) -> bool:
    axes = normalize_axis(node.attrs["axis"], len(sources[0].shape))
    return sources[0].dtype == real and bool(axes) and axes == tuple(range(axes[0], axes[-1] + 1))


def _adjacent_and_last(node: Node, sources: Sequence[Node], real: np.dtype[Any]) -> bool:
    rank = len(sources[0].shape)
    return _adjacent(node, sources, real) and normalize_axis(node.attrs["axis"], rank)[-1] == rank - 1


def _take(_node: Node, shapes: Shapes, views: Sequence[View]) -> tuple[Any, ...]:
    table, indices = views
    width = size_of(shapes[0][1:])
    steps = [s // table.itemsize for s in table.strides] if len(shapes[0]) == 2 else [width, 1]
    return table, indices, size_of(shapes[1]), width, *steps


def _scatter_rows(node: Node, shapes: Shapes, views: Sequence[View]) -> tuple[Any, ...]:
    count = size_of(shapes[1])
    return *views, count, size_of(shapes[0]) // count, node.attrs["rows"]


def _cross_entropy(node: Node, shapes: Shapes, views: Sequence[View]) -> tuple[Any, ...]:
    return *views, *_rows_of(shapes[0]), node.attrs["ignore_index"]


def _one_hot(node: Node, shapes: Shapes, views: Sequence[View]) -> tuple[Any, ...]:
    return 0, *views, size_of(shapes[0]), node.attrs["num_classes"]


def _rows(_node: Node, shapes: Shapes, views: Sequence[View]) -> tuple[Any, ...]:
    return *views, *_rows_of(shapes[0])


def _reduced(node: Node, shapes: Shapes, views: Sequence[View]) -> tuple[Any, ...]:
    axes = normalize_axis(node.attrs["axis"], len(shapes[0]))
    outer, inner = size_of(shapes[0][: axes[0]]), size_of(shapes[0][axes[-1] + 1 :])
    return *views, outer, size_of(shapes[0]) // (outer * inner), inner


def _logsumexp(node: Node, shapes: Shapes, views: Sequence[View]) -> tuple[Any, ...]:
    x, outer, reduced, _ = _reduced(node, shapes, views)
    return x, 0, outer, reduced, 0


def _rows_of(shape: tuple[int, ...]) -> tuple[int, int]:
    """The number of rows along the last axis, and their length."""
    return size_of(shape) // shape[-1], shape[-1]


_ROWS: dict[Primitive, _Row] = {
    P.take: _Row(_by_indices, _take),
    P.scatter_rows: _Row(_by_indices, _scatter_rows),
    P.cross_entropy: _Row(_by_indices, _cross_entropy),
    P.one_hot: _Row(_of_indices, _one_hot),
    P.argmax: _Row(_along_last, _rows),
    P.softmax: _Row(_along_last, _rows),
    P.log_softmax: _Row(_along_last, _rows),
    P.logsumexp: _Row(_adjacent_and_last, _logsumexp),
    P.sum_: _Row(_adjacent, _reduced),
    P.max_: _Row(_adjacent, _reduced),
}
