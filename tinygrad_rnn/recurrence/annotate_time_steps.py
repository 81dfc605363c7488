"""Writes the time steps, scopes, states and inputs that were found in a graph into its nodes.

Pictures, equations and the debugger read scopes and roles only; so they show these for programs that named nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..ancestors import ancestors
from ..graph import Graph, Node, Ref
from ..primitives import cross_entropy
from .folding import Folding
from .inner_loops import InnerLoop, inner_loops
from .repeats import Recurrence, recurrences
from .twins import STATES


def timed(graph: Graph) -> Graph:
    """``graph`` with what `find` found written into its scopes, as if the program had said it.

    Every repetition has its time step; every cell that shares its scope with something else (a head, a loss, another
    cell) gets a scope of its own below it; states and inputs that have no role get ``h``, ``c`` and ``x``. Nodes keep
    their positions and serial numbers. What the program said about steps and roles stays, but of several values that
    one step of a cell makes of one another and calls its state, only the last is it.
    """
    folding = Folding(graph)
    graph, loops = folding.graph, recurrences(folding)
    nodes = _Naming(folding, loops).nodes if loops else _one_step(graph)
    inner = _inner_states(nodes)
    if nodes is not graph.nodes or inner:
        graph = Graph.of([replace(n, role=None) if n.index in inner else n for n in nodes], graph.outputs)
    inside = inner_loops(graph)
    if inside:
        graph = Graph.of(_with_repetitions(graph, inside), graph.outputs)
    vars(graph)["recurrences"] = tuple(replace(loop, graph=graph) for loop in loops)
    vars(graph)["inner_loops"] = inside
    return graph


def _with_repetitions(graph: Graph, loops: Sequence[InnerLoop]) -> list[Node]:
    """The nodes with their repetition of a loop inside of their step. What that hands on is called as the program
    calls it, or s, but for what the next step goes on from."""
    nodes = list(graph.nodes)
    taken = {n.name for n in nodes} | {n.role for n in nodes} | {"x", "L", "y", *STATES}
    called = {nodes[i].variable for loop in loops for made in loop.states[:1] for i in made[-1:]}
    letter = called.pop() if len(called) == 1 and not called & taken else None
    own = [[made for made in loop.states if not any(_is_judged(graph, i) for i in made)] for loop in loops]
    goes_on = {
        k
        for loop, states in zip(loops, own, strict=True)
        for k, made in enumerate(states)
        if any(nodes[u].scope.step not in (None, loop.step) for u in graph.consumers[made[-1]])
    }
    handed_on = {states[k][-1] for states in own for k in goes_on if k < len(states)}
    for loop, states in zip(loops, own, strict=True):
        for i in loop.nodes.keys() - handed_on:
            nodes[i] = replace(nodes[i], scope=nodes[i].scope._replace(inner=loop.nodes[i]))
        for i in {s for n in loop.nodes for s in nodes[n].sources if nodes[s].op is None} - loop.nodes.keys():
            at = {loop.nodes.get(u) for u in graph.consumers[i]}
            if nodes[i].scope.step == loop.step and len(at) == 1:
                nodes[i] = replace(nodes[i], scope=nodes[i].scope._replace(inner=at.pop()))
        for k, made in enumerate(states):
            role = (letter or "s") + "′" * k
            for i in made:
                if i not in handed_on and nodes[i].role in (None, *STATES):
                    nodes[i] = replace(nodes[i], role=role)
            begins = loop.begins[loop.states.index(made)]
            for i in {_operand(nodes[user], slot) for user, slot in begins}:
                node, alone = nodes[i], {*graph.consumers[i]} <= {user for user, _ in begins}
                if alone and node.op is None and not (node.requires_grad or node.name or node.role):
                    nodes[i] = replace(node, role=role, scope=node.scope._replace(step=loop.step, inner=-1))
    return nodes


def _operand(node: Node, slot: int) -> int:
    x = node.operands[slot]
    assert isinstance(x, Ref)
    return x.index


def _is_judged(graph: Graph, i: int) -> bool:
    """Whether a loss is computed of it at once: they are scores."""
    return any(graph.nodes[u].op is cross_entropy for u in graph.consumers[i])


def _one_step(graph: Graph) -> Sequence[Node]:
    """The nodes of a graph in which a cell is called once: what makes its new state of given ones is one time step."""
    nodes = graph.nodes
    begun = {n.index for n in nodes if n.op is None and n.role in STATES}
    made = [n.index for n in nodes if n.op is not None and n.role in STATES and not n.scope.backward]
    within = set(ancestors(nodes, made)) if begun and made and not graph.steps else set[int]()
    step = {i for i in within - begun if not nodes[i].is_parameter} if begun & within else set[int]()
    return [replace(n, scope=n.scope._replace(step=0)) if n.index in step else n for n in nodes] if step else nodes


def _inner_states(nodes: Sequence[Node]) -> set[int]:
    """States that a program prepares before it hands them to a cell: the cell calls them ``h``, yet they are none."""
    last: dict[Hashable, int] = {}
    inner = set[int]()
    for node in reversed(nodes):
        place = node.scope.path, node.scope.step, node.role
        if node.role not in STATES or node.op is None or node.scope.step is None or node.scope.backward:
            continue
        later = last.setdefault(place, node.index)
        if later == node.index:
            continue
        if _chooses(nodes[later]):
            last[place] = node.index
        elif node.index in ancestors(nodes, [later], least=node.index):
            inner.add(node.index)
    return inner


def _chooses(node: Node) -> bool:
    """Whether it is the state that a batch of sequences keeps: a choice between the new and the old one."""
    return node.op is not None and node.op.name == "where"


class _Naming:
    """Writes into ``nodes``, a copy of the graph's."""

    def __init__(self, folding: Folding, loops: Sequence[Recurrence]) -> None:
        self.folding, self.graph = folding, folding.graph
        self.nodes = list(self.graph.nodes)
        self._write_scopes(loops)
        for loop in loops:
            self._name_states(loop)
            self._name_inputs(loop)
        self._name_losses()

    def _write(self, i: int, role: str | None = None, **scope: Any) -> None:
        node = self.nodes[i]
        self.nodes[i] = replace(node, role=role or node.role, scope=node.scope._replace(**scope))

    def _write_scopes(self, loops: Sequence[Recurrence]) -> None:
        """Time steps of the loops that were found by their period, and the cells that their nodes belong to."""
        steps = self._steps(loops)
        core, paths = self.folding.core(), self.folding.paths()
        own = self._own_scopes(core, paths, loops, steps)
        for node, k in zip(self.graph.nodes, core, strict=True):
            i, path = node.index, None if k is None else own[k]
            if i in steps or path is not None:
                self._write(i, step=steps.get(i, node.scope.step), path=node.scope.path if path is None else path)

    def _steps(self, loops: Sequence[Recurrence]) -> dict[int, int]:
        """The time step of each node of a loop that was found by its period; what reads backward counts down."""
        place, time = self.folding.place, self.folding.time
        turned = {p.loop for loop in loops if loop.reverse for n in loop.blocks()[0] if (p := place[n])}
        kept = {p.loop for circle in self.folding.circles for p in circle}
        found = [(i, p.loop) for i, p in enumerate(place) if p and p.loop is not None]
        last: dict[int, int] = defaultdict(int)
        for i, loop in found:
            last[loop] = max(last[loop], time[i])
        return {i: last[loop] - time[i] if loop in turned else time[i] for i, loop in found if loop in kept}

    def _own_scopes(
        self,
        core: Sequence[int | None],
        paths: Sequence[tuple[str, ...]],
        loops: Sequence[Recurrence],
        steps: Collection[int],
    ) -> list[tuple[str, ...] | None]:
        """A scope for each circle, None where the program's own scope holds nothing but this cell."""
        mixed: dict[tuple[str, ...], set[int | None]] = defaultdict(set)
        for node, k in zip(self.nodes, core, strict=True):
            has_step = node.index in steps or node.scope.step is not None
            if node.op is not None and has_step and not node.scope.backward:
                mixed[node.scope.path].add(k)
        spread = [False] * len(paths)
        for node, k in zip(self.nodes, core, strict=True):
            if k is not None and node.scope.path != paths[k]:
                spread[k] = True
        read = [{self._read(n) for row in loop.inputs for n in row if n is not None} for loop in loops]
        twins = [  # reads backward what one before it reads forward
            loop.reverse and any(not loops[j].reverse and read[j] & read[k] for j in range(k))
            for k, loop in enumerate(loops)
        ]
        result: list[tuple[str, ...] | None] = []
        for k, path in enumerate(paths):
            alone = mixed[path] <= {k}
            if alone and not spread[k]:
                result.append(None)
                continue
            if alone and path:
                result.append(path)
                continue
            kin = [j for j, other in enumerate(paths) if other == path]
            forward = [j for j in kin if not twins[j]] or kin
            number = max(1, sum(j <= k for j in forward))
            name = "cell" if len(forward) < 2 else f"cell{number}"
            result.append((*path, f"{name}_reverse" if loops[k].reverse else name))
        return result

    def _name_states(self, loop: Recurrence) -> None:
        """A single state is h; of two, as an LSTM has them, c is the one that no matrix multiplies and that gives h.

        Of several others h is the one that the rest of the network reads, if that is one.
        """
        states = list(dict.fromkeys(row for row, _ in loop.carried))
        made = {k: [self._handed_on(n) for n in loop.rows[k].nodes if n is not None] for k in states}
        if any(self.nodes[n].role for own in made.values() for n in own):
            for own in made.values():  # the last step's may be handed to no cell that names it
                roles = {self.nodes[n].role for n in own if self.nodes[n].op is not None}
                if len(roles) == 2 and None in roles:
                    for n in own:
                        self._write(n, *(roles - {None}))
            return
        if len(states) == 2 and (pair := self._one_made_of_the_other(loop, states)):
            users = self.graph.consumers[loop.rows[pair[0]].nodes[0] or 0]
            fed_back = any(op.kind == "contraction" for u in users if (op := self.nodes[u].op))
            states = pair[:1] if fed_back else pair  # an output that is fed back
        elif len(states) > 1:
            states = [k for k in states if loop.rows[k] in loop.outputs]
            if len(states) != 1:
                return
        for k, role in zip(states, ("h",) if len(states) == 1 else ("c", "h"), strict=True):
            for member in loop.rows[k].nodes:
                if member is not None:
                    self._write(member, role)
            for (row, _), initial in zip(loop.carried, loop.initial, strict=True):
                for i in initial if row == k else ():
                    if self.nodes[i].op is None and not self.nodes[i].role and self.nodes[i].scope.step is None:
                        self._write(i, role)

    def _handed_on(self, n: int) -> int:
        """The node whose value a node only hands on: h_n of a layer is a stack of the last h."""
        while (op := self.nodes[n].op) is not None and op.kind == "movement" and len(self.nodes[n].sources) == 1:
            if self.nodes[n].role:
                break
            n = self.nodes[n].sources[0]
        return n

    def _one_made_of_the_other(self, loop: Recurrence, states: Sequence[int]) -> list[int]:
        """The two rows, first the one that the other is made of in the same repetition; none if neither is."""
        a, b = (loop.rows[k].nodes for k in states)
        t = max((t for t, both in enumerate(zip(a, b, strict=True)) if None not in both), default=None)
        if t is None:
            return []
        at = {row: n for row in states if (n := loop.rows[row].nodes[t]) is not None}
        first, second = sorted(at, key=at.__getitem__)
        block = set(loop.blocks()[t])
        made_of = ancestors(self.graph.nodes, [at[second]], least=at[first], through=lambda node: node.index in block)
        return [first, second] if at[first] in block & {*made_of} else []

    def _name_inputs(self, loop: Recurrence) -> None:
        """Call x what enters as data at every repetition and is no mask; so too the row that a token has in a table."""
        called = (self.graph.nodes[n] for entered in loop.inputs for n in entered if n is not None)
        if any(node.role == "x" and (node.op is not None or not node.requires_grad) for node in called):
            return
        inputs = [factors for entered in loop.inputs for factors in self._factors(entered)]
        entering = {self._read(n) for entered in inputs for n in entered if n is not None}
        read = [(t, n) for entered in inputs for t, n in enumerate(entered) if n is not None]
        first = {n: t for t, n in sorted(read, reverse=True)}
        for entered in inputs:
            told = [n for n in entered if n is not None]
            made = [[self._read(s) for s in self.graph.nodes[n].sources] for n in told]
            if all(sources and entering.issuperset(sources) for sources in made):
                continue  # made of what enters as well
            data = [t for t, n in enumerate(entered) if n is not None and self.folding.is_data(self.nodes[n])]
            enough = len(data) > 1 or (None in entered and any(data))  # one alone, if an output stands there else
            if len(set(told)) < len(told) or not enough or not all(map(self._may_be_data, told)):
                continue
            delayed = len(told) > 1 and first[told[1]] == 0  # zeros that such begins with are no step's
            for t, n in enumerate(entered):
                if n is not None and first[n] == t and (t in data or not delayed):
                    step = self.nodes[next(m for row in loop.rows if (m := row.nodes[t]) is not None)].scope.step
                    self._write(n, "x", step=step)

    def _factors(self, entered: tuple[int | None, ...]) -> Iterator[tuple[int | None, ...]]:
        """The row of what enters at every repetition; of products, such as with a mask, a row for each factor."""
        nodes = [None if n is None else self.graph.nodes[n] for n in entered]
        products = [n for n in nodes if n is not None]
        several = all(n.op and n.op.infix == "*" and len(n.sources) == 2 and not n.role for n in products)
        if not several or not all(self.graph.nodes[s].shape for n in products for s in n.sources):
            yield entered
            return
        for slot in (0, 1):
            yield from self._factors(tuple([None if n is None else n.sources[slot] for n in nodes]))

    def _read(self, n: int) -> Hashable:
        """A key of what a node reads: two that read one element of the data are the same input."""
        node = self.graph.nodes[n]
        return (node.sources, repr(node.attrs)) if node.op is not None and node.op.name == "getitem" else n

    def _may_be_data(self, n: int) -> bool:
        """Whether it is data, or zeros in its place, such as what a decoder reads first."""
        node = self.nodes[n]
        return self.folding.is_data(node) or (node.op is None and not node.role and not np.any(node.value))

    def _name_losses(self) -> None:
        """Call the terms of a running total the steps' losses, where nothing else says what the loss is."""
        if any(n.role == "loss" or (n.op is not None and n.op.name == "cross_entropy") for n in self.nodes):
            return
        for members in self.folding.totals:
            own = {n.index for n in members}
            for i in {s for n in members for s in n.sources} - own:
                if self.nodes[i].op is not None and not self.nodes[i].role and self.folding.depends[i]:
                    self._write(i, "loss")
