"""Lines that a layout got wrong, found in what is about to be drawn, and drawn another way.

Every picture is measured: a line may run through no box but its ends, and upon no line that it shares no end with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tinygrad_rnn.tensors import Array

from .line_routing import ARROW, LANE, Port, Rect, around, entering, is_askew, leaving, spline
from .line_ways import Way
from .lines_together import together
from .placement import Layout, Line

ROUNDS = 5
HOPELESS = 250  #: More faults are not mended one by one.
APART = 20.0  #: how much longer a stretch seems along another line, to a line that is drawn anew
#: Of more boxes nothing is drawn anew: it would take longer than all the rest.
LARGEST = 1500
#: Of more boxes, or with longer lines all in all (in points), a picture is not even measured.
MEASURED, FARTHEST = 3000, 8e6


def mended(layout: Layout, loops: Sequence[Rect] = ()) -> int:
    """Draw the lines anew that run through boxes or upon other lines; how many faults are left all the same.

    Of more than `LARGEST` boxes no line is drawn anew. What is drawn anew may come to lie upon others: the round that
    left the fewest faults is kept. ``loops`` are where lines run from a box back to itself.
    """
    mending = _Mending(layout, loops)
    left, best = [mending.left()], list(layout.lines)
    hopeless = len(layout.rects) > LARGEST or left[0] > HOPELESS
    for turn in range(0 if hopeless else ROUNDS):
        wrong = mending.wrong(turn)
        in_vain = turn > 2 and min(left[-2:]) >= min(left[:-2])  # two rounds, one of each kind
        if not wrong or in_vain or left[-1] > HOPELESS:
            break
        for k in wrong:
            mending.draw_anew(k)
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
        numbers: dict[object, int] = {}
        ends = [[numbers.setdefault(end, len(numbers)) for end in _ends(line)] for line in layout.lines]
        self.tails, self.heads = np.array(ends, int).reshape(-1, 2).T
        self.look_at_all()

    def look_at_all(self) -> None:
        """Find the pairs of lines that lie together."""
        self.together = together(self.ways, self.tails, self.heads)

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

    def draw_anew(self, k: int) -> None:
        """A way around all boxes, beside all other lines, from any side to any side; at steps left out, where it is."""
        line = self.layout.lines[k]
        starts, ends = self._starts(k), self._ends(k)
        apart = np.flatnonzero((self.tails != self.tails[k]) & (self.heads != self.heads[k])).tolist()
        others = [self.ways[n] for n in apart]
        taken = [stretch for way in others for stretch in way.pieces]
        tips = [tip for way in others for tip in way.points[[0, -1]]]
        points = around(_free(starts, tips), _free(ends, tips), self.obstacles, taken, shared=APART)
        if is_askew(points):  # the free places at the boxes are walled in
            points = around(starts, ends, self.obstacles, taken, shared=APART)
        if is_askew(points):
            self.stuck.add(k)
            return
        self.layout.lines[k] = replace(line, pos=spline(points, arrow=ARROW if line.arrow else 0))
        self.ways[k] = Way.along(self.layout.lines[k].pos)
        self._look_for_boxes(k)

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
