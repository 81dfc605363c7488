"""The network again as a textbook writes it: with time steps, and first states with a row for each sequence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.bptt.state_rows import StateRow, state_rows
from tinygrad_rnn.errors import GraphError
from tinygrad_rnn.graph import Ref
from tinygrad_rnn.primitives import getitem, reshape, take
from tinygrad_rnn.recurrence.inner_loops import InnerLoop
from tinygrad_rnn.tensors import Array

from ..graph.time_columns import STATES, operands, roles
from ..vocabulary import Name
from .naming import Known


def rewritten(names: Known) -> tuple[list[tg.Tensor], list[int]]:
    """The nodes of a graph as tensors of a new one, in its order, then values that a textbook writes beside them.

    Each has the time step and the role that `recurrence.timed` finds, or pictures for scores and losses, or that its
    place among the states says. A first state that is a constant with one row where the later ones have one for each
    sequence gets as many rows: then its equation is the others'. Where that would change any other value it stays as
    it is. The values beside them are states (see `_Carried`); of each the list says which node it is a copy of.
    """
    rows = state_rows(names.timed)
    known = _judged(names.timed, rows, names)
    tall = _tall_states(known, rows)
    if tall:
        try:
            values = known.values(each=lambda node, value: tall.get(node.index, value))
        except GraphError:
            values = []
        if values and all(_same(node.value, value) for node, value in zip(known.nodes, values)):
            known = known.with_values(values)
    carried = _Carried(known, rows, names)
    tensors = carried.graph().tensors()
    return [tensors[place] for place in carried.places], carried.copied


def _judged(graph: tg.Graph, rows: Sequence[StateRow], names: Known) -> tg.Graph:
    """``graph`` with names for what a textbook names.

    Scores and losses of a time step are called so, also the scores of a network that has them once; what one step alone
    reads, a target, is in that step. A state is called as it is elsewhere, in the cell that it belongs to. What a layer
    reads, or goes on from, and has been put out before is called as it was there.
    """
    nodes, begun = list(graph.nodes), {index for row in rows for index in row.initial}
    begun |= {index for index, name in names.of.items() if name.step == 0}
    handed_on = operands(graph, see_through=True)[1]
    told = roles(graph, operands(graph, see_through=False)[0])
    for node, role in zip(graph.nodes, told, strict=True):
        name = names.of.get(node.index)
        if name is not None and name.letter in ("y", "L") and node.op is not None and not node.name:
            step = node.scope.step if name.step is None else name.step - 1
            said = "loss" if name.letter == "L" else "logits"
            nodes[node.index] = replace(node, role=said, scope=node.scope._replace(step=step))
        elif (role == "x" or node.scope.step is None) and node.op is not None and node.index in handed_on:
            nodes[node.index] = replace(node, role=None)
        readers = {(scope.step, scope.inner) for i in graph.consumers[node.index] for scope in [graph.nodes[i].scope]}
        own = None if node.role in STATES and node.index not in begun else node.role
        given = node.op is None and not (own or node.name or node.requires_grad)
        if given and node.scope.step is None and len(readers) == 1:
            step, inner = readers.pop()
            nodes[node.index] = replace(node, role=own, scope=node.scope._replace(step=step, inner=inner))
            names.of.pop(node.index, None)
    _place_beside_the_loop(graph, nodes)
    for row in rows:
        for index in (n for n in row.nodes if n is not None):
            if not (nodes[index].role or nodes[index].name or row.is_named):
                nodes[index] = replace(nodes[index], role=row.name)
    return graph.of(nodes, graph.outputs)


def _place_beside_the_loop(graph: tg.Graph, nodes: list[tg.Node]) -> None:
    """Give what lies outside of the loop the step that it is used in alone, if that lies between a step's scores and
    loss; and the last step that it reads, if others read other steps in the same way, such as differences of states."""
    placed = {n.index for n in nodes if n.scope.step is not None and graph.nodes[n.index].scope.step is None}
    for node in reversed(nodes):
        steps = {nodes[i].scope.step if i in placed else None for i in graph.consumers[node.index]}
        if _is_apart(node) and len(steps) == 1 and None not in steps:
            placed.add(node.index)
            nodes[node.index] = replace(node, scope=node.scope._replace(step=steps.pop()))
    alike: dict[Hashable, list[int]] = {}  #: by what it is and which steps it reads, seen from the last
    of: dict[int, tuple[Hashable, int | None]] = {}  #: by node what it is, and its step
    for node in nodes:
        of[node.index] = (node.role or (node.op and node.op.name), *node.scope[::2]), node.scope.step
        read = [of[x.index] if isinstance(x, Ref) else (x, None) for x in node.operands]
        last = max((step for _, step in read if step is not None), default=None)
        if node.op is None or last is None or not _is_apart(node):
            of[node.index] = (node.index, None) if node.scope.step is None else of[node.index]
            continue
        key = node.op, *((what, None if step is None else step - last) for what, step in read)
        alike.setdefault(key, []).append(node.index)
        of[node.index] = id(alike[key]), last
    for own in alike.values():
        if 1 < len(own) == len({of[i][1] for i in own}):
            for i in own:
                nodes[i] = replace(nodes[i], scope=nodes[i].scope._replace(step=of[i][1]))


def _is_apart(node: tg.Node) -> bool:
    """Whether it is of no step, nor called anything."""
    return node.scope.step is None and not (node.role or node.name or (node.requires_grad and node.op is None))


class _Carried:
    """The graph with a value of every state at every step: what it begins with, and what it stays at in a step that
    does not compute it. A constant that several states begin with is one for each, anything else is handed on by an
    operation that changes nothing. What is read from the same place of what was given several times is read once.
    """

    def __init__(self, known: tg.Graph, rows: Sequence[StateRow], names: Known) -> None:
        self.known, self.names = known, names
        self.nodes = list(known.nodes)  #: then the copies
        self.copied: list[int] = []
        self.instead: dict[tuple[int, int], int] = {}  #: by (user, operand slot) what it reads
        self.begun: set[int] = set()  #: constants that are the beginning of one state
        for row in rows:
            _Standing(self, row).read_through()
        for loop in vars(names.timed)["inner_loops"]:
            for made, begins in zip(loop.states, loop.begins, strict=True):
                self._begin_and_end(loop, made, begins)
        self._name_tokens()
        self.places: list[int] = [0] * len(self.nodes)

    def _name_tokens(self) -> None:
        """Give each step the number of the row of a learned table that it looks up, if steps look up others."""
        told: dict[int, dict[int | None, list[tuple[int, str]]]] = defaultdict(lambda: defaultdict(list))
        for node in self.known.nodes:
            if node.op is getitem and len(node.attrs["index"]) == 1 and self.known.nodes[node.sources[0]].is_parameter:
                (part,) = node.attrs["index"]
                if isinstance(part, (int, np.ndarray)) and np.asarray(part).dtype.kind in "iu":
                    told[node.sources[0]][node.scope.step].append((node.index, str(part)))
        for table, steps in told.items():
            if len({frozenset(row for _, row in own) for own in steps.values()}) < 2:
                continue
            for i in (i for step, own in steps.items() if step is not None for i, _ in own):
                node, k = self.nodes[i], len(self.nodes)
                rows = np.asarray(node.attrs["index"][0])
                given = replace(
                    node, index=k, op=None, operands=(), attrs={}, role=None, name=None, requires_grad=False
                )
                self.nodes.append(replace(given, value=rows, shape=rows.shape, dtype=rows.dtype))
                self.nodes[i] = replace(node, op=take, operands=(Ref(table), Ref(k)), attrs={})
                self.copied.append(i)

    def _begin_and_end(self, loop: InnerLoop, made: Sequence[int], begins: Sequence[tuple[int, int]]) -> None:
        """Give what a loop inside of a step begins with the name of its state; and its last one, that of the step."""
        name, first = self.names.of.get(made[0]), {self.instead.get(use, self._operand(*use)) for use in begins}
        if name is None or name.inner is None:
            return
        begin = name._replace(inner=0)
        for x in first if len(first) == 1 and begin not in {self.names.of.get(x) for x in first} else ():
            node = self.nodes[x]
            leaf = node.op is None and not (node.requires_grad or node.name or x in self.names.of)
            self.instead |= dict.fromkeys(begins, self.copy(x, self.nodes[made[0]], begin, leaf=leaf))
        last = made[-1]
        own = self.names.of.get(last)
        if own is not None and own.inner is None and len(made) > 1:
            state = self.copy(last, self.nodes[last], own)
            self.names.of[last] = name._replace(inner=len(made))
            scope = self.nodes[last].scope._replace(inner=len(made) - 1)
            self.nodes[last] = replace(self.nodes[last], role=self.nodes[made[0]].role, scope=scope)
            self.instead |= {use: state for use, x in self.instead.items() if x == last}
            self.instead |= {use: state for use in self.uses(last) if use not in self.instead}
            for k in range(len(self.known), state):
                if self.nodes[k].operands == (Ref(last),):
                    self.nodes[k] = replace(self.nodes[k], operands=(Ref(state),))

    def _operand(self, user: int, slot: int) -> int:
        x = self.nodes[user].operands[slot]
        assert isinstance(x, Ref)
        return x.index

    def graph(self) -> tg.Graph:
        """The graph; ``places`` then says where in it each of the nodes is."""
        read: dict[str, int] = {}
        given = self.known.nodes
        for node in given:
            if node.op is getitem and not node.requires_grad and given[node.sources[0]].op is None:
                first = read.setdefault(f"{node.operands} {node.attrs}", node.index)
                self.instead |= dict.fromkeys(self.uses(node.index) if first != node.index else (), first)
        made: list[tg.Node] = []
        copies: dict[int | None, list[int]] = defaultdict(list)  #: by what they are copies of
        for node in self.nodes[len(given) :]:
            copies[node.sources[0] if node.op else None].append(node.index)
        pending = [*reversed(range(len(given))), *copies[None]]
        while pending:
            node = self.nodes[i := pending.pop()]
            operands = [
                Ref(self.places[self.instead.get((i, slot), x.index)]) if isinstance(x, Ref) else x
                for slot, x in enumerate(node.operands)
            ]
            self.places[i] = len(made)
            made.append(replace(node, index=len(made), operands=tuple(operands)))
            pending += copies[i]
        return tg.Graph.of(made, [self.places[i] for i in self.known.outputs])

    def uses(self, i: int) -> Iterator[tuple[int, int]]:
        """(user, operand slot) of every use of a node."""
        for user in dict.fromkeys(self.known.consumers[i]):
            for slot, x in enumerate(self.known.nodes[user].operands):
                if isinstance(x, Ref) and x.index == i:
                    yield user, slot

    def copy(self, i: int, like: tg.Node, name: Name, *, leaf: bool = False) -> int:
        """Add node ``i`` again under a state's ``name``: a constant if ``leaf``, else reshaped to its own shape."""
        source, k = self.nodes[i], len(self.nodes)
        inner = None if name.inner is None else name.inner - 1
        scope = like.scope._replace(step=(name.step or 0) - 1, inner=inner)
        made = replace(source, index=k, role=like.role, name=like.name, scope=scope)
        if not leaf:
            made = replace(made, op=reshape, operands=(Ref(i),), attrs={"shape": source.shape}, starts=False)
        self.nodes.append(made)
        self.copied.append(i if i < len(self.known) else self.copied[i - len(self.known)])
        self.names.of[k] = name
        return k


