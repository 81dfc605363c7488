"""Tables: a one-hot vector times a matrix is a row of it, and a table can be projected instead of its rows.

``E[x] W = (E W)[x]``: with V symbols and T B tokens this multiplies V rows, not T B. The same in reverse: gradients are
first summed per symbol, then multiplied.
"""

from __future__ import annotations

from collections.abc import Callable

from ... import primitives as P
from ...graph import Ref
from ...primitives import Primitive
from ..graph_rewriting import Draft
from ..plan import Plan, Planned


def use_tables(graph: Plan) -> Plan:
    """Rewrite products with one-hot vectors and with rows of a table."""
    draft = Draft(graph)
    for node in graph.nodes:
        rule = _BETTER.get(node.op) if node.op is not None else None
        if rule is not None and all(isinstance(x, Ref) for x in node.operands):
            better = rule(draft, node, draft[draft.operands(node)[0]])
            if better is not None:
                draft.replace(node, better)
    return draft.finish()


def _of_concat(draft: Draft, node: Planned, _x: Planned) -> Ref | None:
    """Rows of one table, looked up apart, are looked up together."""
    parts = [draft[y] for y in draft.operands(node)]
    if node.attrs["axis"] != 0 or any(y.op is not P.take or len(draft[y.operands[1]].shape) != 1 for y in parts):
        return None
    tables = {draft.root(y.operands[0]) for y in parts}
    if len(tables) > 1:
        return None
    joined = draft.add(P.concat, tuple(y.operands[1] for y in parts), {"axis": 0}, node)
    return draft.add(P.take, (tables.pop(), joined), {}, node)


def _of_linear(draft: Draft, node: Planned, x: Planned) -> Ref | None:
    operands = draft.operands(node)
    if x.op is P.one_hot:
        rows = draft.add(P.permute, (operands[1],), {"axes": (1, 0)}, node)
        taken = draft.add(P.take, (rows, x.operands[0]), {}, node)
        return draft.add(P.add, (taken, operands[2]), {}, node) if len(operands) == 3 else taken
    if x.op is not P.take or not _repeats(draft, x):
        return None
    table, indices = draft.operands(x)
    if len(draft[table].shape) != 2:
        return None
    return draft.add(P.take, (draft.add(P.linear, (table, *operands[1:]), {}, node), indices), {}, node)


def _of_matmul(draft: Draft, node: Planned, x: Planned) -> Ref | None:
    """The gradient of a weight, the transposed gradient times rows of a table: summed per row of the table first."""
    y = draft[draft.operands(node)[1]]
    if x.op is not P.permute or x.shape != node.shape[:1] + y.shape[:1] or len(y.shape) != 2:
        return None
    g = draft.root(x.operands[0])
    if y.op is P.one_hot:
        summed = draft.add(P.scatter_rows, (g, y.operands[0]), {"rows": y.shape[1]}, node)
        return draft.add(P.permute, (summed,), {"axes": (1, 0)}, node)
    if y.op is not P.take or not _repeats(draft, y):
        return None
    table, indices = draft.operands(y)
    summed = draft.add(P.scatter_rows, (g, indices), {"rows": draft[table].shape[0]}, node)
    return draft.add(P.matmul, (draft.add(P.permute, (summed,), {"axes": (1, 0)}, node), table), {}, node)


def _of_scatter_rows(draft: Draft, node: Planned, x: Planned) -> Ref | None:
    """The gradient of a table from products: their rows are summed first, and fewer are multiplied."""
    if x.op is not P.matmul or x.shape[0] <= node.attrs["rows"] or len(x.shape) != 2:
        return None
    g, weight = draft.operands(x)
    if len(draft[g].shape) != 2:
        return None
    summed = draft.add(P.scatter_rows, (g, draft.operands(node)[1]), node.attrs, node)
    return draft.add(P.matmul, (summed, weight), {}, node)


_BETTER: dict[Primitive, Callable[[Draft, Planned, Planned], Ref | None]] = {
    P.concat: _of_concat,
    P.linear: _of_linear,
    P.matmul: _of_matmul,
    P.scatter_rows: _of_scatter_rows,
}


def _repeats(draft: Draft, rows: Planned) -> bool:
    """Whether a take reads more rows than its table has."""
    return rows.shape[0] > draft[rows.operands[0]].shape[0]
