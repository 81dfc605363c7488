"""Loops: the rows of a body, lowered once, and how their addresses move on from one time step to the next."""

from __future__ import annotations

import numpy as np

from .. import primitives as P
from ..errors import DTypeError
from ..graph import Node
from ..recurrence.loop import Unrolled
from ..tensors import Array
from .lowering import Lowering, float_type, kind_of
from .memory_layout import Stacks, Storage, View, plain
from .passes import OF_BODIES
from .plan import Plan, PlanBuilder
from .row_table import RowTable
from .tracing import TracedProgram

#: kinds of nodes that are written where they are wanted
_COMPUTED = ("region", "product", "row")


class _WithLoops(Lowering):
    def emit_loop(self, node: Node) -> None:
        """Its first states, the loop's own row, and those of the body."""
        stacks = self.layout.loops[node.index]
        operands = [self.layout.view(index) for index in node.sources]
        for target, source in zip(stacks.first, operands[stacks.body.inputs :]):
            self.table.copy(target, source)
        _Loop(self, node, stacks, operands).emit()


def lower(graph: Plan, trace: TracedProgram) -> RowTable:
    """Rows of integers for a graph."""
    real = float_type(graph)
    if real.kind != "f":
        raise DTypeError(
            "this function computes no float32 or float64 value, so there is nothing to compile; call it as it is"
        )
    layout = Storage(graph, trace, [kind_of(graph, node, real) for node in graph.nodes])
    return _WithLoops(trace, RowTable.empty(layout, real)).lower()


