"""Periodic stretches of operations: the steps of a loop, found in what it wrote down.

A loop writes the same operations down again and again. Written in the order they were computed, operations with their
weights are a text, a loop is a stretch of it that is periodic, and one period is one time step.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import pairwise, product
from typing import Any, NamedTuple

import numpy as np

from ..graph import Graph, Ref
from ..tensors import Array
from .twins import SLOTS

#: Periods that are tried: those which most operations recur after.
PERIODS = 24
_OPERATION, _ABSENT = -1, -2


class Turn(NamedTuple):
    """An operation's place in a loop: which loop, where in its step, and in which repetition (from 0)."""

    loop: int
    position: int
    time: int


def loop_turns(graph: Graph, operations: Sequence[int]) -> dict[int, Turn]:
    """The turn of each node of ``operations`` (node numbers, rising) that is part of a loop's step.

    Its steps share weights, or read on in what was computed for all of them at once.

    >>> import tinygrad_rnn as tg
    >>> w, h = tg.ones(2, 2).requires_grad_(), tg.ones(1, 2)
    >>> for _ in range(3):
    ...     h = (h @ w).tanh()
    >>> graph = tg.Graph(h)
    >>> turns = loop_turns(graph, [n.index for n in graph.nodes if n.op])
    >>> [(graph.nodes[n].op.name, *turn) for n, turn in turns.items()][:3]
    [('matmul', 0, 0, 0), ('tanh', 0, 1, 0), ('matmul', 0, 0, 1)]
    """
    found: dict[int, Turn] = {}
    if len(operations) < 2:
        return found
    text, floor = _Text(graph, operations), 0
    runs = [run for run in text.runs() if text.shares_leaves(*run) or text.reads_on(*run)]
    loops = [start for start, _, period in runs if text.carries(operations[start : start + 2 * period], period)]
    for number, (start, end, period) in enumerate(runs):
        if start < floor:
            continue
        start = text.without_strangers(start, end, period)
        places = {k: k for k in range(start, end)} | text.shorter_step(start, period, floor)
        # calls side by side, of one weight, may be a part of the last step
        ceiling = next((after for after in loops if after >= end), len(operations))
        begin = min(places.values())
        first = text.first_step(start, end, period, begin, ceiling, complete=begin in places)
        more = text.last_step(first, end, period, ceiling)
        for k, place in (places | more).items():
            time, position = divmod(place - first, period)
            if 0 <= time < (end - first) // period + bool(more):
                found[operations[k]] = Turn(number, position, time)
        floor = max(end, *(k + 1 for k in more)) if more else end
    return found


def _shape_of_index(value: object) -> Hashable:
    """An attribute without the positions in it, which move on with the time step."""
    if isinstance(value, tuple):
        return tuple(map(_shape_of_index, value))
    if isinstance(value, (bool, str, float)) or value is None or value is Ellipsis:
        return value
    if isinstance(value, slice):
        return "slice"
    return "int" if isinstance(value, (int, np.integer)) else type(value).__name__


