"""Passes any compiler has: dead code, equal expressions, constants, and operations that change nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ... import primitives as P
from ...graph import Ref
from ...primitives import Primitive
from ...primitives.record import size_of
from ..graph_rewriting import Draft
from ..index_checks import check, unforeseen
from ..plan import Plan, Planned
from ..slices import consecutive, cut, over_time

#: larger results are not computed ahead: they would only move memory from the arena to the constants
_FOLD_LIMIT = 1 << 20


def remove_dead(graph: Plan) -> Plan:
    """Only what the outputs need."""
    return Draft(graph).finish(dead=True)


def merge_equal(graph: Plan) -> Plan:
    """One node for equal operations on equal operands. Leaves are never merged: two parameters may agree by chance."""
    draft = Draft(graph)
    first: dict[Any, int] = {}
    for node in graph.nodes:
        if node.op is None:
            continue
        # 1 == 1.0 == True in Python; the type tells them apart
        operands = tuple((type(x), x) for x in draft.operands(node))
        key = (node.op.name, operands, _frozen(node.attrs), node.segment)
        if key in first:
            kept = draft.nodes[first[key]]
            draft.nodes[kept.index] = over_time(kept, (kept, node))
            draft.replace(node, Ref(kept.index))
        else:
            first[key] = node.index
    return draft.finish()


def fold_constants(graph: Plan) -> Plan:
    """Compute nodes that depend on constants alone, once, here."""
    draft = Draft(graph)
    values: dict[int, Any] = {n.index: n.value for n in graph.nodes if n.op is None and n.value is not None}
    for node in graph.nodes:
        if node.op is None or not all(x.index in values for x in node.operands if isinstance(x, Ref)):
            continue
        if int(np.prod(node.shape)) > _FOLD_LIMIT or unforeseen(node):  # which ends the program, see `Ignored`
            continue
        operands = [values[x.index] if isinstance(x, Ref) else x for x in node.operands]
        check(graph, node, operands, True)
        with np.errstate(all="ignore"):
            value = np.asarray(node.op.reference(*operands, **node.attrs))
        if value.dtype == node.dtype:
            values[node.index] = value
            draft.replace(node, draft.constant(np.ascontiguousarray(value).reshape(node.shape), node))
    return draft.finish()


def simplify(graph: Plan) -> Plan:
    """Multiplications by 1, views that change nothing, views of views, biases that can be added beforehand."""
    while True:
        draft = Draft(graph)
        users = draft.users()
        for node in graph.nodes:
            if node.op is not None:
                better = _simpler(draft, node, users)
                if better is not None:
                    draft.replace(node, better)
        simpler = draft.finish()
        if simpler is graph:
            return graph
        graph = simpler


def _simpler(draft: Draft, node: Planned, users: list[int]) -> Ref | None:
    """The value that ``node`` can be replaced by; None if it is as simple as it can be."""
    assert node.op is not None
    first = draft.operands(node)[0]
    rules = _SIMPLER.get(node.op, ()) if isinstance(first, Ref) else ()
    found = (rule(draft, node, draft[first], users) for rule in rules)
    return next((better for better in found if better is not None), None)


def _times_one(draft: Draft, node: Planned, _x: Planned, _users: list[int]) -> Ref | None:
    first, factor = draft.operands(node)
    return first if type(factor) is int and factor == 1 else None  # a clone


def _same_shape(draft: Draft, node: Planned, x: Planned, _users: list[int]) -> Ref | None:
    return draft.operands(node)[0] if x.shape == node.shape else None


def _same_dtype(draft: Draft, node: Planned, x: Planned, _users: list[int]) -> Ref | None:
    return draft.operands(node)[0] if x.dtype == node.dtype else None


def _of_reshaped(draft: Draft, node: Planned, x: Planned, _users: list[int]) -> Ref | None:
    """A view of a view; of what was looked up the indices can be reshaped instead."""
    if x.op is P.reshape:
        return draft.add(P.reshape, (x.operands[0],), {"shape": node.shape}, node)
    if x.op is P.one_hot and x.shape[-1] and node.shape[-1:] == x.shape[-1:]:
        indices = draft.add(P.reshape, (x.operands[0],), {"shape": node.shape[:-1]}, node)
        return draft.add(P.one_hot, (indices,), x.attrs, node)
    if x.op is P.take:
        table, indices = draft.operands(x)
        rows, width = draft[table].shape[0], draft[table].shape[1:]
        if rows and size_of(width) and node.shape[len(node.shape) - len(width) :] == width:
            shape = node.shape[: len(node.shape) - len(width)]
            return draft.add(P.take, (table, draft.add(P.reshape, (indices,), {"shape": shape}, node)), {}, node)
    return None


def _permuted(draft: Draft, node: Planned, x: Planned, _users: list[int]) -> Ref | None:
    axes = tuple(a % len(x.shape) for a in node.attrs["axes"])
    if axes == tuple(range(len(axes))):
        return draft.operands(node)[0]
    if x.op is not P.permute:
        return None
    inner = tuple(a % len(axes) for a in x.attrs["axes"])
    return draft.add(P.permute, (x.operands[0],), {"axes": tuple(inner[a] for a in axes)}, node)


def _joined_again(draft: Draft, node: Planned, _x: Planned, _users: list[int]) -> Ref | None:
    """All rows of one value, put together as they were."""
    whole = consecutive(draft, draft.operands(node)) if node.attrs["axis"] == 0 else None
    if whole is None or whole[1:] != (0, draft[whole[0]].shape[0]):
        return None
    return draft.add(P.reshape, whole[:1], {"shape": node.shape}, node)


def _flat_rows(draft: Draft, node: Planned, x: Planned, _users: list[int]) -> Ref | None:
    g, indices = draft.operands(node)
    count = draft[indices].shape
    if len(count) == 1:
        return None
    flat = draft.add(P.reshape, (g,), {"shape": (size_of(count), *x.shape[len(count) :])}, node)
    return draft.add(
        P.scatter_rows, (flat, draft.add(P.reshape, (indices,), {"shape": (size_of(count),)}, node)), node.attrs, node
    )


def _biases_first(draft: Draft, node: Planned, x: Planned, users: list[int]) -> Ref | None:
    """``(W x + a) + (U h + b)`` with a + b computed once."""
    second = draft.operands(node)[1]
    y = draft[second] if isinstance(second, Ref) else node
    if not (x.op is P.linear is y.op and len(x.operands) == len(y.operands) == 3 and x.index != y.index):
        return None
    if max(x.index, y.index) >= len(users) or not users[x.index] == users[y.index] == 1:
        return None
    (a, v, b1), (h, u, b2) = draft.operands(x), draft.operands(y)
    bias = draft.add(P.add, (b1, b2), {}, x)
    terms = draft.add(P.linear, (a, v, bias), {}, x), draft.add(P.linear, (h, u), {}, y)
    return draft.add(P.add, terms, {}, node)


def _part_of_stack(draft: Draft, node: Planned, x: Planned, _users: list[int]) -> Ref | None:
    """One of the values that were stacked, read again."""
    found = cut(node, x.shape) if x.op is P.stack else None
    if found is None or not found[1].dropped or found[0] != x.attrs["axis"] % len(x.shape):
        return None
    part = draft.root(x.operands[found[1].start])
    return part if isinstance(part, Ref) else None


def _part_of_scatter(draft: Draft, node: Planned, x: Planned, _users: list[int]) -> Ref | None:
    """The value that was written into zeros and is read again; or the zeros beside it."""
    found, other = (cut(node, x.shape), cut(x, x.shape)) if x.op is P.scatter else (None, None)
    if found is None or other is None or found[0] != other[0]:
        return None
    read, written = found[1], other[1]
    if written == read:
        return draft.root(x.operands[0])
    if written.stop <= read.start or read.stop <= written.start:
        return draft.constant(np.broadcast_to(np.zeros((), node.dtype), node.shape), node)
    return None


_SIMPLER: dict[Primitive, tuple[Callable[[Draft, Planned, Planned, list[int]], Ref | None], ...]] = {
    P.mul: (_times_one,),
    P.broadcast_to: (_same_shape,),
    P.reshape: (_same_shape, _of_reshaped),
    P.cast: (_same_dtype,),
    P.permute: (_permuted,),
    P.getitem: (_part_of_stack, _part_of_scatter),
    P.stack: (_joined_again,),
    P.concat: (_joined_again,),
    P.scatter_rows: (_flat_rows,),
    P.add: (_biases_first,),
}


def _frozen(value: Any) -> Any:
    """An attribute as something that can be a key."""
    if isinstance(value, dict):
        return tuple(sorted((k, _frozen(v)) for k, v in value.items()))
    if isinstance(value, (tuple, list)):
        return tuple(map(_frozen, value))
    if isinstance(value, slice):
        return ("slice", value.start, value.stop, value.step)
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape, value.tobytes())
    return (type(value).__name__, value)
