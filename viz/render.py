"""render: a graph as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tinygrad_rnn as tg

from . import style
from .picture import Picture


def render(
    what: Any,
    path: str | Path | None = None,
    *,
    detail: str = "cell",
    values: bool = False,
    grads: bool = False,
    backward: bool = False,
    rolled: bool = False,
    max_steps: int | None = 6,
    captions: Mapping[int, str] | Sequence[str] | None = None,
    title: str | None = None,
    dot: str | Path | None = None,
    timeout: float | None = None,
) -> Picture:
    """Draw a tensor's graph, or a `tinygrad_rnn.Graph`."""
    import graphviz

    graph = what if isinstance(what, tg.Graph) else tg.Graph(what)
    drawing = graphviz.Digraph(graph_attr={"rankdir": "BT"}, node_attr={"fontname": style.FONT, "shape": "box"})
    for node in graph.nodes:
        drawing.node(f"n{node.index}", graphviz.nohtml(style.escape(style.visible(node.label))), id=f"n{node.index}")
    for source, target, slot in graph.edges:
        drawing.edge(f"n{source}", f"n{target}", id=f"e{source}_{target}_{slot}")
    picture = Picture(drawing.source, positioned=False, renderer=dot, timeout=timeout)
    if path is not None:
        picture.save(path)
    return picture
