"""The rows of a compiled program as they are written: an opcode and addresses each, and the constants they point to.

An address is written down as (buffer, offset) in ``patches``, and filled in when it is known where each buffer lies.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..graph import Node
from ..primitives.record import size_of
from ..tensors import Array
from .memory_layout import Storage, View, row_major
from .opcodes import NUMBER, WIDTH


@dataclass
class RowTable:
    """The result of lowering: everything a `Program` needs."""

    layout: Storage
    real: np.dtype[Any]  #: the program's one float type
    pool_buffer: int  #: the buffer of ``pool``
    scratch_bytes: dict[int, int]  #: buffer -> size; two of them, since the second lane has its own
    #: constants: tiles of a literal, sizes for BLAS, plans of copies
    pool: bytearray = field(default_factory=bytearray)
    rows: list[list[int]] = field(default_factory=list)
    patches: list[tuple[int, int, int, int]] = field(default_factory=list)  #: row, column, buffer, offset
    uses: dict[int, list[int]] = field(default_factory=dict)  #: buffer -> first and last row that touches it
    host: dict[int, Node] = field(default_factory=dict)  #: row -> node that Python computes
    checks: dict[int, Node] = field(default_factory=dict)  #: row -> node whose indices are checked
    #: returned node -> a copy of it, where a new value takes its place
    kept: dict[int, View] = field(default_factory=dict)
    flops: dict[int, int] = field(default_factory=dict)  #: row -> floating-point operations
    moved: dict[int, int] = field(default_factory=dict)  #: row -> bytes read and written
    nodes: dict[int, Node] = field(default_factory=dict)  #: row -> a node it computes
    lane: int = 0  #: the thread that rows are written for (0: none of the two)
    lanes: list[int] = field(default_factory=list)  #: rows where the first lane begins, the second, and what follows
    copies: dict[View, View] = field(default_factory=dict)  #: contiguous copies that this lane may read
    tiles: dict[Hashable, tuple[int, int]] = field(default_factory=dict)  #: runs of equal numbers

    @classmethod
    def empty(cls, layout: Storage, real: np.dtype[Any]) -> RowTable:
        """No rows yet."""
        return cls(layout, real, layout.new_buffer(0), {layout.new_buffer(0): 0 for _ in range(2)})

    def of_body(self, layout: Storage) -> RowTable:
        """The same rows, constants and scratch memory, for a loop's body, whose values lie elsewhere."""
        return replace(self, layout=layout, copies={})

    def row(self, name: str, *columns: Any, node: Node | None = None) -> int:
        """Write a row and return its number; a column is a number, or a view or (buffer, offset): its address."""
        row = len(self.rows)
        values = [NUMBER[name]]
        for column, value in enumerate(columns, start=1):
            if isinstance(value, View):
                value = (value.buffer, value.offset)
            if isinstance(value, tuple):
                self.patches.append((row, column, *value))
                self.touch(value[0], row)
                value = 0
            values.append(int(value))
        self.rows.append(values + [0] * (WIDTH - len(values)))
        if node is not None:
            self.nodes[row] = node
            views = [self.layout.view(index) for index in (node.index, *node.sources)]
            self.moved[row] = sum(view.nbytes for view in views)
        return row

    def touch(self, buffer: int, row: int) -> None:
        """A buffer is needed until ``row``."""
        self.uses.setdefault(buffer, [row, row])[1] = row

    def enter(self, lane: int) -> None:
        """From here on write rows for the thread ``lane`` (0: none of the two).

        Contiguous copies that one thread made are forgotten, since the other may read them before they are there.
        """
        if lane != self.lane:
            self.lane, self.copies = lane, {}
            self.lanes.append(len(self.rows))

    def pooled(self, array: Array) -> tuple[int, int]:
        """The address of a constant."""
        self.pool.extend(b"\0" * (-len(self.pool) % 64))
        offset = len(self.pool)
        self.pool.extend(array.tobytes())
        return self.pool_buffer, offset

    def tile_of(self, value: Any, dtype: np.dtype[Any], length: int) -> tuple[int, int]:
        """The address of a run of equal numbers."""
        key = (dtype.str, type(value), value, length)
        if key not in self.tiles:
            self.tiles[key] = self.pooled(np.full(length, value, dtype))
        return self.tiles[key]

    def scratch(self, offset: int, nbytes: int) -> tuple[int, int]:
        """The address of scratch memory of this lane."""
        first, second = self.scratch_bytes
        buffer = second if self.lane == 2 else first
        self.scratch_bytes[buffer] = max(self.scratch_bytes[buffer], offset + nbytes)
        return buffer, offset

    def contiguous(self, view: View, dtype: np.dtype[Any]) -> View:
        """The view itself if its elements follow each other, else a copy of it, made once."""
        if view.contiguous:
            return view
        if view not in self.copies:
            self.copies[view] = copy = self.temporary(view.shape, dtype)
            self.copy(copy, view)
        return self.copies[view]

    def temporary(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> View:
        """Memory of its own."""
        buffer = self.layout.new_buffer(size_of(shape) * dtype.itemsize)
        return View(buffer, 0, shape, row_major(shape, dtype.itemsize), dtype.itemsize)

    def copy(self, out: View, source: View) -> None:
        """Copy ``source``, broadcast, to ``out``; dimensions that can be walked as one are merged."""
        item = out.itemsize
        strides = (0,) * (len(out.shape) - len(source.shape)) + tuple(
            0 if n == 1 else s for n, s in zip(source.shape, source.strides)
        )
        merged: list[list[int]] = []
        for n, s, d in zip(out.shape, strides, out.strides):
            if n == 1:
                continue
            if merged and merged[-1][1] == s * n and merged[-1][2] == d * n:
                merged[-1] = [merged[-1][0] * n, s, d]
            else:
                merged.append([n, s, d])
        merged = merged or [[1, item, item]]
        plan = [len(merged), *(m[0] for m in merged), *(m[1] // item for m in merged), *(m[2] // item for m in merged)]
        row = self.row(f"copy{item}", out, source, self.pooled(np.array(plan, np.int64)))
        self.moved[row] = out.nbytes + source.nbytes
