"""A level of detail and its layout as DOT text, coordinates included."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from tinygrad_rnn.optional_packages import needed
from tinygrad_rnn.progress import followed

from .. import style
from .box_text import Labels
from .detail_levels import Level
from .line_labels import LineLabels
from .line_routing import Rect
from .placement import Gap, Layout, Line
from .rolled import Folded
from .time_columns import Column

Captions = Mapping[int, str] | Sequence[str] | None


def dot_source(
    level: Level,
    layout: Layout,
    lines: Sequence[Sequence[str]],
    labels: Labels,
    *,
    captions: Captions = None,
    title: str | None = None,
    rolled: Folded | None = None,
) -> str:
    """DOT text for ``neato -n2``; ``lines`` are what is written in each box, ``rolled`` is drawn at the left."""
    drawing = _Drawing(level, layout, lines, labels)
    cut = any(level.edges[line.edge].cut for line in layout.lines)
    legend = labels.legend([line for i in layout.rects for line in lines[i]], cut=cut)
    drawing.heading("\n".join(filter(None, [style.visible(title or ""), legend, layout.note])))
    members: dict[Column | None, list[int]] = defaultdict(list)
    for i in layout.rects:
        members[level.boxes[i].column].append(i)
    for column, frame in followed(layout.frames, "drawing steps", len(layout.frames)):
        drawing.step(column, frame, members.pop(column, []), _caption(labels, column, captions))
    for boxes in members.values():
        for i in boxes:
            drawing.box(drawing.root, i)
    for n, (gap, rect) in enumerate(layout.gaps):
        drawing.gap(n, gap, rect)
    for line in followed(layout.lines, "drawing lines", len(layout.lines)):
        drawing.line(drawing.root, line)
    if rolled is not None:
        folded = _Drawing(*rolled[:3], Labels(rolled.level), prefix="rolled_")
        for i in rolled.layout.rects:
            folded.box(drawing.root, i)
        for line in rolled.layout.lines:
            folded.line(drawing.root, line)
        for segment, rect in rolled.feet.items():
            folded.foot(drawing.root, segment, rect, labels.passes.get(segment, ""))
        folded.arrow(drawing.root, rolled.arrow)
    return str(drawing.root.source)


def name(level: Level, i: int) -> str:
    """A box's name and id, from the graph's own indices: the same graph gives the same bytes."""
    box = level.boxes[i]
    when = "" if box.column is None else f"_s{box.column.segment}_t{box.column.step + 1}"
    if box.key[0] == "∂":
        return f"g{box.main}_{i}{when}"
    if box.kind == "parameter":
        return f"w{box.main}{when}" if level.detail == "op" else f"w{box.main}_{i}{when}"
    return f"n{box.main}{when}"


class _Drawing:
    """The DOT text as it grows."""

    def __init__(
        self, level: Level, layout: Layout, lines: Sequence[Sequence[str]], labels: Labels, *, prefix: str = ""
    ) -> None:
        with needed("a picture"):
            import graphviz  # importing viz should not cost loading the Graphviz bindings

        self.level, self.layout, self.lines, self.labels, self.prefix = level, layout, lines, labels, prefix
        self.plain = graphviz.nohtml  # user text is no HTML, whatever it begins and ends with
        self.size = style.FONT_SIZE[level.detail]
        whole = {
            "splines": "true",
            "outputorder": "nodesfirst",
            "bgcolor": "white",
            "pad": "0.15",
            "fontname": style.FONT,
            "fontsize": f"{self.size + 1:g}",
            "id": "graph",
            "class": f"detail_{level.detail}",
            "tooltip": " ",
        }
        node = {"fontname": style.FONT, "fontsize": f"{self.size:g}", "fontcolor": style.INK, "fixedsize": "true"}
        edge = {"fontname": style.FONT, "fontsize": f"{self.size - 1:g}", "arrowsize": "0.7"}
        self.line_labels = LineLabels(layout)
        self.root = graphviz.Digraph("unrolled", graph_attr=whole, node_attr=node, edge_attr=edge)

    def name(self, i: int) -> str:
        """A box's name and id in the whole picture."""
        return self.prefix + name(self.level, i)

    def text(self, text: str) -> Any:
        """User text as a label."""
        return self.plain(style.escape(text))

    def cell_label(self, title: str, size: float) -> str:
        """The letters of a cell, ``f_W₂`` with W₂ below the line; Graphviz's own SUB lowers nothing in SVG."""
        letter, _, below = title.partition("_")
        cell = f'<TD HEIGHT="{1.5 * size:.0f}" VALIGN="BOTTOM"><FONT POINT-SIZE="{0.66 * size:.1f}">{below}</FONT></TD>'
        return f'<<TABLE BORDER="0" CELLSPACING="0" CELLPADDING="0"><TR><TD>{letter}</TD>{cell}</TR></TABLE>>'

    def heading(self, text: str) -> None:
        """Lines above the picture."""
        if text:
            self.root.attr(label=self.text(text), labelloc="t")

    def box(self, into: Any, i: int) -> None:
        """One box, with everything known about it in its tooltip."""
        box, look = self.level.boxes[i], style.LOOKS[self.level.boxes[i].kind]
        time, rolled = "" if box.column is None else f" t{box.column.step + 1}", " rolled" if self.prefix else ""
        kind = f"{box.kind}{time}{rolled}"
        size = 1.35 * self.size if box.kind in ("cell", "backward") else self.size
        title = self.lines[i][0]
        label = (
            self.cell_label(title, size) if size > self.size and "_" in title else self.text("\n".join(self.lines[i]))
        )
        into.node(
            self.name(i),
            label,
            **_at(self.layout.rects[i]),
            **_identity(self.name(i), kind, self.labels.tooltip(box)),
            fontsize=f"{size:g}",
            shape=look.shape,
            style=look.style,
            fillcolor=look.fill,
            color=look.border,
            penwidth=f"{look.width:g}",
        )

    def step(self, column: Column, frame: Rect, boxes: Sequence[int], caption: str) -> None:
        """A time step: its boxes, in a frame where they are many, and its caption."""
        ident = f"step_s{column.segment}_t{column.step + 1}"
        identity = _identity(ident, f"step t{column.step + 1}", caption)
        place = self.layout.caption(self.level, column, frame)
        if self.level.detail == "cell":
            for i in boxes:
                self.box(self.root, i)
            identity["class"] = "caption"
            self.root.node(ident, self.text(caption), **_at(place), **identity, shape="plaintext")
            return
        with self.root.subgraph(name=f"cluster_{ident}") as cluster:
            cluster.attr(
                bb=f"{frame.left:.2f},{frame.bottom:.2f},{frame.right:.2f},{frame.top:.2f}",
                lp=_point(place.x, place.y),
                label=self.text(caption),
                fontsize=f"{self.size + 3:g}",
                **identity,
                **style.FRAME,
            )
            for i in boxes:
                self.box(cluster, i)

    def gap(self, n: int, gap: Gap, rect: Rect) -> None:
        """A mark where steps are left out."""
        identity = _identity(f"gap_{n}", "gap", f"{gap.steps} time steps like these")
        label = f"· · ·\n× {gap.steps} {'step' if gap.steps == 1 else 'steps'}"
        size = f"{self.size + 3:g}"
        self.root.node(f"gap_{n}", self.text(label), **_at(rect), **identity, shape="plaintext", fontsize=size)

    def foot(self, into: Any, segment: int, rect: Rect, text: str) -> None:
        """The name of a pass over a sequence, below it."""
        if text:
            ident = f"{self.prefix}pass_{segment}"
            into.node(ident, self.text(text), **_at(rect), **_identity(ident, "caption", text), shape="plaintext")

    def arrow(self, into: Any, rect: Rect) -> None:
        """From the folded picture to the unrolled one."""
        identity = _identity("unrolled", "unrolled", "the same network, one copy for each time step")
        into.node("unrolled", "unrolled", **_at(rect), **identity, shape="rarrow", **style.FRAME)

    def line(self, into: Any, line: Line) -> None:
        """One edge, with the graph's own edges it stands for in its tooltip."""
        edge = self.level.edges[line.edge]
        color, width, dashes = style.STROKES[edge.kind]
        tail, head = (f"gap_{line.gap}" if i is None else self.name(i) for i in (line.source, line.target))
        uses = [f"#{a} → #{b}, operand {slot}" for a, b, slot in edge.uses[:6]]
        told = "\n".join(uses or ["values kept for the backward pass"])
        label, size, text, place = {}, self.size - 1, line.label, line.label_at
        source = None if line.source is None else self.level.boxes[line.source]
        if not text and (edge.kind == "c" or edge.cut) and source is not None and source.kind == "cell":
            text = self.labels.state(edge.uses[0][0], source.column)  # which has no box
            place = self.line_labels.place(line, text, size)
        if text:
            label = {"label": self.text(text), "lp": _point(*place), "fontsize": f"{size:g}"}
        into.edge(
            tail,
            head,
            pos=line.pos,
            **_identity(f"e_{tail}_{head}_{line.edge}", f"{edge.kind} cut" if edge.cut else edge.kind, told),
            **label,
            color=color,
            penwidth=f"{width:g}",
            style="dashed" if edge.cut else dashes,
            arrowhead="normal" if line.arrow else "none",
        )


def _caption(labels: Labels, column: Column, captions: Captions) -> str:
    base = "  ".join(filter(None, [labels.passes.get(column.segment), f"t = {column.step + 1}"]))
    if isinstance(captions, Mapping):
        known = captions.get(column.step)
    else:
        known = captions[column.step] if captions is not None and column.step < len(captions) else None
    return base if known is None else f"{base}   {style.shown(str(known), 40)}"


def _identity(ident: str, kind: str, tooltip: str) -> dict[str, str]:
    return {"id": ident, "class": kind, "tooltip": style.escape_tooltip(tooltip)}


def _at(rect: Rect) -> dict[str, str]:
    return {"pos": f"{_point(rect.x, rect.y)}!", "width": f"{rect.w / 72:.4f}", "height": f"{rect.h / 72:.4f}"}


def _point(x: float, y: float) -> str:
    return f"{x:.2f},{y:.2f}"
