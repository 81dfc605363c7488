"""Rules that give no gradient at all: None, a plain number, an array that fits no operand."""

from __future__ import annotations

import numpy as np

from ..graph import Graph, Ref


def broken_rule(graph: Graph) -> str | None:
    """The first rule, coming from the outputs, whose answer is not an array of its operand's shape; None if all are."""
    for node in reversed(graph.nodes):
        if node.op is None or not node.requires_grad:
            continue
        operands = [graph.nodes[x.index].value if isinstance(x, Ref) else x for x in node.operands]
        for slot, x in enumerate(node.operands):
            if slot not in node.op.slots or not isinstance(x, Ref) or not graph.nodes[x.index].requires_grad:
                continue
            shape, where = graph.nodes[x.index].shape, f"the rule of {node.op.name} (at {node.site}) for operand {slot}"
            want = f"an array of shape {shape} is wanted, or one that broadcasting made of it"
            try:
                with np.errstate(all="ignore"):
                    sent = node.op.pull(slot, np.ones(node.shape, node.dtype), node.value, operands, node.attrs)
            except Exception as error:
                return f"{where} ends with {type(error).__name__}: {' '.join(str(error).split())}"
            if not isinstance(sent, (np.ndarray, np.generic)):
                return f"{where} gives {'None' if sent is None else f'a {type(sent).__name__}'}; {want}"
            if not _fits(sent.shape, shape):
                return f"{where} gives an array of shape {sent.shape}; {want}"
    return None


def _fits(sent: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether one of the two is the other broadcast, which the walk undoes or does."""
    try:
        whole = np.broadcast_shapes(sent, shape)
    except ValueError:
        return False
    return whole in (sent, shape)
