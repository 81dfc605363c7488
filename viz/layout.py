"""From a level of detail to coordinates: one tile, copied along time; the lines between steps routed once.

Time runs from left to right. What belongs to no step stands where it is used: initial states before the first
step, a shared weight below the row it feeds, the total loss after the last step, and what gathers values of all
steps and hands them out again is a bar across them.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from . import tile as T
from .columns import Column, Key
from .levels import Box, Edge, Level
from .route import ARROW, LANE, Point, Port, Rect, Stretch, path, spline, stretches

GUTTER = 40.0
PAD = 12.0  #: between a step's boxes and its frame
HIGHWAY = 11.0  #: how far below a cell's top the cell state's line enters and leaves
GAP_WIDTH = 110.0  #: room for "× 994 steps"


class Gap(NamedTuple):
    """Steps left out."""

    segment: int
    steps: int


@dataclass(slots=True)
class Line:
    """A drawn edge: between two boxes, or between a box and the place where steps were left out."""

    edge: int
    pos: str
    source: int | None
    target: int | None
    gap: int = -1
    arrow: bool = True
    label: str = ""
    label_at: Point = (0.0, 0.0)


@dataclass(slots=True)
class Layout:
    """Everything's place, in points."""

    rects: dict[int, Rect] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    frames: list[tuple[Column, Rect]] = field(default_factory=list)
    gaps: list[tuple[Gap, Rect]] = field(default_factory=list)


def shown_columns(columns: Sequence[Column], max_steps: int | None) -> list[Column | Gap]:
    """Of each pass over a sequence at most ``max_steps`` steps, the middle left out."""
    result: list[Column | Gap] = []
    for segment in sorted({c.segment for c in columns}):
        own = sorted(c for c in columns if c.segment == segment)
        if max_steps is None or len(own) <= max_steps:
            result += own
            continue
        head = (max_steps + 1) // 2
        result += [*own[:head], Gap(segment, len(own) - max_steps), *own[len(own) - (max_steps - head) :]]
    return result


