"""Tables: a one-hot vector times a matrix is a row of it, and a table can be projected instead of its rows.

``E[x] W = (E W)[x]``: with V symbols and T B tokens this multiplies V rows, not T B. The same in reverse: gradients are
first summed per symbol, then multiplied.
"""

from __future__ import annotations

from ... import primitives as P
from ...graph import Ref
from ..graph_rewriting import Draft
from ..plan import Plan, Planned


def use_tables(graph: Plan) -> Plan:
    """Rewrite products with one-hot vectors and with rows of a table."""
    draft = Draft(graph)
    for node in graph.nodes:
        if node.op is not None and all(isinstance(x, Ref) for x in node.operands):
            better = _better(draft, node)
            if better is not None:
                draft.replace(node, better)
    return draft.finish()


def _better(draft: Draft, node: Planned) -> Ref | None:
    operands = draft.operands(node)
    x = draft[operands[0]]
    if node.op is P.concat and node.attrs["axis"] == 0 and x.op is P.take:
        parts = [draft[y] for y in operands]
        tables = {draft.root(y.operands[0]) for y in parts if y.op is P.take}
        if len(tables) == 1 and all(y.op is P.take and len(draft[y.operands[1]].shape) == 1 for y in parts):
            joined = draft.add(P.concat, tuple(y.operands[1] for y in parts), {"axis": 0}, node)
            return draft.add(P.take, (tables.pop(), joined), {}, node)
    if node.op is P.linear and x.op is P.one_hot:
        rows = draft.add(P.permute, (operands[1],), {"axes": (1, 0)}, node)
        taken = draft.add(P.take, (rows, x.operands[0]), {}, node)
        return draft.add(P.add, (taken, operands[2]), {}, node) if len(operands) == 3 else taken
    if node.op is P.linear and x.op is P.take and _repeats(draft, x):
        table, indices = draft.operands(x)
        if len(draft[table].shape) == 2:
            return draft.add(P.take, (draft.add(P.linear, (table, *operands[1:]), {}, node), indices), {}, node)
    if node.op is P.matmul and x.op is P.permute and x.shape == node.shape[:1] + draft[operands[1]].shape[:1]:
        g, y = draft.root(x.operands[0]), draft[operands[1]]
        if y.op is P.one_hot and len(y.shape) == 2:
            summed = draft.add(P.scatter_rows, (g, y.operands[0]), {"rows": y.shape[1]}, node)
            return draft.add(P.permute, (summed,), {"axes": (1, 0)}, node)
        if y.op is P.take and len(y.shape) == 2 and _repeats(draft, y):
            table, indices = draft.operands(y)
            summed = draft.add(P.scatter_rows, (g, indices), {"rows": draft[table].shape[0]}, node)
            return draft.add(P.matmul, (draft.add(P.permute, (summed,), {"axes": (1, 0)}, node), table), {}, node)
    if node.op is P.scatter_rows and x.op is P.matmul and x.shape[0] > node.attrs["rows"] and len(x.shape) == 2:
        g, weight = draft.operands(x)
        if len(draft[g].shape) == 2:
            summed = draft.add(P.scatter_rows, (g, operands[1]), node.attrs, node)
            return draft.add(P.matmul, (summed, weight), {}, node)
    return None


def _repeats(draft: Draft, rows: Planned) -> bool:
    """Whether a take reads more rows than its table has."""
    return rows.shape[0] > draft[rows.operands[0]].shape[0]
