"""The unrolled graph for the page: the layout of `viz.render`'s pictures as plain SVG that a script can light up.

Nothing is coloured here: every box and line has a class, and the page's style sheet knows what that looks like, in
light and in dark. Each box keeps a line free in which the page writes the number of the moment.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import tinygrad_rnn as tg

from ... import style
from ...graph.box_text import Labels
from ...graph.detail_levels import Box, Level, collapse
from ...graph.graphviz_program import RenderError
from ...graph.layout import compose
from ...graph.line_routing import Point, Rect
from ...graph.placement import Layout, Line
from ...graph.time_columns import Column
from ..node_names import Names
from .layered_layout import layered

MARGIN = 14.0
LABEL_LIMIT = 48
#: A formula with more characters is left to the sentences; the box keeps its short form.
FORMULA_LIMIT = 20
#: A graph without time steps that has more boxes than this would keep dot busy for minutes.
TIMELESS_LIMIT = 100
TIMEOUT = 20.0
#: As wide as the free line gets.
NUMBER = "∂ 0.00012 "


@dataclass(frozen=True, slots=True)
class GraphPicture:
    """A level of detail drawn; the SVG's elements of class b are the ``boxes``, of class e the ``edges``, in order."""

    detail: str
    svg: str
    #: (the node whose number it shows, its members, a weight's users, and what is not drawn but seen through it)
    boxes: list[tuple[int, list[int], list[int], list[int]]]
    edges: list[list[tuple[int, int]]]  #: (from, to) of every edge of the graph a line stands for


def draw(graph: tg.Graph, detail: str, max_steps: int | None = None) -> GraphPicture:
    """``graph`` at level ``detail``; of a longer sequence than ``max_steps`` the middle is left out."""
    level = collapse(graph, detail)
    labels = Labels(level)
    names = Names(graph)
    # what the sentences call it; of the lecture's the letter is enough, panels have both
    labels.parameters = {i: "" if i in labels.letters else names.shown[i] for i in labels.parameters}
    titles = [_as_spoken(box, names, labels.lines(box)) for box in level.boxes]
    lines = [[style.shown(x, LABEL_LIMIT) for x in title] for title in titles]
    numbered = [len(box.members) == 1 or box.kind not in ("parameter", "cell") for box in level.boxes]
    sizes = [
        style.box_size(box.kind, [*text, NUMBER] if free else text, detail)
        for box, text, free in zip(level.boxes, lines, numbered)
    ]
    layout = _layout(level, sizes, max_steps)
    pen = _Pen(layout, style.FONT_SIZE[detail])
    body = [pen.frame(column, frame, framed=detail != "cell") for column, frame in layout.frames]
    body += [pen.line(line, level.edges[line.edge].kind) for line in layout.lines]
    body += [pen.box(rect, level.boxes[i].kind, lines[i], numbered[i]) for i, rect in layout.rects.items()]
    body += [pen.gap(gap.steps, rect) for gap, rect in layout.gaps]
    users: dict[int, set[int]] = defaultdict(set)
    for line in level.edges:
        if level.boxes[line.source].kind == "parameter":
            users[line.source].update(user for _, user, _ in line.uses)
    seen = seen_through(level)
    boxes = [(level.boxes[i].main, level.boxes[i].members, sorted(users[i]), seen[i]) for i in layout.rects]
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {pen.width:.0f} {pen.height:.0f}">{"".join(body)}</svg>'
    )
    return GraphPicture(detail, svg, boxes, [[use[:2] for use in level.edges[line.edge].uses] for line in layout.lines])


def seen_through(level: Level) -> list[list[int]]:
    """Per box the nodes that have none and are told at it, so that a walk that comes to one can point somewhere.

    What carries a value on is told where that comes from, what gathers many where they are read.
    """
    nodes, boxed = level.graph.nodes, {member for box in level.boxes for member in box.members}
    at = {member: i for i, box in enumerate(level.boxes) for member in box.members if box.kind != "parameter"}
    for node in nodes:
        sources = [at[source] for source in node.sources if source in at]
        gathers = node.op is not None and node.op.kind == "movement" and len(set(sources)) > 1
        if node.index not in boxed and sources and not gathers:
            at[node.index] = sources[-1]
    for node in reversed(nodes):
        users = [at[user] for user in level.graph.consumers[node.index] if user in at]
        if node.index not in boxed | at.keys() and users:
            at[node.index] = users[0]
    return [[n for n, own in at.items() if own == i and n not in boxed] for i in range(len(level.boxes))]


def _as_spoken(box: Box, names: Names, title: list[str]) -> list[str]:
    """The title of a box in the words of the debugger's sentences, ``f₃ ⊙ c₂`` where a picture writes ``f⊙c``."""
    node, said = names.graph.nodes[box.main], names.shown[box.main]
    left, equals, how = title[0].rpartition(" = ")
    if box.kind == "state" and equals and "⊙" in how[1:]:
        formula = _written(names, names.formula(box.main))
        return [f"{left} = {formula}"] if formula else title
    if box.key[0] not in ("op", "part") or node.op is None or node.role or node.name:
        return title
    if said == names[box.main] != how:  # no formula: what the sentences call it, and what it does
        return [f"{names.drawn(said)} = {how}", *title[1:]] if len(said) <= FORMULA_LIMIT else title
    if said.endswith(")"):
        formula = _written(names, said)
        return [formula] if formula and len(formula) <= FORMULA_LIMIT else title
    name = _written(names, said)
    return title if name == how else [f"{name} = {how}"]


