"""The folded picture: one box per layer with an arrow back to itself, as lectures draw it before unrolling."""

from __future__ import annotations

from collections import defaultdict

from .columns import Key
from .levels import Box, Edge, Level
from .places import Layout, Line
from .route import Point, Port, Rect, path, spline
from .style import superscript

WIDTH, HEIGHT, STEP_X, STEP_Y = 84.0, 60.0, 190.0, 104.0
LOOP = 34.0  #: how far the arrow back to itself swings out


def rolled(level: Level) -> tuple[Level, Layout, list[list[str]]]:
    """A cell-level ``level`` with all time steps laid over each other: the level, its layout, the boxes' lines."""
    home: dict[Key, int] = {}
    boxes: list[Box] = []
    place: dict[int, int] = {}
    for i, box in enumerate(level.boxes):
        key = _folded(box, level)
        if key is None or box.before:
            continue
        key = (*key, box.column.segment) if box.column is not None and box.kind == "x" else key
        if key not in home:
            home[key] = len(boxes)
            boxes.append(Box(key, None, "cell" if key[0] == "cell" else box.kind, box.main, list(box.members)))
        place[i] = home[key]
    edges, loops, segment = _folded_edges(level, boxes, place)
    rects = _places(boxes, edges, segment)
    layout = Layout(rects=rects)
    for n, e in enumerate(edges):
        cell = rects[e.source]
        if n in loops:
            state = "h, c" if _cell_name(boxes[e.source], level) == "LSTM" else "h"
            line = Line(
                n, spline(_loop(cell)), e.source, e.target, label=state, label_at=(cell.right + LOOP + 18, cell.y + 4)
            )
        else:
            line = Line(n, spline(_route(rects, e, segment)), e.source, e.target)
        layout.lines.append(line)
    folded = Level(level.graph, "cell", boxes, edges, [], level.recurrent, level.roles)
    return folded, layout, [_lines(box, level) for box in boxes]


def _folded(box: Box, level: Level) -> Key | None:
    if box.kind == "state" and ("cell", box.key[2]) in {b.key for b in level.boxes}:
        return "cell", box.key[2]
    return box.key


def _folded_edges(level: Level, boxes: list[Box], place: dict[int, int]) -> tuple[list[Edge], set[int], dict[int, int]]:
    """Edges between folded boxes, which of them are loops, and the pass over a sequence each box belongs to."""
    segment: dict[int, int] = {}
    for i, box in enumerate(level.boxes):
        if box.column is not None and i in place:
            segment[place[i]] = box.column.segment
    found: dict[tuple[int, int, bool], Edge] = {}
    for e in level.edges:
        if e.source not in place or e.target not in place:
            continue
        a, b = place[e.source], place[e.target]
        columns = level.boxes[e.source].column, level.boxes[e.target].column
        later = None not in columns and columns[0] != columns[1]
        if a == b and not later:
            continue
        known = found.setdefault((a, b, later), Edge(a, b, e.kind))
        known.kind = "h" if a == b else known.kind
        known.uses += e.uses
    for a, b, _ in found:
        segment.setdefault(a, segment.get(b, 0))
        segment.setdefault(b, segment.get(a, 0))
    edges = list(found.values())
    return edges, {n for n, e in enumerate(edges) if e.source == e.target}, segment


