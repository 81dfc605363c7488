"""From a level of detail to coordinates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from tinygrad_rnn.files import PathLike

from . import tile
from .columns import Key
from .fans import Fans
from .levels import Level
from .mending import mended
from .places import Layout, Line, Places
from .wires import Wiring, curve


def compose(
    level: Level, sizes: Sequence[tile.Size], *, max_steps: int | None,
    dot: PathLike | None = None, timeout: float | None = None,
) -> Layout:  # fmt: skip
    """Places for all boxes and lines; ``sizes`` are the boxes' widths and heights in points."""
    if not level.columns:
        return _timeless(level, sizes, dot, timeout)
    places = Places(level, sizes, max_steps=max_steps, dot=dot, timeout=timeout)
    places.place()
    wiring, fans = Wiring(places), Fans(places)
    fans.out()
    fans.between()
    wiring.in_steps()
    wiring.between_steps()
    fans.into()
    mended(places.layout)
    return places.layout


def _timeless(level: Level, sizes: Sequence[tile.Size], dot: PathLike | None, timeout: float | None) -> Layout:
    """A graph without time steps is dot's own work, drawn from left to right; its backward pass returns leftwards."""
    wires = _numbered([((e.source,), (e.target,)) for e in level.edges])
    back = {wire for wire, e in zip(wires, level.edges) if e.kind == "gradient" and level.boxes[e.source].key[0] == "∂"}
    laid = tile.by_dot(
        {(i,): size for i, size in enumerate(sizes)},
        wires,
        [],
        [],
        rankdir="LR",
        against=back,
        dot=dot,
        timeout=timeout,
    )
    layout = Layout({key[0]: rect for key, rect in laid.boxes.items()})
    layout.lines = [Line(i, curve(laid, wire), wire[0][0], wire[1][0]) for i, wire in enumerate(wires)]
    return layout


def _numbered(pairs: Sequence[tuple[Key, Key]]) -> list[tile.Wire]:
    seen: dict[tuple[Key, Key], int] = defaultdict(int)
    wires = []
    for pair in pairs:
        wires.append((*pair, seen[pair]))
        seen[pair] += 1
    return wires
