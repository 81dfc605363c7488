"""The lines of a picture that run along one another, found in points sampled along all of them.

The points are sorted into squares, so that it takes time in proportion to them and not to the pairs of lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tinygrad_rnn.tensors import Array

from .line_ways import STEP, Way

TOGETHER = 4.0  #: points that two lines may share, at a crossing of two curves
BESIDE = 1.9  #: distance of points that lie on one another, though a step may part those of two lines
ALONG = 0.17  #: sine of the angle, ten degrees, below which lines run along one another
_CELL = 4.0  #: size of the squares that have to hold lines of two ends at least; above twice `BESIDE`
#: Points in one square of lines with one end in common: those of further ones, the shorter lines, are left out.
_CROWD = 16
_MOST = 1 << 21  #: pairs of points that are looked at at once
_ENOUGH = 1 << 20  #: pairs of points that lie on one another: after these a picture is no good, whatever else it has
_KEY = np.array([1 << 30, 1])  # a square's two numbers as one
_NEIGHBOURS = [i * (1 << 30) + j for i in (-1, 0, 1) for j in (-1, 0, 1)]


def together(ways: Sequence[Way], tails: Array, heads: Array) -> set[tuple[int, int]]:
    """The pairs of lines that share no end and run along one another for more than `TOGETHER`.

    ``tails`` and ``heads`` are numbers of the boxes at the ends.
    """
    if not ways:
        return set()
    points = _Points(ways, tails, heads)
    points.keep(points.in_company())
    for ends in (tails, heads):
        points.keep(points.uncrowded(ends))
    (one, other), found = points.close(), set[tuple[int, int]]()
    for mine, its in ((one, other), (other, one)):  # looked at from both: the points of one may just miss the other's
        beside = np.sort(mine * len(ways) + points.line[its])
        beside = beside[np.diff(beside, prepend=-1) != 0]  # each once, however many of the other are near
        both = np.sort([points.line[beside // len(ways)], beside % len(ways)], 0)
        pairs, count = np.unique(both[0] * len(ways) + both[1], return_counts=True)
        found.update(divmod(pair, len(ways)) for pair in pairs[count * STEP > TOGETHER].tolist())
    return found


class _Points:
    """The points of all lines, in arrays."""

    def __init__(self, ways: Sequence[Way], tails: Array, heads: Array) -> None:
        self.lengths, self.tails, self.heads = np.array([len(way.points) for way in ways]), tails, heads
        self.line = np.repeat(np.arange(len(ways)), self.lengths)
        self.at = np.concatenate([way.points for way in ways])
        self.headings = np.concatenate([way.headings for way in ways])

    def keep(self, which: Array) -> None:
        """Forget all other points."""
        self.line, self.at, self.headings = self.line[which], self.at[which], self.headings[which]

    def in_company(self) -> Array:
        """The points that have lines of other ends near them."""
        found = np.zeros(len(self.line), bool)
        for shift in ((0, 0), (0, _CELL / 2), (_CELL / 2, 0), (_CELL / 2, _CELL / 2)):
            squares = np.floor((self.at + shift) / _CELL).astype(np.int64) @ _KEY
            order = np.argsort(squares, kind="stable")
            first = np.flatnonzero(np.diff(squares[order], prepend=squares[order[:1]] - 1))
            mixed = np.ones(len(first), bool)
            for ends in (self.tails[self.line[order]], self.heads[self.line[order]]):
                mixed &= np.minimum.reduceat(ends, first) < np.maximum.reduceat(ends, first)
            found[order] |= np.repeat(mixed, np.diff(first, append=len(order)))
        return found

    def uncrowded(self, ends: Array) -> Array:
        """In each square the points of the longest lines to or from one box."""
        squares, own = self._squares(), ends[self.line]
        order = np.lexsort((-self.lengths[self.line], own, squares))
        apart = (np.diff(squares[order], prepend=-1) != 0) | (np.diff(own[order], prepend=-1) != 0)
        first = np.flatnonzero(apart)
        rank = np.arange(len(order)) - np.repeat(first, np.diff(first, append=len(order)))
        found = np.empty(len(order), bool)
        found[order] = rank < _CROWD
        return found

    def close(self) -> tuple[Array, Array]:
        """Pairs of points that lie on one another, of lines that share no end and run along one another there."""
        found = [(np.zeros(0, int), np.zeros(0, int))]
        for one, other in self._near():
            n, m = self.line[one], self.line[other]
            kept = (n < m) & (self.tails[n] != self.tails[m]) & (self.heads[n] != self.heads[m])
            one, other = one[kept], other[kept]
            (x, y), (u, v) = self.headings[one].T, self.headings[other].T
            kept = (np.abs(self.at[one] - self.at[other]).sum(1) < BESIDE) & (np.abs(x * v - y * u) < ALONG)
            found.append((one[kept], other[kept]))
            if sum(len(one) for one, _ in found) > _ENOUGH:
                break
        return np.concatenate([one for one, _ in found]), np.concatenate([other for _, other in found])

    def _near(self) -> Iterator[tuple[Array, Array]]:
        """Pairs of points in one square or in squares beside one another, some at a time."""
        squares = self._squares()
        order = np.argsort(squares, kind="stable")
        known = squares[order]
        for shift in _NEIGHBOURS:
            first, last = np.searchsorted(known, squares + shift), np.searchsorted(known, squares + shift, "right")
            total = np.cumsum(last - first)
            parts = np.searchsorted(total, np.arange(_MOST, total[-1] if len(total) else 0, _MOST))
            for part in np.split(np.arange(len(squares)), parts):
                count = (last - first)[part]
                one = np.repeat(part, count)
                rank = np.arange(len(one)) - np.repeat(np.cumsum(count) - count, count)
                yield one, order[first[one] + rank]

    def _squares(self) -> Array:
        found: Array = np.floor(self.at / BESIDE).astype(np.int64) @ _KEY
        return found
