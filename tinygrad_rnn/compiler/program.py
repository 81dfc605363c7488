"""Program: lowered code with memory to run in.

Temporaries share one arena: two buffers may overlap in it if one is last used before the other is first. Inputs have
memory of their own, which a call fills; parameters and optimizer state are read and written where they are.
"""

from __future__ import annotations

import bisect
import heapq
import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np

from ..graph import Node, Ref
from ..operation_errors import refuse_other_shape, result_of
from ..tensors import Array
from .entry_points import addresses_of, loop_over_rows
from .guards import Guards
from .index_checks import check
from .lowering import float_type
from .memory_layout import View
from .opcodes import NAMES, REPEAT, RUN, WIDTH
from .plan import Plan
from .row_table import RowTable
from .summary import Cost
from .tracing import TracedProgram

_ALIGNMENT = 64
#: of so few buffers, taking so many bytes, a second way to place them is tried, which takes the square of their number
_FEW, _LARGE = 256, 2**20


def plan(code: RowTable) -> tuple[dict[int, int], int]:
    """Offsets of the temporaries in the arena, and its size.

    Each goes to the first gap free for its lifetime, in the order of their first uses, or, of few large ones, the
    largest first, if that takes less room. What only one lane uses lies in a part of the arena that the other lane
    never touches; what both use, or what comes before or after uses too, lives as long as both run.
    """
    begin, middle, end = code.lanes or (0, 0, 0)
    groups: tuple[list[tuple[int, int, int]], ...] = ([], [], [])  # (first use, last use, buffer)
    for buffer, (first, last) in code.uses.items():
        if buffer in code.layout.owners or buffer == code.pool_buffer or buffer in code.scratch_bytes:
            continue
        if begin <= first and last < end and (last < middle or first >= middle):
            groups[1 if last < middle else 2].append((first, last, buffer))
        else:
            first, last = begin if begin <= first < end else first, end - 1 if begin <= last < end else last
            groups[0].append((first, last, buffer))
    offsets: dict[int, int] = {}
    size = 0
    for group in groups:
        places, room = _by_time(group, code.layout.sizes)
        if len(group) <= _FEW and room > _LARGE:
            places, room = min((places, room), _by_size(group, code.layout.sizes), key=lambda found: found[1])
        offsets |= {buffer: size + place for buffer, place in places.items()}
        size += room
    return offsets, size