class Composer:
    """Builds a `Layout`; one use each."""

    def __init__(
        self, level: Level, sizes: Sequence[T.Size], *, max_steps: int | None,
        dot: str | Path | None = None, timeout: float | None = None,
    ) -> None:  # fmt: skip
        self.level, self.sizes = level, sizes
        self.boxes, self.edges = level.boxes, level.edges
        self.engine = {"dot": dot, "timeout": timeout}
        self.slots = shown_columns(level.columns, max_steps)
        self.visible = {slot for slot in self.slots if isinstance(slot, Column)}
        self.is_grid = level.detail == "cell" and any(box.kind == "cell" for box in self.boxes)
        self.framed = not self.is_grid
        self.layout = Layout()
        self.taken: dict[object, list[Stretch]] = defaultdict(list)
        self.routes: dict[object, list[Point]] = {}

    def compose(self) -> Layout:
        """Place the boxes, then draw the lines."""
        if not self.slots:
            self._timeless()
            return self.layout
        self._sort_stepless()
        self._make_tiles()
        self._place_columns()
        self._place_bars()
        self._place_before()
        self._lines_in_steps()
        self._lines_between_steps()
        self._fan_out()
        self._fan_in()
        return self.layout

    # Without time ----------------------------------------------------------------------------------------

    def _timeless(self) -> None:
        sizes = {(i,): size for i, size in enumerate(self.sizes)}
        wires = _numbered([((e.source,), (e.target,)) for e in self.edges])
        back = {
            wire for wire, e in zip(wires, self.edges) if e.kind == "gradient" and self.boxes[e.source].key[0] == "∂"
        }
        laid = T.by_dot(sizes, wires, [], [], rankdir="LR", against=back, **self.engine)  # type: ignore[arg-type]
        for key, rect in laid.boxes.items():
            self.layout.rects[key[0]] = rect
        for edge, wire in enumerate(wires):
            self.layout.lines.append(Line(edge, _curve(laid, wire, 0, 0), wire[0][0], wire[1][0]))

    # Boxes -----------------------------------------------------------------------------------------------

    def _sort_stepless(self) -> None:
        """Boxes without a step: sources feed the steps, sinks are fed by them, bars both."""
        after, before = self._reached(forward=True), self._reached(forward=False)
        stepless = [i for i, box in enumerate(self.boxes) if box.column is None]
        self.before = [i for i in stepless if self.boxes[i].before]
        rest = [i for i in stepless if not self.boxes[i].before]
        self.bars = [i for i in rest if i in after and i in before]
        self.sinks = [i for i in rest if i in after and i not in before]
        self.sources = [i for i in rest if i not in after]

    def _reached(self, *, forward: bool) -> set[int]:
        """Stepless boxes that boxes in steps lead to (or that lead to such boxes)."""
        following: dict[int, list[int]] = defaultdict(list)
        pending: list[int] = []
        for e in self.edges:
            start, end = (e.source, e.target) if forward else (e.target, e.source)
            if self.boxes[end].column is None:
                if self.boxes[start].column is None:
                    following[start].append(end)
                else:
                    pending.append(end)
        reached: set[int] = set()
        while pending:
            i = pending.pop()
            if i not in reached:
                reached.add(i)
                pending += following[i]
        return reached

    def _make_tiles(self) -> None:
        self.tiles: dict[int, T.Tile] = {}
        self.of: dict[tuple[Key, Column], int] = {}
        sizes: dict[int, dict[Key, T.Size]] = defaultdict(dict)
        for i, box in enumerate(self.boxes):
            if box.column is None:
                continue
            self.of[box.key, box.column] = i
            if box.column in self.visible:
                w, h = sizes[box.column.segment].get(box.key, (0.0, 0.0))
                sizes[box.column.segment][box.key] = (max(w, self.sizes[i][0]), max(h, self.sizes[i][1]))
        wires = self._wires()
        if self.is_grid and any(e.kind == "c" for e in self.edges):  # the cell state's line passes above the state
            for own in sizes.values():
                tall = max(h for key, (_, h) in own.items() if key[0] == "state")
                high = max(tall + 46, min(2 * tall + 38, 92))
                own.update({key: (w, max(h, high)) for key, (w, h) in own.items() if key[0] == "cell"})
        if self.is_grid:
            union = {key: size for some in sizes.values() for key, size in some.items()}
            for some in sizes.values():
                for key, (w, h) in some.items():
                    union[key] = (max(w, union[key][0]), max(h, union[key][1]))
            shared = T.grid(union, self._grid_places(union, wires))
            self.tiles = {s: T.Tile({k: r for k, r in shared.boxes.items() if k in sizes[s]}) for s in sizes}
            return
        for segment, own in sizes.items():
            bars = [self.boxes[i].key for i in self.bars if any(self.boxes[i].key in w[:2] for w in wires[segment])]
            own.update({self.boxes[i].key: (30.0, 22.0) for i in self.bars if self.boxes[i].key in bars})
            self.tiles[segment] = T.by_dot(own, wires[segment], bars, self._carried(segment), **self.engine)  # type: ignore[arg-type]
        self._align()

    def _carried(self, segment: int) -> list[tuple[Key, Key]]:
        """The kinds of edges that lead from one step of a pass to another."""
        found: dict[tuple[Key, Key], None] = {}
        for e in self.edges:
            a, b = self.boxes[e.source], self.boxes[e.target]
            if a.column and b.column and a.column != b.column and a.column.segment == b.column.segment == segment:
                found[(a.key, b.key) if a.column < b.column else (b.key, a.key)] = None
        return list(found)

    def _wires(self) -> dict[int, list[T.Wire]]:
        """Per pass, the edges inside a step, over all shown steps."""
        counts: dict[int, dict[tuple[Key, Key], int]] = defaultdict(dict)
        for column in sorted(self.visible):
            here: dict[tuple[Key, Key], int] = defaultdict(int)
            for edge in self._edges_at.get(column, []):
                a, b = self.boxes[self.edges[edge].source], self.boxes[self.edges[edge].target]
                here[a.key, b.key] += 1
            for ends, count in here.items():
                known = counts[column.segment]
                known[ends] = max(count, known.get(ends, 0))
        bars = {i: self.boxes[i].key for i in self.bars}
        for e in self.edges:
            if e.source in bars and e.target in bars:
                for known in counts.values():
                    known[bars[e.source], bars[e.target]] = 1
        return {s: [(*ends, n) for ends, count in known.items() for n in range(count)] for s, known in counts.items()}

    @property
    def _edges_at(self) -> dict[Column, list[int]]:
        """The edges inside each step, those from and to bars included."""
        if not hasattr(self, "_edges_in_steps"):
            bars = set(self.bars)
            found: dict[Column, list[int]] = defaultdict(list)
            for i, e in enumerate(self.edges):
                a, b = self.boxes[e.source].column, self.boxes[e.target].column
                if a is not None and (a == b or e.target in bars):
                    found[a].append(i)
                elif b is not None and e.source in bars:
                    found[b].append(i)
            self._edges_in_steps = dict(found)
        return self._edges_in_steps

    def _grid_places(
        self, sizes: Mapping[Key, T.Size], wires: Mapping[int, Sequence[T.Wire]]
    ) -> dict[Key, tuple[int, int]]:
        """Rows as `_forward_places` has them, and above them, upside down, those of the gradients."""
        forward = {key: size for key, size in sizes.items() if key[0] != "∂"}
        ways = {s: [w for w in ws if w[0] in forward and w[1] in forward] for s, ws in wires.items()}
        places = self._forward_places(forward, ways)
        top = max(row for row, _ in places.values())
        image = {key: places[key[1:]] for key in sizes if key[0] == "∂"}
        return places | {key: (2 * top + 2 - row, column) for key, (row, column) in image.items()}

    def _forward_places(
        self, sizes: Mapping[Key, T.Size], wires: Mapping[int, Sequence[T.Wire]]
    ) -> dict[Key, tuple[int, int]]:
        """Rows by what feeds what; the cells of one layer in one row, each with its state beside it."""
        rows = dict.fromkeys(sizes, 0)
        order = {path: k for k, path in enumerate(self.level.recurrent)}
        segment_of = {key: s for s, ws in wires.items() for w in ws for key in w[:2]}
        cells = sorted((key for key in sizes if key[0] == "cell"), key=lambda key: order[key[1]])
        backward = any(key[0] == "cell" and key[1] and key[1][-1].endswith("_reverse") for key in cells)
        flat = [w for ws in wires.values() for w in ws]
        for _ in range(len(rows)):
            for tail, head, _n in flat:
                beside = tail[0] == "cell" and head[0] == "state" and head[2] == tail[1]
                rows[head] = max(rows[head], rows[tail] + (0 if beside else 1))
            for key in cells:
                rows[key] = max(rows[key], 1)
            for below, above in itertools.pairwise(cells):
                if segment_of.get(below) == segment_of.get(above):
                    rows[above] = max(rows[above], rows[below] + 1)
        top = max((rows[key] for key in cells), default=0)
        places: dict[Key, tuple[int, int]] = {}
        taken: set[tuple[int | None, int, int]] = set()
        for key in sorted(sizes, key=lambda key: (rows[key], list(sizes).index(key))):
            row = rows[key]
            column = 0
            if key[0] == "state":
                column = -1 if key[2] and key[2][-1].endswith("_reverse") else 1
            elif row > top:
                column = 0 if backward else 1
            while (segment_of.get(key), row, column) in taken:
                column += 1
            taken.add((segment_of.get(key), row, column))
            places[key] = (row, column)
        return places

    def _align(self) -> None:
        """Put the states of all passes at one height."""
        heights = {
            s: next((r.y for k, r in t.boxes.items() if k[0] == "state" and k[1] == "h"), 0.0)
            for s, t in self.tiles.items()
        }
        highest = max(heights.values(), default=0.0)
        for s, tile in self.tiles.items():
            dy = highest - heights[s] if heights[s] else 0.0
            tile.boxes = {k: r.moved(0, dy) for k, r in tile.boxes.items()}
            tile.curves = {w: [(x, y + dy) for x, y in c] for w, c in tile.curves.items()}
            tile.tips = {w: (x, y + dy) for w, (x, y) in tile.tips.items()}

    def _place_columns(self) -> None:
        """Give every shown step its place along time, and its boxes theirs."""
        self.x: dict[Column, float] = {}
        pad = PAD if self.framed else 0.0
        at, segment = 0.0, None
        self.bottom = min(r.bottom for t in self.tiles.values() for r in t.boxes.values())
        self.top = max(r.top for t in self.tiles.values() for r in t.boxes.values())
        lowest = [k for t in self.tiles.values() for k, r in t.boxes.items() if r.bottom < self.bottom + 1]
        fed = self.sources and (self.framed or any(key[0] == "cell" for key in lowest))
        below = 24.0 if fed else 8.0  # room for the line of what feeds every step
        for slot in self.slots:
            if (
                segment is not None
                and slot.segment != segment
                and any(self.boxes[i].kind == "parameter" for i in self.sources)
            ):
                at += 60.0
            segment = slot.segment
            if isinstance(slot, Gap):
                middle = (self.bottom + self.top) / 2
                self.layout.gaps.append((slot, Rect(at + GAP_WIDTH / 2 - GUTTER / 2, middle, GAP_WIDTH - 20, 40)))
                at += GAP_WIDTH
                continue
            at += pad
            self.x[slot] = at
            width = self.tiles[slot.segment].width
            frame = Rect(
                at + width / 2,
                (self.bottom + self.top) / 2 - below,
                width + 2 * pad,
                self.top - self.bottom + 2 * pad + 2 * below,
            )
            self.layout.frames.append((slot, frame))
            at += width + pad + GUTTER
        self.right = at - GUTTER
        for (key, column), i in self.of.items():
            if column in self.x:
                place = self.tiles[column.segment].boxes[key].moved(self.x[column])
                self.layout.rects[i] = Rect(place.x, place.y, place.w, place.h)

    def _place_bars(self) -> None:
        for i in self.bars:
            places = [t.boxes[self.boxes[i].key] for t in self.tiles.values() if self.boxes[i].key in t.boxes]
            if places:
                self.layout.rects[i] = Rect(self.right / 2, places[0].y, self.right + 2 * PAD, places[0].h)

    def _place_before(self) -> None:
        """An initial state stands where the state of the step before would."""
        columns = sorted(self.x)
        placed: list[tuple[int, Rect]] = []
        for i in self.before:
            targets = [self.boxes[e.target] for e in self.edges if e.source == i]
            homes = [b for b in targets if b.column in self.x]
            if not homes:
                continue
            home = homes[0]
            assert home.column is not None
            tile = self.tiles[home.column.segment]
            y = self._carried_height(i, tile, homes)
            last = home.column == max(c for c in columns if c.segment == home.column.segment)
            from_right = last and self._runs_backward(homes)
            w, h = self.sizes[i]
            start = self.x[home.column]
            pad = PAD if self.framed else 0.0
            x = start + tile.width + pad + GUTTER + w / 2 if from_right else start - pad - GUTTER - w / 2
            rect = Rect(x, y, w, h)
            while any(abs(rect.y - r.y) < (rect.h + r.h) / 2 + 8 and abs(rect.x - r.x) < rect.w for _, r in placed):
                rect = rect.moved(0, 6)
            placed.append((i, rect))
            self.layout.rects[i] = rect

    def _carried_height(self, i: int, tile: T.Tile, homes: Sequence[Box]) -> float:
        keys = {home.key for home in homes}
        kind = self.boxes[i].key[2] if self.level.detail != "op" else None
        for e in self.edges:
            a, b = self.boxes[e.source], self.boxes[e.target]
            if (
                b.key in keys
                and a.column is not None
                and a.column != b.column
                and a.key in tile.boxes
                and (kind is None or (a.kind == "cell" and kind == "c") or a.key[1] == kind)
            ):
                own = tile.boxes[a.key]
                return own.top - HIGHWAY if a.kind == "cell" else own.y
        return tile.boxes[homes[0].key].y

    def _runs_backward(self, homes: Sequence[Box]) -> bool:
        keys = {home.key for home in homes}
        for e in self.edges:
            a, b = self.boxes[e.source].column, self.boxes[e.target].column
            if self.boxes[e.target].key in keys and a is not None and b is not None and a != b:
                return a > b
        return False

    # Lines -----------------------------------------------------------------------------------------------

    def _lines_in_steps(self) -> None:
        for column, edges in self._edges_at.items():
            if column not in self.x:
                continue
            tile = self.tiles[column.segment]
            seen: dict[tuple[Key, Key], int] = defaultdict(int)
            for i in edges:
                e = self.edges[i]
                ends = self.boxes[e.source].key, self.boxes[e.target].key
                wire = (*ends, seen[ends])
                seen[ends] += 1
                if self.is_grid:
                    pos = self._moved(self._route_in_grid(column.segment, ends), self.x[column])
                else:
                    pos = _curve(tile, wire, self.x[column], 0)
                self.layout.lines.append(Line(i, pos, e.source, e.target))
        bars = set(self.bars)
        for i, e in enumerate(self.edges):
            if (
                e.source in bars
                and e.target in bars
                and e.source in self.layout.rects
                and e.target in self.layout.rects
            ):
                a, b = self.layout.rects[e.source], self.layout.rects[e.target]
                self.layout.lines.append(Line(i, spline([(a.x, a.top), (a.x, b.bottom)]), e.source, e.target))

    def _route_in_grid(self, segment: int, ends: tuple[Key, Key]) -> list[Point]:
        if (segment, ends) not in self.routes:
            tile = self.tiles[segment]
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
                xs = [*_beside(obstacles), a.x, b.x]
                points = path(starts, stops, obstacles, self._others_lines(ends[0]), xs, _lanes(obstacles))
                self.taken[ends[0]] += stretches(points)
            self.routes[segment, ends] = points
        return self.routes[segment, ends]

    def _moved(self, points: Sequence[Point], dx: float, dy: float = 0.0, arrow: bool = True) -> str:
        moved = [(x + dx, y + dy) for x, y in points]
        return spline(moved) if arrow else spline(moved, arrow=0)

    def _lines_between_steps(self) -> None:
        placed = sorted(self.x)
        gap_after = {}
        for n, (gap, _) in enumerate(self.layout.gaps):
            earlier = [c for c in placed if c.segment == gap.segment]
            gap_after[max(c for c in earlier if self.x[c] < self.layout.gaps[n][1].x)] = n
        done: set[object] = set()
        for i, e in enumerate(self.edges):
            a, b = self.boxes[e.source], self.boxes[e.target]
            if a.before and e.source in self.layout.rects and e.target in self.layout.rects:
                points = self._route_free(
                    self.layout.rects[e.source], e, self.layout.rects[e.target], ("before", e.source, e.target)
                )
                self.layout.lines.append(Line(i, spline(points), e.source, e.target))
            if a.column is None or b.column is None or a.column == b.column:
                continue
            if a.column in self.x and b.column in self.x:
                dx = self.x[a.column]
                key = (a.key, b.key, self.x[b.column] - dx)
                if key not in self.routes:
                    shift = self._tile_rects(a.column), self._tile_rects(b.column)
                    self.routes[key] = [
                        (x - dx, y)
                        for x, y in self._route_free(
                            self.layout.rects[e.source], e, self.layout.rects[e.target], key, shift
                        )
                    ]
                self.layout.lines.append(Line(i, self._moved(self.routes[key], dx), e.source, e.target))
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
            if ends[0] not in self.of or ends[1] not in self.of:
                continue
            source, target = (self.layout.rects[self.of[end]] for end in ends)
            key = (a.key, b.key, "gap", n)
            if key not in self.routes:
                self.routes[key] = self._route_free(
                    source, e, target, key, (self._tile_rects(left), self._tile_rects(right)), near_source=True
                )
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
        return [self.layout.rects[i] for (_, c), i in self._by_column(column)]

    def _by_column(self, column: Column) -> list[tuple[tuple[Key, Column], int]]:
        if not hasattr(self, "_columned"):
            self._columned: dict[Column, list[tuple[tuple[Key, Column], int]]] = defaultdict(list)
            for pair, i in self.of.items():
                self._columned[pair[1]].append((pair, i))
        return self._columned[column]

    def _route_free(
        self, a: Rect, e: Edge, b: Rect, key: object, around: tuple[list[Rect], list[Rect]] | None = None,
        *, near_source: bool = False,
    ) -> list[Point]:  # fmt: skip
        """A line from one step to another, or from an initial state to its step."""
        source, target = self.boxes[e.source], self.boxes[e.target]
        sign = 1 if a.x < b.x else -1
        if around is None:
            assert target.column is not None
            states = [self.layout.rects[i] for i in self.before if i in self.layout.rects]
            around = states, self._tile_rects(target.column)
        obstacles = [*around[0], *around[1]]
        edge_of = max if sign > 0 else min
        rim = edge_of(r.right if sign > 0 else r.left for r in around[0])
        far = (min if sign > 0 else max)(r.left if sign > 0 else r.right for r in around[1])
        pad = (PAD if self.framed else 0.0) * sign
        lanes = [rim + pad + sign * (6 + LANE * k) for k in range(5)] if near_source else _spread(rim + pad, far - pad)
        high = (
            (source.kind == "cell"
            and target.kind == "cell")
            or (source.before and target.kind == "cell" and e.kind == "c")
        )
        if high:
            starts = [Port(a.x + sign * a.w / 2, a.top - HIGHWAY if source.kind == "cell" else a.y, sign, 0)]
            stops = [Port(b.x - sign * b.w / 2, b.top - HIGHWAY, sign, 0)]
        else:
            up = 1 if b.y > a.y else -1
            starts = [
                Port(a.x + sign * a.w / 2, a.y, sign, 0),
                Port(a.x + sign * a.w * 0.3, a.top, 0, 1, 18), Port(a.x + sign * a.w * 0.3, a.bottom, 0, -1, 18),
            ]  # fmt: skip
            stops = [
                Port(b.x - sign * b.w / 2, b.y, sign, 0),
                Port(b.x - sign * b.w * 0.3, b.bottom, 0, 1, 12 if up > 0 else 30),
                Port(b.x - sign * b.w * 0.3, b.top, 0, -1, 60),
            ]  # fmt: skip
        xs = [*lanes, *_beside(obstacles)]
        middle = (rim + far) / 2
        tolls = dict.fromkeys(xs, 1.6) | {x: 1 + abs(x - middle) * 0.002 for x in lanes}
        points = path(
            starts, stops, obstacles, self._others_lines(source.key), xs, [*_lanes(obstacles), a.y, b.y], tolls
        )
        self.taken[source.key] += stretches(points)
        return points

    def _others_lines(self, source: Key) -> list[Stretch]:
        """Where lines from other boxes run: two lines of one box may share their way, others keep apart."""
        return [stretch for key, lines in self.taken.items() if key != source for stretch in lines]

    # Shared weights and total losses ---------------------------------------------------------------------

    def _fan_out(self) -> None:
        """One box that feeds every step: a line below the row it feeds, with a branch up into each box."""
        rows: dict[float, int] = defaultdict(int)
        for i in self.sources:
            targets = [
                (n, e)
                for n, e in enumerate(self.edges)
                if e.source == i and e.target in self.layout.rects and self.boxes[e.target].column
            ]
            if not targets:
                continue
            first = min((self.layout.rects[e.target] for _, e in targets), key=lambda r: r.x)
            floor = self._row(first)[0]
            y = floor - 16 - LANE * rows[floor]
            rows[floor] += 1
            w, h = self.sizes[i]
            start = min(self.x[c] for _, e in targets if (c := self.boxes[e.target].column) is not None)
            side = 1 if self.boxes[i].key[0] == "∂" else -1
            x = (self.right if side > 0 else start) + side * ((PAD if self.framed else 0) + 22 + w / 2)
            rect = Rect(x, y, w, h)
            while any(
                abs(rect.y - r.y) < (rect.h + r.h) / 2 + 6 and abs(rect.x - r.x) < (rect.w + r.w) / 2 + 6
                for r in self.layout.rects.values()
            ):
                rect = rect.moved(6 * side)
            self.layout.rects[i] = rect
            for n, e in targets:
                r = self.layout.rects[e.target]
                at = r.x - 0.3 * r.w if self.boxes[i].kind == "parameter" else r.x
                self.layout.lines.append(
                    Line(n, spline([(rect.x + rect.w / 2 * -side, y), (at, y), (at, r.bottom)]), i, e.target)
                )
        self._chain([i for i in self.sources if i not in self.layout.rects], before=True)

    def _chain(self, waiting: list[int], *, before: bool) -> None:
        """Boxes further from the steps, each beside the one it feeds (or is fed by)."""
        for _ in range(len(waiting) + 1):
            for n, e in enumerate(self.edges):
                new, old = (e.source, e.target) if before else (e.target, e.source)
                if new in waiting and new not in self.layout.rects and old in self.layout.rects:
                    anchor = self.layout.rects[old]
                    w, h = self.sizes[new]
                    step = (anchor.w + w) / 2 + 26
                    left = before != (self.boxes[new].key[0] == "∂")
                    rect = Rect(anchor.x + (-step if left else step), anchor.y, w, h)
                    while any(
                        abs(rect.y - r.y) < (rect.h + r.h) / 2 + 4 and abs(rect.x - r.x) < (rect.w + r.w) / 2
                        for r in self.layout.rects.values()
                    ):
                        rect = rect.moved(0, -6)
                    self.layout.rects[new] = rect
        loose = set(waiting)
        for n, e in enumerate(self.edges):
            if (
                (e.source if before else e.target) in loose
                and e.source in self.layout.rects
                and e.target in self.layout.rects
            ):
                a, b = self.layout.rects[e.source], self.layout.rects[e.target]
                sign = 1 if a.x < b.x else -1
                start, stop = a.x + sign * a.w / 2, b.x - sign * b.w / 2
                if a.y == b.y:
                    points = [(start, a.y), (stop, b.y)]
                else:
                    points = path([Port(start, a.y, sign, 0)], [Port(stop, b.y, sign, 0)], [], xs=[(start + stop) / 2])
                self.layout.lines.append(Line(n, spline(points), e.source, e.target))

    def _fan_in(self) -> None:
        """Values of all steps gathered into one box: a line above their row that ends in the box after the last step."""
        rows: dict[float, int] = defaultdict(int)
        waiting: list[int] = []
        for i in self.sinks:
            fed = [
                (n, e)
                for n, e in enumerate(self.edges)
                if e.target == i and e.source in self.layout.rects and self.boxes[e.source].column
            ]
            if not fed:
                waiting.append(i)
                continue
            highest = max((self.layout.rects[e.source] for _, e in fed), key=lambda r: r.y)
            ceiling = self._row(highest)[1]
            y = ceiling + 18 + LANE * rows[ceiling]
            rows[ceiling] += 1
            w, h = self.sizes[i]
            back = self.boxes[i].key[0] == "∂"
            side = -1 if back else 1
            rect = Rect((0 if back else self.right) + side * ((PAD if self.framed else 0) + 26 + w / 2), y, w, h)
            while any(
                abs(rect.y - r.y) < (rect.h + r.h) / 2 + 4 and abs(rect.x - r.x) < (rect.w + r.w) / 2 + 4
                for r in self.layout.rects.values()
            ):
                rect = rect.moved(6 * side)
            self.layout.rects[i] = rect
            for n, e in fed:
                r = self.layout.rects[e.source]
                at = r.x - 0.3 * r.w if back else r.x
                self.layout.lines.append(
                    Line(n, spline([(at, r.top), (at, y), (rect.x - side * rect.w / 2, y)]), e.source, i)
                )
        self._chain(waiting, before=False)

    def _row(self, rect: Rect) -> tuple[float, float]:
        """Lowest bottom and highest top among the boxes beside this one."""
        beside = [
            r for t in self.tiles.values() for r in t.boxes.values() if r.bottom < rect.top and r.top > rect.bottom
        ]
        return min([rect.bottom, *(r.bottom for r in beside)]), max([rect.top, *(r.top for r in beside)])


