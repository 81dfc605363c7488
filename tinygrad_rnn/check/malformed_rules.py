"""Rules that give no gradient at all: None, a plain number, an array that fits no operand."""

from __future__ import annotations

import numpy as np

from ..graph import Graph, Ref
from ..rule_answers import no_gradient


def broken_rule(graph: Graph) -> str | None:
    """The first rule, coming from the outputs, whose answer is not an array of its operand's shape; None if all are."""
    for node in reversed(graph.nodes):
        if node.op is None or not node.requires_grad:
            continue
        operands = [graph.nodes[x.index].value if isinstance(x, Ref) else x for x in node.operands]
        for slot, x in enumerate(node.operands):
            if slot not in node.op.slots or not isinstance(x, Ref) or not graph.nodes[x.index].requires_grad:
                continue
            try:
                with np.errstate(all="ignore"):
                    sent = node.op.pull(slot, np.ones(node.shape, node.dtype), node.value, operands, node.attrs)
            except Exception as error:
                words = " ".join(f"{type(error).__name__}: {error}".split())
                return f"the rule of {node.op.name} (at {node.site}) for operand {slot} ends with {words}"
            if fault := no_gradient(node.op, node.site, slot, sent, graph.nodes[x.index].shape):
                return fault
    return None
