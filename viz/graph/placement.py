"""Places of the boxes: one tile, copied along time, and around the tiles what belongs to no time step.

Time runs from left to right. Initial states stand before the first step, where the state of a step before would;
what gathers values of all steps and hands them out again is a bar across them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np

from tinygrad_rnn.files import PathLike
from tinygrad_rnn.tensors import Array

from . import time_step_tile as T
from .detail_levels import Box, Level
from .line_routing import Point, Rect
from .line_ways import sampled
from .time_columns import Column, Key

GUTTER = 40.0
PAD = 12.0  #: between a step's boxes and its frame
HIGHWAY = 11.0  #: how far below a cell's top the cell state's line enters and leaves
BUS = 16.0  #: how far below a row runs the line of what feeds all of its boxes
GAP_WIDTH = 110.0  #: room for "× 994 steps"


@dataclass(frozen=True, slots=True)
class Gap:
    """Steps left out; no tuple, which would be equal to a `Column`."""

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
    note: str = ""  #: what was left out, and why

    def points(self) -> Array:
        """Points along all lines."""
        found: Array = np.concatenate([sampled(line.pos) for line in self.lines] or [np.zeros((0, 2))])
        return found

    def caption(self, level: Level, column: Column, frame: Rect) -> Rect:
        """The place of what is written below a time step, below its cell or its input where no frame is drawn."""
        if level.detail != "cell":
            return Rect(frame.x, frame.bottom + 12, frame.w, 18)
        own = ((level.boxes[i], rect) for i, rect in self.rects.items() if level.boxes[i].column == column)
        standing = {box.kind: rect.x for box, rect in own}
        middle = standing.get("cell", standing.get("x", frame.x))
        return Rect(middle, frame.bottom - 4, frame.w, 18)


def shown_columns(columns: Sequence[Column], max_steps: int | None) -> list[Column | Gap]:
    """At most ``max_steps`` steps of each pass over a sequence, the middle left out."""
    result: list[Column | Gap] = []
    for segment in sorted({c.segment for c in columns}):
        own = sorted(c for c in columns if c.segment == segment)
        if max_steps is None or len(own) <= max_steps:
            result += own
            continue
        head = (max_steps + 1) // 2
        result += [*own[:head], Gap(segment, len(own) - max_steps), *own[len(own) - (max_steps - head) :]]
    return result


def _joined(keys: set[Key], pairs: Sequence[tuple[Key, Key]]) -> set[Key]:
    """The keys and all that the pairs join with them, one after another."""
    found = set(keys)
    while more := {key for pair in pairs if found & set(pair) for key in pair} - found:
        found |= more
    return found


def _fed_later(cells: list[Key], order: Mapping[tuple[str, ...], int], wires: Sequence[T.Wire]) -> list[Key]:
    """Cells from below: in the order they were computed, but for those that feed another within a step."""
    following: dict[Key, set[Key]] = defaultdict(set)
    for tail, head, _n in wires:
        following[tail].add(head)
    waiting, placed = sorted(cells, key=lambda key: order[key[1]]), []
    reached = {key: _reached_from(key, following) for key in cells}
    while waiting:
        ready = (a for a in waiting if not any(a in reached[b] and b not in reached[a] for b in waiting))
        placed.append(next(ready, waiting[0]))
        waiting.remove(placed[-1])
    return placed


def _reached_from(start: Key, following: Mapping[Key, set[Key]]) -> set[Key]:
    found: set[Key] = set()
    pending = [start]
    while pending:
        more = following.get(pending.pop(), set()) - found
        found |= more
        pending += more
    return found


class Places:
    """Puts the boxes of a level where they belong, into ``layout.rects``; one use each."""

    def __init__(
        self,
        level: Level,
        sizes: Sequence[T.Size],
        *,
        max_steps: int | None,
        dot: PathLike | None = None,
        timeout: float | None = None,
    ) -> None:
        self.level, self.sizes = level, sizes
        self.boxes, self.edges = level.boxes, level.edges
        #: where each edge leads from and to; that of a gradient as what it is of
        self.ends = [
            (e.target, e.source) if self.boxes[e.source].key[0] == "∂" else (e.source, e.target) for e in self.edges
        ]
        self.engine = {"dot": dot, "timeout": timeout}
        self.slots = shown_columns(level.columns, max_steps)
        self.visible = {slot for slot in self.slots if isinstance(slot, Column)}
        self._sort_stepless()
        #: a bar has its place among a step's boxes, which only dot can find
        self.is_grid = level.detail == "cell" and any(box.kind == "cell" for box in self.boxes) and not self.bars
        self.pad = 0.0 if self.is_grid else PAD
        self.layout = Layout()
        self.x: dict[Column, float] = {}  # left end of each shown step
        self.of: dict[tuple[Key, Column], int] = {}  # the box of a key in a step
        self.in_column: dict[Column, list[int]] = defaultdict(list)
        self.tiles: dict[int, T.Tile] = {}

    def place(self) -> None:
        """Place all boxes but those that feed all steps or are fed by them, which `fans` puts beside their lines."""
        self._make_tiles()
        self._place_columns()
        self._place_bars()
        self._place_before()

    def _sort_stepless(self) -> None:
        """Boxes without a step: sources feed the steps, sinks are fed by them, bars both."""
        after, before = self._reached(forward=True), self._reached(forward=False)
        stepless = [i for i, box in enumerate(self.boxes) if box.column is None]
        self.before = [i for i in stepless if self.boxes[i].before]
        rest = [i for i in stepless if not self.boxes[i].before]
        both = [i for i in rest if i in after and i in before]
        self.between = self._handed_over(both)
        self.bars = [i for i in both if i not in self.between]
        self.sinks = [i for i in rest if i in after and i not in before]
        self.sources = [i for i in rest if i not in after]

    def _handed_over(self, both: Sequence[int]) -> dict[int, int]:
        """The first pass that reads what an earlier one leaves and only later ones read, such as a memory."""
        made = dict.fromkeys(both, -1)
        read = dict.fromkeys(both, len(self.level.columns))
        ends = [(a, b) for a, b in self.ends if a in made or b in made]
        for _ in both:
            for a, b in ends:
                there, here = self.boxes[a].column, self.boxes[b].column
                if b in made:
                    made[b] = max(made[b], made.get(a, -1) if there is None else there.segment)
                if a in read:
                    read[a] = min(read[a], read.get(b, read[a]) if here is None else here.segment)
        passes = {column.segment for column in self.level.columns}
        return {i: read[i] for i in both if 0 <= made[i] < read[i] and read[i] in passes}

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

    def floor(self, rect: Rect) -> float:
        """The lowest bottom among the boxes beside this one, in any step."""
        return self.row(rect)[0]

    def row(self, rect: Rect) -> tuple[float, float]:
        """Lowest bottom and highest top among the boxes beside this one."""
        every = [r for t in self.tiles.values() for r in t.boxes.values()]
        beside = [r for r in every if r.bottom < rect.top and r.top > rect.bottom]
        return min([rect.bottom, *(r.bottom for r in beside)]), max([rect.top, *(r.top for r in beside)])

    def _make_tiles(self) -> None:
        sizes: dict[int, dict[Key, T.Size]] = defaultdict(dict)
        for i, box in enumerate(self.boxes):
            if box.column is None:
                continue
            self.of[box.key, box.column] = i
            self.in_column[box.column].append(i)
            if box.column in self.visible:
                w, h = sizes[box.column.segment].get(box.key, (0.0, 0.0))
                sizes[box.column.segment][box.key] = (max(w, self.sizes[i][0]), max(h, self.sizes[i][1]))
        wires = defaultdict(list, self._wires())
        if self.is_grid and any(e.kind == "c" for e in self.edges):  # the cell state's line passes above the state
            for own in sizes.values():
                for mark in ((), ("∂",)):
                    start = len(mark) + 1
                    tall = max((h for key, (_, h) in own.items() if key[:start] == (*mark, "state")), default=0.0)
                    high = max(tall + 46, min(2 * tall + 38, 92))
                    own.update({k: (w, max(h, high)) for k, (w, h) in own.items() if k[:start] == (*mark, "cell")})
        if self.is_grid:
            union = {key: size for some in sizes.values() for key, size in some.items()}
            for some in sizes.values():
                for key, (w, h) in some.items():
                    union[key] = (max(w, union[key][0]), max(h, union[key][1]))
            passes = {key: {s for s, own in sizes.items() if key in own} for key in union}
            shared = T.grid(union, self._grid_places(union, wires, passes))
            self.tiles = {s: T.Tile({k: r for k, r in shared.boxes.items() if k in sizes[s]}) for s in sizes}
            return
        for segment, own in sizes.items():
            bars = [self.boxes[i].key for i in self.bars if any(self.boxes[i].key in w[:2] for w in wires[segment])]
            own.update({self.boxes[i].key: (30.0, self.sizes[i][1]) for i in self.bars if self.boxes[i].key in bars})
            self.tiles[segment] = T.by_dot(own, wires[segment], bars, self._carried(segment), **self.engine)  # type: ignore[arg-type]
        self._align()
        self._level_bars()

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
            for edge in self.edges_at.get(column, []):
                a, b = self.boxes[self.edges[edge].source], self.boxes[self.edges[edge].target]
                here[a.key, b.key] += 1
            for ends, count in here.items():
                known = counts[column.segment]
                known[ends] = max(count, known.get(ends, 0))
        bars = {i: self.boxes[i].key for i in self.bars}
        joined = [(bars[e.source], bars[e.target]) for e in self.edges if e.source in bars and e.target in bars]
        reached = {
            segment: _joined({key for ends in known for key in ends}, joined) for segment, known in counts.items()
        }
        for ends in joined:  # bars that lead from one to another belong to the passes whose steps they are joined with
            segments = [segment for segment, keys in reached.items() if ends[0] in keys] or list(counts)
            for segment in segments:
                counts[segment][ends] = 1
        return {s: [(*ends, n) for ends, count in known.items() for n in range(count)] for s, known in counts.items()}

    @cached_property
    def edges_at(self) -> dict[Column, list[int]]:
        """The edges inside each step, those from and to bars included."""
        bars = set(self.bars)
        found: dict[Column, list[int]] = defaultdict(list)
        for i, e in enumerate(self.edges):
            a, b = self.boxes[e.source].column, self.boxes[e.target].column
            if a is not None and (a == b or e.target in bars):
                found[a].append(i)
            elif b is not None and e.source in bars:
                found[b].append(i)
        return found

    def _grid_places(
        self, sizes: Mapping[Key, T.Size], wires: Mapping[int, Sequence[T.Wire]], passes: Mapping[Key, set[int]]
    ) -> dict[Key, tuple[int, int]]:
        """Rows as `_forward_places` has them, and above them, upside down, those of the gradients."""
        forward = {key: size for key, size in sizes.items() if key[0] != "∂"}
        ways = {s: [w for w in ws if w[0] in forward and w[1] in forward] for s, ws in wires.items()}
        places = self._forward_places(forward, ways, passes)
        top = max(row for row, _ in places.values())
        image = {key: places[key[1:]] for key in sizes if key[0] == "∂"}
        return places | {key: (2 * top + 2 - row, column) for key, (row, column) in image.items()}

    def _forward_places(
        self, sizes: Mapping[Key, T.Size], wires: Mapping[int, Sequence[T.Wire]], passes: Mapping[Key, set[int]]
    ) -> dict[Key, tuple[int, int]]:
        """Rows by what feeds what; the cells of one layer in one row, each with its state beside it."""
        rows = dict.fromkeys(sizes, 0)
        order = {path: k for k, path in enumerate(self.level.recurrent)}
        segment_of = {key: s for s, ws in wires.items() for w in ws for key in w[:2]}
        flat = [w for ws in wires.values() for w in ws]
        cells = _fed_later([key for key in sizes if key[0] == "cell"], order, flat)
        backward = any(key[0] == "cell" and key[1] and key[1][-1].endswith("_reverse") for key in cells)
        for _ in range(len(rows)):
            for tail, head, _n in flat:
                beside = tail[0] == "cell" and head[0] == "state" and head[2] == tail[1]
                rows[head] = max(rows[head], rows[tail] + (0 if beside else 1))
            for key in cells:
                rows[key] = max(rows[key], 1)
            for below, above in pairwise(cells):
                if segment_of.get(below) == segment_of.get(above):
                    rows[above] = max(rows[above], rows[below] + 1)
        top = max((rows[key] for key in cells), default=0)
        places: dict[Key, tuple[int, int]] = {}
        taken: set[tuple[int, int, int]] = set()
        for key in sorted(sizes, key=lambda key: (rows[key], key[0] != "x", list(sizes).index(key))):
            row = rows[key]
            column = 0
            if key[0] == "state":
                column = -1 if key[2] and key[2][-1].endswith("_reverse") else 1
            elif row > top:
                column = 0 if backward else 1
            while any((s, row, column) in taken for s in passes[key]):
                column += 1
            taken |= {(s, row, column) for s in passes[key]}
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
            tile.lift(-math.inf, highest - heights[s] if heights[s] else 0.0)

    def _level_bars(self) -> None:
        """Put a bar that several passes share at one height: lift it, and all that stands above it."""
        bars = {
            key: [t for t in self.tiles.values() if key in t.boxes] for key in (self.boxes[i].key for i in self.bars)
        }
        for key, tiles in sorted(
            bars.items(), key=lambda item: min((t.boxes[item[0]].y for t in item[1]), default=0.0)
        ):
            highest = max((t.boxes[key].y for t in tiles), default=0.0)
            for tile in tiles:
                tile.lift(tile.boxes[key].bottom, highest - tile.boxes[key].y)

    def _place_columns(self) -> None:
        """Give every shown step its place along time, and its boxes theirs."""
        pad = self.pad
        at, segment = 0.0, None
        self.bottom = min(r.bottom for t in self.tiles.values() for r in t.boxes.values())
        self.top = max(r.top for t in self.tiles.values() for r in t.boxes.values())
        lowest = {k for t in self.tiles.values() for k, r in t.boxes.items() if r.bottom < self.bottom + 1}
        fed_below = {e.source for e in self.edges if e.source in self.sources and self.boxes[e.target].key in lowest}
        fed = self.sources and (self.pad or fed_below)
        # room for the lines of what feeds every step, each beside its box
        below = 24.0 + 12.0 * max(0, len(fed_below) - 1) * self.is_grid if fed else 8.0
        kinds = ("parameter", "share")
        shared = [self.sizes[i][0] for i in [*self.sources, *self.sinks] if self.boxes[i].kind in kinds]
        for slot in self.slots:
            if segment is not None and slot.segment != segment:
                own = [self.sizes[i][0] + 28 for i, first in self.first_fed.items() if first == slot.segment]
                at += max([60.0, *shared] if shared else own, default=0.0)
            if segment is not None and slot.segment != segment:
                at += self._width_of_initial(segment, max) + self._width_of_initial(slot.segment, min)
                widths = {False: 0.0, True: 0.0}  # gradients stand above what they are of
                for i in (i for i, first in self.between.items() if first == slot.segment):
                    widths[self.boxes[i].key[0] == "∂"] += self.sizes[i][0] + 26
                at += max(widths.values())
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

    @cached_property
    def first_fed(self) -> dict[int, int]:
        """The first pass that each source feeds."""
        first: dict[int, int] = {}
        for e in self.edges:
            column = self.boxes[e.target].column
            if e.source in self.sources and column is not None:
                first[e.source] = min(first.get(e.source, column.segment), column.segment)
        return first

    def _width_of_initial(self, segment: int, end: Callable[[Iterable[Column]], Column]) -> float:
        """Room for the initial states at the first (or last) step of a pass."""
        rim = end(column for column in self.level.columns if column.segment == segment)
        own = {a for a, b in self.ends if self.boxes[a].before and self.boxes[b].column == rim}
        return max([self.sizes[i][0] + GUTTER for i in own], default=0.0)

    def _place_bars(self) -> None:
        for i in self.bars:
            places = [t.boxes[self.boxes[i].key] for t in self.tiles.values() if self.boxes[i].key in t.boxes]
            own = [column for column in self.x if self.boxes[i].key in self.tiles[column.segment].boxes]
            if places and own:
                left = min(self.x[column] for column in own) - PAD
                right = max(self.x[column] + self.tiles[column.segment].width for column in own) + PAD
                self.layout.rects[i] = Rect((left + right) / 2, places[0].y, right - left, places[0].h)

    def _place_before(self) -> None:
        """An initial state stands where the state of the step before would."""
        columns = sorted(self.x)
        placed: list[tuple[int, Rect]] = []
        for i in self.before:
            homes = [self.boxes[b] for a, b in self.ends if a == i and self.boxes[b].column in self.x]
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
            x = start + tile.width + self.pad + GUTTER + w / 2 if from_right else start - self.pad - GUTTER - w / 2
            rect = Rect(x, y + (h + 10 if self._is_handed_a_state(home.column.segment) else 0), w, h)
            while any(
                abs(rect.y - r.y) < (rect.h + r.h) / 2 + 6 and abs(rect.x - r.x) < rect.w + 12 for _, r in placed
            ):
                # beside a whole cell the rows are close: further from the steps is free, further up may not be
                rect = rect.moved(6 if from_right else -6) if self.is_grid else rect.moved(0, 6)
            placed.append((i, rect))
            self.layout.rects[i] = rect

    def _carried_height(self, i: int, tile: T.Tile, homes: Sequence[Box]) -> float:
        state = self.level.initial.get(self.boxes[i].main)
        mirrored = self.boxes[i].key[:1] if self.boxes[i].key[0] == "∂" else ()
        own_key = next(((*mirrored, *b.key) for b in self.boxes if state in b.members and b.kind == "state"), None)
        if own_key in tile.boxes:
            return tile.boxes[own_key].y
        keys = {home.key for home in homes}
        role = "" if state is None else self.level.graph.nodes[state].role  # zeros have none of their own
        kind = self.boxes[i].key[2] or role if self.level.detail != "op" else None
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

    def _is_handed_a_state(self, segment: int) -> bool:
        """Whether a line from an earlier pass comes in where an initial state would stand."""
        ends = ((self.boxes[e.source].column, self.boxes[e.target].column) for e in self.edges)
        return self.is_grid and any(a and b and a.segment < b.segment == segment for a, b in ends)

    def _runs_backward(self, homes: Sequence[Box]) -> bool:
        keys = {home.key for home in homes}
        for e in self.edges:
            a, b = self.boxes[e.source].column, self.boxes[e.target].column
            if self.boxes[e.target].key in keys and a is not None and b is not None and a != b:
                return a > b
        return False
