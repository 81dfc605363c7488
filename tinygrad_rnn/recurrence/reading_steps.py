"""Steps that differ from one another, found by what reads the sequence: every element of it is a step.

A module that moves at every other step, attention over a past that grows, one operation more in the middle: such a loop
is not periodic, or its period is several steps. But one weight reads another element of the input at every step, and
what is made of one element is made of what was made of the one before.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from itertools import accumulate, pairwise

from .. import primitives as P
from ..ancestors import ancestors
from ..graph import Graph, Node
from .periods import Turn
from .twins import aligned


def reading_steps(
    graph: Graph, operations: Sequence[int], depends: Sequence[bool], turns: Mapping[int, Turn]
) -> dict[int, Turn]:
    """``turns``, but for loops in which what reads the sequence does not do so once a step: these are parted anew.

    ``depends`` says by node whether it was computed with a parameter's help.
    """
    found, done = dict(turns), set[int]()
    reading = _Reading(graph, operations)
    read = reading.uses(depends)
    for uses in sorted((*read, *reading.uses_in_a_row()), key=lambda uses: -len(uses)):
        if done.isdisjoint(uses) and not _once_a_step(uses, turns) and reading.is_chain(uses):
            times = reading.times(uses)
            if uses not in read and not reading.is_whole(times, len(uses)):
                continue
            loops = {turns[n].loop for n in times if n in turns}
            number = 1 + max((turn.loop for turn in found.values()), default=0)
            rows = aligned(graph, [times.get(n) for n in range(len(graph))])
            found = {n: turn for n, turn in found.items() if turn.loop not in loops and n not in times}
            found |= {n: Turn(number, rows[n], time) for n, time in times.items()}
            done |= times.keys()
    return found


def _once_a_step(uses: Sequence[int], turns: Mapping[int, Turn]) -> bool:
    """Whether operations are one of a loop, in steps that follow each other."""
    if any(n not in turns for n in uses):
        return False
    return all(b == (a.loop, a.position, a.time + 1) for a, b in pairwise(turns[n] for n in uses))


class _Reading:
    """The operations that read the sequence, and the steps they are in."""

    def __init__(self, graph: Graph, operations: Sequence[int]) -> None:
        self.graph, self.operations = graph, operations
        self.of_weights: dict[Hashable, list[int]] = defaultdict(list)  #: what multiplies each, see `uses`
        self.element: dict[int, Hashable] = {}  #: by operation the element of the data that it reads, see `uses`

    @cached_property
    def words(self) -> list[Hashable]:
        """A key for what each operation does, with which parameters; without shapes, for what grows has others."""
        return [self._word(n) for n in self.operations]

    @cached_property
    def place(self) -> dict[int, int]:
        """The position of each node in ``operations``."""
        return {n: k for k, n in enumerate(self.operations)}

    @cached_property
    def last_use(self) -> list[int]:
        """The position of the last operation that reads each one."""
        at = self.place
        return [max((at.get(u, -1) for u in self.graph.consumers[n]), default=-1) for n in self.operations]

    @cached_property
    def leads_on(self) -> list[bool]:
        """Whether a weight multiplies each one, or what is made of it: it is more than what a result is judged by."""
        found: dict[int, bool] = {}
        for n in reversed(self.operations):
            weighs = any(self.graph.nodes[s].is_parameter for s in self.graph.nodes[n].sources)
            found[n] = weighs or any(found.get(u, False) for u in self.graph.consumers[n])
        return [found[n] for n in self.operations]

    def _word(self, n: int) -> Hashable:
        node = self.graph.nodes[n]
        weights = tuple((k, s) for k, s in enumerate(node.sources) if self.graph.nodes[s].is_parameter)
        return node.op.name if node.op else "", node.scope.path, len(node.shape), weights

    def uses(self, depends: Sequence[bool]) -> list[list[int]]:
        """The uses of each weight with another element of the data each time; in their order."""
        told: dict[Hashable, list[int]] = defaultdict(list)
        others: set[Hashable] = set()
        elements: dict[Hashable, set[Hashable]] = defaultdict(set)
        nodes = self.graph.nodes
        moved: dict[int, int] = {}  # by what only carries values, the data in it
        for n in self.operations:
            node = nodes[n]
            weighs = any(nodes[s].is_parameter for s in node.sources)
            word = self._word(n) if weighs else None
            if weighs:
                self.of_weights[word].append(n)
            read = next((moved.get(s, s) for s in node.sources if s in moved or not depends[s]), None)
            moves = node.op is not None and node.op.kind == "movement"
            if moves and node.op is P.getitem and nodes[node.sources[0]].op is None:
                read = n
            if read is not None:
                if moves:
                    moved[n] = read = read if depends[n] else n
                source = nodes[read]
                self.element[n] = (source.sources, repr(source.attrs)) if source.attrs else read
            if weighs and not moves and read is not None:
                told[word].append(n)
                elements[word].add(self.element[n])
            elif weighs and not moves:
                others.add(word)
        # first states, which no operation has made, are read as data is, but in later steps states are read so
        return [uses for word, uses in told.items() if 1 < len(uses) == len(elements[word]) and word not in others]

    def uses_in_a_row(self) -> list[list[int]]:
        """The uses of each weight, whatever it is multiplied with."""
        return [uses for uses in self.of_weights.values() if len(uses) > 2]

    def is_whole(self, times: Mapping[int, int], steps: int) -> bool:
        """Whether most steps use the weights that any of them uses, or each reads data of its own: else they are parts
        of steps."""
        used = Counter[Hashable]()
        at: dict[Hashable, set[int]] = defaultdict(set)
        for n, t in times.items():
            k = self.place[n]
            if any(self.graph.nodes[s].is_parameter for s in self.graph.nodes[n].sources):
                used[self.words[k]] += 1
            if (element := self._read(k)) is not None:
                at[element].add(t)
        reading = {t for own in at.values() if len(own) == 1 for t in own}
        return all(2 * count > steps for count in used.values()) or len(reading) == steps

    def is_chain(self, uses: Sequence[int]) -> bool:
        """Whether something is made of each use and of what is made in the same way of the one before."""
        return all(self._goes_on(a, b) for a, b in pairwise(uses))

    def _goes_on(self, one: int, other: int) -> bool:
        pending, seen = [(one, other)], set[tuple[int, int]]()
        while pending:
            pair = pending.pop()
            if pair in seen or len(seen) > 400:
                continue
            seen.add(pair)
            a, b = pair
            if pair != (one, other) and self.graph.nodes[a].shape and self._is_made_of(b, a, other):
                return True
            for u in self.graph.consumers[a]:
                if u in self.place:
                    pending += [(u, v) for v in self.graph.consumers[b] if u < v and self._word(u) == self._word(v)]
        return False

    def _is_made_of(self, later: int, earlier: int, use: int) -> bool:
        """Whether one node is computed from another, and not by way of a running total, which is no state.

        A total is a number, or a sum that from before ``use`` on nothing reads but the next sum.
        """
        nodes, consumers = self.graph.nodes, self.graph.consumers

        def goes_through(node: Node) -> bool:
            if not node.shape:
                return False
            before = [s for s in node.sources if s < use and consumers[s] == (node.index,)]
            return not any(node.op is nodes[s].op is P.add for s in before)

        return earlier in ancestors(nodes, [later], least=earlier, through=goes_through)

    def times(self, uses: Sequence[int]) -> dict[int, int]:
        """The step of each node; each step has one of the uses."""
        at = [self.place[n] for n in uses]
        begin = self._beginnings(at)
        begin.append(self._end(at, begin))
        return {self.operations[k]: t for t, (a, b) in enumerate(pairwise(begin)) for k in range(a, b)}

    def _beginnings(self, uses: Sequence[int]) -> list[int]:
        """Beginnings of steps, each before its use: first where the fewest values cross, others with the same words.

        Of what the first step begins with others may have more, such as looks at a past that grows.
        """
        crossing = self._crossing()
        possible, start = Counter[Hashable](), uses[0]
        for a, b in pairwise(uses):
            possible |= Counter(self.words[a + 1 : b])
        while start and possible[self.words[start - 1]]:
            start -= 1
            possible[self.words[start]] -= 1
        reads = [self._first_reader(before, use) for before, use in zip((start - 1, *uses), uses)]
        begin = [min(range(start, reads[0] + 1), key=lambda k: (crossing[k], -k))]
        lead = Counter(self.words[begin[0] : reads[0]])
        behind = Counter(self.words[uses[-1] + 1 : uses[-1] + max(b - a for a, b in pairwise(uses))])
        for before, use in zip(uses, reads[1:]):
            k, left = use, lead & (Counter(self.words[before + 1 : use]) - behind)
            while k > before + 1 and left.total():
                k -= 1
                left -= Counter([self.words[k]])
            start = k
            while k > before + 1 and self.words[k - 1] in lead:
                k -= 1
                start = min(start, k, key=lambda k: (crossing[k], -k))
            begin.append(start)
        return begin

    def _first_reader(self, before: int, use: int) -> int:
        """The first operation behind a position that reads the element of the data that is read from a use on."""
        element = next((each for k in range(use, len(self.operations)) if (each := self._read(k)) is not None), None)
        return next((k for k in range(before + 1, use) if element is not None and self._read(k) == element), use)

    def _read(self, k: int) -> Hashable:
        """The element of the data that an operation reads that leads on to a weight."""
        return self.element.get(self.operations[k]) if self.leads_on[k] else None

    def _crossing(self) -> list[int]:
        """For each position, how many values are made before it and used from it on."""
        change = [0] * (len(self.operations) + 1)
        for k, last in enumerate(self.last_use):
            if last > k:
                change[k + 1] += 1
                change[last + 1] -= 1
        return list(accumulate(change))

    def _end(self, uses: Sequence[int], begin: Sequence[int]) -> int:
        """The end of the last step: behind its use it does what an earlier one did, in any order, or more if those do
        more and more."""
        steps = [Counter(self.words[a:b]) for a, b in zip(uses, begin[1:])]
        most = Counter[Hashable]()
        for one in steps:
            most |= one
        growth = steps[-1] - steps[-2] if len(steps) > 1 else Counter[Hashable]()
        left = most + Counter({word: count for word, count in growth.items() if most[word] == steps[-1][word]})
        k = uses[-1]
        while k < len(self.operations) and left[self.words[k]]:
            left[self.words[k]] -= 1
            k += 1
        return k
