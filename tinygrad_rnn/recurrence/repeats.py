"""Repetitions in a graph, and the values carried from one to the next: a fact of the graph, not of labels.

Time steps are found where operations recur (`periods`), and laid over one another (`folding`). What then lies on a
circle through another step is the recurrence, its cell; what crosses from step to step is its state.

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

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np

from ..graph import Graph, Node, Ref
from .folding import Folding, Place


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
        """The number of times the loop repeats."""
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
    if "recurrences" not in vars(graph):  # asked of one graph several times; `timed` has found them as well
        vars(graph)["recurrences"] = recurrences(Folding(graph))
    found: tuple[Recurrence, ...] = vars(graph)["recurrences"]
    return found


def recurrences(folding: Folding) -> tuple[Recurrence, ...]:
    """Every circle of a graph whose steps are folded, as a `Recurrence`."""
    cells: list[dict[Place, list[int]]] = [defaultdict(list) for _ in folding.circles]
    core = folding.core()
    for i, (circle, place) in enumerate(zip(core, folding.place, strict=True)):
        if circle is not None and place is not None:
            cells[circle][place].append(i)
    found: list[Recurrence] = []
    position: dict[int, int] = {}  # in the sequence, of what earlier ones read and made
    for cell in cells:
        loop = _recurrence(folding, cell)
        told = [(t, x) for row in loop.inputs for t, x in enumerate(row) if x is not None]
        both = [(t, position[x]) for t, x in told if x in position]
        falls = len({t for t, _ in both}) > 1 and len({t + earlier for t, earlier in both}) == 1
        backward = (loop.reverse or falls) and not _goes_on_from_another(loop, core)
        found.append(replace(loop, reverse=backward))
        made = [(t, n) for row in loop.rows for t, n in enumerate(row.nodes) if n is not None]
        position |= {n: loop.length - 1 - t if backward else t for t, n in (*told, *made)}
    return tuple(found)


def _recurrence(folding: Folding, cell: dict[Place, list[int]]) -> Recurrence:
    """One cell, given its nodes by their places in the step."""
    nodes, time = folding.graph.nodes, folding.time
    own = [n for members in cell.values() for n in members]
    first = min(time[n] for n in own)
    length = 1 + max(time[n] for n in own) - first
    order = sorted(cell, key=lambda place: cell[place][-1])
    number = {n: k for k, place in enumerate(order) for n in cell[place]}
    direction = _direction(folding, cell)
    carried: dict[tuple[int, int], dict[int, None]] = {}
    users: dict[int, set[int]] = defaultdict(set)
    entering: dict[tuple[int, int], list[int | None]] = defaultdict(lambda: [None] * length)
    slots: dict[tuple[int, int], set[tuple[int, int]]] = defaultdict(set)
    for n in own:
        for slot, x in enumerate(nodes[n].operands):
            if not isinstance(x, Ref):
                continue
            if x.index not in number:
                users[x.index].add(time[n])
                entering[number[n], slot][time[n] - first] = x.index
            elif time[x.index] != time[n]:
                key = number[x.index], (time[n] - time[x.index]) * direction
                carried.setdefault(key, {})
                slots[number[n], slot].add(key)
    weights = {x for x, at in users.items() if nodes[x].op is None and len(at) > 1}
    learned = {x for x in weights if nodes[x].is_parameter}
    weights = learned or {x for x in weights if len(users[x]) == length}
    inputs: dict[tuple[int | None, ...], None] = {}
    for where, read in entering.items():
        entered = tuple(x if x not in weights else None for x in read[::direction])
        told = [x for x in entered if x is not None]
        begin = max((distance for _, distance in slots[where]), default=0)
        if any(x is not None and (not begin or folding.is_data(nodes[x])) for x in entered[begin:]):
            inputs[entered] = None  # also where at some steps a state does, as the output that is fed back
        else:
            for key in slots[where]:
                carried[key] |= dict.fromkeys(told)
    rows = []
    for place in order:
        at = {time[n] - first: n for n in cell[place]}
        op = nodes[cell[place][0]].op
        assert op is not None
        rows.append(Row(op.name, tuple(at.get(t) for t in range(length))[::direction]))
    return Recurrence(
        folding.graph,
        tuple(rows),
        tuple(sorted(carried)),
        tuple(tuple(carried[key]) for key in sorted(carried)),
        tuple(sorted(weights)),
        tuple(inputs),
        direction < 0 or _reads_backward(folding, own),
    )


def _direction(folding: Folding, cell: Collection[Place]) -> int:
    """-1 where the program counted its steps from the last to the first."""
    edges = folding.edges
    distances = {d for a in cell for b, ds in edges[a].items() if b in cell for d in ds}
    return -1 if sum(distances) < 0 else 1


def _reads_backward(folding: Folding, own: Sequence[int]) -> bool:
    """Whether the index into the data falls from one repetition to the next."""
    at: dict[int, int] = {}
    for n in own:
        for s in folding.graph.nodes[n].sources:
            if (index := _index(folding.graph.nodes[s])) is not None and folding.place[s] is not None:
                at.setdefault(folding.time[n], index)
    order = [at[t] for t in sorted(at)]
    return len(order) > 1 and all(a > b for a, b in pairwise(order))


def _goes_on_from_another(loop: Recurrence, core: Sequence[int | None]) -> bool:
    """Whether it begins with what another cell has computed: then it comes after that, in whatever order it reads."""
    own, seen = {n for row in loop.rows for n in row.nodes}, set[int]()
    pending = [n for initial in loop.initial for n in initial]
    while pending:
        if (n := pending.pop()) not in seen:
            if core[n] is not None and n not in own:
                return True
            seen.add(n)
            pending += loop.graph.nodes[n].sources
    return False


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