class _Text:
    """The operations of a graph as two arrays that can be compared with themselves, moved by a period."""

    def __init__(self, graph: Graph, places: Sequence[int]) -> None:
        self.graph, self.places = graph, places
        self.position = {node: k for k, node in enumerate(places)}
        words: dict[Hashable, int] = {}
        self.word, self.nameless = (np.empty(len(places), np.int64) for _ in range(2))
        self.leaf = np.full((len(places), SLOTS), _ABSENT, np.int64)
        listed = set(places)
        others = np.cumsum([n.op is not None and n.index not in listed for n in graph.nodes])
        #: how many operations that are not among them lie between each and the next
        self.between = np.diff(others[[*places, len(others) - 1]])
        self.data = np.array([n.op is None and not n.is_parameter for n in graph.nodes] + [False, False])
        for k, place in enumerate(places):
            node = graph.nodes[place]
            assert node.op is not None
            attrs = tuple((key, _shape_of_index(value)) for key, value in sorted(node.attrs.items()))
            # what is collected grows from step to step
            collects = len(node.operands) > 2 and node.op.kind == "movement"
            is_number = node.shape == ()  # a total's sum is no twin of a first state's
            key = (node.op.name, attrs, collects or len(node.operands), node.scope.path, is_number)
            self.word[k] = words.setdefault((*key, node.role), len(words))
            self.nameless[k] = words.setdefault((*key, None), len(words))
            for slot, x in enumerate(node.operands[:SLOTS] if not collects else ()):
                is_leaf = isinstance(x, Ref) and graph.nodes[x.index].op is None
                self.leaf[k, slot] = x.index if is_leaf and isinstance(x, Ref) else _OPERATION

    def shares_leaves(self, start: int, end: int, period: int) -> bool:
        """Whether the steps of a periodic stretch read something that no operation made."""
        one, other = self.leaf[start : end - period], self.leaf[start + period : end]
        return bool(((one == other) & (one >= 0)).any())

    def reads_on(self, start: int, end: int, period: int) -> bool:
        """Whether the steps, of whatever weights, read on in what was computed before, and one is made of another."""
        nodes = [self.graph.nodes[place] for place in self.places[start : min(end, start + 2 * period)]]
        return (
            self.carries(self.places[start : start + 2 * period], period)
            and any(
                a == b
                and self.position.get(a, -1) < start
                and repr(one.attrs) != repr(next_.attrs)  # at another position of it
                for one, next_ in zip(nodes, nodes[period:])
                for a, b in zip(one.sources, next_.sources)
            )
        )

    def _recurs(self, start: int, end: int, period: int) -> bool:
        """Whether a periodic stretch is a loop of weights, or over data, in which more than a total is carried.

        It may be carried over several steps, but then they read one sequence; else they are several cells' steps.
        """
        steps = self.places[start : min(end, start + 5 * period)]
        carries = self.carries(steps[: 2 * period], period, total=False) or (
            self._reads_evenly(steps, period) and self.carries(steps, period, total=False)
        )
        return carries and (self.shares_leaves(start, end, period) or self.reads_on(start, end, period))

    def _reads_evenly(self, steps: Sequence[int], period: int) -> bool:
        """Whether a position in whole steps reads elements of one tensor that are equally far apart."""
        for first in range(period):
            nodes = [self.graph.nodes[place] for place in steps[first::period]]
            at = [node.attrs["index"][0] for node in nodes if node.op is not None and node.op.name == "getitem"]
            if len({node.sources for node in nodes}) == 1 and at and all(type(k) is int for k in at):
                apart = {b - a for a, b in pairwise(at)}
                if len(apart) == 1 and 0 not in apart:
                    return True
        return False

    def carries(self, steps: Sequence[int], period: int, *, total: bool = True) -> bool:
        """Whether an operation in whole steps is made of what it made before.

        ``total``: also if that is a number, or only added up.
        """
        nodes = [self.graph.nodes[place] for place in steps]
        at = {node.index: k for k, node in enumerate(nodes)}
        made_of: list[int] = []  # by operation, as bits, itself and those that it is made of
        for k, node in enumerate(nodes):
            bits = 0
            for source in node.sources:
                bits |= made_of[at[source]] if source in at else 0
            if any(bits >> before & 1 for before in range(k % period, k, period)):
                return True
            adds = node.op is not None and node.op.infix == "+"
            made_of.append(bits | 1 << k if total or (node.shape and not adds) else bits)
        return False

    def without_strangers(self, start: int, end: int, period: int) -> int:
        """The beginning of a periodic stretch without what only looks like the end of a step.

        No step reads it, as what stands there in a later step is read, nor does it share a weight with that.
        """

        def is_read(begin: int, after: int) -> bool:
            made = {self.places[k] for k in range(begin, after)}
            return any(not made.isdisjoint(self._sources(k)) for k in range(after, end))

        for after in range(min(end - 2 * period, start + period - 1), start, -1):
            alone = not is_read(start, after) and is_read(start + period, after + period)
            if alone and not any(self._goes_on(k, k + period) for k in range(start, after)):
                return after
        return start

    def shorter_step(self, start: int, period: int, floor: int) -> dict[int, int]:
        """Operations before a periodic stretch, from ``floor`` on, that are one more step of it, lacking something:
        the first, where there is no state yet, or a number. By position, where it would stand if nothing were missing;
        empty if it is no such step, which shares a weight with the others or reads on in the data.
        """
        found, place, goes_on = dict[int, int](), start, False
        for k in range(start - 1, floor - 1, -1):
            later = place + period
            place -= 1
            while place >= start - period and not self._alike(k, place + period):
                place -= 1
            # what lies apart from a step, behind what a layer has done meanwhile, is none of its operations
            if place < start - period or (self.between[k] and not self.between[place + period : later].any()):
                break
            found[k] = place
            goes_on |= self._goes_on(k, place + period)
        return found if goes_on else {}

    def last_step(self, first: int, end: int, period: int, ceiling: int) -> dict[int, int]:
        """The operations behind the whole steps of a periodic stretch, before ``ceiling``, that are one more step.

        It lacks what would lead to the next: that is in no result. By position, where it would stand; empty
        if it is no such step, which reads a state, and shares a weight, or reads on in the data, or other data.
        """
        begin = end - (end - first) % period
        found = {k: k for k in range(begin, end)}
        place = end
        for k in range(end, ceiling):
            while place < begin + period and not self._alike(place - period, k, last=True):
                place += 1
            if place == begin + period:
                break
            found[k] = place
            place += 1
        goes_on = any(
            self._goes_on(place - period, k) or self._read_inputs_of_their_own(place - period, k)
            for k, place in found.items()
        )
        return found if goes_on and self._reads_state(found, begin, period) else {}

    def _goes_on(self, one: int, other: int) -> bool:
        """Whether two operations share a weight, or read the same in different places of it, for the same use."""
        shared = (self.leaf[one] == self.leaf[other]) & (self.leaf[one] >= 0)
        a, b = (self.graph.nodes[self.places[k]] for k in (one, other))
        reads_on = a.sources == b.sources and repr(a.attrs) != repr(b.attrs)
        uses = [[self.position[u] for u in self.graph.consumers[n.index] if u in self.position] for n in (a, b)]
        reads_on = reads_on and any(self._alike(u, v) for u, v in product(*uses))
        return reads_on or bool((shared & ~self.data[self.leaf[one]]).any())

    def _read_inputs_of_their_own(self, one: int, other: int) -> bool:
        """Whether two operations read data that are no parameters, each other data."""
        a, b = self.leaf[one], self.leaf[other]
        return bool(((a != b) & (a >= 0) & (b >= 0) & self.data[a] & self.data[b]).any())

    def _reads_state(self, step: Mapping[int, int], begin: int, period: int) -> bool:
        """Whether operations of a step read what the step before has made, as those of that step did."""
        for k, place in step.items():
            for a, b in zip(self._sources(k), self._sources(place - period)):
                source = self.position.get(a, -1)
                if begin - period <= source < begin and self.position.get(b, -1) == source - period:
                    return True
        return False

    def _alike(self, one: Any, other: Any, *, last: bool = False) -> Array:
        """Whether an operation and a later one do the same, but for data, and for a first state that is given.

        In the ``last`` step a state may have no role: it gets it from the cell that it is handed to, and there is none.
        """
        a, b = self.leaf[one], self.leaf[other]
        starts = (a >= 0) & (b == _OPERATION)
        both_data = self.data[a] & self.data[b] & (a >= 0) & (b >= 0)
        named = self.nameless[one] if last and self.word[other] == self.nameless[other] else self.word[one]
        return (named == self.word[other]) & ((a == b) | starts | both_data).all(-1)

    def periods(self) -> list[int]:
        """The distances after which most operations with weights recur, then most operations; short ones first."""
        recur: dict[tuple[int, ...], list[int]] = defaultdict(list)
        shared = np.where(self.data[self.leaf], _OPERATION, self.leaf)
        for k, (word, leaves) in enumerate(zip(self.word.tolist(), shared.tolist())):
            recur[word, *leaves].append(k)
        counts, weighted = Counter[int](), Counter[int]()
        for (_, *leaves), places in recur.items():
            at = np.array(places)
            learned = max(leaves) >= 0
            for count in range(1, 5):
                if len(at) > count:
                    gaps, often = np.unique(at[count:] - at[:-count], return_counts=True)
                    top = np.argsort(-often)[:8]
                    told = dict(zip(gaps[top].tolist(), often[top].tolist()))
                    counts.update(told)
                    weighted.update(told if learned else ())
        return sorted(counts, key=lambda p: (-weighted[p], -counts[p], p))[:PERIODS]

    def runs(self) -> list[tuple[int, int, int]]:
        """(start, end, period) of the periodic stretches, in order; they do not overlap.

        What recurs goes first, as a sequence does before all samples and before a cell's calls side by side; of such
        most matches.
        """
        found = []
        for period in self.periods():
            same = np.concatenate([[False], self._alike(slice(-period), slice(period, None)), [False]])
            edges = np.flatnonzero(same[1:] != same[:-1]).reshape(-1, 2)
            found += [(int(a), int(b) + period, period) for a, b in edges if b - a >= period]
        found.sort(key=lambda run: (not self._recurs(*run), run[0] - run[1] + run[2], run[2], run[0]))
        chosen: list[_Stretch] = []
        for start, end, period in found:
            if any(start <= other.start and other.end <= end for other in chosen):
                continue
            before = [other for other in chosen if other.start <= start]
            after = [other for other in chosen if other.start > start]
            start, end = max(start, _first_end(before)), min(end, _last_start(after, end))
            if end - start >= 2 * period:
                chosen.append(_Stretch(start, end, period))
                chosen.sort()
        result, start = [], 0
        for k, each in enumerate(chosen):  # what fits both ends one step rather than begins another
            end = min(each.end, _last_start(chosen[k + 1 :], each.end))
            result.append((max(each.start, start), end, each.period))
            start = end
        return result

    def first_step(self, start: int, end: int, period: int, begin: int, ceiling: int, *, complete: bool) -> int:
        """The beginning of the first step in a periodic stretch: where the fewest values cross from step to step.

        ``begin`` is before ``start`` if the first step lacks something; what it lacks may be what it would begin with.
        Where as few cross at the very beginning, and what is left at the end is a last step, it begins there; so does a
        step that is ``complete``, lacking no operation, wherever fewer cross.
        """
        spare = (end - begin) % period
        if not spare and begin == start:
            return start
        shorter = range(max(start, begin) - period + 1, begin)
        possible = [*shorter, *range(begin, start + spare + 1 if begin == start else begin + 1)]
        middle = start + ((end - start) // period - 1) * period // 2 // period * period
        # what is computed from a first state that was there before is in the graph: such a first step lacks nothing
        first, outside = (begin, begin) if complete else (start, 0)
        given = any(
            self.position.get(a, -1) < outside <= self.position.get(b, -1)
            for k in range(first, first + period)
            for a, b in zip(self._sources(k), self._sources(k + period))
        )
        whole = begin if given and self.last_step(begin, end, period, ceiling) else None

        def key(first: int) -> tuple[int, ...]:
            # a step in the middle that lies in the stretch as a whole
            begins = middle + (first - start) % period + period
            if begins + period > end:
                begins -= period
            crossing = set()
            for k in range(begins, begins + period):
                later = 0 if k >= start + period else period  # in the first step a state may still be a leaf
                for source in self._sources(k + later):
                    place = self.position.get(self._unstacked(source), -1)
                    if start <= place < begins + later:
                        crossing.add(place - later)
            # a first step that lacks something is not parted into two
            steps = 0 if begin == start else -((first - end) // period)
            # nor does one step lack its beginning and another its end where nothing else says so
            ragged = first < begin == start and (end - first) % period > 0
            elsewhere = first != whole
            further = -((end - first) // period), abs(first - begin)
            return ragged, complete and elsewhere, len(crossing), steps, elsewhere, *further

        return min(possible, key=key)

    def _sources(self, k: int) -> tuple[int, ...]:
        """The nodes that the operation at a position reads."""
        return self.graph.nodes[self.places[k]].sources

    def _unstacked(self, i: int) -> int:
        """The part of a stack of one: a layer called with one step puts its state out twice, as output and h_n."""
        node = self.graph.nodes[i]
        return node.sources[0] if node.op is not None and node.op.name == "stack" and len(node.sources) == 1 else i


class _Stretch(NamedTuple):
    """The bounds of a periodic stretch: at its ends it may reach into the next one by less than a period."""

    start: int
    end: int
    period: int

    @property
    def whole(self) -> int:
        """The length of the periods that it has to keep."""
        return (self.end - self.start) // self.period * self.period


def _first_end(stretches: Iterable[_Stretch]) -> int:
    """The earliest end of stretches in their order."""
    end = 0
    for each in stretches:
        end = max(end, each.start) + each.whole
    return end


def _last_start(stretches: Sequence[_Stretch], end: int) -> int:
    """The latest beginning of stretches in their order; ``end`` if there are none."""
    start = stretches[-1].end if stretches else end
    for each in reversed(stretches):
        start = min(start, each.end) - each.whole
    return start