def _places(boxes: list[Box], edges: list[Edge], segment: dict[int, int]) -> dict[int, Rect]:
    rank = dict.fromkeys(range(len(boxes)), 0)
    for _ in boxes:
        for e in edges:
            if (
                e.kind not in ("weight", "feedback")
                and e.source != e.target
                and segment.get(e.source) == segment.get(e.target)
            ):
                rank[e.target] = max(rank[e.target], rank[e.source] + 1)
    for e in edges:
        if e.kind == "weight":
            rank[e.source] = rank[e.target]
    across: dict[tuple[int, int], int] = defaultdict(int)
    offset: dict[int, float] = {}
    at = 0.0
    for s in sorted(set(segment.values())):
        offset[s] = at
        widest = max(
            sum(rank[i] == r and b.kind != "parameter" for i, b in enumerate(boxes) if segment.get(i, 0) == s)
            for r in set(rank.values())
        )
        at += STEP_X * max(1, widest) + 60
    rects: dict[int, Rect] = {}
    for i, box in enumerate(boxes):
        if box.kind == "parameter":
            continue
        s = segment.get(i, 0)
        x = offset[s] + STEP_X * across[s, rank[i]]
        across[s, rank[i]] += 1
        size = (WIDTH, HEIGHT) if box.kind == "cell" else (52.0, 28.0)
        rects[i] = Rect(x, STEP_Y * rank[i], *size)
    for s, r in list(across):  # rows with fewer boxes stand in the middle of the widest
        widest = max(count for (t, _), count in across.items() if t == s)
        for i in rects:
            if segment.get(i, 0) == s and rank[i] == r:
                rects[i] = rects[i].moved(STEP_X * (widest - across[s, r]) / 2)
    for e in edges:
        if e.kind == "weight":
            cell = rects[e.target]
            rects[e.source] = Rect(cell.left - 56, cell.y - HEIGHT / 2 - 22, 34.0, 26.0)
    return rects


def _loop(cell: Rect) -> list[Point]:
    high, low, x = cell.y + 16, cell.y - 8, cell.right + LOOP
    return [(cell.right, high), (x, high), (x, low), (cell.right, low)]


def _route(rects: dict[int, Rect], e: Edge, segment: dict[int, int]) -> list[Point]:
    a, b = rects[e.source], rects[e.target]
    if e.kind == "weight":
        at = b.left + 0.2 * b.w
        return [(a.right, a.y), (at, a.y), (at, b.bottom)]
    if e.kind == "feedback":
        lane = max(r.right for r in rects.values()) + LOOP + 40
        return [(a.right, a.y), (lane, a.y), (lane, b.y), (b.right, b.y)]
    if segment.get(e.source) != segment.get(e.target):
        return [(a.right, a.y - 20), (b.left, b.y - 20)] if a.y == b.y else [(a.right, a.y), (b.left, b.y)]
    others = list(rects.values())
    if a.x == b.x and not any(r.left < a.x < r.right and a.top <= r.bottom and r.top <= b.bottom for r in others):
        return [(a.x, a.top), (b.x, b.bottom)]
    shift = 0.25 * b.w if a.x > b.x else 0.0 if b.h == HEIGHT else -0.25 * b.w
    ways = [a.top + 14, (a.top + b.bottom) / 2, b.bottom - 14]
    return path(
        [Port(a.x, a.top, 0, 1)],
        [Port(b.x + shift, b.bottom, 0, 1)],
        others,
        xs=[r.right + 12 for r in others],
        ys=ways,
    )


def _cell_name(box: Box, level: Level) -> str:
    inside = {level.roles[n.index] for n in level.graph.nodes if n.scope.path == box.key[1]}
    return "LSTM" if "c" in inside else "GRU" if {"r", "z"} <= inside else "RNN"


def _lines(box: Box, level: Level) -> list[str]:
    roles = {level.roles[m] for m in box.members}
    if box.kind == "cell":
        name = _cell_name(box, level)
        last = box.key[1][-1] if box.key[1] else ""
        kin = [p[-1] for p in level.recurrent if p and p[:-1] == box.key[1][:-1] and not p[-1].endswith("_reverse")]
        base = last.removesuffix("_reverse")
        number = superscript(kin.index(base) + 1) if len(kin) > 1 and base in kin else ""
        arrow = " ←" if last.endswith("_reverse") else ""
        return [f"{name}{number}{arrow}"]
    if box.kind == "parameter":
        cells = [p for p in level.recurrent if ("cell", p) in {b.key for b in level.boxes}]
        return [f"W{chr(0x2080 + cells.index(box.key[2]) + 1)}" if len(cells) > 1 and box.key[2] in cells else "W"]
    letter = "x" if "x" in roles else "y" if "logits" in roles else "L" if box.kind == "loss" else ""
    node = level.graph.nodes[box.main]
    if letter:
        return [letter if letter == "L" and "loss" not in roles else f"{letter}ₜ"]
    return [node.op.symbol if node.op else node.label[:20]]
