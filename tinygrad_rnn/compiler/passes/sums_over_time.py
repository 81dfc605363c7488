"""Sums over time: the gradient of a shared weight, and of a sequence that was read step by step.

``sum_t g_t^T x_t`` is ``[g_1; ...; g_T]^T [x_1; ...; x_T]``: one product with a long inner dimension. A sum of
gradients that each concern one part of a tensor (a time step, a gate) is those parts side by side, without dense zeros.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ... import primitives as P
from ...graph import Ref
from ...primitives import Primitive
from ..graph_rewriting import Draft
from ..plan import Plan, Planned
from ..slices import cut, in_order, over_time, rows_of


def sum_products(graph: Plan) -> Plan:
    """Rewrite every sum of two or more terms of one kind."""
    draft = Draft(graph)
    users = draft.users()
    inner: set[int] = set()
    for node in reversed(graph.nodes):
        if node.op is P.add and node.index not in inner:
            terms = _terms(draft, node, users, inner)
            if len(terms) > 1:
                _rewrite(draft, node, terms, users)
    return draft.finish()


def _terms(draft: Draft, root: Planned, users: list[int], inner: set[int]) -> list[Any]:
    """The operands of a tree of additions; the tree's inner nodes are entered into ``inner``."""
    terms: list[Any] = []
    pending = list(reversed(root.operands))
    while pending:
        x = pending.pop()
        node = draft.nodes[x.index] if isinstance(x, Ref) else None
        if node is not None and node.op is P.add and users[node.index] == 1 and node.shape == root.shape:
            inner.add(node.index)
            pending.extend(reversed(node.operands))
        else:
            terms.append(x)
    return terms


def _rewrite(draft: Draft, root: Planned, terms: list[Any], users: list[int]) -> None:
    kinds: dict[Any, list[Any]] = {}
    for term in terms:
        kinds.setdefault(_kind(draft, root, term, users), []).append(term)
    if all(kind is None or len(same) == 1 for kind, same in kinds.items()):
        return
    sums: list[Any] = kinds.pop(None, [])
    for kind, same in kinds.items():
        # where its last term is, so that with a memory budget no operand has to wait for another segment's
        nodes = [draft.nodes[t.index] for t in same]
        like = over_time(max(nodes, key=lambda node: node.index), nodes)
        merged = _JOIN[kind[0]](draft, like, same) if len(same) > 1 else None
        sums.extend(same if merged is None else [merged])
    sums.sort(key=lambda x: draft.order[x.index] if isinstance(x, Ref) else -1)
    total = sums[0]
    for term in sums[1:]:
        both = [draft[x] for x in (total, term) if isinstance(x, Ref)]
        total = draft.add(P.add, (total, term), {}, over_time(max(both, key=lambda n: draft.order[n.index]), both))
    draft.replace(root, total)


def _kind(draft: Draft, root: Planned, term: Any, users: list[int]) -> Any:
    """Terms of equal kind can be joined; None: this one cannot."""
    node = draft.nodes[term.index] if isinstance(term, Ref) else None
    if node is None or node.shape != root.shape:
        return None
    rule = _KINDS.get(node.op) if node.op is not None else None
    once = users[node.index] == 1 or node.op is P.scatter  # joined scatters are not computed again
    return rule(draft, node) if rule is not None and once else None


def _product(draft: Draft, node: Planned) -> Any:
    if not all(isinstance(x, Ref) for x in node.operands):
        return None
    left, right = (draft[x] for x in node.operands)
    transposed = left.op is P.permute and left.attrs["axes"] in ((1, 0), (-1, -2))
    return (
        ("product", right.shape[0], node.segment) if transposed and len(left.shape) == len(right.shape) == 2 else None
    )


def _column_sum(draft: Draft, node: Planned) -> Any:
    rows = draft[node.operands[0]]
    fits = node.attrs["axis"] in (0, (0,)) and len(rows.shape) == 2 and len(node.shape) == 1
    return ("column sums", rows.shape[0], node.segment) if fits else None


def _part(_draft: Draft, node: Planned) -> Any:
    found = cut(node, node.shape)
    return None if found is None else ("parts", found[0], found[1].dropped)


def _rows(draft: Draft, node: Planned) -> Any:
    return ("rows", len(node.shape), node.segment) if len(draft[node.operands[1]].shape) == 1 else None


_KINDS: dict[Primitive, Callable[[Draft, Planned], Any]] = {
    P.matmul: _product,
    P.sum_: _column_sum,
    P.scatter: _part,
    P.scatter_rows: _rows,
}


def _join_products(draft: Draft, root: Planned, terms: list[Any]) -> Ref:
    left = [draft[draft[t].operands[0]].operands[0] for t in terms]
    right = [draft[t].operands[1] for t in terms]
    order = in_order(draft, right)
    a = rows_of(draft, [draft.root(left[i]) for i in order], root)
    b = rows_of(draft, [draft.root(right[i]) for i in order], root)
    return draft.add(P.matmul, (draft.add(P.permute, (a,), {"axes": (1, 0)}, root), b), {}, root)


def _join_column_sums(draft: Draft, root: Planned, terms: list[Any]) -> Ref:
    pieces = [draft.root(draft[t].operands[0]) for t in terms]
    rows = rows_of(draft, [pieces[i] for i in in_order(draft, pieces)], root)
    return draft.add(P.sum_, (rows,), {"axis": (0,), "keepdims": False}, root)


def _join_parts(draft: Draft, root: Planned, terms: list[Any]) -> Ref | None:
    """Disjoint parts that cover an axis, side by side; None if they overlap or leave a gap."""
    found = []
    for t in terms:
        place = cut(draft[t], root.shape)
        assert place is not None
        found.append((place[1].start, place[1].stop, t))
        axis, dropped = place[0], place[1].dropped
    found.sort(key=lambda part: part[:2])
    ends = [0, *(stop for _, stop, _ in found)]
    if any(start != end for (start, _, _), end in zip(found, ends)) or ends[-1] != root.shape[axis]:
        return None
    parts = tuple(draft.root(draft[t].operands[0]) for _, _, t in found)
    return draft.add(P.stack if dropped else P.concat, parts, {"axis": axis}, root)


def _join_rows(draft: Draft, root: Planned, terms: list[Any]) -> Ref:
    values = [draft.root(draft[t].operands[0]) for t in terms]
    indices = [draft.root(draft[t].operands[1]) for t in terms]
    return draft.add(
        P.scatter_rows,
        (draft.add(P.concat, tuple(values), {"axis": 0}, root), draft.add(P.concat, tuple(indices), {"axis": 0}, root)),
        {"rows": root.shape[0]},
        root,
    )


_JOIN = {"product": _join_products, "column sums": _join_column_sums, "parts": _join_parts, "rows": _join_rows}
