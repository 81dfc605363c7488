"""All time steps of a graph laid over one another, and the circles in that: what is computed from its own past.

Where the program said which step it is in (`tg.steps`), that is believed; elsewhere steps are found by their period. So
are those of a layer that a loop calls with one step at a time: each call says that it is the first.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..graph import Graph, Node
from .cells import cells_of
from .circles import circles_of
from .continued_calls import continued
from .detached import DETACH, in_the_step_that_reads_it, through
from .inputs_with_gradients import is_looked_up, with_inputs_named
from .periods import loop_turns
from .reading_steps import reading_steps
from .twins import STATES, aligned


class Place(NamedTuple):
    """An operation of a step: the loop that was found (None: the program's own steps), and a number in it."""

    loop: int | None
    number: int


class Folding:
    """``place`` and ``time`` say by node which operation of a step it is (None: of none), and of which step."""

    def __init__(self, graph: Graph) -> None:
        given = with_inputs_named(graph)
        whole = continued(given)
        graph = self.graph = in_the_step_that_reads_it(whole)
        self.place: list[Place | None] = [None] * len(graph)
        self.time = [0] * len(graph)
        self.depends = self._on_parameters()
        self.learning: list[bool] = []  #: what the gradients were made into is no part of the network
        for node in graph.nodes:
            self.learning.append(node.scope.backward or any(self.learning[s] for s in node.sources))
        one_by_one = _called_one_by_one(graph)
        if whole is given:  # a loop over the pieces of a sequence counts pieces, not steps
            self._find_periods(one_by_one)
        self._believe_scopes({i for i in one_by_one if self.place[i] is not None})
        self.members: dict[Place, list[int]] = defaultdict(list)  #: by operation of a step its nodes
        for i, place in enumerate(self.place):
            if place is not None:
                self.members[place].append(i)
        self.edges = self._folded_edges()
        self.totals: list[list[Node]] = []  #: sums of something over the steps that end in nothing but sums
        circles = [c for c in circles_of(self.edges) if self._is_recurrence(c) and not self._is_tree(c)]
        cells = [cell for circle in circles for cell in self._cells(circle)]
        self.circles = sorted(cells, key=lambda cell: min(self.members[place][0] for place in cell))
        self.circle_of = {place: k for k, circle in enumerate(self.circles) for place in circle}
        self._prepare_in_the_step_that_reads_it()
        self._forget_states_of_a_step()

    def _find_periods(self, also: Collection[int]) -> None:
        """Steps that nobody said, or only the nodes ``also``."""
        unsaid = [
            n.index
            for n in self.graph.nodes
            if n.op and (n.scope.step is None or n.index in also) and not self.learning[n.index]
        ]
        graph, unsaid = through(self.graph), [i for i in unsaid if self.graph.nodes[i].op is not DETACH]
        turns = reading_steps(graph, unsaid, self.depends, loop_turns(graph, unsaid))
        for i, turn in turns.items():
            self.place[i], self.time[i] = Place(turn.loop, turn.position), turn.time
        for node in self.graph.nodes:  # a state that is cut off belongs to the step that reads it
            readers = {turns[user] for user in self.graph.consumers[node.index] if user in turns}
            if node.op is DETACH and readers and (origin := turns.get(node.sources[0])) is not None:
                first = min(readers, key=lambda turn: turn.time)
                self.place[node.index], self.time[node.index] = Place(first.loop, -1 - origin.position), first.time

    def _believe_scopes(self, but: Collection[int]) -> None:
        steps = [
            n.scope.step if n.op is not None and not n.scope.backward and n.index not in but else None
            for n in self.graph.nodes
        ]
        for i, (step, number) in enumerate(zip(steps, aligned(self.graph, steps), strict=True)):
            if step is not None:
                self.place[i], self.time[i] = Place(None, number), step

    def _prepare_in_the_step_that_reads_it(self) -> None:
        """Move what a step makes of no state of its own, and only later ones read, to the first that does."""
        alone: list[bool] = []
        for node in self.graph.nodes:
            here = [s for s in node.sources if self.place[s] is not None and self.time[s] == self.time[node.index]]
            place = self.place[node.index]
            found = place is not None and place.loop is not None and place not in self.circle_of
            alone.append(found and all(alone[s] for s in here))
        for node in reversed(self.graph.nodes):
            users = [u for u in self.graph.consumers[node.index] if not self.learning[u]]
            loops = {place and place.loop for place in (self.place[i] for i in (node.index, *users))}
            if alone[node.index] and users and len(loops) == 1:
                self.time[node.index] = max(self.time[node.index], min(self.time[u] for u in users))

    def _forget_states_of_a_step(self) -> None:
        """Take their role from values that a cell calls its states, if none is carried from step to step.

        A loop inside a step has them, such as one over the letters of a word.
        """
        found, apart = set[int](), {p.loop for p in self.circle_of} - {None}
        for node in reversed(self.graph.nodes):
            if node.role in STATES:
                made = self.graph.consumers[node.index] if node.op is None else (node.index,)
                places = [place for i in made if not self.learning[i] for place in [self.place[i]]]
                if places and all(p and p.loop in apart and p not in self.circle_of for p in places):
                    found.add(node.index)
        if found:
            nodes = self.graph.nodes
            self.graph = Graph.of([replace(n, role=None) if n.index in found else n for n in nodes], self.graph.outputs)

    def _on_parameters(self) -> list[bool]:
        """For each node, whether it was computed with a parameter's help."""
        found: list[bool] = []
        for node in self.graph.nodes:
            found.append(node.is_parameter if node.op is None else any(found[s] for s in node.sources))
        return found

    def _folded_edges(self) -> dict[Place, dict[Place, set[int]]]:
        """For each operation of a step, those that it feeds, and how many steps later."""
        edges: dict[Place, dict[Place, set[int]]] = defaultdict(lambda: defaultdict(set))
        for source, target, _ in self.graph.edges:
            a, b = self.place[source], self.place[target]
            if a is not None and b is not None and self.graph.nodes[source].role not in ("logits", "x", "loss"):
                edges[a][b].add(self.time[target] - self.time[source])
        return edges

    def _is_recurrence(self, circle: set[Place]) -> bool:
        """Not a running total: a sum of numbers, or one that is only ever scaled and summed up, like a loss."""
        if not any(d for a in circle for b, ds in self.edges[a].items() if b in circle for d in ds):
            return False
        members = [self.graph.nodes[i] for i in sorted(i for place in circle for i in self.members[place])]
        sums = [n for n in members if _adds(n)]
        if len(sums) < len(members):
            if not all(self._discounts(n) for n in members) or not self._only_summed_up(members):
                return True
            self.totals.append(sums)
            return False
        if not any(n.role in STATES for n in members) and self._only_summed_up(members):
            self.totals.append(members)
            return False
        return any(n.shape != () for n in members)

    def _is_tree(self, circle: set[Place]) -> bool:
        """Whether a call of a cell reads the states of two others, and each call's is read by one: no sequence."""
        reads, readers = defaultdict[int, set[int]](set), defaultdict[int, set[int]](set)
        for i in (i for place in circle if place.loop is not None for i in self.members[place]):
            for source in self.graph.nodes[i].sources:
                if self.place[source] in circle and self.time[source] != self.time[i]:
                    reads[self.time[i]].add(self.time[source])
                    readers[self.time[source]].add(self.time[i])
        return max(map(len, reads.values()), default=0) > 1 and max(map(len, readers.values())) == 1

    def _cells(self, circle: set[Place]) -> list[set[Place]]:
        """The circle, or its cells where it leads through several that feed each other."""
        places = sorted(circle, key=lambda place: self.members[place][0])
        inside = {a: {b: ds for b, ds in self.edges[a].items() if b in circle} for a in places}
        states = [a for a, ends in inside.items() if any(d for ds in ends.values() for d in ds)]
        if len(states) < 2:
            return [circle]
        at_once = {a: [b for b, ds in ends.items() if 0 in ds] for a, ends in inside.items()}
        return cells_of(inside, at_once, states, self._products(circle))

    def _products(self, circle: set[Place]) -> set[Place]:
        """The operations of a circle that multiply by a matrix from outside it: a learned one, if it has any."""
        found: dict[bool, set[Place]] = {True: set(), False: set()}
        for place in circle:
            for node in (self.graph.nodes[i] for i in self.members[place]):
                if node.op is not None and node.op.kind == "contraction":
                    for s in node.sources:
                        if self.place[s] not in circle:
                            found[self.depends[s]].add(place)
        return found[True] or found[False]

    def _discounts(self, node: Node) -> bool:
        """Whether it adds numbers, or multiplies one by a factor that is not learned.

        A circle of such nodes is a running total, ``total = 0.9 * total + loss``, and no state.
        """
        scales = _scales(node) and sum(self.depends[s] for s in node.sources) < 2
        return not node.shape and not node.role and (_adds(node) or scales)

    def _only_summed_up(self, members: Sequence[Node]) -> bool:
        """Whether all that is made of them is sums and multiples."""
        found, pending = {n.index for n in members}, [n.index for n in members]
        while pending:
            for user in self.graph.consumers[pending.pop()]:
                node = self.graph.nodes[user]
                if user in found or node.scope.backward:
                    continue
                made = [s for s in node.sources if self.depends[s]]
                scaled = _scales(node) and len(made) < 2
                adds_or_hands_on = node.op is not None and 0 in node.op.slots and node.op.moves(0)
                if not (scaled or adds_or_hands_on):
                    return False
                found.add(user)
                pending.append(user)
        return True

    def is_data(self, node: Node) -> bool:
        """Whether it is what a network reads: numbers of its own, or a token's row in a table that is learned."""
        if node.role not in (None, "x") or node.dtype.kind != "f" or (node.op is None and not np.any(node.value)):
            return False
        return not self.depends[node.index] or is_looked_up(self.graph.nodes, node)

    def core(self) -> list[int | None]:
        """The circle of each node that is on one, or that in its step feeds nothing else and is no mere input."""
        result: list[int | None] = [self._circle(place) for place in self.place]
        paths = self.paths()
        made = {place for place, depends in zip(self.place, self.depends, strict=True) if place and depends}
        for node in reversed(self.graph.nodes):
            i, users = node.index, [u for u in self.graph.consumers[node.index] if not self.learning[u]]
            if result[i] is not None or self.place[i] not in made or (node.role and not node.scope.part) or not users:
                continue
            if is_looked_up(self.graph.nodes, node):
                continue
            circles = {result[u] for u in users}
            here = all(self.time[u] == self.time[i] and self.place[u] is not None for u in users)
            k = circles.pop() if here and len(circles) == 1 and i not in self.graph.outputs else None
            if k is not None and node.scope.path[: len(paths[k])] == paths[k]:
                result[i] = k
        return result

    def paths(self) -> list[tuple[str, ...]]:
        """The scope that all of a circle is in, for each."""
        found: list[tuple[str, ...] | None] = [None] * len(self.circles)
        for node in self.graph.nodes:
            k = self._circle(self.place[node.index])
            if k is not None:
                known = found[k]
                found[k] = node.scope.path if known is None else _shared(known, node.scope.path)
        return [path or () for path in found]

    def _circle(self, place: Place | None) -> int | None:
        return None if place is None else self.circle_of.get(place)


def _called_one_by_one(graph: Graph) -> set[int]:
    """The nodes of layers whose calls all were one step long, so that each said it was the first."""
    calls: dict[tuple[str, ...], list[list[int]]] = defaultdict(list)  # by scope, what says one step without a break
    last: dict[tuple[str, ...], int] = {}
    for node in graph.nodes:
        path, step, _part, backward, _ = node.scope
        if node.op is None or step is None or backward:
            continue
        if last.get(path) != step:
            calls[path].append([])
        last[path] = step
        calls[path][-1].append(node.index)
    whole = [run for runs in calls.values() for run in _single_steps(graph, runs)]
    found = {i for run in whole for i in run}
    for path, runs in calls.items():  # and what the layer does around its cells
        for run in runs:
            for other in whole:
                inner = graph.nodes[other[0]].scope
                same = inner.path[: len(path)] == path and inner.step == graph.nodes[run[0]].scope.step
                if same and run[0] < other[-1] and other[0] < run[-1]:
                    found.update(run)
    return found


def _single_steps(graph: Graph, runs: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    often = [run for run in runs if _repeats(graph, run)]
    return often if all(graph.nodes[run[0]].scope.step == 0 for run in often) else []


def _repeats(graph: Graph, run: Sequence[int]) -> bool:
    """Whether one weight is used in the same way more than once."""
    uses: Counter[Hashable] = Counter()
    for node in (graph.nodes[i] for i in run):
        assert node.op is not None
        uses.update(
            (node.op.name, node.scope.part, k, s) for k, s in enumerate(node.sources) if graph.nodes[s].is_parameter
        )
    return max(uses.values(), default=0) > 1


def _adds(node: Node) -> bool:
    return node.op is not None and node.op.infix in ("+", "-")


def _scales(node: Node) -> bool:
    return node.op is not None and node.op.infix in ("*", "/")


def _shared(a: tuple[str, ...], b: tuple[str, ...]) -> tuple[str, ...]:
    """The longest common beginning."""
    length = next((k for k, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    return a[:length]
