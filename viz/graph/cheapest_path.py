"""The cheapest path along the lanes of a grid, which turns only where two of them cross.

It is found for all crossings at once: each sweep carries what it costs to come to a crossing on along the lanes, and
so adds one bend. Paths have few bends, so few sweeps are enough, however many crossings there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tinygrad_rnn.tensors import Array

Way = tuple[int, int]  #: a direction: right, left, up or down
_WALL = 1e7  #: stands for an infinite cost in sums; no path costs nearly as much
_ACROSS, _UPRIGHT = ((1, 0), (-1, 0)), ((0, 1), (0, -1))


class Spot(NamedTuple):
    """A crossing where a path may begin or end, the direction it has there, and what choosing it costs."""

    i: int
    j: int
    way: Way
    cost: float


def cheapest(
    across: Array, up: Array, starts: Sequence[Spot], ends: Sequence[Spot], *, bend: float, last: float, least: float
) -> tuple[int, list[tuple[int, int]], int]:
    """The number of the cheapest path's start, the crossings it turns at, and the number of its end.

    ``across[i, j]`` is the cost from crossing (i, j) to the next on its right, ``up[i, j]`` to the next above, infinite
    where there is no way; a turn costs ``bend``, one at the end itself ``last``, and no path less than ``least``. The
    crossings include where it begins and ends; there are none if there is no path.
    """
    search = _Search(across, up, starts, bend)
    cost, way, k, sweeps = np.inf, (0, 0), 0, 0
    while cost > least + sweeps * bend and search.sweep():  # a path with more bends costs more
        cost, way, k = min((*search.ending(end, last), k) for k, end in enumerate(ends))
        sweeps += 1
    if not cost < _WALL:
        return 0, [], 0
    start, turns = search.back(ends[k].i, ends[k].j, way)
    return start, turns, k


class _Search:
    def __init__(self, across: Array, up: Array, starts: Sequence[Spot], bend: float) -> None:
        shape = across.shape[0] + 1, up.shape[1] + 1
        self.starts, self.bend = starts, bend
        #: by axis, the cost from the first crossing of its lane to each
        self.along = np.zeros(shape), np.zeros(shape)
        np.minimum(across, _WALL).cumsum(0, out=self.along[0][1:])
        np.minimum(up, _WALL).cumsum(1, out=self.along[1][:, 1:])
        #: what it costs to have come to each crossing in each direction
        self.come = {way: self._begun(np.full(shape, np.inf), way) for way in _ACROSS + _UPRIGHT}

    def _begun(self, cost: Array, way: Way) -> Array:
        """The costs, no more than those of beginning in a direction; in place."""
        for i, j, own, price in self.starts:
            if own == way:
                cost[i, j] = min(cost[i, j], price)
        return cost

    def sweep(self) -> bool:
        """Go on from all crossings, straight or after one bend; whether anything has become cheaper."""
        changed = False
        for ways, aside in ((_ACROSS, _UPRIGHT), (_UPRIGHT, _ACROSS)):
            turned = np.minimum(self.come[aside[0]], self.come[aside[1]]) + self.bend
            for way in ways:
                come = self._begun(self._carried(self._begun(turned.copy(), way), way), way)
                changed = changed or not np.array_equal(come, self.come[way])
                self.come[way] = come
        return changed

    def _carried(self, out: Array, way: Way) -> Array:
        """The cost of coming to each crossing from one before it in its lane, where ``out`` is that of setting out."""
        axis = 0 if way[0] else 1
        turned = (slice(None),) * axis + (slice(None, None, way[axis]),)
        along = way[axis] * self.along[axis][turned]
        come = np.full(along.shape, np.inf)
        reached = np.minimum.accumulate(out[turned] - along, axis)
        if axis == 0:
            np.add(reached[:-1], along[1:], out=come[1:])
        else:
            np.add(reached[:, :-1], along[:, 1:], out=come[:, 1:])
        come[come > _WALL / 2] = np.inf
        return come[turned]

    def ending(self, end: Spot, last: float) -> tuple[float, Way]:
        """The cost of the best path so far to ``end``, and the direction in which it comes there."""
        aside = _UPRIGHT if end.way[0] else _ACROSS
        return min(
            (float(self.come[way][end.i, end.j]) + end.cost + (0.0 if way == end.way else last), way)
            for way in (end.way, *aside)
        )

    def back(self, i: int, j: int, way: Way) -> tuple[int, list[tuple[int, int]]]:
        """The start, and the crossings where the path that comes to (i, j) turns, from there on."""
        turns = [(i, j)]
        while (begun := self._start(i, j, way)) is None or self.starts[begun].cost > self.come[way][i, j]:
            axis, here = (0, i) if way[0] else (1, j)
            aside = _UPRIGHT if way[0] else _ACROSS
            lane = np.s_[:, j] if axis == 0 else np.s_[i]
            out = np.minimum(self.come[aside[0]][lane], self.come[aside[1]][lane]) + self.bend
            for x, y, own, cost in self.starts:
                beside, at = (y, x) if axis == 0 else (x, y)
                if own == way and beside == (j if axis == 0 else i):
                    out[at] = min(out[at], cost)
            before = slice(0, here) if way[axis] > 0 else slice(here + 1, None)
            k = int(np.argmin((out - way[axis] * self.along[axis][lane])[before])) + before.start
            i, j = (k, j) if axis == 0 else (i, k)
            turns.append((i, j))
            begun = self._start(i, j, way)
            if begun is not None and self.starts[begun].cost <= out[k]:
                break
            way = min(aside, key=lambda other: self.come[other][i, j])
        assert begun is not None
        return begun, turns[::-1]

    def _start(self, i: int, j: int, way: Way) -> int | None:
        """The cheapest of the starts at a crossing that have this direction."""
        here = [k for k, s in enumerate(self.starts) if (s.i, s.j, s.way) == (i, j, way)]
        return min(here, key=lambda k: self.starts[k].cost, default=None)
