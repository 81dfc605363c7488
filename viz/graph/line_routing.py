"""Lines that go around boxes: shortest rectilinear paths with few bends, drawn with rounded corners.

Graphviz routes the edges inside a time step; the edges between steps, the shared weight's line and the lines
into the total loss are routed here, once per kind of edge, and then copied along time.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tinygrad_rnn.tensors import Array

from .cheapest_path import Spot, cheapest

Point = tuple[float, float]
Stretch = tuple[Point, Point]

CLEARANCE = 4.0  #: points a line keeps from a box
LANE = 7.0  #: points between parallel lines
BEND = 14.0  #: what a bend costs, in points of length
TIGHT = 24.0  #: what a bend right before the arrowhead costs
SHARED = 3.0  #: how much longer a stretch seems that another line runs along already
NEAR = 160.0  #: points from its ends where a path may turn between any two boxes
RADIUS = 8.0  #: of rounded corners
ARROW = 7.0  #: length of an arrowhead


class Rect(NamedTuple):
    """A box: its centre and its size, in points; y grows upwards."""

    x: float
    y: float
    w: float
    h: float

    @property
    def left(self) -> float:
        """Smallest x."""
        return self.x - self.w / 2

    @property
    def right(self) -> float:
        """Largest x."""
        return self.x + self.w / 2

    @property
    def bottom(self) -> float:
        """Smallest y."""
        return self.y - self.h / 2

    @property
    def top(self) -> float:
        """Largest y."""
        return self.y + self.h / 2

    def moved(self, dx: float, dy: float = 0.0) -> Rect:
        """The same box elsewhere."""
        return Rect(self.x + dx, self.y + dy, self.w, self.h)


class Port(NamedTuple):
    """A place where a line may leave or enter a box, and the direction in which it then runs."""

    x: float
    y: float
    dx: int
    dy: int
    cost: float = 0.0


def path(
    starts: Sequence[Port],
    ends: Sequence[Port],
    boxes: Sequence[Rect],
    taken: Iterable[Stretch] = (),
    xs: Iterable[float] = (),
    ys: Iterable[float] = (),
    tolls: Mapping[float, float] | None = None,
    shared: float = SHARED,
) -> list[Point]:
    """The cheapest path from one of ``starts`` to one of ``ends`` that keeps clear of ``boxes``.

    ``xs`` and ``ys`` are the lanes it may run in besides those of the ports; ``tolls`` make some of the upright
    lanes dearer; ``taken`` are the stretches other lines use, dearer by ``shared``. A straight line if there is none.
    """
    stub = CLEARANCE + 6
    begin = [(p.x + p.dx * stub, p.y + p.dy * stub) for p in starts]
    finish = [(p.x - p.dx * stub, p.y - p.dy * stub) for p in ends]
    turns: list[tuple[int, int]] = []
    if not _walled_in(begin, boxes) and not _walled_in(finish, boxes):
        columns, rows = _thinned(xs, [x for x, _ in begin + finish]), _thinned(ys, [y for _, y in begin + finish])
        column, row = {x: i for i, x in enumerate(columns)}, {y: j for j, y in enumerate(rows)}
        across, up = _costs(columns, rows, boxes, taken, tolls or {}, shared)
        spots = [
            [Spot(column[x], row[y], (p.dx, p.dy), p.cost) for p, (x, y) in zip(ports, places, strict=True)]
            for ports, places in ((starts, begin), (ends, finish))
        ]
        least = min(abs(x - u) + abs(y - v) for x, y in begin for u, v in finish)
        first, turns, last = cheapest(across, up, *spots, bend=BEND, last=TIGHT, least=least)
    if not turns:
        return [(starts[0].x, starts[0].y), (ends[0].x, ends[0].y)]
    between = [(columns[i], rows[j]) for i, j in turns]
    return _corners([(starts[first].x, starts[first].y), *between, (ends[last].x, ends[last].y)])


def around(
    starts: Sequence[Port],
    ends: Sequence[Port],
    boxes: Sequence[Rect],
    taken: Iterable[Stretch] = (),
    shared: float = SHARED,
) -> list[Point]:
    """A path past all ``boxes``: in lanes between those near its ends, and above or below them all in between."""
    near = [r for r in boxes if any(abs(r.x - p.x) < r.w / 2 + NEAR for p in (*starts, *ends))]
    low, high = min(r.bottom for r in boxes), max(r.top for r in boxes)
    outside = [y for k in range(1, 6) for y in (low - 4 - LANE * k, high + 4 + LANE * k)]
    between, ports = [*lanes(near), *outside], [p.x for p in (*starts, *ends)]
    points = path(starts, ends, boxes, taken, _apart([*beside(near), *ports]), _apart(between), shared=shared)
    if not is_askew(points):
        return points
    closer = [x + side * LANE for x in beside(near) for side in (0, -0.5, 0.5, -1, 1)]
    farther = _apart(beside(boxes))
    return path(starts, ends, boxes, taken, [*closer, *ports, *farther], [*between, *lanes(boxes)], shared=shared)


def _walled_in(spots: Sequence[Point], boxes: Sequence[Rect]) -> bool:
    """Whether each of these is so near to a box that no line may pass there, in whatever lane."""
    return all(
        any(
            r.left - CLEARANCE < x < r.right + CLEARANCE and r.bottom - CLEARANCE < y < r.top + CLEARANCE for r in boxes
        )
        for x, y in spots
    )


def is_askew(points: Sequence[Point]) -> bool:
    """Whether it is the straight line that stands for a path that was not found."""
    return len(points) == 2 and points[0][0] != points[1][0] and points[0][1] != points[1][1]


def _apart(places: Iterable[float]) -> list[float]:
    """The lanes, with one for those that are hardly apart."""
    kept: list[float] = []
    for lane in sorted(places):
        if not kept or lane - kept[-1] >= LANE - 1:
            kept.append(lane)
    return kept


def leaving(r: Rect) -> list[Port]:
    """The ports where a line may leave a box."""
    return _ports(r, r.top, r.right, r.bottom, r.left)


def entering(r: Rect) -> list[Port]:
    """The ports where a line may come into a box."""
    return _ports(r, r.bottom, r.left, r.top, r.right)


def _ports(r: Rect, up: float, right: float, down: float, left: float) -> list[Port]:
    """In the middle of each side and beside it, given where a line that goes up, right, down or left meets the box."""
    return [
        port
        for part, cost in ((0.0, 0.0), (-0.3, 4.0))
        for port in (
            Port(r.x + part * r.w, up, 0, 1, cost),
            Port(right, r.y + part * r.h, 1, 0, cost),
            Port(r.x + part * r.w, down, 0, -1, cost + 20),
            Port(left, r.y + part * r.h, -1, 0, cost + 30),
        )
    ]


def _thinned(others: Iterable[float], needed: Iterable[float]) -> list[float]:
    """All ``needed`` lanes, and of the others those that are not almost the same as another."""
    kept = sorted(set(needed))
    for lane in others:
        k = bisect.bisect(kept, lane)
        if all(abs(lane - other) >= 2.5 for other in kept[max(0, k - 1) : k + 1]):
            kept.insert(k, lane)
    return kept


def _costs(
    xs: Sequence[float],
    ys: Sequence[float],
    boxes: Iterable[Rect],
    taken: Iterable[Stretch],
    dear: Mapping[float, float],
    shared: float,
) -> tuple[Array, Array]:
    """The costs of the stretch from (i, j) to its right, and to its upper neighbour; infinite: a box is in the way."""
    x, y = np.array(xs), np.array(ys)
    across, up = np.repeat(np.diff(x)[:, None], len(y), 1), np.repeat(np.diff(y)[None], len(x), 0)
    crowded_across, crowded_up = np.zeros(across.shape, bool), np.zeros(up.shape, bool)
    ways = np.array([(*a, *b) for a, b in taken]).reshape(-1, 4)
    level, upright = ways[ways[:, 1] == ways[:, 3]], ways[ways[:, 0] == ways[:, 2]]
    for stretch, lane in zip(
        _between_lanes(x, level[:, 0], level[:, 2]), _lanes(y, level[:, 1], level[:, 1], LANE - 1), strict=True
    ):
        crowded_across[stretch, lane] = True
    for lane, stretch in zip(
        _lanes(x, upright[:, 0], upright[:, 0], LANE - 1), _between_lanes(y, upright[:, 1], upright[:, 3]), strict=True
    ):
        crowded_up[lane, stretch] = True
    across *= 1 + shared * crowded_across
    up *= 1 + shared * crowded_up
    up *= np.array([dear.get(lane, 1.0) for lane in xs])[:, None]
    left, right, bottom, top = np.array([(r.left, r.right, r.bottom, r.top) for r in boxes]).reshape(-1, 4).T
    walls = (
        _between_lanes(x, left - CLEARANCE, right + CLEARANCE),
        _lanes(y, bottom, top, CLEARANCE),
        _lanes(x, left, right, CLEARANCE),
        _between_lanes(y, bottom - CLEARANCE, top + CLEARANCE),
    )
    for stretch, lane, upright_lane, upright_stretch in zip(*walls, strict=True):
        across[stretch, lane] = np.inf
        up[upright_lane, upright_stretch] = np.inf
    return across, up


def _lanes(lanes: Array, low: Array, high: Array, room: float) -> Iterator[slice]:
    """Each time the lanes from ``low`` to ``high``, and those that are nearer to them than ``room``."""
    first, last = np.searchsorted(lanes, low - room, "right"), np.searchsorted(lanes, high + room)
    return map(slice, first.tolist(), last.tolist())


def _between_lanes(lanes: Array, a: Array, b: Array) -> Iterator[slice]:
    """Each time the stretches from one lane to the next that have a part of the way from ``a`` to ``b`` inside."""
    first = np.searchsorted(lanes, np.minimum(a, b), "right") - 1
    return map(slice, np.maximum(first, 0).tolist(), np.searchsorted(lanes, np.maximum(a, b)).tolist())


def stretches(points: Sequence[Point]) -> list[Stretch]:
    """The straight pieces of a path."""
    return list(itertools.pairwise(points))


def _corners(points: Sequence[Point]) -> list[Point]:
    """Without the points in the middle of straight stretches."""
    points = [point for k, point in enumerate(points) if not k or point != points[k - 1]]
    kept = [points[0]]
    for before, here, after in zip(points, points[1:], points[2:]):
        straight = (before[0] == here[0] == after[0]) or (before[1] == here[1] == after[1])
        if not straight:
            kept.append(here)
    return [*kept, points[-1]]


def spline(points: Sequence[Point], arrow: float = ARROW) -> str:
    """A path as Graphviz's ``pos``: straight stretches and rounded corners, an arrowhead ``arrow`` long at its end."""
    *_, before, end = points
    length = max(abs(end[0] - before[0]) + abs(end[1] - before[1]), 1e-6)
    if before[0] != end[0] and before[1] != end[1]:
        length = ((end[0] - before[0]) ** 2 + (end[1] - before[1]) ** 2) ** 0.5
    cut = min(arrow, 0.8 * length)
    tip = (end[0] - (end[0] - before[0]) * cut / length, end[1] - (end[1] - before[1]) * cut / length)
    line = [*points[:-1], tip]
    curve = [line[0]]
    for k in range(1, len(line)):
        start, stop = curve[-1], line[k]
        if k + 1 < len(line):
            arrive, leave = _toward(stop, line[k - 1]), _toward(stop, line[k + 1])
            curve += [_between(start, arrive, 1 / 3), _between(start, arrive, 2 / 3), arrive]
            curve += [_between(arrive, stop, 0.55), _between(leave, stop, 0.55), leave]
        else:
            curve += [_between(start, stop, 1 / 3), _between(start, stop, 2 / 3), stop]
    head = f"e,{_xy(end)} " if arrow else ""
    return head + " ".join(map(_xy, curve))


