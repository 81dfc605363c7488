"""render: a graph as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tinygrad_rnn as tg

from . import style
from .draw import dot_source
from .labels import Labels
from .layout import Composer
from .levels import collapse
from .mirror import mirrored
from .numbers import gradients
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
    outputs = [what] if isinstance(what, tg.Tensor) else []
    graph = what if isinstance(what, tg.Graph) else tg.Graph(*outputs)
    level = collapse(graph, detail)
    found = gradients(outputs, level) if grads or backward else None
    if backward and found is not None:
        level = mirrored(level, found)
    labels = Labels(level, values=values, grads=grads, gradients=found)
    lines = [labels.lines(box) for box in level.boxes]
    sizes = [style.box_size(box.kind, text, detail) for box, text in zip(level.boxes, lines)]
    layout = Composer(level, sizes, max_steps=max_steps, dot=dot, timeout=timeout).compose()
    picture = Picture(
        dot_source(level, layout, lines, labels, captions=captions, title=title),
        positioned=True, renderer=dot, timeout=timeout,
    )
    if path is not None:
        picture.save(path)
    return picture
