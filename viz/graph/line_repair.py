"""Lines that a layout got wrong, found in what is about to be drawn, and drawn another way.

Every picture is measured: a line may run through no box but its ends, and upon no line that it shares no end with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from tinygrad_rnn.tensors import Array

from .line_routing import ARROW, LANE, Point, Port, Stretch, around, entering, leaving, spline
from .placement import Layout

STEP = 2.0  #: points between the samples of a line
TOGETHER = 4.0  #: points that two lines may share, at a crossing of two curves
CELL = 4.0  #: size of the squares in which lines that lie together are looked for
BESIDE = 1.2  #: distance of points that lie on one another
ALONG = 0.17  #: sine of the angle, ten degrees, below which lines run along one another
ROUNDS = 5
_KEY = np.array([1 << 30, 1])  # a square's two numbers as one
#: Of more boxes a picture is not measured: it would take longer than drawing it.
LARGEST = 1500


def mended(layout: Layout) -> int:
    """Draw the lines anew that run through boxes or upon other lines; how many faults are left all the same."""
    if len(layout.rects) > LARGEST:
        return 0
    mending = _Mending(layout)
    upon = mending.boxes_upon_boxes()
    for turn in range(ROUNDS):
        wrong = mending.wrong(turn)
        if not wrong:
            break
        for k in wrong:
            mending.draw_anew(k)
    return upon + mending.left()


class _Mending:
    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.names = list(layout.rects)
        rects = [layout.rects[i] for i in self.names] + [rect for _, rect in layout.gaps]
        self.rects = np.array([(r.left, r.right, r.bottom, r.top) for r in rects])
        self.points = [sampled(line.pos) for line in layout.lines]
        self.pieces = [straight(points) for points in self.points]

    def boxes_upon_boxes(self) -> int:
        """How many pairs of boxes overlap."""
        left, right, bottom, top = self.rects.T + np.array([[1], [-1], [1], [-1]])
        upon = (left < right[:, None]) & (left[:, None] < right) & (bottom < top[:, None]) & (bottom[:, None] < top)
        return int(upon.sum() - len(upon)) // 2

    def left(self) -> int:
        """How many lines are wrong, whether they can be moved or not."""
        return sum(map(self._through, range(len(self.points)))) + len(self._together())

    def wrong(self, turn: int = 0) -> list[int]:
        """The lines to be drawn anew, each once; of two that lie together every other ``turn`` the other one."""
        through = [k for k in range(len(self.points)) if self._through(k)]
        together = self._together()
        crowded = Counter(k for pair in together if not set(pair) & set(through) for k in pair)
        chosen = dict.fromkeys(through)
        for a, b in together:
            if a not in chosen and b not in chosen:
                first, second = sorted((a, b), key=lambda k: (self._may_move(k), crowded[k], k))[::-1]
                chosen[second if turn % 2 and self._may_move(second) else first] = None
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
            squares = np.floor((points + shift) / CELL).astype(np.int64) @ _KEY
            order = np.lexsort((lines, squares))
            squares, own = squares[order], lines[order]
            first = np.concatenate([[True], (np.diff(squares) != 0) | (np.diff(own) != 0)])
            squares, own = squares[first], own[first]
            ends = np.flatnonzero(np.diff(squares)) + 1
            starts, stops = np.concatenate([[0], ends]), np.concatenate([ends, [len(own)]])
            for a, b in zip(starts[stops - starts > 1], stops[stops - starts > 1], strict=True):
                if b - a < 40:
                    often.update(combinations(own[a:b].tolist(), 2))
        return [pair for pair, count in often.items() if count > 1 and self._apart(*pair) and self._shared(*pair)]

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
        taken = [stretch for n in range(len(self.points)) if n != k and self._apart(n, k) for stretch in self.pieces[n]]
        boxes = [*self.layout.rects.values(), *(rect for _, rect in self.layout.gaps)]
        tips = [tip for n in range(len(self.points)) if n != k and self._apart(n, k) for tip in self.points[n][[0, -1]]]
        points = around(_free(leaving(a), tips), _free(entering(b), tips), boxes, taken)
        self.layout.lines[k] = replace(line, pos=spline(points))
        self.points[k] = sampled(self.layout.lines[k].pos)
        self.pieces[k] = straight(self.points[k])


def _free(ports: Sequence[Port], tips: Sequence[Array]) -> Sequence[Port]:
    """The places at a box where no other line begins or ends, all of them if there is none."""
    met = np.array(tips).reshape(-1, 2)
    free = [p for p in ports if not (np.abs(met - (p.x, p.y)).sum(1) < LANE + ARROW).any()]
    return free or ports


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
    """Which points of ``one`` have a point of ``other`` beside them where both run in one direction, or against it.

    Found by the squares that the points lie in; where lines cross they come near one another too, but not along.
    """
    keys = np.floor(other / BESIDE).astype(np.int64) @ _KEY
    order = np.argsort(keys)
    way, ways = headings(one), headings(other)[order]
    keys, other = keys[order], other[order]
    found = np.zeros(len(one), bool)
    for shift in np.indices((3, 3)).reshape(2, -1).T - 1:
        wanted = (np.floor(one / BESIDE).astype(np.int64) + shift) @ _KEY
        first, last = np.searchsorted(keys, wanted), np.searchsorted(keys, wanted, "right")
        for more in range(int((last - first).max(initial=0))):
            k = np.minimum(first + more, len(keys) - 1)
            along = np.abs(way[:, 0] * ways[k, 1] - way[:, 1] * ways[k, 0]) < ALONG
            found |= (first + more < last) & (np.abs(one - other[k]).sum(1) < BESIDE) & along
    return found


def headings(points: Array) -> Array:
    """The direction of a line in each of its points, of length 1."""
    ways = np.gradient(points, axis=0)
    return ways / np.maximum(np.hypot(*ways.T), 1e-9)[:, None]


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
