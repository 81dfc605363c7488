"""Memory layout: where each value lives. Most of what an unrolled network does to shapes then costs nothing.

A view (a slice, a transpose, a broadcast) is its base's memory with other strides. What will be put side by side is
computed side by side: the operands of a concat are given neighbouring places from the start. A parameter's new value
is written where the parameter is.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from .. import primitives as P
from ..graph import Node
from ..primitives.record import size_of
from ..recurrence.loop import Body, loop, tap
from .plan import Plan
from .slices import cut
from .tracing import TracedProgram


class View(NamedTuple):
    """A strided window on a buffer; offsets and strides in bytes."""

    buffer: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    itemsize: int

    @property
    def contiguous(self) -> bool:
        """Whether the elements follow each other in row-major order."""
        expected = self.itemsize
        for n, stride in zip(reversed(self.shape), reversed(self.strides)):
            if n != 1 and stride != expected:
                return False
            expected *= n
        return True

    @property
    def nbytes(self) -> int:
        """Bytes of the elements, without gaps."""
        return size_of(self.shape) * self.itemsize


def plain(buffer: int, node: Node, offset: int = 0) -> View:
    """A row-major view for a node's value."""
    return View(buffer, offset, node.shape, row_major(node.shape, node.dtype.itemsize), node.dtype.itemsize)


