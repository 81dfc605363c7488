"""The cells on one circle of operations: modules that feed each other back, as an upper layer does a lower one.

Each of them would repeat without the others: its state leads to itself past all other states, and is multiplied by a
weight on the way. An LSTM's h does not lead to itself without c, which it is made of, so both are one cell's. So are
states whose new values share a gate, and a memory with what writes it.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Generic, TypeVar

from .circles import circles_of

T = TypeVar("T", bound=Hashable)


def cells_of(
    circle: Mapping[T, Collection[T]],
    at_once: Mapping[T, Collection[T]],
    states: Sequence[T],
    products: Collection[T],
) -> list[set[T]]:
    """The operations of each cell of a circle, the whole circle where it is one.

    ``circle`` says by operation what it feeds in any step, ``at_once`` what in its own. ``states`` feed a later step,
    ``products`` are those with the weights.

    >>> circle = {"h1": ["h1", "h2"], "h2": ["h2", "h1"]}  # h1 reads the h2 of the step before
    >>> [sorted(cell) for cell in cells_of(circle, {"h1": ["h2"], "h2": []}, ["h1", "h2"], ["h1", "h2"])]
    [['h1'], ['h2']]
    """
    makers: dict[T, list[T]] = {a: [] for a in circle}
    for a, ends in at_once.items():
        for b in ends:
            makers[b].append(a)
    parting = _Parting(circle, makers, states, products)
    parting.join_what_is_made_alike()
    parting.join_what_has_no_loop()
    parting.join_what_learns_nothing()
    cells = parting.cells()
    apart = len(cells) > 1 and all(a.isdisjoint(b) for a, b in combinations(cells, 2))
    return cells if apart else [set(circle)]


class _Parting(Generic[T]):
    """``group`` says by state which states are of its cell; at first each that leads to itself is alone."""

    def __init__(
        self,
        circle: Mapping[T, Collection[T]],
        makers: Mapping[T, Sequence[T]],
        states: Sequence[T],
        products: Collection[T],
    ) -> None:
        self.circle, self.makers, self.states, self.products = circle, makers, states, products
        self.loops = {s: loop for s in states if (loop := self._loop(s, {s}))}
        self.group = {s: {s} for s in self.loops}

    def cells(self) -> list[set[T]]:
        """The operations of each group."""
        return [self._loop(self._first(own), own) for own in self._groups()]

    def _first(self, own: Collection[T]) -> T:
        return next(s for s in self.loops if s in own)

    def _groups(self) -> list[set[T]]:
        return list({id(own): own for own in self.group.values()}.values())

    def _join(self, a: T, b: T) -> None:
        joined = self.group.get(a, {a}) | self.group[b]
        self.group |= dict.fromkeys(joined, joined)

    def join_what_is_made_alike(self) -> None:
        """States whose loops meet; and those made of the same, unless each has weights in a loop of its own."""
        near = {s: next(self._made_of(s)) for s in self.loops}
        weighted = {s for s, loop in self.loops.items() if not loop.isdisjoint(self.products)}
        for a, b in combinations(self.loops, 2):
            alike = not {a, b} <= weighted and not near[a].isdisjoint(near[b])
            if alike or not self.loops[a].isdisjoint(self.loops[b]):
                self._join(a, b)

    def join_what_has_no_loop(self) -> None:
        """States that lead to themselves by way of others only: each with what it is made of."""
        for s in self.states:
            if s not in self.group and (maker := self._maker(s)) is not None:
                self._join(s, maker)

    def join_what_learns_nothing(self) -> None:
        """Memories and traces, if there are others, in whose loops there are weights."""
        learned = [not cell.isdisjoint(self.products) for cell in self.cells()]
        for own, learns in zip(self._groups(), learned, strict=True):
            if any(learned) and not learns and (maker := self._maker(self._first(own))) is not None:
                self._join(self._first(own), maker)

    def _maker(self, state: T) -> T | None:
        """A state that it is made of: in its step, past as few weights as can be, else of the step before."""
        own = self.group.get(state, {state})
        told = [[s for s in layer if s in self.loops and s not in own] for layer in self._made_of(state)]
        near = next(self._made_of(state))
        read = [s for s in self.loops if s not in own and not near.isdisjoint(self.circle[s])]
        nearest = next(filter(None, [*told, read]), [])
        return nearest[0] if len({id(self.group[s]) for s in nearest}) == 1 else None

    def _loop(self, state: T, own: Collection[T]) -> set[T]:
        """The operations on a circle with a state, past all states but its ``own``."""
        without = {*self.states} - {*own}
        rest = {a: [b for b in ends if b not in without] for a, ends in self.circle.items() if a not in without}
        return next((loop for loop in circles_of(rest) if state in loop), set())

    def _made_of(self, state: T) -> Iterator[set[T]]:
        """Operations that make a new state in its step, up to other states: without a product, then by one, two ..."""
        seen, beyond = set[T](), [state]
        while beyond:
            found, pending, beyond = set[T](), beyond, []
            while pending:
                if (a := pending.pop()) not in seen:
                    seen.add(a)
                    found.add(a)
                    if a == state or a not in self.loops:
                        (beyond if a in self.products else pending).extend(self.makers[a])
            yield found
