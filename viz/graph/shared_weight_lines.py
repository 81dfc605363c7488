"""Boxes that feed all steps, or are fed by all of them: a shared weight, the total loss, and their gradients.

Such a box stands beside the steps; a single line runs along them, with a branch for each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

from .detail_levels import Edge
from .line_routing import LANE, Point, Port, Rect, around, entering, leaving, spline
from .placement import BUS, Line, Places
from .time_step_tile import ROW_GAP

STRIP = 100.0  #: in points
ROOM = 2 * LANE + 2  #: between boxes away from the steps: a line has to come in and out between them


class Buses:
    """Places those boxes and draws their lines; one use each, after all other boxes are placed."""

    def __init__(self, places: Places) -> None:
        self.places, self.boxes, self.edges = places, places.boxes, places.edges
        self.layout, self.rects = places.layout, places.layout.rects
        self.above: dict[tuple[float, object], int] = defaultdict(int)  # lines above a row
        self.standing: dict[int, list[Rect]] = defaultdict(list)  # by where along time, in strips
        for rect in self._in_the_way():
            self._stand(rect)

    def _in_the_way(self) -> list[Rect]:
        """All boxes but bars, and where steps are left out: no line turns there but those of the steps beside it."""
        boxes = [rect for i, rect in self.rects.items() if i not in self.places.bars]
        high = self.places.top - self.places.bottom
        return boxes + [Rect(r.x, self.places.bottom + high / 2, r.w, high) for _, r in self.layout.gaps]

    def _clear(self, rect: Rect, side: int, beside: float, above: float) -> Rect:
        """The rectangle, moved outwards until it keeps such distances from all others."""
        while any(
            abs(rect.y - r.y) < (rect.h + r.h) / 2 + above and abs(rect.x - r.x) < (rect.w + r.w) / 2 + beside
            for r in self.rects.values()
        ):
            rect = rect.moved(6 * side)
        return rect

    def _stand(self, rect: Rect) -> None:
        for strip in range(int(rect.left // STRIP), int(rect.right // STRIP) + 1):
            self.standing[strip].append(rect)

    def out(self) -> None:
        """One box that feeds every step: a line below the row it feeds, with a branch up into each box."""
        rows: dict[tuple[float, object], float] = defaultdict(float)
        for i in self.places.sources:
            targets = [
                (n, e)
                for n, e in enumerate(self.edges)
                if e.source == i and e.target in self.rects and self.boxes[e.target].column
            ]
            if not targets:
                continue
            first = min((self.rects[e.target] for _, e in targets), key=lambda r: r.x)
            floor = self.places.row(first)[0]
            lane = (floor, self._segments(e.target for _, e in targets))
            w, h = self.places.sizes[i]
            y = floor - BUS - rows[lane]
            rows[lane] += max(LANE, h / 2 + 5)  # its line may not run through the box before
            start = min(self.places.x[c] for _, e in targets if (c := self.boxes[e.target].column) is not None)
            side = 1 if self.boxes[i].key[0] == "∂" else -1
            x = (self.places.right if side > 0 else start) + side * (self.places.pad + 22 + w / 2)
            rect = Rect(x, y, w, h)
            room = ROOM if any(e.target == i for e in self.edges) else 6
            rect = self.rects[i] = self._clear(rect, side, room, 6)
            self._stand(rect)
            for n, e in targets:
                r = self.rects[e.target]
                at = r.x - 0.3 * r.w if self.boxes[i].kind == "parameter" else r.x
                begin, corner = (rect.x - side * rect.w / 2, y), (at, y)
                points = [begin, corner, (at, r.bottom)]
                if self._between(r, corner) or r.bottom < y:
                    points = self._around(Port(*begin, -side, 0), Port(r.x + side * r.w / 2, r.y, -side, 0))
                self.layout.lines.append(Line(n, spline(points), i, e.target))
        self._chain([i for i in self.places.sources if i not in self.rects], before=True)

    def _chain(self, waiting: list[int], *, before: bool) -> None:
        """Boxes further from the steps, each beside the one it feeds (or is fed by)."""
        ends = [(e.source, e.target) if before else (e.target, e.source) for e in self.edges]
        last = [pair for pair in ends if before or pair[1] not in self.places.sources]  # not beside the first of all
        for near in (last, ends) * (len(waiting) + 1):
            for new, old in near:
                if new in waiting and new not in self.rects and old in self.rects:
                    anchor = self.rects[old]
                    w, h = self.places.sizes[new]
                    step = (anchor.w + w) / 2 + 26
                    left = before != (self.boxes[new].key[0] == "∂")
                    rect = Rect(anchor.x + (-step if left else step), anchor.y, w, h)
                    while any(
                        abs(rect.y - r.y) < (rect.h + r.h) / 2 + ROOM and abs(rect.x - r.x) < (rect.w + r.w) / 2 + ROOM
                        for r in self.rects.values()
                    ):
                        rect = rect.moved(0, -6)
                    self.rects[new] = rect
                    self._stand(rect)
        loose = set(waiting)
        for n, e in enumerate(self.edges):
            if (e.source if before else e.target) in loose and e.source in self.rects and e.target in self.rects:
                a, b = self.rects[e.source], self.rects[e.target]
                sign = 1 if a.x < b.x else -1
                start, stop = a.x + sign * a.w / 2, b.x - sign * b.w / 2
                if a.y == b.y:
                    points = [(start, a.y), (stop, b.y)]
                else:
                    points = self._around(Port(start, a.y, sign, 0), Port(stop, b.y, sign, 0))
                self.layout.lines.append(Line(n, spline(points), e.source, e.target))

    def into(self) -> None:
        """Values of all steps gathered into one box: a line above their row that ends in it, after the last step."""
        rows = self.above
        waiting: list[int] = []
        for i in self.places.sinks:
            fed = [
                (n, e)
                for n, e in enumerate(self.edges)
                if e.target == i and e.source in self.rects and self.boxes[e.source].column
            ]
            if not fed:
                waiting.append(i)
                continue
            highest = max((self.rects[e.source] for _, e in fed), key=lambda r: r.y)
            ceiling = self.places.row(highest)[1]
            lane = (ceiling, self._segments(e.source for _, e in fed))
            y = ceiling + 18 + LANE * rows[lane]
            rows[lane] += 1
            w, h = self.places.sizes[i]
            back = self.boxes[i].key[0] == "∂"
            side = -1 if back else 1
            start = min(self.places.x[c] for _, e in fed if (c := self.boxes[e.source].column) is not None)
            rect = Rect((start if back else self.places.right) + side * (self.places.pad + 26 + w / 2), y, w, h)
            room = ROOM if any(e.source == i for e in self.edges) else 4  # what it feeds has to be reached
            rect = self.rects[i] = self._clear(rect, side, room, 4)
            self._stand(rect)
            for n, e in fed:
                r = self.rects[e.source]
                at = r.x - 0.3 * r.w if back else r.x
                corner, end = (at, y), (rect.x - side * rect.w / 2, y)
                points = [(at, r.top), corner, end]
                if self._between(r, corner):
                    points = self._around(Port(r.x + side * r.w / 2, r.y, side, 0), Port(*end, side, 0))
                self.layout.lines.append(Line(n, spline(points), e.source, i))
        self._chain(waiting, before=False)
        self._chain([i for i in self.places.sources if i not in self.rects], before=True)

    def rest(self) -> None:
        """The lines that nothing else has drawn, such as from what feeds all steps to what they feed."""
        drawn = {line.edge for line in self.layout.lines}
        for n, e in enumerate(self.edges):
            if n not in drawn and e.source in self.rects and e.target in self.rects:
                points = around(leaving(self.rects[e.source]), entering(self.rects[e.target]), self._in_the_way())
                self.layout.lines.append(Line(n, spline(points), e.source, e.target))

    def between(self) -> None:
        """Place what one pass leaves for a later one: a box between them, filled from above, read from below.

        Its gradient stands where it does, upside down, and its lines run the other way round.
        """
        places, rim = self.places, dict[tuple[int, bool], float]()
        for i, segment in sorted(places.between.items()):
            w, h = places.sizes[i]
            back = self.boxes[i].key[0] == "∂"
            up = 1 if back else -1
            earlier = [x for x in places.x if x.segment < segment]
            end = max(places.x[c] + places.tiles[c.segment].width for c in earlier) + places.pad
            done = [
                r
                for j, r in self.rects.items()
                if places.between.get(j) == segment and (self.boxes[j].key[0] == "∂") == back
            ]
            cells = [r for k, r in places.tiles[segment].boxes.items() if (k[0] == "∂") == back and k[back] != "x"]
            edge = max(r.top for r in cells) if back else min(r.bottom for r in cells)
            # its line passes between the note of the weights and the inputs
            y = rim.get((segment, back), edge + up * (ROW_GAP - 6.5 - h / 2 - 3)) + up * (h / 2 + 3)
            rim[segment, back] = y + up * (h / 2 + 3)
            x = max([end, *(r.right for r in done)]) + 26 + w / 2
            self.rects[i] = Rect(x, y, w, h)
            self._stand(self.rects[i])
        for n, e in enumerate(self.edges):
            if e.source in self.rects and e.target in self.rects and {e.source, e.target} & places.between.keys():
                self._draw(n, self._handing_over(e))

    def _handing_over(self, e: Edge) -> list[Point]:
        """The way of a line into, out of, or from one to another of the boxes between two passes."""
        back = self.boxes[e.source].key[0] == "∂"
        made, read = (e.target, e.source) if back else (e.source, e.target)
        a, b = self.rects[made], self.rects[read]
        if made in self.places.between and read in self.places.between:
            points = [(a.x, a.top if back else a.bottom), (a.x, b.y), (b.left, b.y)]
        elif read in self.places.between:
            rim = self.places.row(a)[0 if back else 1]
            y = rim - 18 if back else rim + 18
            self.above[rim, self._segments([made])] = 1
            points = [(a.x, a.bottom if back else a.top), (a.x, y), (b.x, y), (b.x, b.bottom if back else b.top)]
        else:
            at = b.x + 0.3 * b.w
            points = [(a.right, a.y), (at, a.y), (at, b.top if back else b.bottom)]
        return points[::-1] if back else points

    def _draw(self, edge: int, points: list[Point]) -> None:
        """A line as it usually runs, or around what stands in its way."""
        e = self.edges[edge]
        a, b = self.rects[e.source], self.rects[e.target]
        if any(self._blocked(start, stop, (a, b)) for start, stop in pairwise(points)):
            points = around(leaving(a), entering(b), self._in_the_way())
        self.layout.lines.append(Line(edge, spline(points), e.source, e.target))

    def _blocked(self, start: Point, stop: Point, ends: tuple[Rect, Rect]) -> bool:
        """Whether a box stands on the straight line between two points."""
        (x, y), (u, v) = start, stop
        return any(
            r not in ends and r.left < max(x, u) and r.right > min(x, u) and r.bottom < max(y, v) and r.top > min(y, v)
            for strip in range(int(min(x, u) // STRIP), int(max(x, u) // STRIP) + 1)
            for r in self.standing[strip]
        )

    def _between(self, rect: Rect, corner: Point) -> bool:
        """Whether a box stands on the upright line from ``rect`` to ``corner``."""
        low, high = sorted((rect.y, corner[1]))
        others = (r for r in self.standing[int(corner[0] // STRIP)] if r != rect)
        return any(r.left < corner[0] < r.right and r.bottom < high and r.top > low for r in others)

    def _around(self, start: Port, end: Port) -> list[Point]:
        """A way around all boxes, where the usual one is blocked."""
        return around([start], [end], self._in_the_way())

    def _segments(self, boxes: Iterable[int]) -> frozenset[int]:
        """The passes over a sequence these boxes are in: lines of different passes do not get in each other's way."""
        return frozenset(column.segment for i in boxes if (column := self.boxes[i].column) is not None)
