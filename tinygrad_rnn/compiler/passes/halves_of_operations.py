"""The halves of operands that each half of an operation's result needs: a rule for each primitive, or kind of one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from ... import primitives as P
from ...primitives import Primitive
from ...primitives.record import normalize_axis
from ..plan import Planned
from ..slices import spans

Shapes = list[tuple[int, ...]]


class Cut(NamedTuple):
    """A cut of a value in two: ``axis`` has ``outer * batch * inner`` elements, see the module's text."""

    axis: int
    outer: int = 1
    inner: int = 1


class Plan(NamedTuple):
    """A node computed in halves: its own cut (None: the halves are added), its operands' (None: whole)."""

    cut: Cut | None
    wanted: list[Cut | None]


Cuts = dict[int, Cut]  #: of those operands that are cut, by their positions
Rule = Callable[[Planned, Shapes, Cuts, int], Plan | None]


def plan_halves(node: Planned, shapes: Shapes, cuts: Cuts, batch: int) -> Plan | None:
    """The plan for computing a node in halves; None if that takes the whole of its operands.

    ``shapes``: of all operands, ``()`` for numbers; ``batch``: how many sequences are cut in two.
    """
    op = node.op
    assert op is not None
    rule = _RULES.get(op) or (_elementwise if op.elementwise else _OF_KINDS.get(op.kind))
    return rule(node, shapes, cuts, batch) if rule is not None else None


def _elementwise(node: Planned, shapes: Shapes, cuts: Cuts, _batch: int) -> Plan:
    slot, cut = next(iter(cuts.items()))
    rank = len(node.shape)
    axis = rank - len(shapes[slot]) + cut.axis
    wanted: list[Cut | None] = []
    for shape in shapes:
        mine = axis - rank + len(shape)
        wanted.append(cut._replace(axis=mine) if mine >= 0 and shape[mine] != 1 else None)
    return Plan(cut._replace(axis=axis), wanted)


