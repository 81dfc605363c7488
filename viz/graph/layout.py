"""From a level of detail to coordinates."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Sequence

import numpy as np

from tinygrad_rnn.files import PathLike

from . import time_step_tile
from .connections import Wiring, curve
from .detail_levels import Level
from .layout_in_lanes import in_lanes
from .line_repair import FARTHEST, MEASURED, mended
from .line_routing import Rect
from .placement import Layout, Line, Places
from .shared_weight_lines import Buses
from .time_columns import Key

#: Boxes of a graph without time steps: dot takes seconds for so many, and ever more time and memory for more.
MOST = 800
#: How far a step's caption reaches to both sides, if it is not as wide as the step.
CAPTION = 36.0


def compose(
    level: Level,
    sizes: Sequence[time_step_tile.Size],
    *,
    max_steps: int | None,
    dot: PathLike | None = None,
    timeout: float | None = None,
) -> Layout:
    """Places for all boxes and lines; ``sizes`` are the boxes' widths and heights in points."""
    most = max(Counter(box.column for box in level.boxes if box.column is not None).values(), default=0)
    if not most or most > MOST:
        why = f"one of its time steps has {most:,}" if most else "it has no time steps to leave out"
        return _timeless(level, sizes, why, dot, timeout)
    layout = _tiled(level, sizes, max_steps, dot, timeout)
    at = {i: rect.x for i, rect in layout.rects.items()}
    ends = [(line.source, line.target) for line in layout.lines]
    far = sum(abs(at[i] - at[j]) for i, j in ends if i is not None and j is not None)
    if len(layout.rects) > MEASURED or far > FARTHEST:
        layout.note = "of so large a picture whether lines run along one another was not measured"
        return layout
    faults = mended(layout)
    if faults:
        other = in_lanes(level, sizes, max_steps=max_steps)
        if (fewer := mended(other)) < faults:
            other.note = f"the steps are not drawn alike: {faults:,} lines would run along others or through a box"
            layout, faults = other, fewer
    _captions_below(layout, level)
    if faults:
        told = (
            f"{faults} of {len(layout.lines):,} lines run along others or through a box; "
            "draw fewer steps (max_steps=) or less detail to part them"
        )
        layout.note = "\n".join(filter(None, [layout.note, told]))
    return layout


def _captions_below(layout: Layout, level: Level) -> None:
    """Make the steps' frames, at whose bottom captions stand, reach below lines and boxes that would lie on those."""
    corners = [(x, y) for r in layout.rects.values() for x in (r.left, r.x, r.right) for y in (r.bottom, r.top)]
    x, y = (np.concatenate(both) for both in zip(layout.points().T, np.array(corners).T, strict=True))
    places = [layout.caption(level, column, frame) for column, frame in layout.frames]
    low = (y > min((r.bottom for r in places), default=0)) & (y < max((r.top for r in places), default=0))
    x, low = x[low], y[low]
    if any(((abs(x - r.x) < max(CAPTION, r.w / 2)) & (abs(low - r.y) < r.h / 2)).any() for r in places):
        deeper = max(r.top for r in places) - y.min() + 4
        layout.frames = [(c, Rect(r.x, r.y - deeper / 2, r.w, r.h + deeper)) for c, r in layout.frames]


def _tiled(
    level: Level,
    sizes: Sequence[time_step_tile.Size],
    max_steps: int | None,
    dot: PathLike | None,
    timeout: float | None,
) -> Layout:
    """One tile for each pass, copied along time, and the lines between its copies."""
    places = Places(level, sizes, max_steps=max_steps, dot=dot, timeout=timeout)
    places.place()
    wiring, fans = Wiring(places), Buses(places)
    fans.out()
    fans.between()
    wiring.in_steps()
    wiring.between_steps()
    fans.into()
    fans.rest()
    _words_beside_lines(places.layout, places.bottom, places.top)
    return places.layout


def _words_beside_lines(layout: Layout, low: float, high: float) -> None:
    """Move what is written where steps are left out, as little as possible, to where no line runs through it."""
    x, y = layout.points().T if layout.gaps else np.zeros((2, 0))
    for n, (gap, r) in enumerate(layout.gaps):
        heights = y[abs(x - r.x) < r.w / 2]
        for k in range(int((high - low) / 4)):
            moved = r.moved(0, (k + 1) // 2 * (-4 if k % 2 else 4))
            if not (abs(heights - moved.y) < r.h / 2 + 2).any():
                layout.gaps[n] = gap, moved
                break


def _timeless(
    level: Level, sizes: Sequence[time_step_tile.Size], why: str, dot: PathLike | None, timeout: float | None
) -> Layout:
    """A graph without time steps is dot's own work, drawn from left to right; its backward pass returns leftwards."""
    shown = _nearest(level)
    drawn = [n for n, e in enumerate(level.edges) if e.source in shown and e.target in shown]
    edges = [level.edges[n] for n in drawn]
    wires = _numbered([((e.source,), (e.target,)) for e in edges])
    back = {wire for wire, e in zip(wires, edges) if e.kind == "gradient" and level.boxes[e.source].key[0] == "∂"}
    laid = time_step_tile.by_dot(
        {(i,): size for i, size in enumerate(sizes) if i in shown},
        wires,
        [],
        [],
        rankdir="LR",
        against=back,
        dot=dot,
        timeout=timeout,
    )
    layout = Layout({key[0]: rect for key, rect in laid.boxes.items()})
    layout.lines = [Line(n, curve(laid, wire), wire[0][0], wire[1][0]) for n, wire in zip(drawn, wires, strict=True)]
    if layout.lines and not back:  # what returns runs beside what it returns along
        mended(layout)
    if len(shown) < len(level.boxes):
        layout.note = (
            f"the {len(shown)} of {len(level.boxes):,} boxes nearest to the result: {why}, "
            "and more take dot too long (tg.steps says what a time step is)"
        )
    return layout


def _nearest(level: Level) -> set[int]:
    """All boxes, or of very many those the fewest edges away from the end."""
    if len(level.boxes) <= MOST:
        return set(range(len(level.boxes)))
    feeds: dict[int, list[int]] = defaultdict(list)
    for e in level.edges:
        feeds[e.target].append(e.source)
    ends = {i for i, box in enumerate(level.boxes) if set(box.members) & set(level.graph.outputs)}
    found, pending = dict.fromkeys(sorted(ends)), deque(sorted(ends))
    while pending and len(found) < MOST:
        for source in feeds[pending.popleft()]:
            if source not in found and len(found) < MOST:
                found[source] = None
                pending.append(source)
    return set(found)


def _numbered(pairs: Sequence[tuple[Key, Key]]) -> list[time_step_tile.Wire]:
    seen: dict[tuple[Key, Key], int] = defaultdict(int)
    wires = []
    for pair in pairs:
        wires.append((*pair, seen[pair]))
        seen[pair] += 1
    return wires