class _Standing:
    """One state, and what it is read as: the one of this step, or the one of the step before."""

    def __init__(self, carried: _Carried, row: StateRow) -> None:
        self.carried, self.row, nodes = carried, row, carried.known.nodes
        of = [(t, n) for t, n in enumerate(row.nodes) if n is not None]
        gap = max((b - a for (a, _), (b, _) in pairwise(of)), default=1)
        at = [nodes[n].scope.step or 0 for block in row.loop.blocks() for n in block[:1]]
        self.toward = -1 if at[0] > at[-1] else 1
        self.like = nodes[of[0][1]]
        earlier = min(gap - 1, at[0]) if self.toward > 0 else 0
        begun = {carried.names.of.get(x) for x in row.initial[:1] if nodes[x].op is None}
        name = carried.names.of.get(self.like.index)
        if name is not None and self.toward > 0 and name._replace(step=0) in begun:
            earlier = at[0]
        #: by time, from the step before the first on, what is computed then
        self.made: list[int | None] = [*[None] * (earlier + 1), *row.nodes, *[None] * (gap - 1)]
        self.first = at[0] - self.toward * (earlier + 1)
        self.latest = self.made.copy()
        for t, now in enumerate(self.made):
            self.latest[t] = self.latest[t - 1] if t and now is None else now
        self.known: dict[int, int] = {}  #: by time the value then
        self.cell = {n: k for k, other in enumerate(row.loop.rows) for n in other.nodes if n is not None}

    def read_through(self) -> None:
        """Have everything read the value of its time."""
        name = self.carried.names.of.get(self.like.index)
        if name is None or name.step is None:
            return
        if self.like.dtype.kind != "f" and len(self.row.initial) > 1:
            return  # tokens, sometimes fed back, sometimes given
        self.name = name
        uses: dict[Hashable, list[tuple[int, int, tuple[int, int]]]] = defaultdict(list)
        for n in (n for n in self.made if n is not None):
            for key, t, use in self._reads(n):
                uses[key].append((t, n, use))
        delay: dict[Hashable, int] = {}
        for key, own in uses.items():
            now = any(self.made[t] == n for t, n, _ in own)
            before = any(self.made[t] is not None and self.latest[t - 1] == n for t, n, _ in own)
            if now != before:
                delay[key] = int(before)
            elif all(self.made[t] is None for t, *_ in own):  # a cell reads what was before
                delay[key] = int(own[0][2][0] in self.cell)
        for x in self.row.initial[:1]:
            for key, t, use in self._reads(x):
                if key in delay and self.latest[t - delay[key]] is None:
                    uses[key].append((t, x, use))
        for key, behind in delay.items():
            for t, n, use in uses[key]:
                if self.latest[t - behind] in (n, None):
                    self.carried.instead[use] = self._at(t - behind)

    def _reads(self, n: int) -> Iterator[tuple[Hashable, int, tuple[int, int]]]:
        """(what reads it, the same at all steps; when; its place) for every use of a value."""
        nodes = self.carried.known.nodes
        for user, slot in self.carried.uses(n):
            node = nodes[user]
            time = ((-1 if node.scope.step is None else node.scope.step) - self.first) * self.toward
            if 0 < time < len(self.made) and not node.scope.backward:
                learned = tuple(s for s in node.sources if nodes[s].is_parameter)
                word = self.cell.get(user, (node.op, node.scope.path, node.scope.part, learned))
                yield (word, slot), time, (user, slot)

    def _at(self, t: int) -> int:
        """The value at a time."""
        if t not in self.known:
            now, name = self.made[t], self.name._replace(step=self.first + self.toward * t + 1)
            if now is None:
                now = self.carried.copy(self._at(t - 1), self.like, name) if t else self._begin(name)
            self.known[t] = now
        return self.known[t]

    def _begin(self, name: Name) -> int:
        """The value before the first step, under the name of the state."""
        x, names = self.row.initial[0], self.carried.names.of
        node = self.carried.known.nodes[x]
        leaf = node.op is None and not (node.requires_grad or node.name or x in self.row.loop.weights)
        if names.get(x) == name or (leaf and x not in self.carried.begun):
            self.carried.begun.add(x)
            names[x] = name
            return x
        return self.carried.copy(x, self.like, name, leaf=leaf)


def _tall_states(graph: tg.Graph, rows: Sequence[StateRow]) -> dict[int, Array]:
    """First states that later ones are taller than, by position, with as many rows as those."""
    found: dict[int, Array] = {}
    for row in rows:
        later = next(graph.nodes[n] for n in row.nodes if n is not None)
        for node in (graph.nodes[index] for index in row.initial):
            if node.op is not None or node.requires_grad or node.value is None:
                continue
            if node.shape != later.shape and node.shape[:1] == (1,) and node.shape[1:] == later.shape[1:]:
                found[node.index] = np.broadcast_to(node.value, later.shape).copy()
    return found


def _same(a: Array | None, b: Array) -> bool:
    """Whether they are equal to rounding, where the shorter is repeated."""
    try:
        return a is not None and np.allclose(a, b, rtol=1e-4, atol=1e-12, equal_nan=True)
    except ValueError:
        return False
