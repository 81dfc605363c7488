"""Slices: which part of its base a basic index selects, and putting consecutive parts together again as one view."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from .. import primitives as P
from ..graph import Ref
from .graph_rewriting import Draft
from .plan import Planned


class Span(NamedTuple):
    """The elements that an index selects along one axis."""

    start: int
    stop: int
    dropped: bool  #: an integer: the axis disappears


def spans(index: tuple[Any, ...], shape: tuple[int, ...]) -> list[Span] | None:
    """A basic index of unit steps as one span an axis; None if it is anything else."""
    if any(not (isinstance(p, (int, slice)) or p is Ellipsis) or isinstance(p, bool) for p in index):
        return None
    if Ellipsis in index:
        at = index.index(Ellipsis)
        index = (*index[:at], *[slice(None)] * (len(shape) - len(index) + 1), *index[at + 1 :])
    found = []
    for part, size in zip((*index, *[slice(None)] * (len(shape) - len(index))), shape):
        if isinstance(part, int):
            found.append(Span(part % size, part % size + 1, True))
        else:
            start, stop, step = part.indices(size)
            if step != 1:
                return None
            found.append(Span(start, max(start, stop), False))
    return found


def cut(node: Planned, shape: tuple[int, ...]) -> tuple[int, Span] | None:
    """(axis, span) if a getitem or scatter concerns part of one axis of ``shape`` and the whole of all others."""
    found = spans(node.attrs["index"], shape)
    if found is None:
        return None
    partial = [axis for axis, s in enumerate(found) if s.dropped or (s.start, s.stop) != (0, shape[axis])]
    return (partial[0], found[partial[0]]) if len(partial) == 1 else None


def over_time(like: Planned, nodes: Iterable[Planned]) -> Planned:
    """A model for a node that does the work of several: of different time steps, it belongs to none."""
    alone = len({node.scope.step for node in nodes}) == 1
    return like if alone else replace(like, scope=like.scope._replace(step=None))


def in_order(draft: Draft, pieces: Sequence[Any]) -> list[int]:
    """A key that sorts pieces so that they are likely to be neighbours in memory: by position, else by time."""

    def key(i: int) -> tuple[Any, ...]:
        node = draft[pieces[i]]
        if node.op is P.getitem:
            found = cut(node, draft[node.operands[0]].shape)
            if found is not None:
                return (0, draft.root(node.operands[0]).index, found[1].start)
        return (1, -1 if node.scope.step is None else node.scope.step, node.index)

    return sorted(range(len(pieces)), key=key)


def rows_of(draft: Draft, pieces: Sequence[Ref], like: Planned) -> Ref:
    """Matrices one below the other: a view where they are consecutive rows of one base, else a concat."""
    whole = consecutive(draft, pieces)
    if whole is not None:
        base, start, stop = whole
        node = draft[base]
        if (start, stop) != (0, node.shape[0]):
            base = draft.add(P.getitem, (base,), {"index": (slice(start, stop),)}, like)
        width = draft[pieces[0]].shape[-1]
        rows = sum(draft[p].shape[0] for p in pieces)
        if draft[base].shape != (rows, width):
            base = draft.add(P.reshape, (base,), {"shape": (rows, width)}, like)
        return base
    return pieces[0] if len(pieces) == 1 else draft.add(P.concat, tuple(pieces), {"axis": 0}, like)


def consecutive(draft: Draft, pieces: Sequence[Any]) -> tuple[Ref, int, int] | None:
    """(base, start, stop) if the pieces are the parts ``base[start:stop]`` along axis 0, one after the other."""
    base: Any = None
    first = end = 0
    for k, piece in enumerate(pieces):
        node = draft[piece] if isinstance(piece, Ref) else None
        if node is None or node.op is not P.getitem:
            return None
        source = draft.root(node.operands[0])
        found = cut(node, draft[source].shape)
        if found is None or found[0] != 0 or (k and (source != base or found[1].start != end)):
            return None
        if not k:
            base, first = source, found[1].start
        end = found[1].stop
    return base, first, end
