"""Lines that a layout got wrong, found in what is about to be drawn, and drawn another way.

Every picture is measured: a line may run through no box but its ends, and upon no line that it shares no end with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise

import numpy as np

from tinygrad_rnn.tensors import Array

from .line_routing import ARROW, LANE, Point, Port, Rect, Stretch, around, entering, is_askew, leaving, spline
from .placement import Layout, Line

STEP = 2.0  #: points between the samples of a line
TOGETHER = 4.0  #: points that two lines may share, at a crossing of two curves
CELL = 4.0  #: size of the squares in which lines that lie together are looked for
BESIDE = 1.2  #: distance of points that lie on one another
ALONG = 0.17  #: sine of the angle, ten degrees, below which lines run along one another
CROWD = 40  #: Of more lines in one square those that lead to one box are looked at as one.
ROUNDS = 5
LEVEL = 0.3  #: sine of the angle below which a piece of a curve counts as upright or level
DRIFT = 3.0  #: points that such a piece may lean
APART = 20.0  #: how much longer a stretch seems along another line, to a line that is drawn anew
_KEY = np.array([1 << 30, 1])  # a square's two numbers as one
_NEIGHBOURS = [i * (1 << 30) + j for i in (-1, 0, 1) for j in (-1, 0, 1)]
#: Of more boxes nothing is drawn anew: it would take longer than all the rest.
LARGEST = 1500
#: Of more boxes a picture is not even measured.
MEASURED = 3000


def mended(layout: Layout, loops: Sequence[Rect] = ()) -> int:
    """Draw the lines anew that run through boxes or upon other lines; how many faults are left all the same.

    Of up to `MEASURED` boxes; of more than `LARGEST` no line is drawn anew. What is drawn anew may come to lie upon
    others: the round that left the fewest faults is kept. ``loops`` are where lines run from a box back to itself.
    """
    mending = _Mending(layout, loops)
    left, best = [mending.left()], list(layout.lines)
    for turn in range(ROUNDS if len(layout.rects) <= LARGEST else 0):
        wrong = mending.wrong(turn)
        if not wrong or (turn > 2 and min(left[-2:]) >= min(left[:-2])):  # two rounds, one of each kind, in vain
            break
        for k in wrong:
            mending.draw_anew(k)
        if mending.crowded:
            mending.look_at_all()
        if mending.left() < min(left):
            best = list(layout.lines)
        left.append(mending.left())
    layout.lines = best
    return mending.boxes_upon_boxes() + min(left)


class _Mending:
    def __init__(self, layout: Layout, loops: Sequence[Rect]) -> None:
        self.layout = layout
        self.names = list(layout.rects)
        rects = self.obstacles = [*layout.rects.values(), *(rect for _, rect in layout.gaps), *loops]
        self.rects = np.array([(r.left, r.right, r.bottom, r.top) for r in rects])
        self.ways: list[Way] = []
        self.through: set[int] = set()
        self.stuck: set[int] = set()  #: lines that have no other way: boxes do not move
        for k, line in enumerate(layout.lines):
            self.ways.append(Way.along(line.pos))
            self._look_for_boxes(k)
        self.crowded = False  #: whether somewhere so many lines meet that not all pairs of them are looked at
        self.look_at_all()

    def look_at_all(self) -> None:
        """Find the pairs of lines that lie together."""
        self.together = {pair for pair in self._near() if self._apart(*pair) and self._shared(*pair)}

    def boxes_upon_boxes(self) -> int:
        """The number of pairs of boxes that overlap."""
        left, right, bottom, top = self.rects.T + np.array([[0.5], [-0.5], [0.5], [-0.5]])
        upon = (left < right[:, None]) & (left[:, None] < right) & (bottom < top[:, None]) & (bottom[:, None] < top)
        return int(upon.sum() - len(upon)) // 2

    def left(self) -> int:
        """The number of wrong lines, whether they can be moved or not."""
        return len(self.through) + len(self.together)

    def wrong(self, turn: int = 0) -> list[int]:
        """The lines to be drawn anew, each once; of two that lie together every other ``turn`` the other one."""
        crowded = Counter(k for pair in self.together if not set(pair) & self.through for k in pair)
        chosen = dict.fromkeys(sorted(self.through))
        for a, b in sorted(self.together):
            if a not in chosen and b not in chosen:
                first, second = sorted((a, b), key=lambda k: (self._may_move(k), crowded[k], k))[::-1]
                chosen[second if turn % 2 and self._may_move(second) else first] = None
        return [k for k in chosen if self._may_move(k)]

    def _may_move(self, k: int) -> bool:
        line = self.layout.lines[k]
        return line.source != line.target and k not in self.stuck

    def _look_for_boxes(self, k: int) -> None:
        """Whether a line runs through a box that is not its end."""
        way, line = self.ways[k], self.layout.lines[k]
        if line.source == line.target:
            self.through.discard(k)
            return
        inner = self.rects + np.array([1, -1, 1, -1])
        points = way.points[np.argsort(way.points[:, 0], kind="stable")]
        across = (inner[:, 0] < way.right) & (inner[:, 1] > way.left)
        near = across & (inner[:, 2] < way.top) & (inner[:, 3] > way.bottom)
        self.through.discard(k)
        passing = np.searchsorted(points[:, 0], inner[:, 0], "right"), np.searchsorted(points[:, 0], inner[:, 1])
        for n in np.flatnonzero(near & (passing[0] < passing[1])):
            own = (
                self.names[n] in (line.source, line.target) if n < len(self.names) else line.gap == n - len(self.names)
            )
            y = points[passing[0][n] : passing[1][n], 1]
            if not own and ((y > inner[n, 2]) & (y < inner[n, 3])).any():
                self.through.add(k)

    def _near(self) -> list[tuple[int, int]]:
        """Pairs of lines that meet in more than one square."""
        lines = np.concatenate([np.full(len(way.points), k) for k, way in enumerate(self.ways)] or [np.zeros(0, int)])
        points = np.concatenate([way.points for way in self.ways] or [np.zeros((0, 2))])
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
                here = own[a:b].tolist()
                if b - a >= CROWD:  # of the lines to one box, one
                    self.crowded = True
                    here = sorted({_ends(self.layout.lines[k])[1]: k for k in here}.values())
                often.update(combinations(here[:CROWD], 2))
        return [pair for pair, count in often.items() if count > 1]

    def _apart(self, a: int, b: int) -> bool:
        """Whether two lines share no end; of a line into the steps left out that place is its end."""
        (tail, head), (other_tail, other_head) = map(_ends, (self.layout.lines[a], self.layout.lines[b]))
        return tail != other_tail and head != other_head

    def _shared(self, a: int, b: int) -> bool:
        """Looked at from both: the points of one may just miss the other's."""
        one, other = self.ways[a], self.ways[b]
        return max(one.beside(other), other.beside(one)) * STEP > TOGETHER

    def draw_anew(self, k: int) -> None:
        """A way around all boxes, beside all other lines, from any side to any side; at steps left out, where it is."""
        line = self.layout.lines[k]
        starts, ends = self._starts(k), self._ends(k)
        others = [self.ways[n] for n in range(len(self.ways)) if n != k and self._apart(n, k)]
        taken = [stretch for way in others for stretch in way.pieces]
        tips = [tip for way in others for tip in way.points[[0, -1]]]
        points = around(_free(starts, tips), _free(ends, tips), self.obstacles, taken, shared=APART)
        if is_askew(points):  # the free places at the boxes are walled in
            points = around(starts, ends, self.obstacles, taken, shared=APART)
        if is_askew(points):
            self.stuck.add(k)
            return
        self.layout.lines[k] = replace(line, pos=spline(points, arrow=ARROW if line.arrow else 0))
        self.ways[k] = way = Way.along(self.layout.lines[k].pos)
        self._look_for_boxes(k)
        self.together = {pair for pair in self.together if k not in pair}
        for n, other in enumerate(self.ways):
            if n != k and way.meets(other) and self._apart(n, k) and self._shared(k, n):
                self.together.add((min(n, k), max(n, k)))

    def _starts(self, k: int) -> list[Port]:
        line = self.layout.lines[k]
        if line.source is not None:
            return leaving(self.layout.rects[line.source])
        x, y = self.ways[k].points[0]
        return [Port(x, y, 1 if x < self.ways[k].points[-1][0] else -1, 0)]

    def _ends(self, k: int) -> list[Port]:
        line = self.layout.lines[k]
        if line.target is not None:
            return entering(self.layout.rects[line.target])
        x, y = self.ways[k].points[-1]
        return [Port(x, y, 1 if x > self.ways[k].points[0][0] else -1, 0)]


