"""What repeats in a graph, and what is carried from one repetition to the next: a fact of the graph, not of labels.

A loop writes the same operations down again and again. Written in the order they were computed, operations with their
weights are a text, a loop is a stretch of it that is periodic, and one period is one time step. Within the steps, fold
all of them onto one another: what then lies on a circle through another step is the recurrence (its cell), and what
crosses from step to step is its state. Where the program said which step it is in (`steps`), that is believed.

>>> import tinygrad_rnn as tg
>>> from tinygrad_rnn.recurrence.repeats import find
>>> w, u = tg.ones(2, 2).requires_grad_(), tg.ones(2, 2).requires_grad_()
>>> x, h = tg.ones(5, 1, 2), tg.zeros(1, 2)
>>> for t in range(5):
...     h = (x[t] @ w + h @ u).tanh()
>>> (loop,) = find(tg.Graph(h))
>>> loop.length, [row.op for row in loop.states], len(loop.weights), len(loop.inputs)
(5, ['tanh'], 2, 1)
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ..graph import Graph, Node, Ref
from ..tensors import Array

#: Periods that are tried: those which most operations recur after.
PERIODS = 24
#: Operands of an operation that are compared one by one; a stack of a thousand steps has more.
SLOTS = 6
#: How far from a parameter's use an operation is told from others of its kind.
ROUNDS = 60
#: Nodes looked at in all rounds together: of one huge step the rest goes by position.
WORK = 60_000
_OPERATION, _ABSENT = -1, -2


@dataclass(frozen=True, slots=True)
class Row:
    """One operation of the cell in every repetition: its node in each, None where it is left out."""

    op: str
    nodes: tuple[int | None, ...]


@dataclass(frozen=True, eq=False)
class Recurrence:
    """A cell that is computed ``length`` times, each time from what it computed before."""

    graph: Graph
    rows: tuple[Row, ...]  #: the cell, in the order of its first complete repetition
    carried: tuple[tuple[int, int], ...]  #: (row, distance): its value is used so many repetitions later
    initial: tuple[tuple[int, ...], ...]  #: by `carried`: what stands in for it before there is a repetition before
    weights: tuple[int, ...]  #: parameters used in several repetitions (without any, the constants)
    inputs: tuple[tuple[int | None, ...], ...]  #: other operands, one row each: what enters at every repetition
    reverse: bool = False  #: whether it reads its inputs from the last to the first

    @property
    def length(self) -> int:
        """How many times the loop repeats."""
        return len(self.rows[0].nodes)

    @cached_property
    def states(self) -> tuple[Row, ...]:
        """The rows whose values are carried."""
        return tuple(self.rows[k] for k in dict.fromkeys(row for row, _ in self.carried))

    @cached_property
    def outputs(self) -> tuple[Row, ...]:
        """The rows whose values are used outside the cell, or are outputs of the graph."""
        own = {node for row in self.rows for node in row.nodes}
        asked = set(self.graph.outputs)
        return tuple(
            row
            for row in self.rows
            if any(n in asked or any(u not in own for u in self.graph.consumers[n]) for n in row.nodes if n is not None)
        )

    def blocks(self) -> list[tuple[int, ...]]:
        """The nodes of each repetition."""
        return [tuple(n for row in self.rows if (n := row.nodes[t]) is not None) for t in range(self.length)]


def find(graph: Graph) -> tuple[Recurrence, ...]:
    """All recurrences of ``graph``, in the order they begin.

    Takes time in proportion to the number of nodes, and finds a recurrence of two repetitions or more that shares
    operations in the same order; the first may lack some, where there is no state yet. A running total, such as that of
    the losses, is none: a sum of scalars, also one in which the past counts less, or one that is only scaled and summed
    up afterwards.
    """
    return _Folding(graph).found()


def timed(graph: Graph) -> Graph:
    """``graph`` with what `find` found written into its scopes, as if the program had said it.

    Every repetition has its time step; every cell that shares its scope with something else (a head, a loss, another
    cell) gets a scope of its own below it; states and inputs that have no role get ``h``, ``c`` and ``x``. Nodes keep
    their positions and serial numbers. What the program said about steps and roles stays, but of several values that
    one step of a cell makes of one another and calls its state, only the last is it.
    """
    return _without_inner_states(_Folding(graph).written())


def _without_inner_states(graph: Graph) -> Graph:
    """A state that a program prepares before it hands it to a cell is called ``h`` by the cell, yet is none."""
    nodes = list(graph.nodes)
    last: dict[Hashable, int] = {}
    inner = set[int]()
    for node in reversed(nodes):
        place = node.scope.path, node.scope.step, node.role
        if node.role not in ("h", "c") or node.op is None or node.scope.step is None or node.scope.backward:
            continue
        later = last.setdefault(place, node.index)
        if later != node.index and not _chooses(nodes[later]) and _made_of(nodes, later, node.index):
            inner.add(node.index)
        elif later != node.index and _chooses(nodes[later]):
            last[place] = node.index
    for i in inner:
        nodes[i] = replace(nodes[i], role=None)
    return Graph.of(nodes, graph.outputs) if inner else graph


def _chooses(node: Node) -> bool:
    """Whether it is the state that a batch of sequences keeps: a choice between the new and the old one."""
    return node.op is not None and node.op.name == "where"


def _made_of(nodes: Sequence[Node], later: int, earlier: int) -> bool:
    """Whether a node of one step is computed from another of it."""
    found, pending = set[int](), [later]
    while pending:
        i = pending.pop()
        if i == earlier:
            return True
        pending += [s for s in nodes[i].sources if s >= earlier and s not in found]
        found.update(nodes[i].sources)
    return False


def aligned(graph: Graph, places: Sequence[Hashable | None]) -> list[int]:
    """By node a number that operations doing the same in different ``places`` (time steps) share.

    The uses of one parameter are the same; so is what leads to them in the same way, and what is made of them in the
    same way. What finds no twin so, because a step lacks an operand or has one more, goes by its operation and its
    position among those left over. Where ``places`` is None there are no twins.
    """
    return _Alignment(graph, places).row


class _Alignment:
    """Begins at the uses of parameters and at operations no step has twice; goes on from neighbour to neighbour."""

    def __init__(self, graph: Graph, places: Sequence[Hashable | None]) -> None:
        self.graph, self.places = graph, places
        self.heads = [
            (n.scope.path, n.scope.part or "", n.role or "", n.op.name if n.op else "", n.scope.backward)
            for n in graph.nodes
        ]
        self.row = [-1] * len(graph)
        self.filled: list[set[Hashable]] = []  #: by row its places
        nodes = graph.nodes
        told = [tuple((k, s) for k, s in enumerate(n.sources[:SLOTS]) if nodes[s].is_parameter) for n in nodes]
        self._join({i: ((self.heads[i], of), None) for i, of in enumerate(told) if of})
        self._join({i: (head, None) for i, head in enumerate(self.heads) if self.row[i] < 0})
        for _ in range(max(8, min(ROUNDS, WORK // max(len(graph), 1)))):
            ways = [self._made(), self._used(), self._fed()]
            if not self._join(*ways, strict=True) and not self._join(*ways):
                break
        self._join_the_rest()

    def _open(self) -> list[int]:
        """The nodes that have no row yet, and those that may be their twins."""
        heads = {self.heads[i] for i, row in enumerate(self.row) if row < 0 and self.places[i] is not None}
        return [i for i, head in enumerate(self.heads) if head in heads]

    def _own(self, node: Node) -> list[tuple[int, int]]:
        """(slot, operand) of what was computed in the same place."""
        return [
            (slot, x.index)
            for slot, x in enumerate(node.operands[:SLOTS])
            if isinstance(x, Ref) and self.graph.nodes[x.index].op and self.places[x.index] == self.places[node.index]
        ]

    def _made(self) -> dict[int, tuple[Hashable, set[Hashable] | None]]:
        """What is made of rows alone."""
        found: dict[int, tuple[Hashable, set[Hashable] | None]] = {}
        for i in self._open():
            node = self.graph.nodes[i]
            own = [(slot, self.row[x]) for slot, x in self._own(node)]
            whole = len(own) == sum(not self.graph.nodes[s].is_parameter for s in node.sources[:SLOTS])
            if own and whole and all(row >= 0 for _, row in own):
                found[i] = (self.heads[i], tuple(own)), set.intersection(*(self.filled[row] for _, row in own))
        return found

    def _used(self) -> dict[int, tuple[Hashable, set[Hashable] | None]]:
        """What is used in the same place by one row."""
        found: dict[int, tuple[Hashable, set[Hashable] | None]] = {}
        for i in self._open():
            uses = [
                (self.row[u], slot)
                for u in self.graph.consumers[i]
                if self.row[u] >= 0 and self.places[u] == self.places[i]
                for slot in (k for k, s in self._own(self.graph.nodes[u]) if s == i)
            ]
            if uses:
                found[i] = ("used", self.heads[i], min(uses)), self.filled[min(uses)[0]]
        return found

    def _fed(self) -> dict[int, tuple[Hashable, set[Hashable] | None]]:
        """What has one row among its operands."""
        found: dict[int, tuple[Hashable, set[Hashable] | None]] = {}
        for i in self._open():
            of = [(slot, self.row[x]) for slot, x in self._own(self.graph.nodes[i]) if self.row[x] >= 0]
            if of:
                found[i] = ("fed", self.heads[i], of[0]), self.filled[of[0][1]]
        return found

    def _join(self, *ways: Mapping[int, tuple[Hashable, set[Hashable] | None]], strict: bool = False) -> bool:
        """One row for nodes that are alike and in different places, most at once first.

        With ``strict`` in all places where they could be.
        """
        classes: dict[Hashable, list[int]] = defaultdict(list)
        could: dict[Hashable, set[Hashable] | None] = {}
        for way, likes in enumerate(ways):
            for i, (like, places) in likes.items():
                if self.places[i] is not None:
                    classes[way, like].append(i)
                    could[way, like] = places
        joined = False
        for like, members in sorted(classes.items(), key=lambda item: -len(item[1])):
            rows = {self.row[i] for i in members} - {-1}
            new = [i for i in members if self.row[i] < 0]
            at = {self.places[i] for i in new}
            if not new or len(at) < len(new) or len(rows) > 1 or (not rows and len(at) < 2):
                continue
            if not rows and strict and at != could[like]:
                continue
            row = next(iter(rows), len(self.filled))
            if not rows:
                self.filled.append(set())
            if not self.filled[row] & at:
                joined = True
                self.filled[row] |= at
                for i in new:
                    self.row[i] = row
        return joined

    def _join_the_rest(self) -> None:
        rows: dict[Hashable, list[int]] = defaultdict(list)
        for i, row in enumerate(self.row):
            if row >= 0 and row not in rows[self.heads[i]]:
                rows[self.heads[i]].append(row)
        for i, place in enumerate(self.places):
            if self.row[i] < 0:
                own = rows[self.heads[i]]
                fitting = (row for row in own if place is not None and place not in self.filled[row])
                row = next(fitting, len(self.filled))
                if row == len(self.filled):
                    self.filled.append(set())
                    if place is not None:
                        own.append(row)
                self.filled[row].add(place)
                self.row[i] = row


# Periods -------------------------------------------------------------------------------------------------------


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
        self.places = places
        words: dict[Hashable, int] = {}
        self.word = np.empty(len(places), np.int64)
        self.leaf = np.full((len(places), SLOTS), _ABSENT, np.int64)
        self.data = np.array([n.op is None and not n.requires_grad for n in graph.nodes] + [False, False])
        for k, place in enumerate(places):
            node = graph.nodes[place]
            assert node.op is not None
            attrs = tuple((key, _shape_of_index(value)) for key, value in sorted(node.attrs.items()))
            key = (node.op.name, attrs, len(node.operands), node.role, node.scope.path)
            self.word[k] = words.setdefault(key, len(words))
            for slot, x in enumerate(node.operands[:SLOTS]):
                is_leaf = isinstance(x, Ref) and graph.nodes[x.index].op is None
                self.leaf[k, slot] = x.index if is_leaf and isinstance(x, Ref) else _OPERATION

    def shorter_step(self, start: int, period: int, floor: int) -> dict[int, int]:
        """What stands before a periodic stretch, not before ``floor``, and is one more step of it that lacks something:
        the first, where there is no state yet, or a number. By position, where it would stand if nothing were missing;
        empty if it is no such step, which shares a weight with the others.
        """
        found, place, learned = dict[int, int](), start, False
        for k in range(start - 1, floor - 1, -1):
            place -= 1
            while place >= start - period and not self._alike(k, place + period):
                place -= 1
            if place < start - period:
                break
            found[k] = place
            shared = self.leaf[k] == self.leaf[place + period]
            learned |= bool((shared & (self.leaf[k] >= 0) & ~self.data[self.leaf[k]]).any())
        return found if learned else {}

    def _alike(self, k: int, other: int) -> bool:
        """`same` of two operations."""
        a, b = self.leaf[k], self.leaf[other]
        operands = (a == b) | ((a >= 0) & (b == _OPERATION)) | (self.data[a] & self.data[b] & (a >= 0) & (b >= 0))
        return bool(self.word[k] == self.word[other] and operands.all())

    def same(self, period: int) -> Array:
        """Where an operation is the same as the one a period later, but for data, and for a first state."""
        a, b = self.leaf[:-period], self.leaf[period:]
        starts = (a >= 0) & (b == _OPERATION)
        operands = (a == b) | starts | (self.data[a] & self.data[b] & (a >= 0) & (b >= 0))
        return (self.word[:-period] == self.word[period:]) & operands.all(1)

    def periods(self) -> list[int]:
        """The distances after which most operations recur, short ones first among equals."""
        recur: dict[Hashable, list[int]] = defaultdict(list)
        shared = np.where(self.data[self.leaf], _OPERATION, self.leaf)
        for k, (word, leaves) in enumerate(zip(self.word.tolist(), shared.tolist())):
            recur[word, *leaves].append(k)
        counts: Counter[int] = Counter()
        for places in recur.values():
            at = np.array(places)
            for count in range(1, 5):
                if len(at) > count:
                    gaps, often = np.unique(at[count:] - at[:-count], return_counts=True)
                    top = np.argsort(-often)[:8]
                    counts.update(dict(zip(gaps[top].tolist(), often[top].tolist())))
        return [p for p, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:PERIODS]]

    def runs(self) -> list[tuple[int, int, int]]:
        """(start, end, period) of the periodic stretches, in order; they do not overlap; most matches go first."""
        found = []
        for period in self.periods():
            same = np.concatenate([[False], self.same(period), [False]])
            edges = np.flatnonzero(same[1:] != same[:-1]).reshape(-1, 2)
            found += [(int(a), int(b) + period, period) for a, b in edges if b - a >= period]
        found.sort(key=lambda run: (run[0] - run[1] + run[2], run[0]))
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


class _Stretch(NamedTuple):
    """Where a periodic stretch may lie: at its ends it may reach into the next one by less than a period."""

    start: int
    end: int
    period: int

    @property
    def whole(self) -> int:
        """The length of the periods that it has to keep."""
        return (self.end - self.start) // self.period * self.period


def _first_end(stretches: Iterable[_Stretch]) -> int:
    """Where stretches in their order end at the earliest."""
    end = 0
    for each in stretches:
        end = max(end, each.start) + each.whole
    return end


def _last_start(stretches: Sequence[_Stretch], end: int) -> int:
    """Where stretches in their order begin at the latest; ``end`` if there are none."""
    start = stretches[-1].end if stretches else end
    for each in reversed(stretches):
        start = min(start, each.end) - each.whole
    return start


# Folding -------------------------------------------------------------------------------------------------------


class _Folding:
    """All time steps laid over one another; ``row`` and ``time`` say where each node went."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.row: list[Hashable | None] = [None] * len(graph)
        self.time = [0] * len(graph)
        self._believe_scopes()
        self._read_text()
        self.depends = self._on_parameters()
        self.edges = self._folded_edges()
        self.totals: list[list[Node]] = []  #: sums of something over the steps that end in nothing but sums
        self.circles = [c for c in circles_of(self.edges) if self._is_recurrence(c)]
        self.circle_of = {row: k for k, circle in enumerate(self.circles) for row in circle}

    def _believe_scopes(self) -> None:
        said = [n.op is not None and n.scope.step is not None and not n.scope.backward for n in self.graph.nodes]
        places = [n.scope.step if own else None for n, own in zip(self.graph.nodes, said, strict=True)]
        for node, row in zip(self.graph.nodes, aligned(self.graph, places), strict=True):
            if said[node.index]:
                self.row[node.index] = ("said", row)
                self.time[node.index] = node.scope.step  # type: ignore[assignment]

    def _read_text(self) -> None:
        learning: list[bool] = []  # what the gradients were made into is no part of the network
        for node in self.graph.nodes:
            learning.append(node.scope.backward or any(learning[s] for s in node.sources))
        open_ = [n.index for n in self.graph.nodes if n.op and n.scope.step is None and not learning[n.index]]
        if len(open_) < 2:
            return
        text, floor = _Text(self.graph, open_), 0
        for number, (start, end, period) in enumerate(text.runs()):
            places = {k: k for k in range(start, end)} | text.shorter_step(start, period, floor)
            first = self._first(text, start, end, period, min(places.values()))
            begin = max(first, start)
            one, next_ = text.leaf[begin : begin + period], text.leaf[begin + period : begin + 2 * period]
            if not ((one == next_) & (one >= 0)).any():  # a loop shares something: weights
                continue
            for k, place in places.items():
                t = (place - first) // period
                if 0 <= t < (end - first) // period:
                    self.row[open_[k]] = ("run", number, (place - first) % period)
                    self.time[open_[k]] = t
            floor = end

    def _first(self, text: _Text, start: int, end: int, period: int, begin: int) -> int:
        """Where in a periodic stretch its first step begins: where the fewest values cross from step to step.

        ``begin`` is before ``start`` if the first step lacks something; what it lacks may be what it would begin with.
        """
        spare = (end - begin) % period
        if not spare and begin == start:
            return start
        shorter = range(max(start, begin) - period + 1, begin)
        possible = [*shorter, *range(begin, start + spare + 1 if begin == start else begin + 1)]
        middle = start + ((end - start) // period - 1) * period // 2 // period * period
        position = {place: k for k, place in enumerate(text.places)}

        def key(first: int) -> tuple[int, int, int]:
            begins = (
                middle + (first - start) % period + period
            )  # a step in the middle that lies in the stretch as a whole
            if begins + period > end:
                begins -= period
            crossing = set()
            for k in range(begins, begins + period):
                later = 0 if k >= start + period else period  # in the first step a state may still be a leaf
                for source in self.graph.nodes[text.places[k + later]].sources:
                    place = position.get(source, -1)
                    if start <= place < begins + later:
                        crossing.add(place - later)
            return len(crossing), -((end - first) // period), abs(first - begin)

        return min(possible, key=key)

    def _on_parameters(self) -> list[bool]:
        """By node, whether it was computed with a parameter's help."""
        found: list[bool] = []
        for node in self.graph.nodes:
            found.append(node.is_parameter if node.op is None else any(found[s] for s in node.sources))
        return found

    def _folded_edges(self) -> dict[Hashable, dict[Hashable, set[int]]]:
        """By row, the rows it feeds, and how many steps later."""
        edges: dict[Hashable, dict[Hashable, set[int]]] = defaultdict(lambda: defaultdict(set))
        for source, target, _ in self.graph.edges:
            a, b = self.row[source], self.row[target]
            if a is not None and b is not None and self.graph.nodes[source].role not in ("logits", "x", "loss"):
                edges[a][b].add(self.time[target] - self.time[source])
        return edges

    def _is_recurrence(self, circle: set[Hashable]) -> bool:
        """Not a running total: a sum of numbers, or one that is only ever scaled and summed up, like a loss."""
        if not any(d for a in circle for b, ds in self.edges[a].items() if b in circle for d in ds):
            return False
        members = [n for n in self.graph.nodes if self.row[n.index] in circle]
        if not all(n.op is not None and n.op.name in ("add", "sub") for n in members):
            if not all(self._discounts(n) for n in members) or not self._only_summed_up(members):
                return True
            self.totals.append([n for n in members if n.op is not None and n.op.name in ("add", "sub")])
            return False
        if not any(n.role in ("h", "c") for n in members) and self._only_summed_up(members):
            self.totals.append(members)
            return False
        return any(n.shape != () for n in members)

    def _discounts(self, node: Node) -> bool:
        """Whether it adds numbers, or scales one by what is not learned: a total in which the past counts less."""
        scales = (
            node.op is not None
            and node.op.name in ("mul", "div")
            and sum(map(self.depends.__getitem__, node.sources)) < 2
        )
        adds = node.op is not None and node.op.name in ("add", "sub")
        return not node.shape and not node.role and (adds or scales)

    def _only_summed_up(self, members: Sequence[Node]) -> bool:
        """Whether all that is made of them is sums and multiples."""
        found, pending = {n.index for n in members}, [n.index for n in members]
        while pending:
            for user in self.graph.consumers[pending.pop()]:
                node = self.graph.nodes[user]
                if user in found or node.scope.backward:
                    continue
                made = [s for s in node.sources if self.depends[s]]
                scaled = node.op is not None and node.op.name in ("mul", "div") and made[:1] == made
                adds_or_hands_on = node.op is not None and 0 in node.op.slots and node.op.moves(0)
                if not (scaled or adds_or_hands_on):
                    return False
                found.add(user)
                pending.append(user)
        return True

    # The result ------------------------------------------------------------------------------------------------

    def found(self) -> tuple[Recurrence, ...]:
        """Every circle as a `Recurrence`."""
        cells: list[dict[Hashable, list[int]]] = [defaultdict(list) for _ in self.circles]
        core = self.core()
        for node in self.graph.nodes:
            if (k := core[node.index]) is not None:
                cells[k][self.row[node.index]].append(node.index)
        found: list[Recurrence] = []
        read_at: dict[int, int] = {}  # what an earlier one read, and when
        for rows in cells:
            loop = self._recurrence(rows)
            told = [(t, x) for row in loop.inputs for t, x in enumerate(row) if x is not None]
            both = [(t, read_at[x]) for t, x in told if x in read_at]
            falls = len({t for t, _ in both}) > 1 and len({t + earlier for t, earlier in both}) == 1
            found.append(replace(loop, reverse=loop.reverse or falls))
            read_at.update({x: t for t, x in told if not found[-1].reverse})
        return tuple(found)

    def core(self) -> list[int | None]:
        """By node the circle it belongs to: it is on it, or in its step feeds nothing else and is no mere input."""
        result: list[int | None] = [self.circle_of.get(row) for row in self.row]
        paths = self.paths()
        for node in reversed(self.graph.nodes):
            i, users = node.index, self.graph.consumers[node.index]
            if result[i] is not None or self.row[i] is None or node.role or not users or not self.depends[i]:
                continue
            if _is_looked_up(self.graph.nodes, node):
                continue
            circles = {result[u] for u in users}
            here = all(self.time[u] == self.time[i] and self.row[u] is not None for u in users)
            k = circles.pop() if here and len(circles) == 1 and i not in self.graph.outputs else None
            if k is not None and node.scope.path[: len(paths[k])] == paths[k]:
                result[i] = k
        return result

    def paths(self) -> list[tuple[str, ...]]:
        """By circle, the scope that all of it is in."""
        found: list[tuple[str, ...] | None] = [None] * len(self.circles)
        for node in self.graph.nodes:
            k = self.circle_of.get(self.row[node.index])
            if k is not None:
                known = found[k]
                found[k] = node.scope.path if known is None else _shared(known, node.scope.path)
        return [path or () for path in found]

    def _recurrence(self, rows: dict[Hashable, list[int]]) -> Recurrence:
        nodes, time = self.graph.nodes, self.time
        first = min(time[n] for row in rows.values() for n in row)
        length = 1 + max(time[n] for row in rows.values() for n in row) - first
        order = sorted(rows, key=lambda row: (rows[row][-1], str(row)))
        number = {row: k for k, row in enumerate(order)}
        own = {n for row in rows.values() for n in row}
        direction = self._direction(rows)
        carried: dict[tuple[int, int], dict[int, None]] = {}
        users: dict[int, set[int]] = defaultdict(set)
        entering: dict[tuple[int, int], list[int | None]] = defaultdict(lambda: [None] * length)
        slots: dict[tuple[int, int], set[tuple[int, int]]] = defaultdict(set)
        for row, members in rows.items():
            for n in members:
                for slot, x in enumerate(nodes[n].operands):
                    if not isinstance(x, Ref):
                        continue
                    if x.index not in own:
                        users[x.index].add(time[n])
                        entering[number[row], slot][time[n] - first] = x.index
                    elif time[x.index] != time[n]:
                        key = number[self.row[x.index]], (time[n] - time[x.index]) * direction
                        carried.setdefault(key, {})
                        slots[number[row], slot].add(key)
        weights = {x for x, at in users.items() if nodes[x].op is None and len(at) > 1}
        learned = {x for x in weights if nodes[x].requires_grad}
        weights = learned or {x for x in weights if len(users[x]) == length}
        inputs: dict[tuple[int | None, ...], None] = {}
        for place, entered in entering.items():
            told = [x for x in entered if x is not None and x not in weights]
            if place in slots:  # what enters where otherwise a state does
                for key in slots[place]:
                    carried[key] |= dict.fromkeys(told)
            elif told:
                inputs[tuple(x if x not in weights else None for x in entered)] = None
        made = []
        for row in order:
            at = {time[n] - first: n for n in rows[row]}
            made.append(Row(nodes[rows[row][0]].op.name, tuple(at.get(t) for t in range(length))))  # type: ignore[union-attr]
        if direction < 0:
            made = [replace(row, nodes=row.nodes[::-1]) for row in made]
        keys = sorted(carried)
        return Recurrence(
            self.graph, tuple(made), tuple(keys), tuple(tuple(carried[k]) for k in keys), tuple(sorted(weights)),
            tuple(each[::direction] for each in inputs), self._reads_backward(rows),
        )  # fmt: skip

    def _direction(self, rows: Iterable[Hashable]) -> int:
        """-1 where the program counted its steps from the last to the first."""
        inside = set(rows)
        deltas = Counter(d for a in inside for b, ds in self.edges[a].items() if b in inside for d in ds if d)
        return -1 if sum(d for d in deltas) < 0 else 1

    def _reads_backward(self, rows: dict[Hashable, list[int]]) -> bool:
        """Whether the index into the data falls from one repetition to the next."""
        if self._direction(rows) < 0:
            return True
        at: dict[int, int] = {}
        for members in rows.values():
            for n in members:
                for s in self.graph.nodes[n].sources:
                    if (index := _index(self.graph.nodes[s])) is not None and self.row[s] is not None:
                        at.setdefault(self.time[n], index)
        order = [at[t] for t in sorted(at)]
        return len(order) > 1 and all(a > b for a, b in pairwise(order))

    # Written into scopes -----------------------------------------------------------------------------------------

    def written(self) -> Graph:
        """See `timed`."""
        if not self.circles:
            return self.graph
        nodes = list(self.graph.nodes)
        loops = self.found()
        core = self.core()
        paths = self.paths()
        turned = {
            self.row[n][1]  # type: ignore[index]
            for loop in loops
            if loop.reverse
            for n in loop.blocks()[0]
            if self.row[n] is not None and self.row[n][0] == "run"  # type: ignore[index]
        }
        lengths: Counter[Hashable] = Counter()
        for i, row in enumerate(self.row):
            if row is not None and row[0] == "run":  # type: ignore[index]
                lengths[row[1]] = max(lengths[row[1]], self.time[i] + 1)  # type: ignore[index]
        kept = {row[1] for k, c in enumerate(self.circles) for row in c if row[0] == "run"}  # type: ignore[index]
        for i, row in enumerate(self.row):
            if row is not None and row[0] == "run" and row[1] in kept:  # type: ignore[index]
                step = lengths[row[1]] - 1 - self.time[i] if row[1] in turned else self.time[i]  # type: ignore[index]
                nodes[i] = replace(nodes[i], scope=nodes[i].scope._replace(step=step))
        names = self._own_scopes(nodes, core, paths, [loop.reverse for loop in loops])
        for i, k in enumerate(core):
            path = None if k is None else names[k]
            if path is not None:
                nodes[i] = replace(nodes[i], scope=nodes[i].scope._replace(path=path))
        for loop in loops:
            self._name_states(nodes, loop)
            self._name_inputs(nodes, loop)
        self._name_losses(nodes)
        return Graph.of(nodes, self.graph.outputs)

    def _own_scopes(
        self,
        nodes: Sequence[Node],
        core: Sequence[int | None],
        paths: Sequence[tuple[str, ...]],
        reverse: Sequence[bool],
    ) -> list[tuple[str, ...] | None]:
        """By circle a scope of its own, None where the program's own scope holds nothing but this cell."""
        mixed: dict[tuple[str, ...], set[int | None]] = defaultdict(set)
        for node, k in zip(nodes, core, strict=True):
            if node.op is not None and node.scope.step is not None and not node.scope.backward:
                mixed[node.scope.path].add(k)
        spread = [False] * len(paths)
        for node, k in zip(nodes, core, strict=True):
            if k is not None and node.scope.path != paths[k]:
                spread[k] = True
        result: list[tuple[str, ...] | None] = []
        for k, path in enumerate(paths):
            alone = mixed[path] <= {k}
            if alone and not spread[k]:
                result.append(None)
                continue
            if alone and path:
                result.append(path)
                continue
            forward = [j for j, other in enumerate(paths) if other == path and not reverse[j]]
            number = max(1, sum(j <= k for j in forward))  # what reads backward is the twin of what came before it
            name = "cell" if len(forward) < 2 else f"cell{number}"
            result.append((*path, f"{name}_reverse" if reverse[k] else name))
        return result

    def _name_states(self, nodes: list[Node], loop: Recurrence) -> None:
        """A single state is h; of two, as an LSTM has them, c is the one that no matrix multiplies and that gives h.

        Of several others h is the one that the rest of the network reads, if that is one.
        """
        states = list(dict.fromkeys(row for row, _ in loop.carried))
        members = [n for k in states for n in loop.rows[k].nodes if n is not None]
        if any(nodes[n].role for n in members):
            return
        if len(states) == 2 and (pair := self._one_made_of_the_other(loop, states)):
            users = self.graph.consumers[loop.rows[pair[0]].nodes[0] or 0]
            fed_back = any(op.name in ("matmul", "linear") for u in users if (op := nodes[u].op))
            states = pair[:1] if fed_back else pair  # an output that is fed back
        elif len(states) > 1:
            states = [k for k in states if loop.rows[k] in loop.outputs]
            if len(states) != 1:
                return
        for k, role in zip(states, ("h",) if len(states) == 1 else ("c", "h"), strict=True):
            for member in loop.rows[k].nodes:
                if member is not None:
                    nodes[member] = replace(nodes[member], role=role)
            for (row, _), initial in zip(loop.carried, loop.initial, strict=True):
                for i in initial if row == k else ():
                    if nodes[i].op is None and not nodes[i].role and nodes[i].scope.step is None:
                        nodes[i] = replace(nodes[i], role=role)

    def _one_made_of_the_other(self, loop: Recurrence, states: Sequence[int]) -> list[int]:
        """The two rows, first the one that the other is made of in the same repetition; none if neither is."""
        a, b = (loop.rows[k].nodes for k in states)
        t = max((t for t, both in enumerate(zip(a, b, strict=True)) if None not in both), default=None)
        if t is None:
            return []
        at = {row: n for row in states if (n := loop.rows[row].nodes[t]) is not None}
        block, upstream, pending = set(loop.blocks()[t]), set[int](), [max(at.values())]
        while pending:
            n = pending.pop()
            if n in block and n not in upstream:
                upstream.add(n)
                pending += self.graph.nodes[n].sources
        return sorted(at, key=at.__getitem__) if min(at.values()) in upstream else []

    def _name_inputs(self, nodes: list[Node], loop: Recurrence) -> None:
        """What enters as data at every repetition, and is no mask, is x; so is the row that a token has in a table."""
        if any(n is not None and nodes[n].role == "x" for entered in loop.inputs for n in entered):
            return
        for entered in loop.inputs:
            told = [n for n in entered if n is not None]
            if len(set(told)) < max(2, len(told)) or not all(self._is_data(nodes, n) for n in told):
                continue
            for t, n in enumerate(entered):
                if n is not None:
                    step = nodes[next(m for row in loop.rows if (m := row.nodes[t]) is not None)].scope.step
                    nodes[n] = replace(nodes[n], role="x", scope=nodes[n].scope._replace(step=step))

    def _name_losses(self, nodes: list[Node]) -> None:
        """What a running total adds up is each step's loss, where nothing else says what the loss is."""
        if any(n.role == "loss" or (n.op is not None and n.op.name == "cross_entropy") for n in nodes):
            return
        for members in self.totals:
            own = {n.index for n in members}
            for i in {s for n in members for s in n.sources} - own:
                if nodes[i].op is not None and not nodes[i].role and self.depends[i]:
                    nodes[i] = replace(nodes[i], role="loss")

    def _is_data(self, nodes: Sequence[Node], n: int) -> bool:
        node = nodes[n]
        if node.role or node.dtype.kind != "f" or (node.op is None and not np.any(node.value)):
            return False
        return not self.depends[n] or _is_looked_up(nodes, node)


def _is_looked_up(nodes: Sequence[Node], node: Node) -> bool:
    """Whether it is a token's row of a table that is learned: the network's input."""
    return node.op is not None and node.op.name == "take" and nodes[node.sources[0]].is_parameter


def _index(node: Node) -> int | None:
    """The first number in the index that reads this node out of an array."""
    if node.op is None or node.op.name != "getitem":
        return None
    for part in node.attrs["index"]:
        if isinstance(part, (int, np.integer)):
            return int(part)
        if isinstance(part, slice) and isinstance(part.start, int):
            return part.start
    return None


def _shared(a: tuple[str, ...], b: tuple[str, ...]) -> tuple[str, ...]:
    """The longest common beginning."""
    length = next((k for k, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    return a[:length]


def circles_of(edges: dict[Hashable, dict[Hashable, set[int]]]) -> list[set[Hashable]]:
    """Strongly connected components with an edge inside (Tarjan 1972, without recursion), in order of first row."""
    number: dict[Hashable, int] = {}
    low: dict[Hashable, int] = {}
    stack: list[Hashable] = []
    waiting: set[Hashable] = set()
    found: list[set[Hashable]] = []
    rows = list(edges)
    for root in rows:
        if root in number:
            continue
        work = [(root, iter(list(edges.get(root, ()))))]
        number[root] = low[root] = len(number)
        stack.append(root)
        waiting.add(root)
        while work:
            row, following = work[-1]
            for other in following:
                if other not in number:
                    number[other] = low[other] = len(number)
                    stack.append(other)
                    waiting.add(other)
                    work.append((other, iter(list(edges.get(other, ())))))
                    break
                if other in waiting:
                    low[row] = min(low[row], number[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[row])
                if low[row] == number[row]:
                    circle: set[Hashable] = set()
                    while row not in circle:
                        circle.add(stack.pop())
                    waiting -= circle
                    if len(circle) > 1 or row in edges.get(row, ()):
                        found.append(circle)
    first = {row: k for k, row in enumerate(rows)}
    return sorted(found, key=lambda circle: min(first.get(row, 0) for row in circle))
