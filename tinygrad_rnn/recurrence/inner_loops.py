"""Loops inside of a time step: the letters of a word, the substeps of an ODE's solver, the layers of a highway.

What finds the steps of a graph finds the repetitions in one step as well, asked about its operations alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ..graph import Graph, Node, Ref
from .circles import circles_of
from .periods import loop_turns

Use = tuple[int, int]  #: a node, and the slot in which it reads something
Turned = tuple[int, int]  #: an operation's position in a repetition, and the repetition


@dataclass(frozen=True)
class InnerLoop:
    """A loop inside of one time step."""

    step: int
    nodes: Mapping[int, int]  #: by node of it the repetition, from 0
    states: tuple[tuple[int, ...], ...]  #: what repetitions hand on: by state its nodes
    begins: tuple[tuple[Use, ...], ...]  #: by state where the first repetition reads what stands in for it


class _Body(NamedTuple):
    """A loop in the operations of a step, which are numbered from 0."""

    turns: Mapping[int, Turned]  #: by operation
    states: Mapping[int, tuple[Use, ...]]  #: by position of a state where the next repetition reads it: position, slot


def inner_loops(graph: Graph) -> list[InnerLoop]:
    """The loops in the time steps of ``graph`` that carry a state of their own; of each step that has one its own.

    A step that does once what others repeat is one repetition of it.

    >>> import tinygrad_rnn as tg
    >>> w, h = tg.ones(2, 2).requires_grad_(), tg.ones(1, 2)
    >>> for t in tg.steps(2):
    ...     for _ in range(3):
    ...         h = h + 0.1 * (h @ w).tanh()
    ...     h = h * 0.9
    >>> [(loop.step, *map(len, loop.states)) for loop in inner_loops(tg.Graph(h))]
    [(0, 3), (1, 3)]
    """
    steps: dict[int, list[int]] = defaultdict(list)
    for node in graph.nodes:
        if node.op is not None and node.scope.step is not None and not node.scope.backward:
            steps[node.scope.step].append(node.index)
    known: dict[Hashable, list[_Body]] = {}
    found: list[InnerLoop] = []
    once: dict[tuple[Hashable, ...], _Body] = {}  #: by the words of a repetition
    for step, own in steps.items():
        if _uses_a_weight_again(graph, own):
            words = _words(graph, own)
            if words not in known:
                known[words] = list(_bodies(graph, own))
            for body in known[words]:
                found += (loops := list(_loops(graph, step, own, body)))
                second = sorted(k for k, (_, time) in body.turns.items() if time == 1)
                once |= {tuple(_word(graph, own[k]) for k in second): body for _ in loops}
    for step in steps.keys() - {loop.step for loop in found} if once else ():
        own, told = steps[step], [_word(graph, n) for n in steps[step]]
        for words, body in once.items():
            for begin in range(len(own) - len(words) + 1):
                if tuple(told[begin : begin + len(words)]) == words:
                    turns = {begin + k: (k, 0) for k in range(len(words))}
                    found += _loops(graph, step, own, body._replace(turns=turns))
                    break
    return sorted(found, key=lambda loop: min(loop.nodes))


def _uses_a_weight_again(graph: Graph, own: Sequence[int]) -> bool:
    """Whether an operation uses a weight as another one does."""
    seen = set[Hashable]()
    for node in (graph.nodes[n] for n in own):
        for slot, source in enumerate(node.sources):
            if graph.nodes[source].is_parameter:
                if (node.op, slot, source) in seen:
                    return True
                seen.add((node.op, slot, source))
    return False


def _word(graph: Graph, n: int) -> Hashable:
    """A key for what an operation does, with which parameters."""
    node = graph.nodes[n]
    weights = tuple((slot, s) for slot, s in enumerate(node.sources) if graph.nodes[s].is_parameter)
    return node.op and node.op.name, node.scope.path, len(node.operands), weights


def _words(graph: Graph, own: Sequence[int]) -> Hashable:
    """A key that steps share that do the same in the same order."""
    at = {n: k for k, n in enumerate(own)}
    return tuple((_word(graph, n), *(at.get(s) for s in graph.nodes[n].sources)) for n in own)


def _bodies(graph: Graph, own: Sequence[int]) -> Iterator[_Body]:
    """The loops in the operations of a step; what these read of others are leaves."""
    nodes: list[Node] = []
    at: dict[int, int] = {}
    inside = {n: k for k, n in enumerate(own)}
    for n in own:
        for i in (*(s for s in graph.nodes[n].sources if s not in inside), n):
            node = graph.nodes[i]
            if i not in inside and node.op is not None:
                node = replace(node, op=None, operands=(), attrs={}, requires_grad=False, role=None)
            if i not in at:
                at[i] = len(nodes)
                operands = tuple(Ref(at[x.index]) if isinstance(x, Ref) else x for x in node.operands)
                nodes.append(replace(node, index=at[i], operands=operands))
    number = {at[n]: k for n, k in inside.items()}
    turns = loop_turns(Graph.of(nodes, [len(nodes) - 1]), [*number])
    for loop in dict.fromkeys(turn.loop for turn in turns.values()):
        members = {number[n]: (turn.position, turn.time) for n, turn in turns.items() if turn.loop == loop}
        shifted = (_Body(m, _states(graph, own, m)) for m in _shifted(graph, own, members))
        best = min(shifted, key=lambda body: len(body.states) or len(own))
        if best.states:
            yield best


def _shifted(graph: Graph, own: Sequence[int], turns: Mapping[int, Turned]) -> Iterator[dict[int, Turned]]:
    """A loop's turns, and as they are if its repetitions begin some operations later."""
    yield dict(turns)
    period, end = 1 + max(position for position, _ in turns.values()), 1 + max(turns)
    for later in range(1, period if len(turns) == end - min(turns) and not len(turns) % period else 1):
        behind = end + later - 1
        if behind == len(own) or _word(graph, own[behind]) != _word(graph, own[behind - period]):
            return
        yield {k + later: turn for k, turn in turns.items()}


