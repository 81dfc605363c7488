"""The unrolled graph for the page: the layout of `viz.render`'s pictures as plain SVG that a script can light up.

Nothing is coloured here: every box and line has a class, and the page's style sheet knows what that looks like, in
light and in dark. Each box keeps a line free in which the page writes the number of the moment.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from html import escape
from typing import Any

import tinygrad_rnn as tg

from .. import style
from ..columns import Column
from ..labels import Labels
from ..layout import compose
from ..levels import collapse
from ..places import Layout, Line
from ..route import Point, Rect

MARGIN = 10.0
#: As wide as the free line gets.
NUMBER = "∂ 0.00012 "


@dataclass(frozen=True, slots=True)
class Drawing:
    """A level of detail drawn; ``data-b`` and ``data-e`` in the SVG are positions in ``boxes`` and ``edges``."""

    detail: str
    svg: str
    boxes: list[dict[str, Any]]  #: {main: the node whose number it shows, nodes: its members, users: of a weight}
    edges: list[list[tuple[int, int]]]  #: (from, to) of every edge of the graph a line stands for


def draw(graph: tg.Graph, detail: str, max_steps: int | None = None) -> Drawing:
    """``graph`` at level ``detail``; of a longer sequence than ``max_steps`` the middle is left out."""
    level = collapse(graph, detail)
    labels = Labels(level)
    lines = [labels.lines(box) for box in level.boxes]
    numbered = [len(box.members) == 1 or box.kind not in ("parameter", "cell") for box in level.boxes]
    sizes = [
        style.box_size(box.kind, [*text, NUMBER] if free else text, detail)
        for box, text, free in zip(level.boxes, lines, numbered)
    ]
    layout = compose(level, sizes, max_steps=max_steps)
    pen = _Pen(layout, style.FONT_SIZE[detail])
    body = [pen.frame(column, frame) for column, frame in layout.frames]
    edges = {edge: n for n, edge in enumerate(dict.fromkeys(line.edge for line in layout.lines))}
    body += [pen.line(line, level.edges[line.edge].kind, edges[line.edge]) for line in layout.lines]
    for n, i in enumerate(layout.rects):
        body.append(pen.box(layout.rects[i], level.boxes[i].kind, n, lines[i], numbered[i]))
    body += [pen.gap(gap.steps, rect) for gap, rect in layout.gaps]
    users: dict[int, set[int]] = defaultdict(set)
    for line in level.edges:
        if level.boxes[line.source].kind == "parameter":
            users[line.source].update(user for _, user, _ in line.uses)
    boxes = [
        {"main": level.boxes[i].main, "nodes": level.boxes[i].members, "users": sorted(users[i])} for i in layout.rects
    ]
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {pen.width:.0f} {pen.height:.0f}">{"".join(body)}</svg>'
    )
    return Drawing(detail, svg, boxes, [[use[:2] for use in level.edges[i].uses] for i in edges])


class _Pen:
    """Writes SVG in its own coordinates, where y grows downwards."""

    def __init__(self, layout: Layout, size: float) -> None:
        rects = [*layout.rects.values(), *(frame for _, frame in layout.frames), *(rect for _, rect in layout.gaps)]
        points = [point for line in layout.lines for point in _points(line.pos)[1]]
        self.left = min([*(r.left for r in rects), *(x for x, _ in points)]) - MARGIN
        self.top = max([*(r.top for r in rects), *(y for _, y in points)]) + MARGIN
        self.width = max([*(r.right for r in rects), *(x for x, _ in points)]) + MARGIN - self.left
        self.height = self.top - min([*(r.bottom for r in rects), *(y for _, y in points)]) + MARGIN
        self.size = size

    def at(self, point: Point) -> str:
        return f"{point[0] - self.left:.1f} {self.top - point[1]:.1f}"

    def _shape(self, rect: Rect, kind: str) -> str:
        x, y, w, h = rect.left - self.left, self.top - rect.top, rect.w, rect.h
        look = style.LOOKS[kind]
        if look.shape == "note":
            return f'<path d="M{x:.1f} {y:.1f}h{w - 7:.1f}l7 7v{h - 7:.1f}h{-w:.1f}z"/>'
        if look.shape == "octagon":
            a, b = w / 5, h * 0.3
            return (
                f'<path d="M{x + a:.1f} {y:.1f}h{w - 2 * a:.1f}l{a:.1f} {b:.1f}v{h - 2 * b:.1f}l{-a:.1f} {b:.1f}'
                f'h{2 * a - w:.1f}l{-a:.1f} {-b:.1f}v{2 * b - h:.1f}z"/>'
            )
        corner = ' rx="6"' if "rounded" in look.style else ""
        return f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}"{corner}/>'

    def _text(self, x: float, y: float, text: str, kind: str = "") -> str:
        return f'<text x="{x:.1f}" y="{y:.1f}"{kind and f" class={kind!r}"}>{escape(text)}</text>'

    def box(self, rect: Rect, kind: str, n: int, lines: list[str], numbered: bool) -> str:
        """A box with its title, and the line left free."""
        rows = [*lines, ""] if numbered else lines
        x, step = rect.x - self.left, 1.2 * self.size
        y = self.top - rect.y - step * (len(rows) - 1) / 2 + 0.36 * self.size
        texts = [
            self._text(x, y + k * step, line, "n" if numbered and k == len(lines) else "")
            for k, line in enumerate(rows)
        ]
        return f'<g class="b {kind}" data-b="{n}">{self._shape(rect, kind)}{"".join(texts)}</g>'

    def line(self, line: Line, kind: str, n: int) -> str:
        """A line, and its arrowhead."""
        tip, points = _points(line.pos)
        drawn = [f"M{self.at(points[0])}"]
        for a, b, c, d in zip(points[::3], points[1::3], points[2::3], points[3::3]):
            straight = all(
                abs(b[i] - a[i] - (d[i] - a[i]) / 3) + abs(c[i] - a[i] - 2 * (d[i] - a[i]) / 3) < 0.1 for i in (0, 1)
            )
            drawn.append(f"L{self.at(d)}" if straight else f"C{self.at(b)} {self.at(c)} {self.at(d)}")
        head = self._head(points[-1], tip) if line.arrow and tip else ""
        return f'<g class="e {kind}" data-e="{n}"><path d="{"".join(drawn)}"/>{head}</g>'

    def _head(self, end: Point, tip: Point) -> str:
        dx, dy = (tip[0] - end[0]) * 0.42, (tip[1] - end[1]) * 0.42
        left, right = (end[0] - dy, end[1] + dx), (end[0] + dy, end[1] - dx)
        return f'<path class="tip" d="M{self.at(left)}L{self.at(tip)}L{self.at(right)}z"/>'

    def frame(self, column: Column, frame: Rect) -> str:
        """The frame around a time step."""
        x, y = frame.left - self.left, self.top - frame.top
        rect = f'<rect x="{x:.1f}" y="{y:.1f}" width="{frame.w:.1f}" height="{frame.h:.1f}" rx="8"/>'
        caption = self._text(frame.x - self.left, self.top - frame.bottom - 8, f"t = {column.step + 1}")
        return f'<g class="frame" data-t="{column.step + 1}">{rect}{caption}</g>'

    def gap(self, steps: int, rect: Rect) -> str:
        """Where steps are left out."""
        x, y = rect.x - self.left, self.top - rect.y
        return f'<g class="gap">{self._text(x, y, f"⋯ × {steps} steps")}</g>'


def _points(pos: str) -> tuple[Point | None, list[Point]]:
    """The arrow's tip and the points of Graphviz's ``pos``."""
    pairs = [part.split(",") for part in pos.split()]
    tips = [(float(p[1]), float(p[2])) for p in pairs if p[0] == "e"]
    return (tips[0] if tips else None), [(float(p[0]), float(p[1])) for p in pairs if p[0] not in ("e", "s")]
