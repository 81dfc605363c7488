"""A choice of which only one side is ever looked at: ``where(m, f(where(m, a, 0)), 0)`` is ``where(m, f(a), 0)``."""

from __future__ import annotations

from ... import primitives as P
from ...graph import Ref
from ..graph_rewriting import Draft
from ..plan import Plan, Planned

#: positions by which side of a condition they are on: (index of the condition, whether it holds there)
Sides = frozenset[tuple[int, bool]]
#: nested choices that are kept in mind; a recurrence nests one a time step
_DEPTH = 8


def drop_unseen(graph: Plan) -> Plan:
    """A choice becomes one of its branches if every use of it, elementwise on the way, ends in the same choice."""
    seen: list[Sides | None] = [None] * len(graph)  # of each value: every element that matters is on these sides
    for index in graph.outputs:
        seen[index] = frozenset()
    draft = Draft(graph)
    for node in reversed(graph.nodes):
        mine = seen[node.index] or frozenset()
        for slot, x in enumerate(node.operands):
            if isinstance(x, Ref):
                before, sides = seen[x.index], _passed_on(node, slot, graph.nodes[x.index], mine)
                seen[x.index] = sides if before is None else before & sides
        if node.op is P.where:
            for branch, holds in ((1, True), (2, False)):
                taken = node.operands[branch]
                if (_condition(node), holds) in mine and isinstance(taken, Ref):
                    other = graph.nodes[taken.index]
                    if (other.shape, other.dtype) == (node.shape, node.dtype):
                        draft.replace(node, taken)
                        break
    return draft.finish()


def _passed_on(node: Planned, slot: int, x: Planned, sides: Sides) -> Sides:
    """On which sides the elements of an operand are that matter to those of the result that do."""
    op = node.op
    if op is None or op.along is not None or not op.elementwise or x.shape != node.shape:
        return frozenset()
    if op is P.where and slot and len(sides) < _DEPTH:
        return sides | {(_condition(node), slot == 1)}
    return sides


def _condition(node: Planned) -> int:
    condition = node.operands[0]
    return condition.index if isinstance(condition, Ref) else -1