def _rounded(nbytes: int) -> int:
    return -(-max(nbytes, 1) // _ALIGNMENT) * _ALIGNMENT


def _by_size(group: list[tuple[int, int, int]], sizes: list[int]) -> tuple[dict[int, int], int]:
    """Offsets of a group of buffers, the largest placed first, and the bytes they take together."""
    placed: list[tuple[int, int, int, int]] = []  # (offset, end, first use, last use), by offset
    offsets = {}
    for first, last, buffer in sorted(group, key=lambda each: -sizes[each[2]]):
        at, wanted = 0, _rounded(sizes[buffer])
        for start, end, begins, ends in placed:
            if begins <= last and first <= ends:
                if start - at >= wanted:
                    break
                at = max(at, end)
        offsets[buffer] = at
        bisect.insort(placed, (at, at + wanted, first, last))
    return offsets, max((end for _, end, _, _ in placed), default=0)


def _by_time(group: list[tuple[int, int, int]], sizes: list[int]) -> tuple[dict[int, int], int]:
    """The same, each in the first gap that is free when it is first used."""
    gaps: list[tuple[float, float]] = [(0, math.inf)]  # (offset, end), by offset
    taken: list[tuple[int, int, int]] = []  # (last use, offset, end), a heap
    offsets, size = {}, 0
    for first, last, buffer in sorted(group):
        while taken and taken[0][0] < first:
            _, offset, end = heapq.heappop(taken)
            _release(gaps, offset, end)
        wanted = _rounded(sizes[buffer])
        found = next(k for k, (offset, end) in enumerate(gaps) if end - offset >= wanted)
        at, stop = int(gaps[found][0]), gaps[found][1]
        gaps[found : found + 1] = [(at + wanted, stop)] if at + wanted < stop else []
        offsets[buffer] = at
        heapq.heappush(taken, (last, at, at + wanted))
        size = max(size, at + wanted)
    return offsets, size


def _release(gaps: list[tuple[float, float]], offset: float, end: float) -> None:
    """Make a gap of what was taken, one with those next to it."""
    k = bisect.bisect(gaps, (offset, end))
    if k < len(gaps) and gaps[k][0] == end:
        end = gaps.pop(k)[1]
    if k and gaps[k - 1][1] == offset:
        gaps[k - 1] = (gaps[k - 1][0], end)
    else:
        gaps.insert(k, (offset, end))


class Program:
    """Runs code in an arena as `plan` laid it out; not from two threads at once, for there is one."""

    def __init__(
        self, graph: Plan, trace: TracedProgram, code: RowTable, offsets: dict[int, int], arena_bytes: int
    ) -> None:
        self.graph, self.trace = graph, trace
        self.layout, self.host, self.checks = code.layout, code.host, code.checks
        self.rows, self.lanes, self.nodes = len(code.rows), code.lanes, code.nodes
        self.flops, self.moved = code.flops, code.moved
        self.real = float_type(graph)
        self.arena_bytes = arena_bytes
        self._memory: dict[int, Array] = {}  # buffer -> the bytes it is in
        arena = _aligned(self.arena_bytes)
        self._base: dict[int, tuple[Array, int]] = {buffer: (arena, offset) for buffer, offset in offsets.items()}
        self._base[code.pool_buffer] = (_aligned(len(code.pool)), 0)
        self._base[code.pool_buffer][0][: len(code.pool)] = np.frombuffer(code.pool, np.uint8)
        for buffer in code.scratch_bytes:
            self._base[buffer] = (_aligned(self.layout.sizes[buffer]), 0)
        self.inputs: list[tuple[int, Array]] = []  # (position among the arguments, memory to fill)
        self.live: list[tuple[Any, Array]] = []
        rates: dict[int, Array] = {}
        self.cells: list[tuple[Any, int, Array, Array, Array]] = []
        self._written = {trace.cells[serial] for serial in trace.assignments}
        cells: list[tuple[int, Node]] = []
        for buffer, node in self.layout.owners.items():
            if node.serial in trace.cells and node.value is None:
                cells.append((buffer, node))
                continue
            memory = np.zeros(node.shape, node.dtype)
            if node.value is not None:
                memory[...] = node.value
            elif node.serial in trace.arguments:
                self.inputs.append((trace.arguments[node.serial], memory))
            elif node.serial in trace.live:
                self.live.append((trace.live[node.serial], memory))
            else:
                rates[node.serial] = memory
            self._base[buffer] = (memory.reshape(-1).view(np.uint8), 0)
        unused = np.zeros((), self.real)
        self.schedules = [(schedule, [rates.get(s, unused) for s in serials]) for schedule, serials in trace.schedules]
        self.table = np.array(code.rows, np.int64).reshape(-1, WIDTH)
        self._entries = addresses_of(set(self.table[:, 0].tolist()), self.real)
        self._spans: dict[tuple[int, int], tuple[Array, int]] = {}
        self._loop = loop_over_rows(RUN)
        self._fill(code.patches)
        for buffer, node in cells:
            mine = [(row, column, offset) for row, column, b, offset in code.patches if b == buffer]
            rows, columns, deltas = np.array(mine, np.int64).reshape(-1, 3).T
            self.cells.append((trace.cells[node.serial], buffer, rows, columns, deltas))
        self._bound: list[Any] = [None] * len(self.cells)  # the arrays that the table points at
        still = Guards()
        for k, (cell, *_) in enumerate(self.cells):
            still.add(f"{cell.place[0]} is {{}}[{{}}]", *cell.place[1:], self._bound, k)
        self._still_bound = still.compiled()
        returned, self._looked_at, _ = trace.parted(graph.outputs)
        views = [(code.kept.get(index, self.layout.view(index)), graph.nodes[index].dtype) for index in returned]
        #: (a view, its dtype, and it as an array unless it is what a cell holds)
        outputs = [(v, dtype, self.array(v, dtype) if v.buffer in self._base else None) for v, dtype in views]
        copied = len(outputs) - len(trace.waiting)
        self._returned, self._waiting = outputs[:copied], outputs[copied:]
        #: whether many calls may be one: no row is for Python, and what is returned has memory of its own
        self.repeats = not (self.lanes or self.host or self.live or trace.confirmations) and all(
            array is not None and array.flags.c_contiguous for _, _, array in self._returned
        )

    def _fill(self, patches: list[tuple[int, int, int, int]]) -> None:
        for row, column, buffer, offset in patches:
            if buffer in self._base:
                array, start = self._base[buffer]
                self.table[row, column] = array.ctypes.data + start + offset

    def bind(self) -> bool:
        """Point the table at what the cells hold now; False if that does not fit it."""
        if not self._still_bound():
            arrays = [cell.get() for cell, *_ in self.cells]
            if not all(cell.fits(array) for (cell, *_), array in zip(self.cells, arrays)):
                return False
            self._bound[:] = [self._bind(*cell, array) for cell, array in zip(self.cells, arrays)]
        return True

    def run(self, arguments: list[Array]) -> list[Array]:
        """Fill the inputs, run, and return the outputs: copies, but for those that wait, which are in its memory."""
        for position, memory in self.inputs:
            memory[...] = arguments[position]
        for compute, memory in self.live:
            memory[...] = compute()
        for schedule, memories in self.schedules:
            for memory, rate in zip(memories, schedule()):
                memory[()] = rate
        if self.lanes:
            begin, middle, end = self.lanes
            self._run_rows(0, begin)
            second = _second_thread().submit(self._run_rows, middle, end)
            try:
                self._run_rows(begin, middle)
            finally:  # never leave while the other still writes
                second.result()
            self._run_rows(end, self.rows)
        else:
            self._run_rows(0, self.rows)
        results = [(self.array(v, dtype) if array is None else array).copy() for v, dtype, array in self._returned]
        results += [self.array(v, dtype).copy() if array is None else array for v, dtype, array in self._waiting]
        return results

    def repeat(self, stacks: list[Array], count: int) -> tuple[list[Array], int]:
        """Run for the first ``count`` rows of the arguments, stacked, one after the other.

        Returns the outputs, stacked, and for how many of the rows: fewer where an index is out of range, which `run`
        says of that row. Those that wait are in the program's memory, as the last row left them.
        """
        results = [np.empty((count, *array.shape), array.dtype) for _, _, array in self._returned if array is not None]
        rates = []
        for schedule, memories in self.schedules:
            ahead = np.array(schedule.ahead(count)).reshape(count, -1)
            rates += [(memory, ahead[:, k].astype(memory.dtype)) for k, memory in enumerate(memories)]
        into = [(stacks[position].astype(memory.dtype, copy=False), memory) for position, memory in self.inputs]
        into += [(column, memory) for memory, column in rates]
        out = [(array, stack) for (_, _, array), stack in zip(self._returned, results) if array is not None]
        before = [(s.ctypes.data, m.ctypes.data, s.strides[0], 0, m.nbytes) for s, m in into]
        after = [(m.ctypes.data, s.ctypes.data, 0, s.strides[0], m.nbytes) for m, s in out]
        copies = [np.array(moves, np.int64).reshape(-1, 5) for moves in (before, after)]
        job = [self._span(0, self.rows), self.rows, count]
        job += [number for moves in copies for number in (moves.ctypes.data, len(moves))]
        words = np.array(job, np.int64)
        return results, loop_over_rows(REPEAT)(words.ctypes.data)

    def _run_rows(self, start: int, end: int) -> None:
        pc = self._loop(self._span(start, end))
        while pc != end:
            if pc < 0:
                self._complain(-1 - pc)
            if pc in self.host:
                self._run_host(self.host[pc])
            else:
                self.trace.confirm([self.value(index) for index in self._looked_at])
            pc = self._loop(self._span(pc + 1, end))

    def _span(self, start: int, end: int) -> int:
        """The address of what the loop over the rows is told: which table, which instructions, which rows."""
        found = self._spans.get((start, end))
        if found is None:
            words = np.array([self.table.ctypes.data, self._entries.ctypes.data, start, end], np.int64)
            found = self._spans[start, end] = words, words.ctypes.data
        return found[1]

    def _bind(self, cell: Any, buffer: int, rows: Array, columns: Array, deltas: Array, array: Array) -> Array:
        """Point the table at the array a cell holds, or at a copy that the cell shall hold."""
        if not (array.flags.c_contiguous and array.flags.aligned) or (cell in self._written and cell.lent(array)):
            array = np.array(array, order="C")
            cell.set(array)
        self._base[buffer] = (array.reshape(-1).view(np.uint8), 0)
        self.table[rows, columns] = array.ctypes.data + deltas
        return array

    def array(self, view: View, dtype: np.dtype[Any]) -> Array:
        """The memory of a view as an array."""
        if not view.nbytes:  # NumPy refuses strides that only elements could need
            return np.empty(view.shape, dtype)
        memory, start = self._base[view.buffer]
        return np.ndarray(view.shape, dtype, memory, start + view.offset, view.strides)

    def value(self, index: int) -> Array:
        """The present contents of a node's memory."""
        return self.array(self.layout.view(index), self.graph.nodes[index].dtype)

    def _run_host(self, node: Node) -> None:
        operands = [self.value(x.index) if isinstance(x, Ref) else x for x in node.operands]
        assert node.op is not None
        check(self.graph, node, operands, self.trace.ignoring)
        with np.errstate(all="ignore"):
            made = result_of(node.op, node.op.reference(*operands, **node.attrs))
        refuse_other_shape(node.op, node.shape, made.shape)
        self.value(node.index)[...] = made

    def _complain(self, row: int) -> None:
        """Say which index is out of range; of the other operand, not computed yet, only the shape counts."""
        node = self.checks[row]
        *others, indices = (self.graph.nodes[i] for i in node.sources)
        blanks = [np.broadcast_to(np.zeros((), other.dtype), other.shape) for other in others]
        check(self.graph, node, [*blanks, self.value(indices.index)], self.trace.ignoring)

    def profile(self, repeats: int = 3) -> dict[str, Cost]:
        """The cost of each kind of instruction: its rows are run one by one on the last call's inputs, the fastest of
        ``repeats`` counts, and parameters and optimizer state are put back afterwards."""
        kept = [(array, array.copy()) for array in self._bound]
        costs: dict[str, Cost] = {}
        best = [math.inf] * self.rows
        try:
            for _ in range(repeats):
                pc = 0
                while pc < self.rows:
                    name = NAMES[self.table[pc, 0]]
                    end = int(self.table[pc, 1]) if name in ("region", "loop") else pc + 1
                    began = time.perf_counter()
                    if name != "host":
                        self._loop(self._span(pc, end))
                    elif pc in self.host:
                        self._run_host(self.host[pc])
                    best[pc] = min(best[pc], time.perf_counter() - began)
                    pc = end
        finally:
            for array, before in kept:
                array[...] = before
        for pc, seconds in enumerate(best):
            cost = costs.setdefault(NAMES[self.table[pc, 0]], Cost())
            cost.count += 1
            cost.flops += self.flops.get(pc, 0)
            cost.moved += self.moved.get(pc, 0) if seconds < math.inf else 0  # a region counts for its instructions
            cost.seconds += seconds if seconds < math.inf else 0.0
        return costs


@cache
def _second_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "tinygrad_rnn")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_second_thread.cache_clear)  # a child process has no thread but the one it is


def _aligned(nbytes: int) -> Array:
    raw = np.zeros(nbytes + _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + max(nbytes, 1)]