def _ends(line: Line) -> tuple[object, object]:
    gap = ("gap", line.gap)
    return (gap if line.source is None else line.source), (gap if line.target is None else line.target)


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


@dataclass(frozen=True, slots=True)
class Way:
    """The way of a line: points `STEP` apart, the direction in each, and the stretches where another should not run."""

    points: Array
    headings: Array
    pieces: Sequence[Stretch]
    left: float
    right: float
    bottom: float
    top: float

    @classmethod
    def along(cls, pos: str) -> Way:
        """The way of a line as Graphviz writes it."""
        points = sampled(pos)
        ways = headings(points)
        (left, bottom), (right, top) = points.min(0).tolist(), points.max(0).tolist()
        return cls(points, ways, straight(points, ways), left, right, bottom, top)

    def meets(self, other: Way) -> bool:
        """Whether there is a place near both."""
        return (
            self.left < other.right + BESIDE
            and other.left < self.right + BESIDE
            and self.bottom < other.top + BESIDE
            and other.bottom < self.top + BESIDE
        )

    def beside(self, other: Way) -> int:
        """The number of points that have one of ``other`` beside them, where both run in one direction, or against it.

        Found by the squares that the points lie in; where lines cross they come near one another too, but not along.
        """
        mine, its = self._inside(other), other._inside(self)
        one, way = self.points[mine], self.headings[mine]
        keys = np.floor(other.points[its] / BESIDE).astype(np.int64) @ _KEY
        order = np.argsort(keys)
        keys, points, ways = keys[order], other.points[its][order], other.headings[its][order]
        found = np.zeros(len(one), bool)
        squares = np.floor(one / BESIDE).astype(np.int64) @ _KEY
        for shift in _NEIGHBOURS if len(keys) else ():
            first, last = np.searchsorted(keys, squares + shift), np.searchsorted(keys, squares + shift, "right")
            for more in range(int((last - first).max(initial=0))):
                k = np.minimum(first + more, len(keys) - 1)
                along = np.abs(way[:, 0] * ways[k, 1] - way[:, 1] * ways[k, 0]) < ALONG
                found |= (first + more < last) & (np.abs(one - points[k]).sum(1) < BESIDE) & along
        return int(found.sum())

    def _inside(self, other: Way) -> Array:
        """The points that are no further than `BESIDE` from the rectangle around another line."""
        x, y = self.points.T
        across = (x > other.left - BESIDE) & (x < other.right + BESIDE)
        return across & (y > other.bottom - BESIDE) & (y < other.top + BESIDE)


