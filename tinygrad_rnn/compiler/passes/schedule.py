"""Scheduling: an elementwise operation moves next to the one that uses it, so that both can run in one region.

Clipping scales all gradients before the optimizer updates the first parameter; in the order they are written, every
scaled gradient would be stored and read again.
"""

from __future__ import annotations

from ..graph_rewriting import Draft
from ..plan import Plan, Planned


def delay(graph: Plan) -> Plan:
    """Compute what only operations of its own shape use just before the first of them."""
    draft = Draft(graph)
    outputs = set(graph.outputs)
    moved = False
    for node in reversed(graph.nodes):
        users = [graph.nodes[i] for i in graph.consumers[node.index]]
        if _elementwise(node) and users and node.index not in outputs and not node.segment:
            first = users[0].index
            alike = all(_elementwise(user) and (user.shape, user.lane) == (node.shape, node.lane) for user in users)
            if alike and first > node.index + 1:
                draft.order[node.index] = draft.order[first] - 0.5
                moved = True
    return draft.finish(dead=moved)


def _elementwise(node: Planned) -> bool:
    return node.op is not None and node.op.elementwise
