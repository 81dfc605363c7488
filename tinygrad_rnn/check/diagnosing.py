"""The mistake that makes the wrong gradients of a failed check, where one can be named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import TinygradError
from ..graph import Graph, Node, Ref
from ..tensors import Array, Tensor, from_array

#: of larger graphs the search would take longer than the check
MOST_NODES = 800


def named(outputs: Sequence[Tensor], upstream: Sequence[Array], given: Mapping[Tensor, Array]) -> str | None:
    """In words, the edit of the true walk that gives these gradients; None if none does, or the graph is large.

    Where an operation with a backward pass of its own is wrong, and its forward pass can be recorded, the mistake is
    looked for inside it.
    """
    from ..diagnosis import diagnose

    graph = Graph(*outputs)
    if len(graph) > MOST_NODES:
        return None
    try:
        total = None
        for y, g in zip(outputs, upstream, strict=True):
            share = (y * from_array(np.asarray(g, y.dtype))).sum()
            total = share if total is None else total + share
        assert total is not None
        found = diagnose(total, dict(given), max_edits=1)
        if found.found:
            return str(found)
        return None if found.correct else _inside(graph)
    except (TinygradError, ValueError, TypeError, FloatingPointError, AssertionError):
        return None  # a graph that cannot be computed again in double precision


def _inside(graph: Graph) -> str | None:
    """The mistake inside the backward pass of an operation that is one node here, in words."""
    from ..diagnosis import diagnose

    seen: set[str] = set()
    for node in reversed(graph.nodes):  # the last call: at the first one a state may be a constant
        opened = None if node.op is None else getattr(node.op, "opened", None)
        if opened is None or node.op is None or node.op.name in seen or node.dtype != np.float64:
            continue
        seen.add(node.op.name)
        leaves, operands = _leaves(graph, node)
        result = opened(*leaves)
        g = np.random.default_rng(0).standard_normal(node.shape)
        given = {
            leaf: np.asarray(node.op.pull(slot, g, node.value, operands, node.attrs))
            for slot, leaf in enumerate(leaves)
            if leaf.requires_grad and slot in node.op.slots
        }
        found = diagnose((result * from_array(g)).sum(), given, max_edits=1)
        if found.found:
            return f"in the backward pass of {node.op.name}: {found}"
    return None


def _leaves(graph: Graph, node: Node) -> tuple[list[Tensor], list[Array]]:
    leaves, operands = [], []
    told = getattr(node.op, "arguments", None)
    names = told() if told is not None else []
    for k, x in enumerate(node.operands):
        source = graph.nodes[x.index] if isinstance(x, Ref) else None
        value = np.asarray(x if source is None else source.value)
        leaf = from_array(np.array(value))
        leaf.requires_grad = source is not None and source.requires_grad
        leaf.name = names[k] if names and names[k] else f"argument {k + 1}"
        leaves.append(leaf)
        operands.append(value)
    return leaves, operands
