"""Indices: which operations may be given one out of range, and what to say of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import primitives as P
from ..errors import DTypeError, OutOfRangeError
from ..graph import Graph, Node
from ..primitives import Primitive


class Ignored(Exception):
    """A target is one to ignore, but the program was recorded without them; see `unforeseen`, `Tracer.ignores`."""


def limit(graph: Graph, node: Node) -> int | None:
    """The first number too large for the node's indices, its last operand; None if any number will do."""
    bound = _LIMITS.get(node.op) if node.op is not None else None
    return bound(node, graph.nodes[node.sources[0]].shape) if bound is not None else None


_LIMITS: dict[Primitive, Callable[[Node, tuple[int, ...]], int | None]] = {
    P.take: lambda _node, table: table[0],
    P.scatter_rows: lambda node, _rows: int(node.attrs["rows"]),
    P.cross_entropy: lambda _node, scores: scores[-1],
    P.one_hot: lambda node, _indices: int(node.attrs["num_classes"]) if node.attrs.get("strict") else None,
}


def check(graph: Graph, node: Node, operands: Sequence[Any], ignoring: bool) -> None:
    """The primitive's own look at the values of its operands; what it refuses is named, with the user's line.

    Raises `Ignored` if there is a target to ignore and the program is not ``ignoring`` any.
    """
    assert node.op is not None
    try:
        if node.op is P.scatter_rows:  # where the rows were taken they were checked; here it is about another table
            assert P.take.check is not None
            P.take.check(np.empty((node.attrs["rows"], 0)), operands[1])
        elif node.op.check is not None:
            node.op.check(*operands, **node.attrs)
    except (DTypeError, OutOfRangeError) as error:
        indices = graph.nodes[node.sources[-1]]
        detail = f"{node.op.name}: {error.detail} [{indices.label} {indices.shape}; at {node.site}]"
        raise type(error)(detail) from None
    if not ignoring and unforeseen(node) and (operands[1] == node.attrs["ignore_index"]).any():
        raise Ignored


def unforeseen(node: Node) -> bool:
    """Whether it is a cross-entropy whose ignored target is negative, so no class.

    It is recorded without a look for ignored targets, and recorded anew when the first one comes (`Ignored`).
    """
    return node.op is P.cross_entropy and int(node.attrs["ignore_index"]) < 0
