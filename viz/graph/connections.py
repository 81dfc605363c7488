"""The lines between boxes: inside a step as the tile has them, between steps routed once and copied along time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from tinygrad_rnn.progress import followed

from .detail_levels import Edge
from .line_routing import ARROW, LANE, Point, Port, Rect, Stretch, beside, lanes, path, spline, spread, stretches
from .placement import BUS, HIGHWAY, Line, Places
from .time_columns import Column, Key
from .time_step_tile import Tile, Wire


class Wiring:
    """Draws the lines of a level whose boxes have their places; one use each."""

    def __init__(self, places: Places) -> None:
        self.places, self.boxes, self.edges = places, places.boxes, places.edges
        self.layout, self.rects, self.x = places.layout, places.layout.rects, places.x
        #: where lines run already, by the tile they are in (a pass, or two steps of it) and where they begin
        self.taken: dict[tuple[object, Key], list[Stretch]] = defaultdict(list)
        self.routes: dict[object, list[Point]] = {}
        self.sources = set(places.sources)

    def in_steps(self) -> None:
        """The lines inside the steps, and between bars."""
        for column, edges in self.places.edges_at.items():
            if column not in self.x:
                continue
            tile = self.places.tiles[column.segment]
            seen: dict[tuple[Key, Key], int] = defaultdict(int)
            for i in edges:
                e = self.edges[i]
                ends = self.boxes[e.source].key, self.boxes[e.target].key
                wire = (*ends, seen[ends])
                seen[ends] += 1
                straight = self._into_bar(e, column)
                if straight:
                    pos = spline(straight)
                elif self.places.is_grid:
                    pos = _moved(self._route_in_grid(column.segment, ends), self.x[column])
                else:
                    pos = curve(tile, wire, self.x[column])
                self.layout.lines.append(Line(i, pos, e.source, e.target))
        bars = set(self.places.bars)
        for i, e in enumerate(self.edges):
            if e.source in bars and e.target in bars and e.source in self.rects and e.target in self.rects:
                a, b = self.rects[e.source], self.rects[e.target]
                self.layout.lines.append(Line(i, spline([(a.x, a.top), (a.x, b.bottom)]), e.source, e.target))

    def _into_bar(self, e: Edge, column: Column) -> list[Point]:
        """An upright line to or from a bar, if nothing stands in its way."""
        a, b = self.rects[e.source], self.rects[e.target]
        bars = self.places.bars
        if (e.source in bars) == (e.target in bars):
            return []
        x = b.x if e.source in bars else a.x
        between = [
            r for r in self._tile_rects(column) if r.left < x < r.right and a.top <= r.bottom and r.top <= b.bottom
        ]
        return [] if between else [(x, a.top), (x, b.bottom)]

    def _route_in_grid(self, segment: int, ends: tuple[Key, Key]) -> list[Point]:
        if (segment, ends) not in self.routes:
            tile = self.places.tiles[segment]
            a, b = tile.boxes[ends[0]], tile.boxes[ends[1]]
            others = [r for k, r in tile.boxes.items() if k not in ends]
            if a.y == b.y:
                sign = 1 if a.x < b.x else -1
                points = [(a.x + sign * a.w / 2, a.y), (b.x - sign * b.w / 2, b.y)]
            else:
                up = 1 if a.y < b.y else -1
                shift = 0.22 * b.w if abs(a.x - b.x) > 1 else 0.0
                toward = shift if a.x > b.x else -shift
                starts = [Port(a.x, a.y + up * a.h / 2, 0, up)]
                stops = [Port(b.x + d, b.y - up * b.h / 2, 0, up, c) for d, c in ((toward, 0.0), (-toward, 6.0))]
                obstacles = [*others, a, b]
                xs = [*beside(obstacles), a.x, b.x]
                others_lines = [*self._others_lines(segment, ends[0]), *self._buses(segment)]
                points = path(starts, stops, obstacles, others_lines, xs, lanes(obstacles))
                self.taken[segment, ends[0]] += stretches(points)
            self.routes[segment, ends] = points
        return self.routes[segment, ends]

    def _buses(self, segment: int) -> list[Stretch]:
        """Heights of the lines that feed all steps: below the row they feed, across the whole step."""
        tile = self.places.tiles[segment]
        found = []
        for e in self.edges:
            key = self.boxes[e.target].key
            if e.source in self.sources and key in tile.boxes:
                y = self.places.floor(tile.boxes[key]) - BUS
                found.append(((0.0, y), (tile.width, y)))
        return list(dict.fromkeys(found))

    def between_steps(self) -> None:
        """The lines from one step to another, from initial states, and into and out of the steps left out."""
        placed = sorted(self.x)
        gap_after = {}
        for n, (gap, _) in enumerate(self.layout.gaps):
            earlier = [c for c in placed if c.segment == gap.segment]
            gap_after[max(c for c in earlier if self.x[c] < self.layout.gaps[n][1].x)] = n
        done: set[object] = set()
        for i, e in followed(enumerate(self.edges), "leading lines", len(self.edges)):
            a, b = self.boxes[e.source], self.boxes[e.target]
            made = b.before and not a.before and a.column is not None  # of an earlier pass
            if (a.before or made) and e.source in self.rects and e.target in self.rects:
                points = self._route(self.rects[e.source], e, self.rects[e.target])
                self.layout.lines.append(Line(i, spline(points), e.source, e.target))
            if a.column is None or b.column is None or a.column == b.column:
                continue
            if a.column in self.x and b.column in self.x:
                dx = self.x[a.column]
                key = (a.key, b.key, self.x[b.column] - dx)
                if key not in self.routes:
                    route = self._route(self.rects[e.source], e, self.rects[e.target], (a.column, b.column))
                    self.routes[key] = [(x - dx, y) for x, y in route]
                self.layout.lines.append(Line(i, _moved(self.routes[key], dx), e.source, e.target))
            else:
                self._stub(i, e, gap_after, done)

    def _stub(self, i: int, e: Edge, gap_after: Mapping[Column, int], done: set[object]) -> None:
        """A line that leads into, or out of, the steps left out."""
        a, b = self.boxes[e.source], self.boxes[e.target]
        assert a.column is not None and b.column is not None
        outside = a.column if a.column in self.x else b.column
        if outside not in self.x or abs(a.column.step - b.column.step) != 1:
            return
        for left, n in gap_after.items():
            right = min(c for c in self.x if self.x[c] > self.x[left])
            if outside not in (left, right):
                continue
            forward = a.column.step < b.column.step
            ends = (a.key, left if forward else right), (b.key, right if forward else left)
            if ends[0] not in self.places.of or ends[1] not in self.places.of:
                continue
            source, target = (self.rects[self.places.of[end]] for end in ends)
            key = (a.key, b.key, "gap", n)
            if key not in self.routes:
                between = (left, right) if forward else (right, left)
                self.routes[key] = self._route(source, e, target, between, near_source=True)
            gap = self.layout.gaps[n][1]
            first, second = _cut(self.routes[key], gap.left, gap.right)
            leaving = a.column in self.x
            points = first if leaving else second
            if len(points) > 1 and (key, leaving) not in done:
                done.add((key, leaving))
                start, stop = (e.source, None) if leaving else (None, e.target)
                drawn = spline(points, arrow=0 if leaving else ARROW)
                self.layout.lines.append(Line(i, drawn, start, stop, gap=n, arrow=not leaving))

    def _tile_rects(self, column: Column) -> list[Rect]:
        return [self.rects[i] for i in self.places.in_column[column]]

    def _route(
        self, a: Rect, e: Edge, b: Rect, columns: tuple[Column, Column] | None = None, *, near_source: bool = False
    ) -> list[Point]:
        """A line from one step to another, or from an initial state to its step."""
        source, target = self.boxes[e.source], self.boxes[e.target]
        sign = 1 if a.x < b.x else -1
        if columns is None:
            states = [self.rects[i] for i in self.places.before if i in self.rects]
            around, base, distance = (states, states), 0.0, 0.0
            if target.column is not None:
                around = states, self._tile_rects(target.column)
            elif source.column is not None:
                around = self._tile_rects(source.column), states
        else:  # two steps at this distance are wired like any others
            around = self._tile_rects(columns[0]), self._tile_rects(columns[1])
            base = min(self.x[c] for c in columns)
            distance = round(abs(self.x[columns[0]] - self.x[columns[1]]), 1)
        beside_steps = [self.rects[i] for i in self.places.sources if source.before and i in self.rects]
        obstacles = [*around[0], *around[1], *beside_steps]
        strip = ("between", distance, *(column.segment for column in columns or ()))
        edge_of = max if sign > 0 else min
        rim = edge_of(r.right if sign > 0 else r.left for r in around[0])
        far = (min if sign > 0 else max)(r.left if sign > 0 else r.right for r in around[1])
        pad = self.places.pad * sign
        gutter = [rim + pad + sign * (6 + LANE * k) for k in range(5)] if near_source else spread(rim + pad, far - pad)
        cells = ("cell", "backward")
        if target.kind in cells and (source.kind in cells or (source.before and e.kind == "c")):
            starts = [Port(a.x + sign * a.w / 2, a.top - HIGHWAY if source.kind in cells else a.y, sign, 0)]
            stops = [Port(b.x - sign * b.w / 2, b.top - HIGHWAY, sign, 0)]
        else:
            up = 1 if b.y > a.y else -1
            starts = [
                Port(a.x + sign * a.w / 2, a.y, sign, 0),
                Port(a.x + sign * a.w * 0.3, a.top, 0, 1, 18),
                Port(a.x + sign * a.w * 0.3, a.bottom, 0, -1, 18),
            ]
            stops = [
                Port(b.x - sign * b.w / 2, b.y, sign, 0),
                Port(b.x - sign * b.w * 0.3, b.bottom, 0, 1, 12 if up > 0 else 30),
                Port(b.x - sign * b.w * 0.3, b.top, 0, -1, 60),
            ]
        as_input = e.kind == "feedback" and target.kind == "cell"
        if as_input:  # it comes in where an input would, from below the line of the weights
            stops = [Port(b.x, b.bottom - 2 * LANE, 0, 1)]
        xs = [*gutter, *beside(obstacles)]
        middle = (rim + far) / 2
        tolls = dict.fromkeys(xs, 1.6) | {x: 1 + abs(x - middle) * 0.002 for x in gutter}
        others = [  # the pairs of steps before and after this one have the same lines
            ((p + base + dx, q), (u + base + dx, v))
            for (p, q), (u, v) in self._others_lines(strip, source.key)
            for dx in {-distance, 0.0, distance}
        ]
        points = path(starts, stops, obstacles, others, xs, [*lanes(obstacles), a.y, b.y], tolls)
        self.taken[strip, source.key] += stretches([(x - base, y) for x, y in points])
        return [*points[:-1], (b.x, b.bottom)] if as_input else points

    def _others_lines(self, tile: object, source: Key) -> list[Stretch]:
        """The ways of lines from other boxes: two lines of one box may share their way, others keep apart."""
        return [stretch for (t, key), known in self.taken.items() if t == tile and key != source for stretch in known]


def _moved(points: Sequence[Point], dx: float) -> str:
    return spline([(x + dx, y) for x, y in points])


def curve(tile: Tile, wire: Wire, dx: float = 0.0) -> str:
    """The curve that dot drew, as ``pos``, moved along time."""
    tip = tile.tips[wire]
    points = " ".join(f"{x + dx:.2f},{y:.2f}" for x, y in tile.curves[wire])
    return f"e,{tip[0] + dx:.2f},{tip[1]:.2f} {points}"


def _cut(points: Sequence[Point], left: float, right: float) -> tuple[list[Point], list[Point]]:
    """The parts of a path before it enters, and after it leaves, the strip between two heights of x."""
    inside = [
        k
        for k in range(len(points) - 1)
        if min(points[k][0], points[k + 1][0]) < right and max(points[k][0], points[k + 1][0]) > left
    ]
    if not inside:
        return list(points), []
    forward = points[0][0] < points[-1][0]
    near, far = (left, right) if forward else (right, left)
    first = [*points[: inside[0] + 1], (near, points[inside[0]][1])]
    second = [(far, points[inside[-1] + 1][1]), *points[inside[-1] + 1 :]]
    return first, second
