"""Lowering: a graph becomes rows of integers.

One pass over the nodes in order. Each becomes one instruction, a part of a region, or nothing (views, and joins whose
parts are already in place). Addresses are written down as (buffer, offset); when all rows are known, so is each
buffer's first and last use, buffers that are never needed together share memory, and the addresses are filled in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import primitives as P
from ..graph import Node, Ref
from ..primitives.record import size_of
from ..recurrence.loop import loop, tap
from .elementwise_regions import Region
from .index_checks import limit, unforeseen
from .memory_layout import JOINS, VIEWS, View, plain, row_major
from .opcodes import NUMBER, PRODUCTS, elementwise, warn_without_kernel
from .plan import Plan
from .row_instructions import columns, has_row
from .row_table import RowTable
from .tracing import TracedProgram


def float_type(graph: Plan) -> np.dtype[Any]:
    """The program's one float type: float64 if it occurs at all outside constants, else float32."""
    found = {n.dtype for n in graph.nodes if n.dtype.kind == "f"}
    return max(found, key=lambda d: d.itemsize, default=np.dtype(np.float32))


def kind_of(graph: Plan, node: Node, real: np.dtype[Any]) -> str:
    """The way a node is computed: leaf, view, join, region (elementwise), product, row (an instruction), or host."""
    if node.op is None:
        return "leaf"
    if node.op in VIEWS:
        index = node.attrs.get("index", ())
        backwards = any(isinstance(p, slice) and p.step is not None and p.step < 0 for p in index)
        return "host" if backwards or any(isinstance(p, np.ndarray) for p in index) else "view"
    sources = [graph.nodes[i] for i in node.sources]
    if not all(size_of(n.shape) for n in (node, *sources)):
        return "host"
    if node.op in JOINS:
        return "join"
    if node.op in (loop, tap):
        return node.op.name
    dtypes = [n.dtype for n in sources]
    opcode = elementwise(node)
    if opcode is not None and node.dtype.kind in "fb":
        if opcode[0] == "where":
            return "region" if _chooses_by_a_mask(node, dtypes, real) else "host"
        if all(d == real for d in dtypes):
            return "region"
        integers = all(d == np.int64 for d in dtypes) and f"{node.op.name}_integers" in NUMBER
        return "region" if integers and not any(isinstance(x, float | bool) for x in node.operands) else "host"
    if node.op in PRODUCTS and all(d == real for d in dtypes):
        a, b = (n.shape for n in sources[:2])
        return "product" if len(b) <= 2 and len(a) <= (9 if node.op is P.linear else 2) else "host"
    return "row" if has_row(node, sources, real) else "host"


def _chooses_by_a_mask(node: Node, dtypes: Sequence[np.dtype[Any]], real: np.dtype[Any]) -> bool:
    """Whether a choice, or the cast of a mask to 1 and 0, has a mask and numbers of the program's type."""
    mask = dtypes[:1] == [np.dtype(bool)] and isinstance(node.operands[0], Ref)
    return mask and all(d == real for d in (*dtypes[1:], node.dtype))


