"""Regions: a run of elementwise operations done tile by tile.

Within a tile every operand is a plain run of numbers. One that lies so in memory is read where it is; one that is
strided or broadcast is first loaded into scratch memory; a result that only the region needs never leaves it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Node, Ref
from ..primitives.record import size_of
from .memory_layout import View
from .opcodes import elementwise
from .plan import Plan
from .row_table import RowTable

#: elements a region works on at a time: a dozen such runs stay in the first-level cache
TILE = 512


class Region:
    """Elementwise ``nodes`` of one shape; `emit` writes their rows to the ``table``."""

    def __init__(self, table: RowTable, graph: Plan, nodes: list[Node]) -> None:
        self.table, self.graph, self.nodes, self.layout = table, graph, nodes, table.layout
        self.members = {node.index for node in nodes}
        self.shape = nodes[0].shape
        self.count = size_of(self.shape)
        self.cols = self.shape[-1] if self.shape else 1
        outside = {i for node in nodes for i in node.sources if i not in self.members}
        self.operands = {i: self._broadcast(self.layout.view(i)) for i in outside}
        for index in outside:
            dtype = graph.nodes[index].dtype
            if not self._walkable(self.operands[index]) or (dtype == np.int64 and not self.operands[index].contiguous):
                self.operands[index] = self._broadcast(table.contiguous(self.layout.view(index), dtype))
                if not self.operands[index].contiguous:  # a broadcast in the middle: spread it out
                    full = table.temporary(self.shape, dtype)
                    table.copy(full, self.layout.view(index))
                    self.operands[index] = full
        views = [*self.operands.values(), *(self.layout.view(n.index) for n in nodes if self._escapes(n))]
        if all(v.contiguous or not any(v.strides) for v in views):
            self.size = min(TILE, self.count)
        else:
            self.size = min(max(1, TILE // self.cols) * self.cols, self.count)
        self.last_use = {i: node.index for node in nodes for i in node.sources}
        self.free: list[int] = []
        self.slots = 0
        self.where: dict[Any, tuple[tuple[int, int], int]] = {}  # value -> address in a tile, bytes per tile
        self.slot_of: dict[Any, int] = {}

    def _escapes(self, node: Node) -> bool:
        """Whether anything but this region's members needs the value."""
        uses = self.layout.uses[node.index]
        return node.index in self.graph.outputs or any(u not in self.members for u in uses)

    def _broadcast(self, view: View) -> View:
        extra = len(self.shape) - len(view.shape)
        strides = tuple(
            0 if i < extra or (view.shape[i - extra] == 1 and n != 1) else view.strides[i - extra]
            for i, n in enumerate(self.shape)
        )
        return view._replace(shape=self.shape, strides=strides)

    def _rows(self, view: View) -> int | None:
        """The distance in bytes of the region's rows in a view; None if they are not equally spaced."""
        found: int | None = None
        extent = 1
        for n, stride in zip(reversed(self.shape[:-1]), reversed(view.strides[:-1])):
            if n == 1:
                continue
            if found is None:
                found = stride
            elif stride != found * extent:
                return None
            extent *= n
        return found or 0

    def _walkable(self, view: View) -> bool:
        return view.contiguous or not any(view.strides) or self._rows(view) is not None

    def _slot(self, key: Any) -> tuple[int, int]:
        """A run of scratch memory for one tile."""
        if self.free:
            slot = self.free.pop()
        else:
            slot, self.slots = self.slots, self.slots + 1
        self.slot_of[key] = slot
        length = -(-self.size * 8 // 64) * 64 if self.size else 64
        return self.table.scratch(slot * length, length)

    def emit(self) -> None:
        """The region's own row, and those of its nodes."""
        table = self.table
        tiles = -(-self.count // self.size)
        start = table.row("region", 0, tiles, self.size, self.count - (tiles - 1) * self.size, node=self.nodes[-1])
        for node in self.nodes:
            self._emit_node(node)
            for index in dict.fromkeys(node.sources):
                if self.last_use[index] == node.index and index in self.slot_of:
                    self.free.append(self.slot_of.pop(index))
            if node.index not in self.last_use and node.index in self.slot_of:
                self.free.append(self.slot_of.pop(node.index))
        table.rows[start][1] = len(table.rows)
        table.flops[start] = self.count * len(self.nodes)
        escaping = [node.index for node in self.nodes if self._escapes(node)]
        table.moved[start] = sum(self.layout.view(index).nbytes for index in (*self.operands, *escaping))
        # the region runs as a whole: what it touches must not share memory with anything else it touches
        for row, _, buffer, _ in reversed(table.patches):
            if row < start:
                break
            table.uses[buffer][0] = min(table.uses[buffer][0], start)
            table.uses[buffer][1] = max(table.uses[buffer][1], len(table.rows) - 1)

    def _emit_node(self, node: Node) -> None:
        assert node.op is not None
        integers = any(self.graph.nodes[x.index].dtype == np.int64 for x in node.operands if isinstance(x, Ref))
        found, operands = elementwise(node), node.operands
        assert found is not None
        name, positions = found
        if positions is not None:
            operands = tuple(x if isinstance(x, float) else node.operands[x] for x in positions)
        elif name == "pow" and operands[1] == 2:
            name, operands = "mul", (operands[0], operands[0])
        name += "_integers" if integers else ""
        columns: list[Any] = []
        for x in operands:
            if isinstance(x, Ref):
                columns.extend(self._operand(x.index))
            else:
                dtype = np.dtype(np.int64) if integers else self.table.real
                columns.extend((self.table.tile_of(x, dtype, self.size), 0))
        view = self.layout.view(node.index)
        item = node.dtype.itemsize
        escapes = self._escapes(node)
        if escapes and view.contiguous and node.index not in self.layout.in_cell:
            self.where[node.index] = ((view.buffer, view.offset), self.size * item)
            self.table.row(name, view, self.size * item, *columns, node=node)
            return
        address = self._slot(node.index)
        self.where[node.index] = (address, 0)
        self.table.row(name, address, 0, *columns, node=node)
        if escapes:
            rows = self._rows(view) or 0
            per_tile = self.size * item if view.contiguous else self.size // self.cols * rows
            cols = 0 if view.contiguous else self.cols
            if item == 1:
                self.table.row("store_bool", view, per_tile, address, 0, cols, rows or cols, cols, 1)
            else:
                self.table.row("store", view, per_tile, address, 0, rows // item, 0, cols)

    def _operand(self, index: int) -> tuple[tuple[int, int], int]:
        """The place of an operand's tile: in memory if it lies there as a plain run, else loaded into scratch."""
        if index in self.where:
            return self.where[index]
        view = self.operands[index]
        item = view.itemsize
        address = (view.buffer, view.offset)
        if view.contiguous:
            found = (address, self.size * item)
        else:
            slot = self._slot(index)
            rows = self._rows(view) or 0
            across = view.strides[-1]
            per_tile = self.size // self.cols * rows if any(view.strides) else 0
            if item == 1:
                cols = self.cols if any(view.strides) else 0
                self.table.row("load_bool", slot, 0, address, per_tile, rows, cols, cols, across)
            elif not any(view.strides) and item == self.table.real.itemsize:
                self.table.row("splat", slot, 0, address, 0)
            else:
                self.table.row("load", slot, 0, address, per_tile, rows // item, across // item, self.cols)
            found = (slot, 0)
        self.where[index] = found
        return found