def _reshape(node: Planned, shapes: Shapes, cuts: Cuts, batch: int) -> Plan | None:
    """The cut of a reshaped value, of which ``outer`` blocks come before the batch."""
    cut = cuts[0]
    outer, before = math.prod(shapes[0][: cut.axis]) * cut.outer, 1
    for axis, size in enumerate(node.shape):
        if outer % before == 0 and size % (outer // before * batch) == 0:
            return Plan(Cut(axis, outer // before, size // (outer // before * batch)), [cut])
        before *= size
    return None


def _permute(node: Planned, _shapes: Shapes, cuts: Cuts, _batch: int) -> Plan:
    axes = [a % len(node.shape) for a in node.attrs["axes"]]
    return Plan(cuts[0]._replace(axis=axes.index(cuts[0].axis)), [cuts[0]])


def _getitem(node: Planned, shapes: Shapes, cuts: Cuts, batch: int) -> Plan | None:
    cut, found = cuts[0], spans(node.attrs["index"], shapes[0])
    if found is None or found[cut.axis].dropped:
        return None
    here, unit = found[cut.axis], batch * cut.inner
    if here.start % unit or here.stop % unit or here.start == here.stop:
        return None
    axis = cut.axis - sum(s.dropped for s in found[: cut.axis])
    return Plan(Cut(axis, (here.stop - here.start) // unit, cut.inner), [cut])


def _stack(node: Planned, shapes: Shapes, cuts: Cuts, _batch: int) -> Plan:
    cut, axis = next(iter(cuts.values())), node.attrs["axis"] % len(node.shape)
    return Plan(cut._replace(axis=cut.axis + (axis <= cut.axis)), [cut] * len(shapes))


def _concat(node: Planned, shapes: Shapes, cuts: Cuts, batch: int) -> Plan | None:
    cut = next(iter(cuts.values()))
    if node.attrs["axis"] % len(node.shape) != cut.axis:
        return Plan(cut, [cut] * len(shapes))
    unit = batch * cut.inner
    if any(c.inner != cut.inner for c in cuts.values()) or any(shape[cut.axis] % unit for shape in shapes):
        return None
    # what is there as a whole, such as an initial state, is cut as the rest is
    parts = [cuts.get(k, Cut(cut.axis, shape[cut.axis] // unit, cut.inner)) for k, shape in enumerate(shapes)]
    return Plan(Cut(cut.axis, sum(c.outer for c in parts), cut.inner), list(parts))


def _linear(_node: Planned, shapes: Shapes, cuts: Cuts, _batch: int) -> Plan | None:
    if [*cuts] != [0] or cuts[0].axis == len(shapes[0]) - 1:
        return None
    return Plan(cuts[0], [cuts[0], *[None] * (len(shapes) - 1)])


def _matmul(_node: Planned, shapes: Shapes, cuts: Cuts, _batch: int) -> Plan | None:
    if not len(shapes[0]) == len(shapes[1]) == 2:
        return None
    slot, cut = next(iter(cuts.items()))
    if (0 in cuts and cuts[0].axis == 0) != (1 in cuts and cuts[1].axis == 1):
        return Plan(cut, [cut, None] if slot == 0 else [None, cut]) if len(cuts) == 1 else None
    return Plan(None, [cut._replace(axis=1), cut._replace(axis=0)])


def _take(_node: Planned, _shapes: Shapes, cuts: Cuts, _batch: int) -> Plan | None:
    return Plan(cuts[1], [None, cuts[1]]) if [*cuts] == [1] else None


def _scatter_rows(_node: Planned, shapes: Shapes, cuts: Cuts, _batch: int) -> Plan | None:
    cut = next(iter(cuts.values()))
    return Plan(None, [cut, cut]) if cut.axis == 0 and len(shapes[1]) == 1 else None


def _cross_entropy(_node: Planned, shapes: Shapes, cuts: Cuts, _batch: int) -> Plan | None:
    cut = next(iter(cuts.values()))
    return Plan(cut, [cut, cut]) if cut.axis < len(shapes[1]) else None


def _one_hot(_node: Planned, _shapes: Shapes, cuts: Cuts, _batch: int) -> Plan:
    return Plan(cuts[0], [cuts[0]])


def _along_an_axis(node: Planned, _shapes: Shapes, cuts: Cuts, _batch: int) -> Plan | None:
    if "axis" not in node.attrs or node.attrs["axis"] % len(node.shape) == cuts[0].axis:
        return None  # somebody's own primitive may call its settings otherwise
    return Plan(cuts[0], [cuts[0]])


def _reduction(node: Planned, shapes: Shapes, cuts: Cuts, _batch: int) -> Plan | None:
    if "axis" not in node.attrs:
        return None
    cut, reduced = cuts[0], normalize_axis(node.attrs["axis"], len(shapes[0]))
    if cut.axis in reduced:
        return None
    gone = 0 if node.attrs.get("keepdims") else sum(a < cut.axis for a in reduced)
    return Plan(cut._replace(axis=cut.axis - gone), [cut])


def _sum(node: Planned, shapes: Shapes, cuts: Cuts, batch: int) -> Plan:
    return _reduction(node, shapes, cuts, batch) or Plan(None, [cuts[0]])


_RULES: dict[Primitive, Rule] = {
    P.broadcast_to: _elementwise,
    P.reshape: _reshape,
    P.permute: _permute,
    P.getitem: _getitem,
    P.stack: _stack,
    P.concat: _concat,
    P.linear: _linear,
    P.matmul: _matmul,
    P.take: _take,
    P.scatter_rows: _scatter_rows,
    P.cross_entropy: _cross_entropy,
    P.one_hot: _one_hot,
    P.sum_: _sum,
}
_OF_KINDS: dict[str, Rule] = {"axis": _along_an_axis, "reduction": _reduction}
