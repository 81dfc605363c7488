"""Slices of a value that have nothing in common, as the gates of a cell are: one ``split``.

Its gradient is one concatenation. Cut out one by one, each slice's gradient is padded with zeros to the size of the
whole, and these are added up: for an LSTM four times the work, at every step of the way back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from .... import primitives as P
from ....graph import Node
from .rules import lax

#: the slices of each value, by its position
Slices = dict[int, list[Node]]


def sliced(nodes: Iterable[Node]) -> Slices:
    """The nodes that cut a part out of a value, by the position of that value."""
    found: Slices = {}
    for node in nodes:
        if node.op is P.getitem:
            found.setdefault(node.sources[0], []).append(node)
    return found


def split(nodes: Sequence[Node], x: Any) -> dict[int, Any]:
    """The values of ``nodes``, slices of ``x`` along one dimension that have nothing in common; else nothing."""
    spans = {node.index: span for node in nodes if (span := _span(node.attrs["index"], x.shape))}
    axes, ordered = {axis for axis, _, _ in spans.values()}, sorted({*spans.values()})
    if len(spans) < len(nodes) or len(axes) > 1 or len(ordered) < 2:
        return {}
    (axis,), bounds = axes, [0]
    for _, start, stop in ordered:
        if start < bounds[-1]:
            return {}
        bounds += [stop] if start == bounds[-1] else [start, stop]
    bounds += [x.shape[axis]] if bounds[-1] < x.shape[axis] else []
    parts = dict(zip(bounds, lax.split(x, [b - a for a, b in pairwise(bounds)], axis)))
    return {i: parts[start] for i, (_, start, _) in spans.items()}


def _span(index: Any, shape: tuple[int, ...]) -> tuple[int, int, int] | None:
    """Dimension, start and stop of an index that is one slice of step 1, all other dimensions whole; else None."""
    if any(part is not Ellipsis and not isinstance(part, slice) for part in index):
        return None
    at = index.index(Ellipsis) if Ellipsis in index else len(index)
    named = [*index[:at], *[slice(None)] * (len(shape) - len(index) + (at < len(index))), *index[at + 1 :]]
    spans = [(axis, *part.indices(n)) for axis, (part, n) in enumerate(zip(named, shape, strict=True))]
    cut = [(axis, start, stop) for axis, start, stop, step in spans if (start, stop, step) != (0, shape[axis], 1)]
    if len(cut) != 1 or any(step != 1 for *_, step in spans) or cut[0][1] >= cut[0][2]:
        return None
    return cut[0]
