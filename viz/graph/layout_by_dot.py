"""A whole picture by dot, for what cannot be tiled: all steps at once, each in a strip of its own from left to right.

It is less regular than tiles, in which every step looks like the one before; but dot sees all lines while it places
the boxes, so that it finds a way for them where lines added to finished tiles do not.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence

from tinygrad_rnn.files import PathLike
from tinygrad_rnn.optional_packages import needed

from . import graphviz_program as engine
from .detail_levels import Level
from .line_routing import Rect
from .placement import PAD, Gap, Layout, Line, shown_columns
from .time_columns import Column
from .time_step_tile import Size

#: Of more boxes dot takes longer than anyone waits.
MOST = 400


def ranked(
    level: Level, sizes: Sequence[Size], *, max_steps: int | None, dot: PathLike | None, timeout: float | None
) -> Layout:
    """Places and lines for all boxes and the lines between them, as dot has them, with time from left to right."""
    drawing = _Ranking(level, sizes, shown_columns(level.columns, max_steps))
    return drawing.read(json.loads(engine.run(drawing.source(), "json", dot=dot, timeout=timeout)))


class _Ranking:
    def __init__(self, level: Level, sizes: Sequence[Size], slots: Sequence[Column | Gap]) -> None:
        self.level, self.sizes, self.slots = level, sizes, slots
        self.members: dict[Column, list[int]] = defaultdict(list)
        for i, box in enumerate(level.boxes):
            if box.column is not None:
                self.members[box.column].append(i)
        self.gaps = [slot for slot in slots if isinstance(slot, Gap)]
        self.lines: list[Line] = []  # by the id of an edge in the DOT text; without their ways

    def source(self) -> str:
        """The DOT text to lay out."""
        with needed("a picture"):
            import graphviz

        graph = graphviz.Digraph(
            graph_attr={"rankdir": "LR", "nodesep": "0.25", "ranksep": "0.55", "remincross": "true", "newrank": "true"},
            node_attr={"shape": "box", "fixedsize": "true", "label": ""},
            edge_attr={"arrowsize": "0.7"},
        )

        def stand(into: graphviz.Digraph, name: str, size: Size) -> None:
            into.node(name, width=f"{size[0] / 72:.4f}", height=f"{size[1] / 72:.4f}")

        for i, box in enumerate(self.level.boxes):
            if box.column is None:
                stand(graph, f"b{i}", self.sizes[i])
        before: list[str] = []
        for n, slot in enumerate(self.slots):
            with graph.subgraph(name=f"cluster_{n}", graph_attr={"margin": f"{PAD:g}"}) as strip:
                own = [f"gap{self.gaps.index(slot)}"] if isinstance(slot, Gap) else [f"b{i}" for i in self._own(slot)]
                for name in own:
                    stand(strip, name, (90.0, 40.0) if isinstance(slot, Gap) else self.sizes[int(name[1:])])
            if before:  # every strip begins where the one before it has ended
                stand(graph, f"t{n}", (1.0, 1.0))
                for name in before:
                    graph.edge(name, f"t{n}", style="invis", weight="0")
                for name in own:
                    graph.edge(f"t{n}", name, style="invis", weight="0")
            before = own
        self._draw_lines(graph)
        return str(graph.source)

    def _own(self, column: Column) -> list[int]:
        return self.members[column]

    def _draw_lines(self, graph: object) -> None:
        shown = {slot for slot in self.slots if isinstance(slot, Column)}
        order = {slot: n for n, slot in enumerate(self.slots)}
        done: set[tuple[str, str]] = set()
        for n, e in enumerate(self.level.edges):
            a, b = self.level.boxes[e.source].column, self.level.boxes[e.target].column
            names = f"b{e.source}", f"b{e.target}"
            line = Line(n, "", e.source, e.target)
            back = a is not None and b is not None and a in shown and b in shown and order[a] > order[b]
            if {a, b} - {None} - shown:
                gap = next((g for g in self.gaps if a and b and a.segment == b.segment == g.segment), None)
                if gap is None or a is None or b is None or abs(a.step - b.step) != 1 or not {a, b} & shown:
                    continue
                k = self.gaps.index(gap)
                names = (names[0], f"gap{k}") if a in shown else (f"gap{k}", names[1])
                if names in done:
                    continue
                done.add(names)
                leaves = a in shown
                line = Line(n, "", e.source if leaves else None, None if leaves else e.target, gap=k, arrow=not leaves)
                back = a > b
            back |= self.level.boxes[e.source].key[0] == "∂"  # a gradient stands beside what it is of
            ends, turned = (names[::-1], {"dir": "back"}) if back else (names, {})
            head = {} if line.arrow else {"arrowhead": "none", "arrowtail": "none"}
            graph.edge(*ends, id=str(len(self.lines)), **turned, **head)  # type: ignore[attr-defined]
            self.lines.append(line)

    def read(self, drawn: dict[str, list[dict[str, str]]]) -> Layout:
        """The layout that dot has written."""
        layout = Layout()
        for item in drawn.get("objects", []):
            if "pos" in item and item["name"][0] in "bg":
                x, y = map(float, item["pos"].split(","))
                if item["name"].startswith("gap"):
                    k = int(item["name"][3:])
                    layout.gaps.append((self.gaps[k], Rect(x, y, 90.0, 40.0)))
                else:
                    i = int(item["name"][1:])
                    layout.rects[i] = Rect(x, y, *self.sizes[i])
        layout.gaps.sort(key=lambda gap: self.gaps.index(gap[0]))
        for item in drawn.get("edges", []):
            if "id" in item:
                line = self.lines[int(item["id"])]
                line.pos = item["pos"] if item.get("dir") != "back" else _turned(item["pos"])
                layout.lines.append(line)
        low, high = min(r.bottom for r in layout.rects.values()), max(r.top for r in layout.rects.values())
        for slot in self.slots:
            if isinstance(slot, Column):
                own = [layout.rects[i] for i in self.members[slot]]
                left, right = min(r.left for r in own) - PAD, max(r.right for r in own) + PAD
                frame = Rect((left + right) / 2, (low + high) / 2 - 10, right - left, high - low + 2 * PAD + 20)
                layout.frames.append((slot, frame))
        return layout


def _turned(pos: str) -> str:
    """A line the other way round: dot has drawn it from its head to its tail."""
    parts = pos.split()
    tips = [part for part in parts if part[0] in "es"]
    points = [part for part in parts if part[0] not in "es"]
    return " ".join([*(f"e,{tip[2:]}" for tip in tips), *points[::-1]])
