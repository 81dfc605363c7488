"""Boxes in layers from left to right: for graphs that nobody divided into time steps, and where there is no Graphviz.

dot's own layout of a few hundred nodes around one shared weight takes minutes; this one takes no time. ``tg.steps`` in
the program gives the picture its time steps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from ...graph.detail_levels import Level
from ...graph.line_routing import Rect, spline
from ...graph.placement import Layout, Line

ACROSS, DOWN = 34.0, 14.0  #: room between layers, and between the boxes of one
LANE, LANES = 9.0, 8  #: lines past other layers run below them, so far apart, in so many lanes


def layered(level: Level, sizes: Sequence[tuple[float, float]]) -> Layout:
    """Each box one layer after the last it depends on, at the height of what it depends on."""
    sources: dict[int, list[int]] = defaultdict(list)
    targets: dict[int, list[int]] = defaultdict(list)
    for edge in level.edges:
        sources[edge.target].append(edge.source)
        targets[edge.source].append(edge.target)
    order = sorted(range(len(level.boxes)), key=lambda i: level.boxes[i].main)
    depth = dict.fromkeys(order, 0)
    for i in order:
        depth[i] = max((depth[j] + 1 for j in sources[i]), default=0)
    for i in order:
        if not sources[i] and targets[i]:
            depth[i] = min(depth[j] for j in targets[i]) - 1
    layers: dict[int, list[int]] = defaultdict(list)
    for i in order:
        layers[depth[i]].append(i)
    layout, x = Layout(), 0.0
    for layer in sorted(layers):
        members = layers[layer]
        heights = {i: [layout.rects[j].y for j in sources[i] if j in layout.rects] for i in members}
        members.sort(key=lambda i: -sum(heights[i]) / max(len(heights[i]), 1))
        width = max(sizes[i][0] for i in members)
        y = (sum(sizes[i][1] for i in members) + DOWN * (len(members) - 1)) / 2
        for i in members:
            w, h = sizes[i]
            layout.rects[i] = Rect(x + width / 2, y - h / 2, w, h)
            y -= h + DOWN
        x += width + ACROSS
    floor = min(rect.bottom for rect in layout.rects.values())
    lanes: dict[int, float] = {}
    for number, edge in enumerate(level.edges):
        a, b = layout.rects[edge.source], layout.rects[edge.target]
        points = [(a.right, a.y), (b.left, b.y)]
        if depth[edge.target] - depth[edge.source] > 1:  # below everything that stands between them
            lane = lanes.setdefault(edge.source, floor - 16 - LANE * (len(lanes) % LANES))
            points = [(a.x, a.bottom), (a.x, lane), (b.x, lane), (b.x, b.bottom)]
        layout.lines.append(Line(number, spline(points), edge.source, edge.target))
    return layout
