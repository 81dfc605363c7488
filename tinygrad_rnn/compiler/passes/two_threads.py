"""Two threads: the batch is cut in two, and each half runs its whole recurrence on its own.

Sequences in a batch meet only where something is summed over them: in the loss, and in the gradients of shared
weights. So everything between is computed twice, for the first and for the second half, with no need to wait for each
other at every time step; what was a sum over the batch becomes the sum of two sums, always in the same order.

Nobody says which axis is the batch: each axis of each argument is tried, and followed through the graph. An axis is not
always the batch alone: when T time steps of B sequences are put below each other, an axis of T·B rows holds the batch T
times. A `Cut` says so: it is ``outer`` blocks, in each of which the batch comes, each sequence ``inner`` elements long.
"""

from __future__ import annotations

import math
from typing import Any

from ... import primitives as P
from ...graph import Ref
from ..graph_rewriting import Draft
from ..opcodes import PRODUCTS
from ..plan import Plan, Planned
from ..slices import spans
from .halves_of_operations import Cut, plan_halves

#: floating-point operations in products below which a second thread costs more than it gains
WORTH = 2e7
#: sequences below which halves make products too thin
LEAST_BATCH = 8
#: share of all products that must be cut
COVERED = 0.9


class _Tied(Exception):
    """Raised where one half would need a result of the other: the graph cannot be cut there."""


def split_batch(graph: Plan) -> Plan:
    """Two lanes for the two halves of the batch; the same graph if it has none, or is too small."""
    total = sum(_cost(graph, node) for node in graph.nodes)
    if total < WORTH:
        return graph
    for leaf in graph.nodes:
        if leaf.op is not None or leaf.value is not None or leaf.is_parameter:
            continue
        for axis, size in enumerate(leaf.shape):
            if size >= LEAST_BATCH:
                attempt = _Halves(graph, leaf, axis)
                if attempt.run() and attempt.covered >= COVERED * total:
                    return attempt.draft.finish()
    return graph


def _cost(graph: Plan, node: Planned) -> float:
    if node.op not in PRODUCTS:
        return 0.0
    return 2.0 * math.prod(node.shape) * graph.nodes[node.sources[0]].shape[-1]