def _numbered(pairs: Sequence[tuple[Key, Key]]) -> list[T.Wire]:
    seen: dict[tuple[Key, Key], int] = defaultdict(int)
    wires = []
    for pair in pairs:
        wires.append((*pair, seen[pair]))
        seen[pair] += 1
    return wires


def _curve(tile: T.Tile, wire: T.Wire, dx: float, dy: float) -> str:
    tip = tile.tips[wire]
    points = " ".join(f"{x + dx:.2f},{y + dy:.2f}" for x, y in tile.curves[wire])
    return f"e,{tip[0] + dx:.2f},{tip[1] + dy:.2f} {points}"


def _lanes(boxes: Sequence[Rect]) -> list[float]:
    """Heights at which a horizontal line passes between the rows, and above and below them all."""
    bands = sorted((r.bottom - 6, r.top + 6) for r in boxes)
    lanes = [bands[0][0] - LANE * k for k in range(1, 4)]
    reach = bands[0][1]
    for bottom, top in bands[1:]:
        if bottom > reach:
            lanes += _spread(reach, bottom)
        reach = max(reach, top)
    return lanes + [reach + LANE * k for k in range(1, 4)]


def _spread(a: float, b: float) -> list[float]:
    """As many lanes as fit between ``a`` and ``b``, in the middle."""
    low, high = min(a, b), max(a, b)
    count = max(1, min(5, int((high - low) / LANE)))
    middle = (low + high) / 2
    return [middle + LANE * (k - (count - 1) / 2) for k in range(count)]


def _beside(boxes: Sequence[Rect]) -> list[float]:
    return [x for r in boxes for x in (r.left - 10, r.right + 10)]


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
