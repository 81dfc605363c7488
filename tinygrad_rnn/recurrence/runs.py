"""Repetitions in a sequence of symbols: runs that are the same again after so many places."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

#: distances that are tried, and how many times each
_DISTANCES, _MULTIPLES = 6, 6


class Run(NamedTuple):
    """``symbols[k] == symbols[k + period]`` from ``start`` to ``stop``, less the last period."""

    start: int
    stop: int
    period: int


def runs(symbols: Sequence[int], times: int) -> Iterator[Run]:
    """Runs of at least so many repetitions, the longest first; of what is as long, the shortest period first.

    A period is a distance between equal symbols next to each other, or a small multiple of one: what is called twice in
    a repetition is twice in its symbols.
    """
    last: dict[int, int] = {}
    distances: Counter[int] = Counter()
    for at, symbol in enumerate(symbols):
        if symbol in last:
            distances[at - last[symbol]] += 1
        last[symbol] = at
    common = [d for d, _ in distances.most_common(_DISTANCES)]
    array = np.asarray(symbols)
    found = []
    for period in sorted({d * k for d in common for k in range(1, _MULTIPLES + 1)}):
        if period * times > len(array):
            continue
        same = np.concatenate([[False], array[period:] == array[:-period], [False]])
        edges = np.flatnonzero(same[1:] != same[:-1])
        for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist()):
            if stop - start >= (times - 1) * period:
                found.append(Run(start, stop + period, period))
    yield from sorted(found, key=lambda run: (run.start - run.stop, run.period))
