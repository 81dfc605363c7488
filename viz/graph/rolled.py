"""The folded picture: one box per layer with an arrow back to itself, as lectures draw it before they unroll it.

It stands beside the unrolled picture, and its boxes at the height of those they stand for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

from tinygrad_rnn.files import PathLike

from .. import style
from ..vocabulary import Mark, Name
from .box_text import Labels
from .detail_levels import Box, Edge, Level
from .graphviz_program import RenderError
from .line_repair import mended
from .line_routing import Point, Port, Rect, beside, lanes, path, spline
from .placement import HIGHWAY, Layout, Line
from .time_columns import Column, Key
from .time_step_tile import by_dot

CELL, SMALL, WEIGHT = (76.0, 54.0), (48.0, 28.0), (34.0, 26.0)
PITCH = 180.0  #: between boxes beside each other
PASSES = 60.0  #: more between an encoder and a decoder
ROW_GAP = 34.0
CELL_GAP = 42.0  #: below a cell, where its weights stand
LOOP = 26.0  #: how far the arrow back to itself swings out
MOST = 400  #: Of more boxes dot takes longer than anyone waits.
HASTE = 20.0  #: seconds that dot may take
Home = tuple[Key, int | None]


class Folded(NamedTuple):
    """A level whose time steps lie over each other, and its picture."""

    level: Level
    layout: Layout
    lines: list[list[str]]
    arrow: Rect  #: to the unrolled picture
    feet: dict[int, Rect]  #: below each pass over a sequence


def folded(
    level: Level, rows: Layout, unrolled: Layout, *, dot: PathLike | None = None, timeout: float | None = None
) -> Folded:
    """A cell-level ``level``, laid out as ``rows``, with all time steps laid over each other, left of ``unrolled``.

    Where rows beside ``rows`` leave a line no way of its own, dot ranks the boxes.
    """
    folding = _Folding(level, rows)
    right = min(r.left for r in unrolled.rects.values()) - 26
    folding.place()
    arrow = folding.move(right, None if rows is unrolled else unrolled)
    faults = folding.route()
    if faults and len(folding.boxes) <= MOST:
        first = folding.layout
        with suppress(RenderError):  # dot takes too long: the rows are what there is
            folding.rank(dot, min(timeout or HASTE, HASTE))
            place = folding.move(right, unrolled)
            if folding.route() < faults:
                first, arrow = folding.layout, place
        folding.layout = first
    cells = Level(level.graph, "cell", folding.boxes, folding.edges, [], level.recurrent, level.roles)
    return Folded(cells, folding.layout, [folding.lines(i) for i in range(len(folding.boxes))], arrow, folding.feet())


class _Folding:
    def __init__(self, level: Level, rows: Layout) -> None:
        self.level, self.rows, self.labels = level, rows, Labels(level)
        self.cells = {box.key[1] for box in level.boxes if box.key[0] == "cell"}
        self.boxes: list[Box] = []
        self.edges: list[Edge] = []
        self.layout = Layout()
        self.steps: list[set[Column]] = []  # per box the steps it stands for
        self.first: list[Box] = []
        self.heights: list[tuple[float, float]] = []
        self.starts: dict[int, int] = {}  # what computes an initial state, and its cell
        place = self._fold_boxes()
        self.segment = {i: min(steps).segment for i, steps in enumerate(self.steps) if steps}
        self._fold_edges(place)

    def _fold_boxes(self) -> dict[int, int]:
        """One box for all steps' boxes of a kind; which one each of them has become."""
        homes: dict[Home, int] = {}
        place: dict[int, int] = {}
        for i, box in enumerate(self.level.boxes):
            if box.before or box.key[0] == "∂":
                continue
            key = box.key
            if box.kind == "state" and box.key[0] == "state" and box.key[2] in self.cells:
                key = self.level.boxes[self.level.makers[i]].key if i in self.level.makers else ("cell", box.key[2])
            home: Home = (key, None if box.column is None else box.column.segment)
            if home not in homes:
                homes[home] = len(self.boxes)
                kind = "cell" if key[0] == "cell" else "op" if box.kind == "bar" else box.kind
                self.boxes.append(Box(key, None, kind, box.main, list(box.members)))
                self.steps.append(set())
                self.first.append(box)
                rect = self.rows.rects.get(i, Rect(0, 0, *SMALL))
                self.heights.append((rect.y, rect.h))
            place[i] = homes[home]
            if box.column is not None:
                self.steps[homes[home]].add(box.column)
        return place

    def _cells_begun(self, place: dict[int, int]) -> dict[int, list[int]]:
        """For each initial state the cells that begin with it: several may begin with one."""
        box_of = {node: i for i, box in enumerate(self.level.boxes) for node in box.members}
        found: dict[int, list[int]] = {}
        for i, box in enumerate(self.level.boxes):
            if box.before:
                states = [state for node in box.members for state in self.level.stands_for.get(node, ())]
                found[i] = list(dict.fromkeys(place[box_of[s]] for s in states if box_of.get(s) in place))
        return found

    def _fold_edges(self, place: dict[int, int]) -> None:
        found: dict[tuple[int, int, bool, str], Edge] = {}
        begun = self._cells_begun(place)
        for e in self.level.edges:
            if e.source not in place:  # what reads an initial state reads its cell's states later on
                continue
            columns = self.level.boxes[e.source].column, self.level.boxes[e.target].column
            later = None not in columns and columns[0] != columns[1]
            a = place[e.source]
            for b in begun[e.target] if e.target in begun else [place[e.target]] if e.target in place else []:
                if e.target in begun and e.kind != "weight" and a != b:
                    self.starts.setdefault(a, b)
                if a != b or later:
                    found.setdefault((a, b, later, e.kind), Edge(a, b, e.kind)).uses += e.uses
        self.edges = list(found.values())
        for _ in self.boxes:  # what has no step stands with what it feeds or is fed by
            for e in self.edges:
                self.segment.setdefault(e.source, self.segment.get(e.target, 0))
                self.segment.setdefault(e.target, self.segment.get(e.source, 0))

    # Places ----------------------------------------------------------------------------------------------

    def place(self) -> None:
        """Each pass one column; boxes of one row beside each other."""
        rows: dict[int, dict[float, list[int]]] = defaultdict(lambda: defaultdict(list))
        for i, box in enumerate(self.boxes):
            if box.kind != "parameter" and i not in self.starts:
                rows[self.segment.get(i, 0)][self._height(i)].append(i)
        at = 0.0
        for s in sorted(rows):
            width = PITCH * (max(map(len, rows[s].values())) - 1)
            top = float("-inf")
            for y in sorted(rows[s]):
                sizes = [self._size(i) for i in rows[s][y]]
                tall = max(h for _, h in sizes)
                gap = CELL_GAP if any(self.boxes[i].kind == "cell" for i in rows[s][y]) else ROW_GAP
                middle = max(y, top + gap + tall / 2)
                top = middle + tall / 2
                for k, (i, size) in enumerate(zip(rows[s][y], sizes)):
                    x = at + width / 2 + PITCH * (k - (len(sizes) - 1) / 2)
                    self.layout.rects[i] = Rect(x, middle, *size)
            at += width + PITCH + PASSES
        for k, (i, target) in enumerate(self.starts.items()):
            cell, (width, height) = self.layout.rects[target], self._size(i)
            self.layout.rects[i] = Rect(cell.left - 60 - width / 2, cell.y + k * (height + 8), width, height)
        self._place_weights()

    def _place_weights(self) -> None:
        for e in self.edges:
            if e.kind == "weight" and self.boxes[e.target].kind == "cell":
                cell = self.layout.rects[e.target]
                self.layout.rects[e.source] = Rect(cell.left - 30, cell.bottom - 14, *WEIGHT)

    def rank(self, dot: PathLike | None, timeout: float) -> None:
        """Place the boxes in the rows that dot gives them: each above those that feed it in its time step."""
        room = [self._size(i) for i in range(len(self.boxes))]
        for i, (width, height) in enumerate(room):
            if self.boxes[i].kind == "cell":  # its weights and the arrow back to itself stand beside it
                room[i] = width + 2 * (LOOP + 24), height + 2 * WEIGHT[1]
        drawn = [e for e in self.edges if e.kind != "weight" and e.source != e.target]
        wires = [((e.source,), (e.target,), n) for n, e in enumerate(drawn)]
        same = [self.segment.get(e.source) == self.segment.get(e.target) for e in drawn]  # not a state handed on
        back = [wire for wire, e, here in zip(wires, drawn, same) if here and e.kind in ("h", "c", "feedback")]
        sizes = {(i,): size for i, size in enumerate(room) if self.boxes[i].kind != "parameter"}
        tile = by_dot(sizes, wires, [], [], against=back, dot=dot, timeout=timeout)
        self.layout = Layout({i: Rect(r.x, r.y, *self._size(i)) for (i, *_), r in tile.boxes.items()})
        self._place_weights()

    def move(self, right: float, other: Layout | None) -> Rect:
        """Shift all boxes left of ``right``, and to the middle of ``other``'s height; return the arrow's place."""
        rects = self.layout.rects
        arrow = 92.0
        swing = max([self._swing(e) for e in self.edges if e.source == e.target], default=LOOP)
        dx = right - arrow - swing - 18 - max(r.right for r in rects.values())
        dy = 0.0 if other is None else _middle(other.rects.values()) - _middle(rects.values())
        for i, rect in rects.items():
            rects[i] = rect.moved(dx, dy)
        cells = [rects[i].y for i, box in enumerate(self.boxes) if box.kind == "cell"]
        return Rect(right - arrow / 2, (min(cells) + max(cells)) / 2, arrow, 44)

    def feet(self) -> dict[int, Rect]:
        """A place below each pass."""
        rects = self.layout.rects
        bottom = min(r.bottom for r in rects.values()) - 22
        middle: dict[int, list[float]] = defaultdict(list)
        for i, rect in rects.items():
            if self.boxes[i].kind == "cell":
                middle[self.segment.get(i, 0)].append(rect.x)
        return {s: Rect(sum(xs) / len(xs), bottom, 90, 18) for s, xs in middle.items()}

    def _height(self, i: int) -> float:
        """The height of a row; what reads the sequence backward stands beside what reads it forward."""
        own, key = self.heights[i][0], self.boxes[i].key
        if key[0] == "cell" and key[1]:
            twins = {path for path in self.cells if path[:-1] == key[1][:-1] and _layer(path) == _layer(key[1])}
            both = [h for (h, _), box in zip(self.heights, self.boxes) if box.key[0] == "cell" and box.key[1] in twins]
            own = sum(both) / len(both)
        return own

    def _size(self, i: int) -> tuple[float, float]:
        if self.boxes[i].kind == "cell":
            width = style.text_width(self.lines(i)[0], 1.35 * style.FONT_SIZE["cell"]) + 20
            return max(CELL[0], width), max(CELL[1], self.heights[i][1])
        return max(SMALL[0], style.text_width(self.lines(i)[0], style.FONT_SIZE["cell"]) + 20), SMALL[1]

    # Lines -----------------------------------------------------------------------------------------------

    def route(self) -> int:
        """All edges: arrows back to itself at the right of a cell, the others around what stands in their way.

        How many faults are left.
        """
        rects = self.layout.rects
        swings = []
        for e in self.edges:
            if e.source == e.target:
                cell, width = rects[e.source], self._swing(e)
                swings.append(Rect(cell.right + width / 2, cell.y, width, cell.h - 8))
        for n, e in enumerate(self.edges):
            a, b = rects[e.source], rects[e.target]
            if e.source == e.target:
                self.layout.lines.append(self._back_to_itself(n, e, a))
                continue
            if e.kind == "weight" and self.boxes[e.target].kind == "cell":
                at = b.left + 0.2 * b.w
                points = [(a.right, a.y), (at, a.y), (at, b.bottom)]
            elif e.source in self.starts and a.right < b.left and b.bottom < a.y < b.top:
                points = [(a.right, a.y), (b.left, a.y)]
            else:
                points = self._around(e, a, b, [*rects.values(), *swings])
            self.layout.lines.append(Line(n, spline(points), e.source, e.target))
        return mended(self.layout, swings)

    def _back_to_itself(self, n: int, e: Edge, cell: Rect) -> Line:
        kinds = [o.kind for o in self.edges if o.source == o.target == e.source]
        # below the middle, for what an encoder hands on leaves at the top
        middle = cell.y + cell.h * (0.0 if len(kinds) == 1 else 0.15 if e.kind == "c" else -0.27)
        high, low, x = middle + 11, middle - 11, cell.right + LOOP
        points = [(cell.right, high), (x, high), (x, low), (cell.right, low)]
        label = self._brought(e)
        place = (x + cell.right + self._swing(e)) / 2, middle
        return Line(n, spline(points), e.source, e.target, label=label, label_at=place)

    def _swing(self, e: Edge) -> float:
        """The width of the arrow back to itself, with the words beside it."""
        return LOOP + 10 + style.text_width(self._brought(e), style.FONT_SIZE["cell"] - 1)

    def _brought(self, e: Edge) -> str:
        """The letters of all states that a line brings."""
        origins = {origin for origin, _, _ in e.uses}
        states = (box for box in self.level.boxes if box.kind == "state" and box.main in origins)
        return ", ".join(sorted({e.kind + "′" * self.labels.title(box).count("′") for box in states})) or e.kind

    def _around(self, e: Edge, a: Rect, b: Rect, boxes: list[Rect]) -> list[Point]:
        obstacles = [r for r in boxes if r not in (a, b)]
        if self.segment.get(e.source) != self.segment.get(e.target) and e.kind in ("h", "c"):
            both = {o.kind for o in self.edges if (o.source, o.target) == (e.source, e.target)} >= {"h", "c"}
            y = 1.1 * HIGHWAY if both and e.kind == "h" else 0.5 * HIGHWAY
            starts, stops = [Port(a.right, a.top - y, 1, 0)], [Port(b.left, b.top - y, 1, 0)]
        elif e.kind == "feedback":
            below = Port(b.x + 0.25 * b.w, b.bottom, 0, 1) if b.h > SMALL[1] else Port(b.right, b.y, -1, 0)
            starts, stops = [Port(a.right, a.y, 1, 0)], [below]
        else:
            side = (a.x > b.x + 1) - (a.x < b.x - 1)
            shift = 0.25 * b.w * (side if b.h <= SMALL[1] else max(side, 0))  # at a cell's left the weights come in
            starts, stops = [Port(a.x, a.top, 0, 1)], [Port(b.x + shift, b.bottom, 0, 1)]
        near = [*beside(boxes), *(r.right + 16 for r in boxes), starts[0].x, stops[0].x]
        return path(starts, stops, [*obstacles, a, b], xs=near, ys=[*lanes(boxes), starts[0].y, stops[0].y])

    # Words -----------------------------------------------------------------------------------------------

    def lines(self, i: int) -> list[str]:
        """The text of a box: the kind of cell, or the letter of what it stands for at any time."""
        box = self.boxes[i]
        if box.kind == "cell":
            return [self._cell(box)]
        title = self.labels.title(self.first[i]).split(" = ")[0]
        if box.kind == "parameter":
            return title.split("\n")
        every = len(self.steps[i]) > 1
        return [title.rstrip("₀₁₂₃₄₅₆₇₈₉") + "ₜ" if every and title[-1] in "₀₁₂₃₄₅₆₇₈₉" else title]

    def _cell(self, box: Box) -> str:
        _, place, *stage = box.key
        inside = {self.level.roles[n.index] for n in self.level.graph.nodes if n.scope.path == place}
        kind = "LSTM" if "c" in inside else "GRU" if {"r", "z"} <= inside else "RNN"
        name = "f" + "'" * sum(stage) if any(stage) else kind  # what one part of a step does in a cell of several
        return str(Name(name, self.labels.names.marks.get(place, Mark())))


def _layer(place: tuple[str, ...]) -> str:
    """A recurrent layer's own name, without its direction."""
    return place[-1].removesuffix("_reverse") if place else ""


def _middle(rects: Iterable[Rect]) -> float:
    rects = list(rects)
    return (min(r.bottom for r in rects) + max(r.top for r in rects)) / 2