def _written(names: Names, said: str) -> str:
    """A name as boxes write it; "" if something in it has no name of its own but a number."""
    bare = said[1:-1] if said.startswith("(") else said
    return "" if ":" in re.sub(r"\[[^]]*\]", "", bare) else names.drawn(bare)


def _layout(level: Level, sizes: Sequence[tuple[float, float]], max_steps: int | None) -> Layout:
    """The layout of `viz.render` where it can be had in a moment, else a plainer one."""
    if not level.columns and len(level.boxes) > TIMELESS_LIMIT:
        return layered(level, sizes)
    try:
        return compose(level, sizes, max_steps=max_steps, timeout=TIMEOUT)
    except RenderError:
        return layered(level, sizes)


class _Pen:
    """Writes SVG in its own coordinates, where y grows downwards."""

    def __init__(self, layout: Layout, size: float) -> None:
        rects = [*layout.rects.values(), *(frame for _, frame in layout.frames), *(rect for _, rect in layout.gaps)]
        points = [point for line in layout.lines for point in _points(line.pos)]
        self.left = min([*(r.left for r in rects), *(x for x, _ in points)]) - MARGIN
        self.top = max([*(r.top for r in rects), *(y for _, y in points)]) + MARGIN
        self.width = max([*(r.right for r in rects), *(x for x, _ in points)]) + MARGIN - self.left
        self.height = self.top - min([*(r.bottom for r in rects), *(y for _, y in points)]) + MARGIN
        self.size = size

    def _shape(self, rect: Rect, kind: str) -> str:
        x, y, w, h = rect.left - self.left, self.top - rect.top, rect.w, rect.h
        look = style.LOOKS[kind]
        if look.shape == "note":
            return f'<path d="M{_n(x)} {_n(y)}h{_n(w - 7)}l7 7v{_n(h - 7)}h{_n(-w)}z"/>'
        if look.shape == "octagon":
            a, b = w / 5, h * 0.3
            return (
                f'<path d="M{_n(x + a)} {_n(y)}h{_n(w - 2 * a)}l{_n(a)} {_n(b)}v{_n(h - 2 * b)}l{_n(-a)} {_n(b)}'
                f'h{_n(2 * a - w)}l{_n(-a)} {_n(-b)}v{_n(2 * b - h)}z"/>'
            )
        corner = ' rx="6"' if "rounded" in look.style else ""
        return f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(w)}" height="{_n(h)}"{corner}/>'

    def _text(self, x: float, y: float, text: str, kind: str = "") -> str:
        shown, role = escape(text), kind and f' class="{kind}"'
        if kind == "cell":  # f with W below the line
            letter, _, below = shown.partition("_")
            shown = f'{letter}<tspan class="low" dy="4">{below}</tspan>'
        return f'<text x="{_n(x)}" y="{_n(y)}"{role}>{shown}</text>'

    def box(self, rect: Rect, kind: str, lines: list[str], numbered: bool) -> str:
        """A box with its title, and the line left free."""
        rows = [*lines, ""] if numbered else lines
        x, step = rect.x - self.left, 1.2 * self.size
        y = self.top - rect.y - step * (len(rows) - 1) / 2 + 0.36 * self.size
        of = [("cell" if kind == "cell" else "")] * len(lines) + (["n"] if numbered else [])
        texts = [self._text(x, y + k * step, row, of[k]) for k, row in enumerate(rows)]
        return f'<g class="b {kind}">{self._shape(rect, kind)}{"".join(texts)}</g>'

    def line(self, line: Line, kind: str) -> str:
        """A line; the style sheet puts an arrowhead at its end."""
        points = _points(line.pos)
        x, y = points[0]
        drawn = [f"M{_n(x - self.left)} {_n(self.top - y)}"]
        for b, c, d in zip(points[1::3], points[2::3], points[3::3]):
            relative = [(round(px - x, 1), round(y - py, 1)) for px, py in (b, c, d)]
            straight = all(abs(3 * relative[k][i] - (k + 1) * relative[2][i]) < 0.5 for k in (0, 1) for i in (0, 1))
            told = relative[2:] if straight else relative
            drawn.append(("l" if straight else "c") + " ".join(f"{_n(dx)} {_n(dy)}" for dx, dy in told))
            x, y = x + relative[2][0], y - relative[2][1]  # what is left by rounding goes into the next stretch
        headless = "" if line.arrow else " headless"
        return f'<path class="e {kind}{headless}" d="{"".join(drawn)}"/>'

    def frame(self, column: Column, frame: Rect, *, framed: bool) -> str:
        """A time step's caption, and the frame around it."""
        x, y = frame.left - self.left, self.top - frame.top
        rect = f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(frame.w)}" height="{_n(frame.h)}" rx="8"/>' if framed else ""
        foot = self.top - frame.bottom + (-8 if framed else 8)
        caption = self._text(frame.x - self.left, foot, f"t = {column.step + 1}")
        return f'<g class="frame">{rect}{caption}</g>'

    def gap(self, steps: int, rect: Rect) -> str:
        """A mark where steps are left out."""
        x, y = rect.x - self.left, self.top - rect.y
        return f'<g class="gap">{self._text(x, y, f"⋯ × {steps} steps")}</g>'


def _points(pos: str) -> list[Point]:
    """The points of Graphviz's ``pos``, without the arrow's tip."""
    pairs = [part.split(",") for part in pos.split()]
    return [(float(p[0]), float(p[1])) for p in pairs if p[0] not in ("e", "s")]


def _n(x: float) -> str:
    """A coordinate in as few characters as can be seen."""
    return f"{x:.1f}".removesuffix(".0")
