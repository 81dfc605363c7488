"""The cells on one circle of operations: modules that feed each other back, as an upper layer does a lower one.

Each of them would repeat without the others: its state leads to itself past all other states. An LSTM's h does not; it
is made of c, so both are one cell's. So are states whose new values share a gate.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import TypeVar

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
    loops = {s: loop for s in states if (loop := _loop(s, circle, {*states} - {s}))}
    makers: dict[T, list[T]] = {a: [] for a in circle}
    for a, ends in at_once.items():
        for b in ends:
            makers[b].append(a)
    near = {s: next(_made_of(s, makers, loops, products)) for s in loops}
    weighted = {s for s, loop in loops.items() if not loop.isdisjoint(products)}
    group = {s: {s} for s in loops}

    def join(a: T, b: T) -> None:
        joined = group[a] | group[b]
        group.update(dict.fromkeys(joined, joined))

    for a, b in combinations(loops, 2):
        made_alike = not {a, b} <= weighted and not near[a].isdisjoint(near[b])
        if made_alike or not loops[a].isdisjoint(loops[b]):
            join(a, b)
    for s in loops:  # a trace of another state, which nothing is learned for
        read = [a for a in loops if a != s and not near[s].isdisjoint(circle[a])]
        if products and near[s].isdisjoint(products) and len({id(group[a]) for a in read}) == 1:
            join(s, read[0])
    for s in states:
        layers = ([group[a] for a in layer if a in loops] for layer in _made_of(s, makers, loops, products))
        nearest = next(filter(None, layers), []) if s not in loops else []
        if nearest and all(own is nearest[0] for own in nearest):
            nearest[0].add(s)
    groups = list({id(own): own for own in group.values()}.values())
    cells = [_loop(next(s for s in own if s in loops), circle, {*states} - own) for own in groups]
    apart = len(cells) > 1 and all(a.isdisjoint(b) for a, b in combinations(cells, 2))
    return cells if apart else [set(circle)]


def _loop(state: T, circle: Mapping[T, Collection[T]], without: Collection[T]) -> set[T]:
    """What is on a circle with a state, past others."""
    rest = {a: [b for b in ends if b not in without] for a, ends in circle.items() if a not in without}
    return next((loop for loop in circles_of(rest) if state in loop), set())


def _made_of(
    state: T, makers: Mapping[T, Sequence[T]], states: Collection[T], products: Collection[T]
) -> Iterator[set[T]]:
    """What makes a new state in its step, up to other states: without a product, then by way of one, of two ..."""
    seen, beyond = set[T](), [state]
    while beyond:
        found, pending, beyond = set[T](), beyond, []
        while pending:
            if (a := pending.pop()) not in seen:
                seen.add(a)
                found.add(a)
                if a == state or a not in states:
                    (beyond if a in products else pending).extend(makers[a])
        yield found
