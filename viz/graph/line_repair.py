"""Lines that a layout got wrong, found in what is about to be drawn, and drawn another way.

Every picture is measured: a line may run through no box but its ends, and upon no line that it shares no end with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tinygrad_rnn.tensors import Array

from .line_routing import Point, Stretch, around, entering, leaving, spline
from .placement import Layout

STEP = 2.0  #: points between the samples of a line
TOGETHER = 12.0  #: points that two lines may share, at a crossing of two curves
CELL = 4.0  #: size of the squares in which lines that lie together are looked for
BESIDE = 1.2  #: distance of points that lie on one another
ROUNDS = 3
_KEY = np.array([1 << 30, 1])  # a square's two numbers as one
#: Of more boxes a picture is not measured: it would take longer than drawing it.
LARGEST = 1500


def mended(layout: Layout) -> int:
    """Draw the lines anew that run through boxes or upon other lines; how many are left that do so all the same."""
    if len(layout.rects) > LARGEST:
        return 0
    mending = _Mending(layout)
    for _ in range(ROUNDS):
        wrong = mending.wrong()
        if not wrong:
            return 0
        for k in wrong:
            mending.draw_anew(k)
    return len(mending.wrong())


class _Mending:
    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.names = list(layout.rects)
        rects = [layout.rects[i] for i in self.names] + [rect for _, rect in layout.gaps]
        self.rects = np.array([(r.left, r.right, r.bottom, r.top) for r in rects])
        self.points = [sampled(line.pos) for line in layout.lines]

    def wrong(self) -> list[int]:
        """The lines to be drawn anew, each once."""
        through = [k for k in range(len(self.points)) if self._through(k)]
        together = self._together()
        crowded = Counter(k for pair in together if not set(pair) & set(through) for k in pair)
        chosen = dict.fromkeys(through)
        for a, b in together:
            if a not in chosen and b not in chosen:
                chosen[max((a, b), key=lambda k: (self._may_move(k), crowded[k], k))] = None
        return [k for k in chosen if self._may_move(k)]

    def _may_move(self, k: int) -> bool:
        line = self.layout.lines[k]
        return line.source in self.layout.rects and line.target in self.layout.rects and line.source != line.target

    def _through(self, k: int) -> bool:
        x, y = self.points[k].T
        left, right, bottom, top = self.rects.T + np.array([[1], [-1], [1], [-1]])
        near = (left < x.max()) & (right > x.min()) & (bottom < y.max()) & (top > y.min())
        line = self.layout.lines[k]
        for n in np.flatnonzero(near):
            own = (
                self.names[n] in (line.source, line.target) if n < len(self.names) else line.gap == n - len(self.names)
            )
            if not own and ((x > left[n]) & (x < right[n]) & (y > bottom[n]) & (y < top[n])).any():
                return True
        return False

    def _together(self) -> list[tuple[int, int]]:
        """Pairs of lines without a common end that lie on one another for more than a crossing."""
        lines, points = (
            np.concatenate([np.full(len(p), k) for k, p in enumerate(self.points)] or [np.zeros(0, int)]),
            (np.concatenate(self.points or [np.zeros((0, 2))])),
        )
        often: Counter[tuple[int, int]] = Counter()
        for shift in (0.0, CELL / 2):
            squares = np.floor((points + shift) / CELL).astype(np.int64)
            rows = np.unique(np.column_stack([squares, lines]), axis=0)
            ends = np.flatnonzero((np.diff(rows[:, :2], axis=0) != 0).any(1)) + 1
            for group in np.split(rows[:, 2], ends):
                if 1 < len(group) < 40:
                    often.update((int(a), int(b)) for n, a in enumerate(group) for b in group[n + 1 :])
        return [pair for pair, count in often.items() if count > 3 and self._apart(*pair) and self._shared(*pair)]

    def _apart(self, a: int, b: int) -> bool:
        one, other = self.layout.lines[a], self.layout.lines[b]
        return (one.source, one.gap) != (other.source, other.gap) and (one.target, one.gap) != (other.target, other.gap)

    def _shared(self, a: int, b: int) -> bool:
        return float(beside(self.points[a], self.points[b]).sum() * STEP) > TOGETHER

    def draw_anew(self, k: int) -> None:
        """A way around all boxes, beside all other lines, from any side to any side."""
        line = self.layout.lines[k]
        assert line.source is not None and line.target is not None
        a, b = self.layout.rects[line.source], self.layout.rects[line.target]
        taken = [
            stretch
            for n in range(len(self.points))
            if n != k and self._apart(n, k)
            for stretch in straight(self.points[n])
        ]
        boxes = [*self.layout.rects.values(), *(rect for _, rect in self.layout.gaps)]
        points = around(leaving(a), entering(b), boxes, taken)
        self.layout.lines[k] = replace(line, pos=spline(points))
        self.points[k] = sampled(self.layout.lines[k].pos)


def sampled(pos: str) -> Array:
    """Points `STEP` apart along a line as Graphviz writes it."""
    control = np.array([part.split(",") for part in pos.split() if part[0] not in "es"], float)
    pieces = []
    for k in range(0, len(control) - 3, 3):
        a, b, c, d = control[k : k + 4]
        length = np.abs(np.diff(control[k : k + 4], axis=0)).sum()
        t = np.linspace(0, 1, 2 + int(length / STEP))[:, None]
        pieces.append((1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d)
    return np.concatenate(pieces)


def beside(one: Array, other: Array) -> Array:
    """Which points of ``one`` have a point of ``other`` beside them, found by the squares both lie in."""
    keys = np.floor(other / BESIDE).astype(np.int64) @ _KEY
    order = np.argsort(keys)
    keys, other = keys[order], other[order]
    found = np.zeros(len(one), bool)
    for shift in np.indices((3, 3)).reshape(2, -1).T - 1:
        wanted = (np.floor(one / BESIDE).astype(np.int64) + shift) @ _KEY
        first, last = np.searchsorted(keys, wanted), np.searchsorted(keys, wanted, "right")
        for more in range(int((last - first).max(initial=0))):
            k = np.minimum(first + more, len(keys) - 1)
            found |= (first + more < last) & (np.abs(one - other[k]).sum(1) < BESIDE)
    return found


def straight(points: Array) -> Sequence[Stretch]:
    """The upright and level pieces among sampled points."""
    found: list[Stretch] = []
    for axis in (0, 1):
        level = np.concatenate([[False], np.abs(np.diff(points[:, axis])) < 0.05, [False]])
        for first, last in np.flatnonzero(level[1:] != level[:-1]).reshape(-1, 2):
            a, b = points[first].tolist(), points[last].tolist()
            b[axis] = a[axis]
            if abs(a[0] - b[0]) + abs(a[1] - b[1]) > CELL:
                found.append((_point(a), _point(b)))
    return found


def _point(xy: Sequence[float]) -> Point:
    return xy[0], xy[1]