class _Halves:
    """An attempt to cut a graph along one axis of one of its leaves."""

    def __init__(self, graph: Plan, leaf: Planned, axis: int) -> None:
        self.graph, self.draft, self.batch = graph, Draft(graph), leaf.shape[axis]
        self.bounds = (0, self.batch - self.batch // 2, self.batch)
        self.cuts: dict[int, Cut] = {}
        self.halves: dict[int, list[Ref]] = {}
        self.late: set[int] = set()  # computed after the halves, from both of them
        self.covered = 0.0
        self._parts: dict[Any, Ref] = {}
        first = Cut(axis)
        self.halves[leaf.index] = [self._part(leaf, first, lane) for lane in (1, 2)]
        self.cuts[leaf.index] = first

    def run(self) -> bool:
        """Follow the cut through the graph; False if that does not work."""
        try:
            for node in self.graph.nodes:
                if node.op is not None:
                    self._visit(node)
        except _Tied:
            return False
        for index in self.graph.outputs:
            if index in self.cuts:
                self._gather(self.graph.nodes[index])
        for index in self.late:
            self.draft.order[index] += 3 * len(self.graph)
        return True

    def _visit(self, node: Planned) -> None:
        cuts = {
            slot: self.cuts[x.index]
            for slot, x in enumerate(node.operands)
            if isinstance(x, Ref) and x.index in self.cuts
        }
        if not cuts:
            if any(index in self.late for index in node.sources):
                self.late.add(node.index)
            return
        shapes = [self.graph.nodes[x.index].shape if isinstance(x, Ref) else () for x in node.operands]
        plan = plan_halves(node, shapes, cuts, self.batch)
        if plan is None:
            for slot in cuts:
                operand = node.operands[slot]
                assert isinstance(operand, Ref)
                self._gather(self.graph.nodes[operand.index])
            self.late.add(node.index)
            return
        self.covered += _cost(self.graph, node)
        halves = []
        for lane in (1, 2):
            operands = tuple(self._operand(x, cut, lane) for x, cut in zip(node.operands, plan.wanted, strict=True))
            attrs = self._attrs(node, shapes, cuts, plan.cut, lane)
            halves.append(self._add(node.op, operands, attrs, node, lane))
        if plan.cut is None:
            self.draft.replace(node, self._add(P.add, tuple(halves), {}, node, 0))
            self.late.add(node.index)
        else:
            self.cuts[node.index], self.halves[node.index] = plan.cut, halves

    def _add(self, op: Any, operands: tuple[Any, ...], attrs: dict[str, Any], like: Planned, lane: int) -> Ref:
        made = self.draft.add(op, operands, attrs, like, lane)
        self.draft.order[made.index] = like.index + (lane or 3) * len(self.graph)
        return made

    def _operand(self, x: Any, wanted: Cut | None, lane: int) -> Any:
        if not isinstance(x, Ref):
            return x
        if self.cuts.get(x.index) != wanted if x.index in self.cuts else x.index in self.late:
            raise _Tied
        if x.index in self.halves:
            return self.halves[x.index][lane - 1]
        return x if wanted is None else self._part(self.graph.nodes[x.index], wanted, lane)

    def _size(self, lane: int) -> int:
        return self.bounds[lane] - self.bounds[lane - 1]

    def _resized(self, shape: tuple[int, ...], cut: Cut, lane: int) -> tuple[int, ...]:
        return (*shape[: cut.axis], cut.outer * self._size(lane) * cut.inner, *shape[cut.axis + 1 :])

    def _part(self, node: Planned, cut: Cut, lane: int) -> Ref:
        """Half of a value that is there as a whole."""
        key = (node.index, cut, lane)
        if key not in self._parts:
            self._parts[key] = self._cut_out(node, cut, lane)
        return self._parts[key]

    def _cut_out(self, node: Planned, cut: Cut, lane: int) -> Ref:
        small = self._resized(node.shape, cut, lane)
        if node.op is P.broadcast_to:
            base = self.graph.nodes[node.sources[0]]
            axis = cut.axis - len(node.shape) + len(base.shape)
            if axis < 0 or base.shape[axis] == 1:
                return self._add(P.broadcast_to, node.operands, {"shape": small}, node, lane)
        before, after = node.shape[: cut.axis], node.shape[cut.axis + 1 :]
        index = (*(slice(None),) * (cut.axis + 1), slice(self.bounds[lane - 1], self.bounds[lane]))
        apart = (*before, cut.outer, self.batch, cut.inner, *after)
        whole = self._add(P.reshape, (Ref(node.index),), {"shape": apart}, node, lane)
        half = self._add(P.getitem, (whole,), {"index": index}, node, lane)
        return self._add(P.reshape, (half,), {"shape": small}, node, lane)

    def _gather(self, node: Planned) -> None:
        """Put the halves of a value together; a leaf was never apart."""
        if node.op is None or node.index in self.late:
            return
        self.late.add(node.index)
        cut = self.cuts[node.index]
        before, after = node.shape[: cut.axis], node.shape[cut.axis + 1 :]
        apart = [
            self._add(P.reshape, (half,), {"shape": (*before, cut.outer, self._size(lane), cut.inner, *after)}, node, 0)
            for lane, half in enumerate(self.halves[node.index], start=1)
        ]
        joined = self._add(P.concat, tuple(apart), {"axis": cut.axis + 1}, node, 0)
        self.draft.replace(node, self._add(P.reshape, (joined,), {"shape": node.shape}, node, 0))

    def _attrs(
        self, node: Planned, shapes: list[tuple[int, ...]], cuts: dict[int, Cut], cut: Cut | None, lane: int
    ) -> dict[str, Any]:
        """The settings of a node's half."""
        if "shape" in node.attrs:
            assert cut is not None
            return {"shape": self._resized(node.shape, cut, lane)}
        if node.op is P.getitem and cuts[0].outer > 1:
            found = spans(node.attrs["index"], shapes[0])
            assert found is not None
            index: list[int | slice] = [s.start if s.dropped else slice(s.start, s.stop) for s in found]
            axis, unit = cuts[0].axis, self._size(lane) * cuts[0].inner
            old = self.batch * cuts[0].inner
            index[axis] = slice(found[axis].start // old * unit, found[axis].stop // old * unit)
            return {"index": tuple(index)}
        return node.attrs
