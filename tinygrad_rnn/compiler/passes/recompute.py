"""Memory for time: forward values are computed again, a stretch of time steps at a time, when their gradients are due.

Backpropagation through T steps keeps what every step computed. Here time is cut in segments of about sqrt(T) steps;
only what leaves a segment (states at its end, outputs) is kept, and when the reverse walk reaches a segment, its inner
values are computed once more. Gates and pre-activations then take memory for one segment, not for all T steps, at the
price of a second forward pass (T. Chen et al. 2016, "Training deep nets with sublinear memory cost").

Every node is told its segment, and no later pass joins what belongs to different ones: one product over all T steps
would need all their operands at once.
"""

from __future__ import annotations

import math
from dataclasses import replace

from ...graph import Ref
from ..graph_rewriting import Draft
from ..plan import Plan, Planned

Place = tuple[tuple[str, ...], int]  #: a layer's path and a segment of time


def recompute(graph: Plan) -> Plan:
    """Inner values of each layer and segment computed again before their gradients."""
    length = math.isqrt(max(graph.steps, default=0)) + 1
    lasting: set[int] = set()  # what comes of parameters alone is the same in every segment
    for node in graph.nodes:
        if node.is_parameter or (node.sources and all(index in lasting for index in node.sources)):
            lasting.add(node.index)

    def place(node: Planned) -> Place | None:
        if node.op is None or node.scope.step is None or node.scope.backward or node.index in lasting:
            return None
        return node.scope.path, node.scope.step // length

    places = [place(node) for node in graph.nodes]
    kept = {index for index, mine in enumerate(places) if mine is None} | set(graph.outputs)
    for node in graph.nodes:
        if not node.scope.backward:
            kept.update(index for index in node.sources if places[index] != places[node.index])
    needed: dict[Place, int] = {}  # where the reverse walk first asks for a place's inner values
    for node in graph.nodes:
        if node.scope.backward:
            for index in node.sources:
                if index not in kept:
                    needed.setdefault(places[index], node.index)  # type: ignore[arg-type]

    draft = Draft(graph)
    for node in graph.nodes:
        if node.op is not None and node.scope.step is not None and node.index not in lasting:
            sign = -1 if node.scope.backward else 1
            draft.nodes[node.index] = replace(node, segment=sign * (node.scope.step // length + 1))
    again: dict[int, Ref] = {}
    for node in graph.nodes:
        mine = places[node.index]
        if mine in needed and node.index not in kept:
            assert node.op is not None and mine is not None
            operands = tuple(again.get(x.index, x) if isinstance(x, Ref) else x for x in node.operands)
            again[node.index] = draft.add(node.op, operands, node.attrs, node)
            new = again[node.index].index
            draft.nodes[new] = replace(draft.nodes[new], segment=-(mine[1] + 1))
            draft.order[new] = needed[mine] - 1 + (node.index + 1) / (len(graph) + 2)
    for node in graph.nodes:
        if node.scope.backward and any(index in again for index in node.sources):
            operands = tuple(again.get(x.index, x) if isinstance(x, Ref) else x for x in node.operands)
            draft.nodes[node.index] = replace(draft.nodes[node.index], operands=operands)
    return draft.finish(dead=True)