def row_major(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """The strides, in bytes, of elements that follow each other."""
    strides = []
    for n in reversed(shape):
        strides.append(itemsize)
        itemsize *= n
    return tuple(reversed(strides))


def as_view(view: View, dtype: np.dtype[Any], op: Any, attrs: dict[str, Any]) -> View | None:
    """The view a view-making primitive gives, found by letting NumPy do it on an array without memory."""
    probe = np.lib.stride_tricks.as_strided(np.empty(1, dtype), view.shape, view.strides)
    base = probe.ctypes.data
    if op is P.reshape:
        try:
            result = np.reshape(probe, attrs["shape"], copy=False)
        except ValueError:
            return None
    elif op is P.getitem:
        index = attrs["index"]
        # with an ellipsis NumPy gives a view even of one element
        result = probe[index if any(part is ... for part in index) else (*index, ...)]
    else:
        result = op.reference(probe, **attrs)
    return View(view.buffer, view.offset + result.ctypes.data - base, result.shape, result.strides, view.itemsize)


VIEWS = tuple(op for op in P.TABLE.values() if op.view)
JOINS = tuple(op for op in P.TABLE.values() if op.joins)


#: bytes from which on a stack that nothing reads is not kept: less costs less than copying a row in every step
WORTH_SAVING = 2**20


def _bytes(node: Node) -> int:
    return size_of(node.shape) * node.dtype.itemsize


class Stacks:
    """The memory of the stacked values of a loop's body.

    A state has one row more than there are time steps, for what it is at first: each step reads one row and writes the
    next. So what a state is before each step, and after it, are the same memory, one row apart. A large one that
    nothing outside the loop reads has one row only, which each step writes over when it has read it.
    """

    def __init__(self, layout: Storage, node: Node) -> None:
        body: Body = node.attrs["body"]
        time, nodes = body.length, body.graph.nodes
        self.body = body
        self.first: list[View] = []  #: by state, the row for what it is at first
        self.after: dict[int, View] = {}  #: by node of the body, time in front
        self.passing: set[int] = set()  #: states of one row
        users = (layout.graph.nodes[i] for i in layout.uses[node.index])
        taps = [user for user in users if user.op is tap and user.sources[0] == node.index]
        wanted = [asked.attrs["node"] for asked in (node, *taps)]
        for state, new in enumerate(body.new):
            leaf = nodes[body.inputs + state]
            if leaf.index not in wanted and new not in wanted and _bytes(leaf) * time > WORTH_SAVING:
                only = plain(layout.new_buffer(_bytes(leaf)), leaf)
                self.passing.add(state)
                self.first.append(only)
                self.after[leaf.index] = only._replace(shape=(time, *only.shape), strides=(0, *only.strides))
                continue
            whole = self._stack(layout, leaf, time + 1)
            row = whole.strides[0]
            earlier = whole._replace(shape=(time, *leaf.shape))
            later = earlier._replace(offset=row)
            self.first.append(plain(whole.buffer, leaf, time * row if body.reverse else 0))
            self.after[leaf.index] = later if body.reverse else earlier
            self.after.setdefault(new, earlier if body.reverse else later)
        for index in wanted:
            if index not in self.after:
                self.after[index] = self._stack(layout, nodes[index], time)

    def of_state(self, state: int) -> View:
        """The stacked values of a state after each step."""
        before = self.after[self.body.inputs + state]
        row = before.strides[0]
        return before._replace(offset=before.offset + (-row if self.body.reverse else row))

    @staticmethod
    def _stack(layout: Storage, node: Node, rows: int) -> View:
        shape = (rows, *node.shape)
        item = node.dtype.itemsize
        return View(layout.new_buffer(size_of(shape) * item), 0, shape, row_major(shape, item), item)


class Storage:
    """The views of all nodes. Buffers are numbered; ``owners`` says which leaf a buffer belongs to, if any."""

    def __init__(
        self,
        graph: Plan,
        trace: TracedProgram,
        kinds: list[str],
        around: Storage | None = None,
        given: dict[int, View] | None = None,
        spare: Collection[int] = (),
    ) -> None:
        self.graph, self.trace, self.kinds = graph, trace, kinds
        self.views: list[View | None] = [None] * len(graph)
        self.sizes: list[int] = [] if around is None else around.sizes  # bytes of each buffer
        #: buffer -> the leaf whose memory it is
        self.owners: dict[int, Node] = {} if around is None else around.owners
        self.given = given or {}  #: of a loop's body, where those values are that others see, in the first round
        self.spare = spare  #: and leaves that nothing else reads
        self.loops: dict[int, Stacks] = {}  #: by loop
        self.place: dict[int, tuple[int, int]] = {}  # node -> (the join it is part of, its position there)
        self.accumulates: dict[int, tuple[int, int]] = {}  # add -> (what is there already, the product added to it)
        self.folded: set[int] = set()  # products that an addition absorbs
        self.in_cell: dict[int, int] = {}  # new value -> the leaf it overwrites
        self.seen: dict[int, int] = {}  # new value of a leaf -> the last node that reads the old one in another order
        self.copied: set[int] = set()  # view-making nodes that had to copy after all
        self.uses = graph.consumers
        self.sources = [node.sources for node in graph.nodes]
        self._starts: dict[int, list[int]] = {}  # join -> where along its axis each operand begins
        self._disjoint: dict[int, bool] = {}  # base -> whether it is only read in slices that do not overlap
        self._outputs = set(graph.outputs)
        self._cells = {node.serial: node.index for node in graph.nodes if node.op is None}
        #: assigned leaf -> its buffer; a leaf that is only written has no node, and its buffer is made here
        self.targets: dict[int, int] = {}
        self._find_accumulations()
        self._find_updates()
        self._place_joins()
        for node in graph.nodes:
            self.view(node.index)
        for serial, new in zip(trace.assignments, trace.parted(graph.outputs)[2]):
            if serial in self._cells:
                self.targets[serial] = self.view(self._cells[serial]).buffer
            else:
                value = graph.nodes[new]
                self.targets[serial] = self.new_buffer(size_of(value.shape) * value.dtype.itemsize)
                leaf = replace(value, op=None, operands=(), attrs={}, value=None, serial=serial)  # a cell, no constant
                self.owners[self.targets[serial]] = leaf

    def new_buffer(self, nbytes: int) -> int:
        """A buffer of its own."""
        self.sizes.append(nbytes)
        return len(self.sizes) - 1

    def view(self, index: int) -> View:
        """The memory of a node's value."""
        found = self.views[index]
        if found is None:
            found = self.views[index] = self._locate(self.graph.nodes[index])
        return found

    def _locate(self, node: Node) -> View:
        if node.index in self.given:
            return self.given[node.index]
        if self.kinds[node.index] == "loop":
            self.loops[node.index] = stacks = Stacks(self, node)
            return stacks.after[node.attrs["node"]]
        if self.kinds[node.index] == "tap":
            self.view(node.sources[0])
            return self.loops[node.sources[0]].after[node.attrs["node"]]
        if node.index in self.place:
            parent, position = self.place[node.index]
            return self.part(parent, position, node)
        if node.index in self.in_cell:
            return plain(self.view(self.in_cell[node.index]).buffer, node)
        if node.index in self.accumulates and (there := self._overwritable(node)) is not None:
            return there
        if self.kinds[node.index] == "view":
            base = self.graph.nodes[node.sources[0]]
            seen = as_view(self.view(base.index), base.dtype, node.op, node.attrs)
            if seen is not None:
                return seen
            self.copied.add(node.index)
        if node.op in JOINS and node.attrs["axis"] % max(1, len(node.shape)) == 0:
            parts = [self.view(i) for i in self.sources[node.index]] if node.index not in self._filled else []
            if parts and all(p.contiguous and p.buffer == parts[0].buffer for p in parts):
                ends = [p.offset + p.nbytes for p in parts]
                if [p.offset for p in parts[1:]] == ends[:-1]:
                    return plain(parts[0].buffer, node, parts[0].offset)
        buffer = self.new_buffer(size_of(node.shape) * node.dtype.itemsize)
        if node.op is None:
            self.owners[buffer] = node
        return plain(buffer, node)

    def part(self, parent: int, position: int, node: Node) -> View:
        """The place of a join's operand inside it."""
        join = self.graph.nodes[parent]
        whole = self.view(parent)
        axis = join.attrs["axis"] % len(join.shape)
        if join.op is P.stack:
            strides = (*whole.strides[:axis], *whole.strides[axis + 1 :])
            offset = whole.offset + position * whole.strides[axis]
            return View(whole.buffer, offset, node.shape, strides, whole.itemsize)
        if parent not in self._starts:
            sizes = [self.graph.nodes[i].shape[axis] for i in self.sources[parent]]
            self._starts[parent] = [0, *itertools.accumulate(sizes)]
        start = self._starts[parent][position]
        return View(whole.buffer, whole.offset + start * whole.strides[axis], node.shape, whole.strides, whole.itemsize)

    def is_in_place(self, join: Node, position: int) -> bool:
        """Whether an operand of a join needs no copying."""
        index = self.sources[join.index][position]
        part, there = self.view(index), self.part(join.index, position, self.graph.nodes[index])
        return (part.buffer, part.offset) == (there.buffer, there.offset) and part.shape == there.shape

    def _place_joins(self) -> None:
        """Give the operands of joins their places inside; the longest joins choose first."""
        joins = [node for node in self.graph.nodes if node.op in JOINS and node.dtype.kind == "f"]
        self._filled: set[int] = set()
        for join in sorted(joins, key=lambda node: -len(node.operands)):
            axis = join.attrs["axis"] % len(join.shape)
            leading = axis == 0
            last = axis == len(join.shape) - 1 and join.op is P.concat
            parents = [self.place.get(i, (-1, 0)) for i in join.sources]
            if leading and len({p for p, _ in parents}) == 1 and parents[0][0] >= 0:
                first = parents[0][1]
                if [k for _, k in parents] == list(range(first, first + len(parents))):
                    other = self.graph.nodes[parents[0][0]]
                    if other.attrs["axis"] % len(other.shape) == 0:
                        continue  # its operands already lie one after the other
            for position, index in enumerate(join.sources):
                free = index not in self.place and index not in self.in_cell and index not in self.accumulates
                inside = free and (leading or (last and self.kinds[index] == "region"))
                if inside and index not in self.folded and self.kinds[index] in ("region", "product", "join", "row"):
                    self.place[index] = (join.index, position)
                    self._filled.add(join.index)

    def _find_accumulations(self) -> None:
        """Additions of a product that can be done by the product itself."""
        for node in self.graph.nodes:
            if node.op is not P.add or len(node.sources) != 2:
                continue
            for there, product in (node.sources, node.sources[::-1]):
                p = self.graph.nodes[product]
                if (
                    self.kinds[product] == "product"
                    and len(p.operands) == 2
                    and len(self.uses[product]) == 1
                    and p.shape == node.shape
                    and p.lane == node.lane
                    and len(p.shape) == 2
                    and product not in self._outputs
                    and there != product
                    and self.graph.nodes[there].dtype == node.dtype
                ):
                    self.accumulates[node.index] = (there, product)
                    self.folded.add(product)
                    break

    def _overwritable(self, node: Node) -> View | None:
        """The memory of what a product is added to, if nothing reads it afterwards."""
        there = self.graph.nodes[self.accumulates[node.index][0]]
        if there.index in self.spare and len(self.uses[there.index]) == 1 and there.index not in self._outputs:
            view = self.view(there.index)
            return view if view.shape == node.shape and view.contiguous else None
        if there.op is not P.getitem or len(self.uses[there.index]) != 1 or there.index in self._outputs:
            return None
        base = self.graph.nodes[there.sources[0]]
        if base.op is None or base.op in (*VIEWS, *JOINS, loop, tap) or base.index in self._outputs:
            return None
        if base.index not in self._disjoint:
            self._disjoint[base.index] = self._read_in_slices(base)
        if not self._disjoint[base.index]:
            return None
        view = self.view(there.index)
        return view if view.shape == node.shape and view.contiguous else None

    def _read_in_slices(self, base: Node) -> bool:
        """Whether all that use a value take rows of it that nothing else takes."""
        taken = []
        for user in self.uses[base.index]:
            other = self.graph.nodes[user]
            found = cut(other, base.shape) if other.op is P.getitem else None
            if found is None or found[0] != 0:
                return False
            taken.append((found[1].start, found[1].stop))
        taken.sort()
        return all(a[1] <= b[0] for a, b in itertools.pairwise(taken))

    def _find_updates(self) -> None:
        """New values that can be computed where the old ones are: nothing reads the old ones later."""
        *others, assigned = self.trace.parted(self.graph.outputs)
        returned = set(itertools.chain(*others))
        last_read = [0] * len(self.graph)
        for output in self.graph.outputs:  # also when they are another's new value, they are read at the end
            last_read[output] = len(self.graph)
        last_seen = [-1] * len(self.graph)  # read otherwise than element by element
        for node in reversed(self.graph.nodes):
            for source in node.sources:
                # a view, or what was put together in place, is read when its users are; so is a product
                # that an addition computes itself
                later = node.op in VIEWS or node.op in JOINS or node.index in self.folded
                reach = max(node.index, last_read[node.index] if later else 0)
                last_read[source] = max(last_read[source], reach)
                if later:
                    last_seen[source] = max(last_seen[source], last_seen[node.index], reach)
        for serial, new in zip(self.trace.assignments, assigned, strict=True):
            leaf = self._cells.get(serial)
            if leaf is None or self.kinds[new] != "region" or assigned.count(new) > 1 or new in returned:
                continue
            if last_read[leaf] <= new and last_seen[leaf] < new and new not in self.accumulates:
                self.in_cell[new] = leaf
                self.seen[new] = last_seen[leaf]
