"""Passes any compiler has: dead code, equal expressions, constants, and operations that change nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import primitives as P
from ...graph import Ref
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
    assert node.op is not None
    operands = draft.operands(node)
    first = operands[0]
    x = draft[first] if isinstance(first, Ref) else None
    if node.op is P.mul and x is not None and type(operands[1]) is int and operands[1] == 1:
        return first  # a clone
    if node.op in (P.reshape, P.broadcast_to) and x is not None and x.shape == node.shape:
        return first
    if node.op is P.cast and x is not None and x.dtype == node.dtype:
        return first
    if x is None:
        return None
    if node.op is P.reshape and x.op is P.reshape:
        return draft.add(P.reshape, (x.operands[0],), {"shape": node.shape}, node)
    if node.op is P.permute:
        axes = tuple(a % len(x.shape) for a in node.attrs["axes"])
        if axes == tuple(range(len(axes))):
            return first
        if x.op is P.permute:
            inner = tuple(a % len(axes) for a in x.attrs["axes"])
            return draft.add(P.permute, (x.operands[0],), {"axes": tuple(inner[a] for a in axes)}, node)
    if node.op is P.reshape and x.op is P.take:  # the indices can be reshaped instead
        table, indices = draft.operands(x)
        rows, width = draft[table].shape[0], draft[table].shape[1:]
        if rows and size_of(width) and node.shape[len(node.shape) - len(width) :] == width:
            shape = node.shape[: len(node.shape) - len(width)]
            return draft.add(P.take, (table, draft.add(P.reshape, (indices,), {"shape": shape}, node)), {}, node)
    if node.op is P.reshape and x.op is P.one_hot and x.shape[-1] and node.shape[-1:] == x.shape[-1:]:
        indices = draft.add(P.reshape, (x.operands[0],), {"shape": node.shape[:-1]}, node)
        return draft.add(P.one_hot, (indices,), x.attrs, node)
    if node.op is P.getitem:
        return _part_of(draft, node, x)
    if node.op in (P.stack, P.concat) and node.attrs["axis"] == 0:
        whole = consecutive(draft, operands)
        if whole is not None and whole[1:] == (0, draft[whole[0]].shape[0]):
            return draft.add(P.reshape, whole[:1], {"shape": node.shape}, node)
    if node.op is P.scatter_rows and len(draft[operands[1]].shape) != 1:
        count = draft[operands[1]].shape
        g = draft.add(P.reshape, (first,), {"shape": (size_of(count), *x.shape[len(count) :])}, node)
        flat = draft.add(P.reshape, operands[1:], {"shape": (size_of(count),)}, node)
        return draft.add(P.scatter_rows, (g, flat), node.attrs, node)
    if node.op is P.add and isinstance(operands[1], Ref):
        y = draft[operands[1]]
        if x.op is P.linear is y.op and len(x.operands) == len(y.operands) == 3 and x.index != y.index:
            (a, v, b1), (h, u, b2) = draft.operands(x), draft.operands(y)
            if max(x.index, y.index) < len(users) and users[x.index] == users[y.index] == 1:
                bias = draft.add(P.add, (b1, b2), {}, x)
                return draft.add(
                    P.add, (draft.add(P.linear, (a, v, bias), {}, x), draft.add(P.linear, (h, u), {}, y)), {}, node
                )
    return None


def _part_of(draft: Draft, node: Planned, x: Planned) -> Ref | None:
    """Reading a part of what was put together from parts."""
    found = cut(node, x.shape) if x.op in (P.stack, P.concat) or x.op is P.scatter else None
    if found is None or x.op is P.concat:
        return None
    axis, span = found
    if x.op is P.stack and span.dropped and axis == x.attrs["axis"] % len(x.shape):
        part = draft.root(x.operands[span.start])
        return part if isinstance(part, Ref) else None
    if x.op is P.scatter:
        other = cut(x, x.shape)
        if other is not None and other[0] == axis:
            if other[1] == span:
                return draft.root(x.operands[0])
            if other[1].stop <= span.start or span.stop <= other[1].start:
                return draft.constant(np.broadcast_to(np.zeros((), node.dtype), node.shape), node)
    return None


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