def _states(graph: Graph, own: Sequence[int], turns: Mapping[int, Turned]) -> dict[int, tuple[Use, ...]]:
    """Values that repetitions make of what the ones before have made, not only sums, and where these are read."""
    place = {own[k]: turn for k, turn in turns.items()}
    edges: dict[int, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    reads: dict[int, set[Use]] = defaultdict(set)
    sums = set[int]()
    for n, (position, time) in place.items():
        node = graph.nodes[n]
        if not node.shape or (node.op is not None and node.op.infix in ("+", "-")):
            sums.add(position)
        for slot, x in enumerate(node.operands):
            if isinstance(x, Ref) and x.index in place:
                source, earlier = place[x.index]
                edges[source][position].add(time - earlier)
                if time - earlier == 1:
                    reads[source].add((position, slot))
    found: dict[int, tuple[Use, ...]] = {}
    for circle in circles_of(edges):
        carried = [a for a in circle if any(1 in edges[a][b] for b in circle & edges[a].keys())]
        if not circle <= sums:
            found |= {a: tuple(sorted(reads[a])) for a in sorted(carried)}
    return found


def _loops(graph: Graph, step: int, own: Sequence[int], body: _Body) -> Iterator[InnerLoop]:
    """The loop in the operations of a step; none where another step goes on from a repetition that is not the last."""
    nodes = {own[k]: time for k, (_, time) in sorted(body.turns.items())}
    at = {turn: own[k] for k, turn in body.turns.items()}
    count = 1 + max(nodes.values())
    states, begins = [], []
    for position, reads in body.states.items():
        made = [at[position, k] for k in range(count) if (position, k) in at]
        handed_on = [graph.nodes[u].scope.step for n in made[:-1] for u in graph.consumers[n]]
        if len(made) < count or any(other not in (None, step) for other in handed_on):
            return
        first = [(at[where, 0], slot) for where, slot in reads if (where, 0) in at]
        states.append(tuple(made))
        begins.append(tuple((n, slot) for n, slot in first if isinstance(graph.nodes[n].operands[slot], Ref)))
    yield InnerLoop(step, nodes, tuple(states), tuple(begins))
