"""Places of the boxes of one time step: a grid for whole cells, Graphviz's dot for everything finer.

A tile is laid out once for all time steps: it has a place for every kind of box that occurs in any of them.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tinygrad_rnn.files import PathLike
from tinygrad_rnn.optional_packages import needed

from ..vocabulary import GATES
from . import graphviz_program
from .line_routing import Rect
from .time_columns import Key

Size = tuple[float, float]
Wire = tuple[Key, Key, int]  #: from, to, and the how-manyeth between these two

ROW_GAP, COLUMN_GAP, EMPTY_ROW = 46.0, 34.0, 16.0
#: Of more boxes dot stops improving their places early: it takes a minute else.
MANY = 300


@dataclass(slots=True)
class Tile:
    """Positions relative to the lower left corner of the step; ``curves`` are splines as DOT writes them."""

    boxes: dict[Key, Rect]
    curves: dict[Wire, list[tuple[float, float]]] = field(default_factory=dict)
    tips: dict[Wire, tuple[float, float]] = field(default_factory=dict)

    @property
    def width(self) -> float:
        """Extent along time."""
        return max((r.right for r in self.boxes.values()), default=0.0)

    @property
    def height(self) -> float:
        """Extent upwards."""
        return max((r.top for r in self.boxes.values()), default=0.0)

    def lift(self, bottom: float, by: float) -> None:
        """Move up what stands above ``bottom``."""
        self.boxes = {key: r.moved(0, by) if r.bottom >= bottom else r for key, r in self.boxes.items()}
        self.curves = {w: [(x, y + by * (y >= bottom)) for x, y in c] for w, c in self.curves.items()}
        self.tips = {w: (x, y + by * (y >= bottom)) for w, (x, y) in self.tips.items()}


def grid(sizes: Mapping[Key, Size], places: Mapping[Key, tuple[int, int]]) -> Tile:
    """Boxes at (row, column) places, rows counted from below."""
    rows = range(min(row for row, _ in places.values()), max(row for row, _ in places.values()) + 1)
    columns = sorted({column for _, column in places.values()})
    heights = {row: max((sizes[k][1] for k, (r, _) in places.items() if r == row), default=EMPTY_ROW) for row in rows}
    widths = {column: max(sizes[k][0] for k, (_, c) in places.items() if c == column) for column in columns}
    y, x = {}, {}
    at = 0.0
    for row in rows:
        y[row] = at + heights[row] / 2
        at += heights[row] + ROW_GAP
    at = 0.0
    for column in columns:
        x[column] = at + widths[column] / 2
        at += widths[column] + COLUMN_GAP
    return Tile({key: Rect(x[c], y[r], *sizes[key]) for key, (r, c) in places.items()})


def by_dot(
    sizes: Mapping[Key, Size],
    wires: Sequence[Wire],
    bars: Sequence[Key],
    carried: Sequence[tuple[Key, Key]],
    *,
    rankdir: str = "BT",
    against: Collection[Wire] = (),
    dot: PathLike | None = None,
    timeout: float | None = None,
) -> Tile:
    """Let dot place boxes of these ``sizes`` and route ``wires``.

    ``bars`` will be drawn across all steps, so nothing else may stand in their rank. ``carried`` are the
    edges into the next step: where they come in goes to the left. The wires ``against`` the direction of the layout
    stand as boxes do for the opposite ones.
    """
    with needed("a picture"):
        import graphviz

    names = {key: f"b{i}" for i, key in enumerate(sizes)}
    gap = "0.3" if rankdir == "BT" else "0.5"
    source = graphviz.Digraph(
        graph_attr={"rankdir": rankdir, "nodesep": "0.2", "ranksep": gap, "ordering": "", "remincross": "true"},
        node_attr={"shape": "box", "fixedsize": "true", "label": ""},
        edge_attr={"arrowsize": "0.7"},
    )
    if len(sizes) > MANY:
        source.attr(nslimit="0.5", nslimit1="0.5", mclimit="0.5")
    for key, (width, height) in sizes.items():
        source.node(names[key], width=f"{width / 72:.4f}", height=f"{height / 72:.4f}")
    for wire in wires:
        ends = names[wire[0]], names[wire[1]]
        if wire in against:
            source.edge(*ends[::-1], dir="back")
        else:
            source.edge(*ends, weight="4" if wire[0][0] != "W" else "1")
    for bar in bars:
        above = sizes.keys() - _ancestors(bar, wires)
        fed_above = {head for tail, head, _ in wires if tail in above}  # these are higher still
        for key in sizes:
            if key in above and key not in fed_above:
                source.edge(names[bar], names[key], style="invis", weight="0")
    for key in sizes:  # the backward pass goes on upwards from where the forward pass ends
        if (
            key[0] == "∂"
            and key[1:] in sizes
            and not any(tail == key[1:] and head[0] != "∂" for tail, head, _ in wires)
        ):
            source.edge(names[key[1:]], names[key], style="invis", minlen="3")
    ordered = _rank_gates(source, names)
    drawn = json.loads(graphviz_program.run(source.source, "json", dot=dot, timeout=timeout))
    keys = {name: key for key, name in names.items()}
    boxes, order = {}, {}
    for item in drawn.get("objects", []):
        if item["name"] in keys and "pos" in item:
            x, y = map(float, item["pos"].split(","))
            boxes[keys[item["name"]]] = Rect(x, y, *sizes[keys[item["name"]]])
            order[item["_gvid"]] = keys[item["name"]]
    tile = Tile({key: boxes[key] for key in sizes})
    seen: dict[tuple[Key, Key], int] = {}
    for item in drawn.get("edges", []):
        pair = order[item["tail"]], order[item["head"]]
        if item.get("style") == "invis":
            continue
        numbers = [part.split(",") for part in item["pos"].split()]
        curve = [(float(p[0]), float(p[1])) for p in numbers if p[0] not in ("e", "s")]
        if item.get("dir") == "back":
            pair, curve = (pair[1], pair[0]), curve[::-1]
        wire = (*pair, seen.get(pair, 0))
        seen[pair] = wire[2] + 1
        tile.tips[wire] = next((float(p[1]), float(p[2])) for p in numbers if p[0] in ("e", "s"))
        tile.curves[wire] = curve
    forward = sum(tile.boxes[a].x - tile.boxes[b].x for a, b in carried if a in tile.boxes and b in tile.boxes)
    return _mirrored(tile) if forward < 0 and not ordered else tile


def _mirrored(tile: Tile) -> Tile:
    """Left and right exchanged, so that what a step hands on lies on the side of the next step."""
    w = tile.width
    return Tile(
        {key: Rect(w - r.x, r.y, r.w, r.h) for key, r in tile.boxes.items()},
        {wire: [(w - x, y) for x, y in curve] for wire, curve in tile.curves.items()},
        {wire: (w - x, y) for wire, (x, y) in tile.tips.items()},
    )


def _ancestors(key: Key, wires: Sequence[Wire]) -> set[Key]:
    found = {key}
    while True:
        more = {tail for tail, head, _ in wires if head in found} - found
        if not more:
            return found
        found |= more


def _rank_gates(source: object, names: Mapping[Key, str]) -> bool:
    """The gates of an LSTM side by side, in an order that keeps the state's path straight; whether there are any."""
    cells: dict[object, list[tuple[int, str]]] = {}
    for key, name in names.items():
        gate = key[2] if key[0] == "part" else key[3] if key[0] == "op" else ""
        if isinstance(gate, str) and gate in GATES:
            cells.setdefault(key[1], []).append((GATES[gate], name))
    complete = [[name for _, name in sorted(gates)] for gates in cells.values() if len(gates) == 4]
    for ordered in complete:
        with source.subgraph(graph_attr={"rank": "same"}) as same:  # type: ignore[attr-defined]
            for left, right in pairwise(ordered):
                same.edge(left, right, style="invis")
    return bool(complete)
