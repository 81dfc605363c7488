"""Time batching: products of many matrices with the same one become one product.

``x_t W`` for t = 1..T is ``[x_1; ...; x_T] W``: one large product runs several times faster than T small ones. It may
be done wherever no ``x_t`` depends on another's product, which is the case for the projections of a layer's inputs and
for the output layer, and is not for the recurrence itself.
"""

from __future__ import annotations

from typing import Any

from ... import primitives as P
from ..graph_rewriting import Draft
from ..opcodes import PRODUCTS
from ..plan import Plan, Planned
from ..slices import in_order, over_time, rows_of


def batch_products(graph: Plan) -> Plan:
    """One product for all independent products with the same right-hand matrix (and bias)."""
    done: set[Any] = set()
    while True:
        group = _next_group(graph, done)
        if group is None:
            return graph
        draft = Draft(graph)
        for members in group:
            _batch(draft, members)
        graph = draft.finish()


def _next_group(graph: Plan, done: set[Any]) -> list[list[Planned]] | None:
    """The members of one group not looked at before, as sets of independent products."""
    groups: dict[Any, list[Planned]] = {}
    for node in graph.nodes:
        if node.op in PRODUCTS and len(node.sources) == len(node.operands):
            x, *others = (graph.nodes[i] for i in node.sources)
            if len(x.shape) == len(others[0].shape) == 2:
                groups.setdefault((node.op.name, *node.sources[1:]), []).append(node)
    for (name, *others), members in groups.items():
        key = (name, *(graph.nodes[i].serial for i in others))  # positions change when the graph does
        if len(members) > 1 and key not in done:
            done.add(key)
            batches = [batch for batch in _independent(graph, members) if len(batch) > 1]
            if batches:
                return batches
    return None


def _independent(graph: Plan, members: list[Planned]) -> list[list[Planned]]:
    """Members, by segment and by how many others they depend on in a row: those of one depth are independent."""
    mine = {node.index for node in members}
    depth = [0] * len(graph.nodes)
    batches: dict[Any, list[Planned]] = {}
    for node in graph.nodes:
        deepest = 0
        for source in node.sources:
            below = depth[source] + (source in mine)
            if below > deepest:
                deepest = below
        depth[node.index] = deepest
        if node.index in mine:
            batches.setdefault((deepest, node.segment), []).append(node)
    return list(batches.values())


def _batch(draft: Draft, members: list[Planned]) -> None:
    first = over_time(members[0], members)
    assert first.op is not None
    pieces = [draft.operands(node)[0] for node in members]
    order = in_order(draft, pieces)
    x = rows_of(draft, [pieces[i] for i in order], first)
    y = draft.add(first.op, (x, *draft.operands(first)[1:]), first.attrs, first)
    start = 0
    for i in order:
        stop = start + members[i].shape[0]
        draft.replace(members[i], draft.add(P.getitem, (y,), {"index": (slice(start, stop),)}, members[i]))
        start = stop