def headings(points: Array) -> Array:
    """The direction of a line in each of its points, of length 1."""
    ways = np.empty_like(points)
    ways[1:-1] = points[2:] - points[:-2]
    ways[0], ways[-1] = points[1] - points[0], points[-1] - points[-2]
    return ways / np.maximum(np.hypot(*ways.T), 1e-9)[:, None]


def straight(points: Array, ways: Array) -> Sequence[Stretch]:
    """The pieces among sampled points that are upright or level, or nearly: each as a straight one in its middle."""
    found: list[Stretch] = []
    for axis in (0, 1):
        level = np.concatenate([[False], np.abs(ways[:, axis]) < LEVEL, [False]])
        for first, last in np.flatnonzero(level[1:] != level[:-1]).reshape(-1, 2):
            drift = np.abs(points[first:last, axis] - points[first, axis]) // DRIFT
            ends = [first, *(first + 1 + np.flatnonzero(np.diff(drift))), last]
            for begin, end in pairwise(ends):
                a, b = points[begin].tolist(), points[end - 1].tolist()
                a[axis] = b[axis] = (a[axis] + b[axis]) / 2
                if abs(a[0] - b[0]) + abs(a[1] - b[1]) > CELL:
                    found.append((_point(a), _point(b)))
    return found


def _point(xy: Sequence[float]) -> Point:
    return xy[0], xy[1]