class Lowering:
    """Emits rows; see the module's text."""

    def __init__(self, trace: TracedProgram, table: RowTable) -> None:
        self.trace, self.table, self.layout, self.real = trace, table, table.layout, table.real
        self.graph, self.kinds = self.layout.graph, self.layout.kinds
        self._region: list[Node] = []
        self._written: set[int] = set()  # buffers the region being gathered writes to
        self._checked: set[Any] = set()
        self._confirmed = not trace.confirmations

    def lower(self) -> RowTable:
        """The rows of all nodes, checks before them and assignments behind."""
        table = self.table
        self._check_indices()
        self.emit_all()
        if not self._confirmed:
            self._confirm()
        self._assign()
        for index in self.graph.outputs:
            table.touch(self.layout.view(index).buffer, len(table.rows))
        for view in table.kept.values():
            table.touch(view.buffer, len(table.rows))
        for buffer, nbytes in table.scratch_bytes.items():
            self.layout.sizes[buffer] = nbytes
        return table

    def emit_all(self) -> None:
        """The rows of all nodes."""
        for node in self.graph.nodes:
            kind = self.kinds[node.index]
            if node.index in self.layout.folded or self._is_free(node, kind):
                continue
            if node.lane != self.table.lane:
                self._enter(node.lane)
            if kind == "region" and node.index not in self.layout.accumulates:
                overwrites = node.index in self.layout.in_cell and not self._confirmed
                if overwrites or (self._region and not self._belongs(self._region, node)):
                    self._flush()
                if overwrites:
                    self._confirm()
                self._written.add(self.layout.view(node.index).buffer)
                self._region.append(node)
            else:
                self._flush()
                self._emit(node, kind)
        self._enter(0)

    def _flush(self) -> None:
        """The rows of the region gathered so far."""
        if self._region:
            Region(self.table, self.graph, self._region).emit()
        self._region, self._written = [], set()

    def _enter(self, lane: int) -> None:
        self._flush()
        self.table.enter(lane)

    # Single instructions ---------------------------------------------------------------------------------

    def _is_free(self, node: Node, kind: str) -> bool:
        if kind in ("leaf", "tap"):
            return True
        if kind == "view":
            return node.index not in self.layout.copied
        if kind == "join":
            return all(self.layout.is_in_place(node, k) for k in range(len(node.operands)))
        return False

    def _emit(self, node: Node, kind: str) -> None:
        out = self.layout.view(node.index)
        if kind == "view":
            source = self.graph.nodes[node.sources[0]]
            self.table.copy(
                View(out.buffer, out.offset, source.shape, row_major(source.shape, out.itemsize), out.itemsize),
                self.layout.view(source.index),
            )
        elif kind == "join":
            for k, index in enumerate(node.sources):
                if not self.layout.is_in_place(node, k):
                    self.table.copy(self.layout.part(node.index, k, self.graph.nodes[index]), self.layout.view(index))
        elif node.index in self.layout.accumulates:
            there, product = self.layout.accumulates[node.index]
            if self.layout.view(there) != out:
                self.table.copy(out, self.layout.view(there))
            self._product(self.graph.nodes[product], out, True)
        elif kind == "product":
            if len(node.operands) == 3:
                self.table.copy(out, self.layout.view(node.sources[2]))
            self._product(node, out, len(node.operands) == 3)
        elif kind == "row" and out.contiguous:
            self._emit_row(node, out)
        elif kind == "loop":
            self.emit_loop(node)
        else:
            self.table.touch(out.buffer, len(self.table.rows))
            for index in node.sources:
                self.table.touch(self.layout.view(index).buffer, len(self.table.rows))
            self.table.host[self.table.row("host", node=node)] = node
            warn_without_kernel(node)

    def emit_loop(self, node: Node) -> None:
        """The rows of a loop; see `loop_lowering`."""
        raise NotImplementedError

    def _emit_row(self, node: Node, out: View) -> None:
        assert node.op is not None
        if limit(self.graph, node) is not None:
            self._check(node, self.layout.view(node.sources[-1]))
        shapes = [self.graph.nodes[i].shape for i in node.sources]
        views = [self._operand(node, slot) for slot in range(1, len(shapes))]
        in_place = node.op is P.take and len(shapes[0]) == 2  # rows are read from where they lie
        first = self.layout.view(node.sources[0]) if in_place else self._operand(node, 0)
        self.table.row(node.op.name, out, *columns(node, shapes, [first, *views]), node=node)

    def _operand(self, node: Node, slot: int) -> View:
        source = self.graph.nodes[node.sources[slot]]
        return self.table.contiguous(self.layout.view(source.index), source.dtype)

    def _product(self, node: Node, out: View, accumulate: bool) -> None:
        """``out (+)= a b``, where a linear's weight is transposed."""
        a, b = (self.layout.view(i) for i in node.sources[:2])
        if len(a.shape) == 1:
            a = a._replace(shape=(1, *a.shape), strides=(a.shape[0] * a.strides[0], *a.strides))
        if len(a.shape) > 2:
            a = self.table.contiguous(a, self.real)
            rows, inner = size_of(a.shape[:-1]), a.shape[-1]
            a = a._replace(shape=(rows, inner), strides=(inner * a.itemsize, a.itemsize))
        if node.op is P.linear:
            b = b._replace(shape=b.shape[::-1], strides=b.strides[::-1])
        elif len(b.shape) == 1:
            b = b._replace(shape=(*b.shape, 1), strides=(*b.strides, b.itemsize))
        (m, k), n = a.shape, b.shape[1]
        if not out.contiguous and len(out.shape) != 2:
            raise AssertionError("a product is placed where its rows are not")  # the layout never does
        ldc = out.strides[0] // out.itemsize if len(out.shape) == 2 and m > 1 else n
        a, ta, lda = self._matrix(a)
        b, tb, ldb = self._matrix(b, repeated=m > 3)
        sizes = np.array([m, n, k, lda, ldb, max(ldc, n), 1, 0], np.int32).tobytes()
        letters = b"N".ljust(8, b"\0") + b"T".ljust(8, b"\0")
        scalars = b"".join(np.array([v, 0], self.real)[:1].tobytes().ljust(8, b"\0") for v in (0, 1))
        block = np.frombuffer(sizes + letters + scalars, np.uint8)
        row = self.table.row(
            "gemm", self.table.pooled(block), a, b, out, m, n, k, ta, tb, lda, ldb, max(ldc, n), accumulate, node=node
        )
        self.table.flops[row] = 2 * m * n * k

    def _matrix(self, view: View, repeated: bool = False) -> tuple[View, bool, int]:
        """A matrix as BLAS takes it: the view, whether it is read transposed, and the distance of its rows."""
        rows, cols = view.shape
        down, across = (s // view.itemsize for s in view.strides)
        if (across == 1 or cols == 1) and (down >= cols or rows == 1):
            return view, False, max(down if rows > 1 else cols, cols, 1)
        if (down == 1 or rows == 1) and (across >= rows or cols == 1) and not (repeated and self._read_often(view)):
            return view, True, max(across if cols > 1 else rows, rows, 1)
        return self.table.contiguous(view, self.real), False, cols

    def _read_often(self, view: View) -> bool:
        """Whether a matrix is multiplied with many times, so that transposing it once pays."""
        owner = self.layout.owners.get(view.buffer)
        return owner is not None and len(self.layout.uses[owner.index]) > 8

    def _check_indices(self) -> None:
        """Indices that come from outside are checked before anything is computed."""
        for node in self.graph.nodes:
            if node.op is not P.scatter_rows and limit(self.graph, node) is not None:
                indices = self.graph.nodes[node.sources[-1]]
                if indices.op is not None and self.kinds[indices.index] != "view":
                    continue
                view = self.layout.view(indices.index)
                owner = self.layout.owners.get(view.buffer)
                if owner is None or owner.value is not None or indices.dtype != np.int64 or not size_of(indices.shape):
                    continue
                self._check(node, view)

    def _check(self, node: Node, view: View) -> None:
        """A row that stops the program if an index is out of range, unless there is one already."""
        indices, ignore = self.graph.nodes[node.sources[-1]], node.attrs.get("ignore_index", 0)
        if unforeseen(node) and not self.trace.ignoring:
            ignore = 0  # as one out of range, it ends the program
        bound = limit(self.graph, node)
        if (view, bound, ignore) not in self._checked:
            self._checked.add((view, bound, ignore))
            plain = self.table.contiguous(view, indices.dtype)
            self.table.checks[self.table.row("check", plain, size_of(indices.shape), bound, ignore, node=node)] = node

    def _confirm(self) -> None:
        """Hand over to Python, which looks at values before anything is overwritten."""
        row = self.table.row("host")
        for index in self.trace.parted(self.graph.outputs)[1]:
            self.table.touch(self.layout.view(index).buffer, row)
        self._confirmed = True

    def _assign(self) -> None:
        """Copy to their places the new values that were not computed there, after what is returned of the old ones."""
        returned, _, assigned = self.trace.parted(self.graph.outputs)
        pending = []
        for index in returned:
            view = self.layout.view(index)
            if view.buffer in self.layout.targets.values():
                self.table.kept[index] = self.table.temporary(view.shape, self.graph.nodes[index].dtype)
                pending.append((self.table.kept[index], view))
        for serial, new in zip(self.trace.assignments, assigned, strict=True):
            source, target = self.layout.view(new), plain(self.layout.targets[serial], self.graph.nodes[new])
            if source == target:
                continue
            if source.buffer in self.layout.owners:  # another assignment may overwrite it first
                copy = self.table.temporary(source.shape, self.graph.nodes[new].dtype)
                self.table.copy(copy, source)
                source = copy
            pending.append((target, source))
        for target, source in pending:
            self.table.copy(target, source)

    # Regions ---------------------------------------------------------------------------------------------

    def _belongs(self, region: list[Node], node: Node) -> bool:
        """Whether an elementwise node can run in the same tiles."""
        if node.shape != region[0].shape:
            return False
        first = region[0].index
        if self.layout.seen.get(node.index, -1) >= first:  # a later tile would read what an earlier one overwrote
            return False
        for index in node.sources:
            # what the region computes may be read directly, but not through a view
            direct = index >= first and self.kinds[index] == "region"
            if not direct and self.layout.view(index).buffer in self._written and self._shares_memory(index, region):
                return False
        return True

    def _shares_memory(self, index: int, region: list[Node]) -> bool:
        view = self.layout.view(index)
        for n in region:
            other = self.layout.view(n.index)
            overwrites = n.index in self.layout.in_cell and self.kinds[index] == "leaf"  # which no node reads later
            if other.buffer == view.buffer and not overwrites:
                if view.contiguous and other.contiguous:
                    if other.offset < view.offset + view.nbytes and view.offset < other.offset + other.nbytes:
                        return True
                else:
                    return True
        return False
