"""A whole picture in which every line has a lane of its own: wide, but never wrong.

It is for what tiles do not show without a fault. Time goes from left to right in ranks; a line leaves its box
at the right, runs up or down in a lane between two ranks, past further ranks at a height where nothing else is, and in
another lane to the left side of the box it leads to. What leads back to an earlier rank leaves at the left. All lines
that leave a box on one side share their way as far as they have one. So two lines that share no end only ever cross.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from .detail_levels import Level
from .line_routing import ARROW, Point, Rect, spline
from .placement import PAD, Gap, Layout, Line, shown_columns
from .time_columns import Column
from .time_step_tile import Size

UNIT = 24.0  #: heights of boxes are its multiples, and those in every other rank lie in the middle between
BACK = 6.0  #: how far above another line one that leads back leaves a box, or comes to it
LANE = 7.0  #: points between lanes
ROOM = 16.0  #: points between a box and the lanes beside it
APART = 5.0  #: points between the heights of lines
BETWEEN = 14.0  #: points between boxes in a rank
TURNS = 6  #: how often boxes are moved to the heights of what they are joined with
STEPS_LEFT_OUT = (90.0, 40.0)


@dataclass(slots=True)
class _Net:
    """The lines that leave one box at one side."""

    source: int
    back: bool
    targets: set[int] = field(default_factory=set)
    height: float = 0.0  #: where it passes further ranks
    lanes: dict[int, int] = field(default_factory=dict)  #: the lanes it has after ranks where it turns


def in_lanes(level: Level, sizes: Sequence[Size], *, max_steps: int | None) -> Layout:
    """Places and lines for all boxes."""
    return _Lanes(level, sizes, shown_columns(level.columns, max_steps)).layout()


class _Lanes:
    def __init__(self, level: Level, sizes: Sequence[Size], slots: Sequence[Column | Gap]) -> None:
        self.level, self.slots = level, slots
        gaps = [slot for slot in slots if isinstance(slot, Gap)]
        order = {slot: n for n, slot in enumerate(slots)}
        #: by box the number of its step, None without a step; the places where steps are left out are -1, -2, ...
        self.slot: dict[int, int | None] = {-1 - k: order[gap] for k, gap in enumerate(gaps)}
        for i, box in enumerate(level.boxes):
            if box.column is None or box.column in order:
                self.slot[i] = None if box.column is None else order[box.column]
        self.sizes = {i: STEPS_LEFT_OUT if i < 0 else sizes[i] for i in self.slot}
        self.lines = list(_drawn_lines(level, slots))
        self.feeds: dict[int, list[int]] = defaultdict(list)
        self.fed: dict[int, list[int]] = defaultdict(list)
        for a, b, _ in self.lines:
            self.feeds[a].append(b)
            self.fed[b].append(a)
        self.rank = self._ranks()
        self.ranks: list[list[int]] = [[] for _ in range(max(self.rank.values()) + 1)]
        for i, rank in self.rank.items():
            self.ranks[rank].append(i)
        self.y = self._heights()
        self.count: list[int] = []  # of lanes after each rank
        self.nets = self._nets()

    # Places ----------------------------------------------------------------------------------------------

    def _ranks(self) -> dict[int, int]:
        """Steps one after the other, each as many ranks as it is deep; other boxes after all that feeds them."""
        order = _ordered(self.slot, self.feeds)
        rank: dict[int, int] = {}
        start, starts = 0, dict[int | None, int]()
        for n in range(len(self.slots)):
            starts[n] = start
            for i in (i for i in order if self.slot[i] == n):
                own = [rank[a] + 1 for a in self.fed[i] if self.slot[a] == n and a in rank]
                rank[i] = self._off(i, max([start, *own]), rank)
            start = max((rank[i] + 1 for i in rank), default=0)
        for i in (i for i in order if self.slot[i] is None and self.fed[i]):
            rank[i] = self._off(i, 1 + max(rank.get(a, -1) for a in self.fed[i]), rank)
        for i in order[::-1]:
            if i not in rank:
                rank[i] = min((starts.get(self.slot[b], rank[b]) for b in self.feeds[i]), default=0) - 1
        first = min(rank.values(), default=0)
        return {i: rank[i] - first for i in self.slot}

    def _off(self, i: int, rank: int, ranks: Mapping[int, int]) -> int:
        """A rank from this one on in which nothing stands that the box is joined with."""
        taken = {ranks[k] for k in (*self.fed[i], *self.feeds[i]) if k in ranks}
        while rank in taken:
            rank += 1
        return rank

    def _heights(self) -> dict[int, float]:
        """Boxes near the heights of what they are joined with; those without a step above those beside them."""
        within: dict[int, bool] = {}
        for own in self.ranks:
            stepped = any(self.slot[i] is not None for i in own)
            within |= {i: stepped and self.slot[i] is None for i in own}
        y = {i: UNIT * k for own in self.ranks for k, i in enumerate(own)}
        for turn in range(TURNS):
            for own in self.ranks if turn % 2 == 0 else self.ranks[::-1]:
                wish = {i: _middle([y[k] for k in (*self.fed[i], *self.feeds[i])], y[i]) for i in own}
                own.sort(key=lambda i: (within[i], wish[i]))
                y.update(_spaced(own, wish, self.sizes))
        if self.level.detail == "cell":
            for kind, joined, up in (("x", self.feeds, -1), ("logits", self.fed, 1)):
                self._beyond([i for i in y if i >= 0 and self.level.boxes[i].kind == kind], joined, up, y)
        above = max((y[i] + self.sizes[i][1] / 2 for i in y if not within[i]), default=0.0)
        lowest = min((y[i] - self.sizes[i][1] / 2 for i in y if within[i]), default=0.0)
        lift = UNIT * math.ceil((above + 2 * UNIT - lowest) / UNIT)
        return {i: y[i] + lift * within[i] + UNIT / 2 * (self.rank[i] % 2) for i in y}

    def _beyond(self, boxes: Iterable[int], joined: Mapping[int, list[int]], up: int, y: dict[int, float]) -> None:
        """Move boxes up, or down, out of their ranks if they are not beyond all that they are joined with."""
        for i in boxes:
            if up * y[i] <= (end := max((up * y[k] for k in joined[i]), default=-math.inf)):
                beside = [k for k in self.ranks[self.rank[i]] if k != i]
                room = [up * y[k] + (self.sizes[i][1] + self.sizes[k][1]) / 2 + BETWEEN for k in beside]
                y[i] = up * UNIT * math.ceil(max([end + UNIT, *room]) / UNIT)

    # Lines -----------------------------------------------------------------------------------------------

    def _nets(self) -> dict[tuple[int, bool], _Net]:
        nets: dict[tuple[int, bool], _Net] = {}
        for a, b, _ in self.lines:
            back = self.rank[a] > self.rank[b]
            nets.setdefault((a, back), _Net(a, back)).targets.add(b)
        passing: list[_Span] = []
        for net in sorted(nets.values(), key=self._reach):
            first, last = self._first_and_last(net)
            if last - first > 1:
                net.height = self._free_height(net, first, last, passing)
                passing.append(_Span(first, last, net.height))
        for rank in range(len(self.ranks) - 1):
            self._give_lanes(rank, nets.values())
        return nets

    def _reach(self, net: _Net) -> tuple[int, int, bool]:
        first, last = self._first_and_last(net)
        return last - first, net.source, net.back

    def _first_and_last(self, net: _Net) -> tuple[int, int]:
        ranks = [self.rank[i] for i in (net.source, *net.targets)]
        return min(ranks), max(ranks)

    def _free_height(self, net: _Net, first: int, last: int, passing: Sequence[_Span]) -> float:
        """The height nearest to the ends where nothing is from the first rank to the last."""
        taken = [(s.height - APART, s.height + APART) for s in passing if s.first < last and first < s.last]
        for rank in range(first, last + 1):
            for i in self.ranks[rank]:
                y, half = self.y[i], self.sizes[i][1] / 2 + APART
                if first < rank < last:
                    taken.append((y - half, y + half))
                taken.append((y - APART, y + BACK + APART))
        wish = self._port(net.source, net.back)
        wish = (wish + sum(self._port(i, net.back) for i in net.targets) / len(net.targets)) / 2
        return _nearest(wish, taken)

    def _port(self, i: int, back: bool) -> float:
        return self.y[i] + BACK * back

    def _give_lanes(self, rank: int, nets: Iterable[_Net]) -> None:
        """Lanes between this rank and the next: lines that do not pass one another may have the same one."""
        spans = []
        for net in nets:
            first, last = self._first_and_last(net)
            if first <= rank < last:
                heights = [self._port(i, net.back) for i in (net.source, *net.targets) if self._ends_at(net, i, rank)]
                if first < rank or rank + 1 < last:
                    heights.append(net.height)
                if max(heights) > min(heights):
                    spans.append((min(heights), max(heights), net))
        ends: list[float] = []
        for low, high, net in sorted(spans, key=lambda span: span[:2]):
            k = next((k for k, end in enumerate(ends) if end < low - APART), len(ends))
            ends[k : k + 1] = [high]
            net.lanes[rank] = k
        self.count.append(len(ends))

    def _ends_at(self, net: _Net, i: int, rank: int) -> bool:
        """Whether a line begins or ends at this box between a rank and the next."""
        return self.rank[i] == (rank if (i == net.source) != net.back else rank + 1)

    # Result ----------------------------------------------------------------------------------------------

    def layout(self) -> Layout:
        """With lengths along time."""
        layout, at = Layout(), 0.0
        lanes_at = []
        rects: dict[int, Rect] = {}
        for rank, own in enumerate(self.ranks):
            width = max(self.sizes[i][0] for i in own)
            rects |= {i: Rect(at + width / 2, self.y[i], *self.sizes[i]) for i in own}
            lanes_at.append(at + width + ROOM)
            at += width + 2 * ROOM + LANE * (self.count[rank] if rank < len(self.count) else 0)
        layout.rects = {i: rects[i] for i in range(len(self.level.boxes)) if i in rects}
        layout.gaps = [(slot, rects[-1 - k]) for k, slot in enumerate(s for s in self.slots if isinstance(s, Gap))]
        layout.frames = list(_frames(self.level, self.slots, layout.rects))
        for a, b, line in self.lines:
            points = self._points(rects[a], rects[b], self.nets[a, self.rank[a] > self.rank[b]], b, lanes_at)
            layout.lines.append(replace(line, pos=spline(points, arrow=ARROW if line.arrow else 0)))
        return layout

    def _points(self, a: Rect, b: Rect, net: _Net, target: int, lanes_at: Sequence[float]) -> list[Point]:
        start, stop = (a.left, b.right) if net.back else (a.right, b.left)
        ranks = self.rank[net.source], self.rank[target]
        turns = [ranks[0] - 1, ranks[1]] if net.back else [ranks[0], ranks[1] - 1]
        heights = [self._port(net.source, net.back), net.height, self._port(target, net.back)]
        if turns[0] == turns[1]:
            turns, heights = turns[:1], heights[::2]
        points = [(start, heights[0])]
        for rank, (before, after) in zip(turns, pairwise(heights), strict=True):
            if before != after:
                x = lanes_at[rank] + LANE * net.lanes[rank]
                points += [(x, before), (x, after)]
        return [*points, (stop, heights[-1])]


def _drawn_lines(level: Level, slots: Sequence[Column | Gap]) -> Iterator[tuple[int, int, Line]]:
    """The lines of a picture of whole steps, without their ways: from, to, and the line.

    The ends are numbers of boxes, or -1, -2, ... for the places where steps are left out.
    """
    shown = {slot for slot in slots if isinstance(slot, Column)}
    gaps = [slot for slot in slots if isinstance(slot, Gap)]
    done: set[tuple[int, int]] = set()
    for n, e in enumerate(level.edges):
        a, b = level.boxes[e.source].column, level.boxes[e.target].column
        ends = e.source, e.target
        line = Line(n, "", e.source, e.target)
        if {a, b} - {None} - shown:
            gap = next((g for g in gaps if a and b and a.segment == b.segment == g.segment), None)
            if gap is None or a is None or b is None or abs(a.step - b.step) != 1 or not {a, b} & shown:
                continue
            k = gaps.index(gap)
            leaves = a in shown
            ends = (e.source, -1 - k) if leaves else (-1 - k, e.target)
            if ends in done:
                continue
            done.add(ends)
            line = Line(n, "", e.source if leaves else None, None if leaves else e.target, gap=k, arrow=not leaves)
        yield *ends, line


def _frames(level: Level, slots: Sequence[Column | Gap], rects: Mapping[int, Rect]) -> Iterator[tuple[Column, Rect]]:
    """Around each step its frame, all as high as the highest."""
    members: dict[Column, list[Rect]] = defaultdict(list)
    for i, rect in rects.items():
        if (column := level.boxes[i].column) is not None:
            members[column].append(rect)
    low, high = (
        min(r.bottom for own in members.values() for r in own),
        max(r.top for own in members.values() for r in own),
    )
    for slot in slots:
        if isinstance(slot, Column):
            left, right = min(r.left for r in members[slot]) - PAD, max(r.right for r in members[slot]) + PAD
            yield slot, Rect((left + right) / 2, (low + high) / 2 - 10, right - left, high - low + 2 * PAD + 20)


@dataclass(frozen=True, slots=True)
class _Span:
    """The ranks that a net passes, and its height there."""

    first: int
    last: int
    height: float


def _nearest(wish: float, taken: Sequence[tuple[float, float]]) -> float:
    """The value nearest to ``wish`` that lies inside no interval."""
    below = above = wish
    for low, high in sorted(taken):
        if low < above < high:
            above = high
    for low, high in sorted(taken, key=lambda pair: -pair[1]):
        if low < below < high:
            below = low
    return above if above - wish <= wish - below else below


def _ordered(boxes: Iterable[int], feeds: Mapping[int, Sequence[int]]) -> list[int]:
    """Each box after those that feed it; of boxes on a circle the first one first."""
    missing = dict.fromkeys(boxes, 0)
    for targets in feeds.values():
        for b in targets:
            missing[b] += 1
    found: dict[int, None] = {}
    ready = [i for i, count in missing.items() if not count]
    for start in (*ready, *missing):
        pending = [start]
        while pending:
            i = pending.pop()
            if i not in found:
                found[i] = None
                for b in feeds.get(i, ()):
                    missing[b] -= 1
                    if not missing[b]:
                        pending.append(b)
    return list(found)


def _middle(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _spaced(own: Sequence[int], wish: Mapping[int, float], sizes: Mapping[int, Size]) -> dict[int, float]:
    """Heights in this order, as near to the wished ones as the boxes' sizes allow, in whole units."""
    offsets = [0.0]
    for a, b in pairwise(own):
        offsets.append(offsets[-1] + UNIT * math.ceil(((sizes[a][1] + sizes[b][1]) / 2 + BETWEEN) / UNIT))
    blocks: list[tuple[float, int]] = []  # the mean of so many wishes that have to be met together
    for i, offset in zip(own, offsets, strict=True):
        blocks.append((wish[i] - offset, 1))
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            (mean, n), (other, m) = blocks[-2:]
            blocks[-2:] = [((mean * n + other * m) / (n + m), n + m)]
    level = [UNIT * round(mean / UNIT) for mean, count in blocks for _ in range(count)]
    return {i: at + offset for i, at, offset in zip(own, level, offsets, strict=True)}