class _Loop:
    def __init__(self, lowering: Lowering, node: Node, stacks: Stacks, operands: list[View]) -> None:
        self.lowering, self.node, self.stacks, self.body = lowering, node, stacks, stacks.body
        self.outside = len(lowering.layout.sizes)  # buffers from here on are the body's
        self.lasting: set[int] = set()  # but for these, which are written before it
        self.moving: dict[int, tuple[int, int, int]] = {}  # stand-in -> buffer, offset in the first round, step
        self.graph, self.targets = self._optimized()
        self.given = self._leaves(operands)

    def _optimized(self) -> tuple[Plan, list[View]]:
        """The body after all passes, and for each of its outputs the stack it goes to."""
        body = self.body
        asked = {new: k for k, new in reversed(list(enumerate(body.new)))}
        targets = [self.stacks.of_state(k) for k in range(body.states)]
        others = [index for index in self.stacks.after if index not in asked and body.state_of(index) is None]
        build = PlanBuilder()
        for x in body.graph.nodes:
            build.again(x, x.operands)
        graph = build.plan([*body.new, *others])
        for rewrite in OF_BODIES:
            graph = rewrite(graph)
        return graph, [*targets, *(self.stacks.after[index] for index in others)]

    def _leaves(self, operands: list[View]) -> dict[int, View]:
        """The positions of the leaves of the optimized body."""
        body = self.body
        places: dict[int, View] = {}
        spare = set()
        for k, leaf in enumerate(body.graph.nodes[: len(operands)]):
            if k < body.inputs:
                places[leaf.serial] = self._row_of(operands[k])
                if self._is_spare(self.node.sources[k]):
                    spare.add(leaf.serial)
            elif k < body.inputs + body.states:
                places[leaf.serial] = self._row_of(self.stacks.after[k])
            else:
                places[leaf.serial] = operands[k]
        leaves = (n for n in self.graph.nodes if n.op is None and n.value is None)
        found = {leaf.index: places[leaf.serial] for leaf in leaves}
        self.spare = {index for index in found if self.graph.nodes[index].serial in spare}
        return found

    def _is_spare(self, index: int) -> bool:
        """Whether a stack was computed for this loop alone, so that its rows may be written over."""
        layout = self.lowering.layout
        readers = {self.node.index}
        readers |= {i for i in layout.uses[index] if layout.kinds[i] == "tap" and self.node.index in layout.sources[i]}
        if self.node.sources.count(index) > 1:
            return False
        while readers.issuperset(layout.uses[index]) and index not in layout.graph.outputs:
            if layout.kinds[index] != "view":
                return layout.kinds[index] in ("region", "product")
            readers, index = {index}, layout.sources[index][0]
        return False

    def _row_of(self, stack: View) -> View:
        """A stack's row of the current round."""
        body, step = self.body, stack.strides[0]
        buffer = self.lowering.layout.new_buffer(0)
        self.moving[buffer] = (stack.buffer, stack.offset + body.order[0] * step, -step if body.reverse else step)
        return View(buffer, 0, stack.shape[1:], stack.strides[1:], stack.itemsize)

    def emit(self) -> None:
        """All rows."""
        table = self.lowering.table
        kinds = [kind_of(self.graph, n, table.real) for n in self.graph.nodes]
        if "host" in kinds or "loop" in kinds:
            raise Unrolled
        later, passing = [], []
        for k, (index, stack) in enumerate(zip(self.graph.outputs, self.targets, strict=True)):
            row = self._row_of(stack)
            if k in self.stacks.passing:
                passing.append((row, index))
            elif index in self.given or kinds[index] not in _COMPUTED:
                later.append((row, index))
            else:
                self.given[index] = row
        layout = Storage(
            self.graph, TracedProgram(self.graph, ignoring=True), kinds, self.lowering.layout, self.given, self.spare
        )
        inner = _Inside(self.lowering, layout, self)
        start, first_patch = len(table.rows), len(table.patches)
        table.row("loop", 0, self.body.length, 0, 0, node=self.node)
        inner.emit_all()
        for row, index in later:
            inner.table.copy(row, layout.view(index))
        self._pass_on(inner.table, layout, kinds, passing)
        end = len(table.rows)
        table.rows[start][1] = end
        if any(row > start for row in (*table.host, *table.checks)):
            raise Unrolled
        self._moves(start, end, first_patch)
        for counted in (table.flops, table.moved):
            counted[start] = self.body.length * sum(counted.pop(row, 0) for row in range(start + 1, end))

    def _pass_on(self, table: RowTable, layout: Storage, kinds: list[str], passing: list[tuple[View, int]]) -> None:
        """Write the states of one row, when everything that the step reads has been read."""
        values = []
        for _, index in passing:
            value = layout.view(index)
            if index in self.given or kinds[index] not in _COMPUTED:  # it may be overwritten below before it is read
                apart = plain(layout.new_buffer(value.nbytes), layout.graph.nodes[index])
                table.copy(apart, value)
                value = apart
            values.append(value)
        for (row, _), value in zip(passing, values, strict=True):
            table.copy(row, value)

    def _moves(self, start: int, end: int, first_patch: int) -> None:
        """Addresses of what moves on; and what the body shares with the rest is needed in every round."""
        table, moves = self.lowering.table, []
        for k in range(first_patch, len(table.patches)):
            row, column, buffer, offset = table.patches[k]
            if buffer in self.moving:
                base, first, step = self.moving[buffer]
                table.patches[k] = (row, column, base, first + offset)
                table.uses.pop(buffer, None)
                buffer = base
                if step:
                    moves.append((row, column, step))
            if buffer < self.outside or buffer in self.lasting:
                use = table.uses.setdefault(buffer, [start, end - 1])
                use[:] = [min(use[0], start), max(use[1], end - 1)]
        entries: Array = np.array(moves, np.int64).reshape(-1, 3)
        table.patches.append((start, 3, *table.pooled(entries)))
        table.rows[start][4] = len(moves)


class _Inside(Lowering):
    """The lowering of a loop's body: rows, constants and scratch memory are those outside, all else is its own."""

    def __init__(self, around: Lowering, layout: Storage, loop: _Loop) -> None:
        super().__init__(around.trace, around.table.of_body(layout))
        self.loop, self._confirmed = loop, True
        self._prepare(around.table)

    def _prepare(self, around: RowTable) -> None:
        """Matrices that BLAS wants in another order are put so once, before the loop."""
        for node in self.graph.nodes:
            if self.kinds[node.index] == "product":
                a, b = (self.graph.nodes[i] for i in node.sources[:2])
                view = self.layout.view(b.index)
                if self._read_often(view) and len(view.shape) == 2 and a.shape[0] > 3:
                    if node.op is P.linear:
                        view = view._replace(shape=view.shape[::-1], strides=view.strides[::-1])
                    self.table.copies[view] = copy = around.contiguous(view, self.real)
                    self.loop.lasting.add(copy.buffer)

    def _read_often(self, view: View) -> bool:
        return view.buffer < self.loop.outside
