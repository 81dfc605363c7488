"""A level of detail and its layout as DOT text, coordinates included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import style
from .columns import Column
from .labels import Labels
from .layout import Layout
from .levels import Level
from .route import Rect

Captions = Mapping[int, str] | Sequence[str] | None


def dot_source(
    level: Level, layout: Layout, lines: Sequence[Sequence[str]], labels: Labels,
    *, captions: Captions = None, title: str | None = None,
) -> str:  # fmt: skip
    """DOT text for ``neato -n2``."""
    import graphviz  # importing viz should not cost loading the Graphviz bindings

    size = style.FONT_SIZE[level.detail]
    drawing = graphviz.Digraph(
        "unrolled",
        graph_attr={
            "splines": "true", "outputorder": "nodesfirst", "bgcolor": "white", "fontname": style.FONT,
            "fontsize": f"{size + 1:g}", "pad": "0.15", "id": "graph", "class": f"detail_{level.detail}", "tooltip": " ",
        },
        node_attr={"fontname": style.FONT, "fontsize": f"{size:g}", "fontcolor": style.INK, "fixedsize": "true", "margin": "0"},
        edge_attr={"arrowsize": "0.7", "fontname": style.FONT, "fontsize": f"{size - 2:g}"},
    )  # fmt: skip
    heading = "\n".join(filter(None, [style.visible(title or ""), labels.legend()]))
    if heading:
        drawing.attr(label=_plain(style.escape(heading)), labelloc="t")
    frames = dict(layout.frames)
    inside: dict[Column | None, list[int]] = {}
    for i in layout.rects:
        inside.setdefault(level.boxes[i].column, []).append(i)
    for step, frame in frames.items():
        _step(drawing, level, layout, lines, labels, step, frame, inside.get(step, []), _caption(level, step, captions))
    for i in inside.get(None, []):
        _box(drawing, level, layout, lines, labels, i)
    if not frames:
        for column in inside:
            for i in inside[column] if column is not None else ():
                _box(drawing, level, layout, lines, labels, i)
    for n, (gap, rect) in enumerate(layout.gaps):
        drawing.node(f"gap_{n}", f"⋯\\n× {gap.steps} steps", pos=_at(rect), shape="plaintext", width=_inches(rect.w), height=_inches(rect.h),
                     id=f"gap_{n}", **{"class": "gap"}, fontsize=f"{size + 3:g}", tooltip=f"{gap.steps} time steps like these")  # fmt: skip
    for line in layout.lines:
        edge = level.edges[line.edge]
        color, width, dashes = style.STROKES[edge.kind]
        tail = f"gap_{line.gap}" if line.source is None else name(level, line.source)
        head = f"gap_{line.gap}" if line.target is None else name(level, line.target)
        label = (
            {"label": style.escape(line.label), "lp": f"{line.label_at[0]:.2f},{line.label_at[1]:.2f}"}
            if line.label
            else {}
        )
        uses = [f"#{a} → #{b}, operand {slot}" for a, b, slot in edge.uses[:6]] or ["values kept for the backward pass"]
        drawing.edge(tail, head, pos=line.pos, id=f"e_{tail}_{head}_{line.edge}", **{"class": f"edge {edge.kind}"}, color=color,
                     penwidth=f"{width:g}", style=dashes, arrowhead="normal" if line.arrow else "none", tooltip=style.escape_tooltip("\n".join(uses)), **label)  # fmt: skip
    return str(drawing.source)


def name(level: Level, i: int) -> str:
    """A box's name and id, from the graph's own indices: the same graph gives the same bytes."""
    box = level.boxes[i]
    when = "" if box.column is None else f"_s{box.column.segment}_t{box.column.step + 1}"
    if box.key[0] == "∂":
        return f"g{box.main}_{i}{when}"
    if box.kind == "parameter":
        return f"w{box.main}{when}" if level.detail == "op" else f"w{box.main}_{i}{when}"
    return f"n{box.main}{when}"


def _box(drawing: Any, level: Level, layout: Layout, lines: Sequence[Sequence[str]], labels: Labels, i: int) -> None:
    box, rect = level.boxes[i], layout.rects[i]
    look = style.LOOKS[box.kind]
    larger = {"fontsize": f"{1.35 * style.FONT_SIZE['cell']:g}"} if box.kind in ("cell", "backward") else {}
    step = "" if box.column is None else f" t{box.column.step + 1}"
    drawing.node(
        name(level, i), _plain("\\n".join(map(style.escape, lines[i]))), pos=_at(rect), width=_inches(rect.w), height=_inches(rect.h),
        id=name(level, i), **{"class": f"{box.kind}{step}"}, tooltip=style.escape_tooltip(labels.tooltip(box)),
        shape=look.shape, style=look.style, fillcolor=look.fill, color=look.border, penwidth=f"{look.width:g}", **larger,
    )  # fmt: skip


def _step(
    drawing: Any, level: Level, layout: Layout, lines: Sequence[Sequence[str]], labels: Labels,
    column: Column, frame: Rect, members: Sequence[int], caption: str,
) -> None:  # fmt: skip
    ident = f"step_s{column.segment}_t{column.step + 1}"
    text = _plain(style.escape(caption))
    size = style.FONT_SIZE[level.detail]
    if level.detail == "cell":
        for i in members:
            _box(drawing, level, layout, lines, labels, i)
        standing = [layout.rects[i].x for i in members if level.boxes[i].kind in ("x", "cell")]
        drawing.node(ident, text, pos=f"{standing[0] if standing else frame.x:.2f},{frame.bottom - 4:.2f}!", shape="plaintext", id=ident, width=_inches(frame.w), height="0.25",
                     **{"class": "caption"}, tooltip=style.escape_tooltip(caption))  # fmt: skip
        return
    with drawing.subgraph(name=f"cluster_{ident}") as cluster:
        cluster.attr(
            bb=f"{frame.left:.2f},{frame.bottom:.2f},{frame.right:.2f},{frame.top:.2f}", lp=f"{frame.x:.2f},{frame.bottom + 12:.2f}",
            label=text, fontsize=f"{size + 3:g}", id=ident, style="rounded,filled", fillcolor="#F7F7F7", color="#B3B3B3", tooltip=style.escape_tooltip(caption), **{"class": f"step t{column.step + 1}"},
        )  # fmt: skip
        for i in members:
            _box(cluster, level, layout, lines, labels, i)


def _caption(level: Level, column: Column, captions: Captions) -> str:
    base = f"{_pass_name(level, column.segment)}t = {column.step + 1}"
    if captions is None:
        return base
    known = captions.get(column.step) if isinstance(captions, Mapping) else (
        captions[column.step] if column.step < len(captions) else None)  # fmt: skip
    return base if known is None else f"{base}   {style.elided(style.visible(str(known)), 40)}"


def _pass_name(level: Level, segment: int) -> str:
    """What a pass over a sequence is called, where there are several: "encoder"."""
    if len({column.segment for column in level.columns}) < 2:
        return ""
    paths = [
        b.key[1]
        for b in level.boxes
        if b.column and b.column.segment == segment and len(b.key) > 1 and b.key[1] in level.recurrent
    ]
    return f"{style.elided(style.visible(paths[0][0]), 16)}  " if paths and paths[0] else ""


def _plain(text: str) -> Any:
    """Text that the Graphviz bindings must not take for HTML, whatever it begins and ends with."""
    import graphviz

    return graphviz.nohtml(text)


def _at(rect: Rect) -> str:
    return f"{rect.x:.2f},{rect.y:.2f}!"


def _inches(points: float) -> str:
    return f"{points / 72:.4f}"