def _toward(corner: Point, other: Point) -> Point:
    """The point where rounding the corner begins, at most halfway to the other end of the stretch."""
    length = abs(other[0] - corner[0]) + abs(other[1] - corner[1]) or 1.0
    return _between(corner, other, min(RADIUS, length / 2) / length)


def _between(a: Point, b: Point, part: float) -> Point:
    return a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part


def _xy(point: Point) -> str:
    return f"{point[0]:.2f},{point[1]:.2f}"


def lanes(boxes: Sequence[Rect]) -> list[float]:
    """Heights at which a horizontal line passes between the rows, and above and below them all."""
    bands = sorted((r.bottom - CLEARANCE, r.top + CLEARANCE) for r in boxes)
    found = [bands[0][0] - LANE * k for k in range(1, 4)]
    reach = bands[0][1]
    for bottom, top in bands[1:]:
        if bottom > reach:
            found += spread(reach, bottom)
        reach = max(reach, top)
    return found + [reach + LANE * k for k in range(1, 4)]


def spread(a: float, b: float) -> list[float]:
    """As many lanes as fit between ``a`` and ``b``, in the middle."""
    low, high = min(a, b), max(a, b)
    count = max(1, min(5, int((high - low) / LANE)))
    middle = (low + high) / 2
    return [middle + LANE * (k - (count - 1) / 2) for k in range(count)]


def beside(boxes: Sequence[Rect]) -> list[float]:
    """The place where an upright line passes a box."""
    return [x for r in boxes for x in (r.left - 10, r.right + 10)]
