"""render: a graph as a picture."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.arguments import answerable
from tinygrad_rnn.collector import collector_paused
from tinygrad_rnn.errors import ArgumentError, GraphError
from tinygrad_rnn.files import PathLike, as_path

from .. import style
from .backward_picture import mirrored
from .box_text import Labels
from .detail_levels import DETAILS, Level, collapse
from .dot_text import Captions, dot_source
from .gradient_values import check_outputs, gradients
from .layout import compose
from .module_on_zeros import traced
from .picture import Picture, format_of
from .placement import Layout, shown_columns
from .rolled import folded


@answerable
def render(
    what: Any,
    path: PathLike | None = None,
    *,
    detail: str = "cell",
    values: bool = False,
    grads: bool = False,
    backward: bool = False,
    rolled: bool = False,
    max_steps: int | None = 6,
    captions: Captions = None,
    title: str | None = None,
    dot: PathLike | None = None,
    timeout: float | None = None,
) -> Picture:
    """Draw the graph a tensor was computed by, unrolled over time from left to right; write it to ``path`` if given.

    ``what`` is a tensor (or several, nested as a layer returns them), a `tinygrad_rnn.Graph`, or a recurrent module,
    which is run on three time steps of zeros.

    - ``detail``: ``"cell"`` draws the lecture's slide, one box per cell and one W for all steps; ``"gate"`` the named
      parts of each cell; ``"op"`` every node and every edge.
    - ``values`` writes each value's norm (or its numbers, if they are few) into its box; ``grads`` the norm of each
      gradient, and in a shared weight's box what this step contributes to it. ``.grad`` is neither read nor written.
    - ``backward`` draws the backward graph on top of the forward graph. Both need one scalar output.
    - ``rolled`` draws the folded network beside it: one box per layer with an arrow back to itself.
    - ``max_steps``: of a longer sequence only so many steps are drawn, the middle is left out; None draws them all.
    - ``captions``: a text under each time step: a list, {step from 0: text}, or one string with a character for each.
      ``title``: a line above the picture.
    - ``dot``: the Graphviz to use (default: the environment's TINYGRAD_RNN_DOT, graphviz-pure, the system's).
      ``timeout``: seconds it may take, 60 if None.

    Every box carries an id, a class and a tooltip with op, shape, dtype, value, gradient, derivative rule and source
    line. The same graph gives the same bytes.

    Raises `RenderError` if there is no working renderer (the DOT source is then written instead), `DataError` if the
    file cannot be written, `GraphError` if the graph cannot be drawn as asked.

    >>> import tinygrad_rnn as tg, viz
    >>> picture = viz.render(tg.nn.LSTM(3, 4), detail="gate")
    >>> "c₁ = f⊙c + i⊙g" in picture.dot
    True
    """
    _check(path, detail, max_steps, captions, title, dot, timeout)
    with collector_paused():
        forward, outputs = _graph(what)
        needs_gradients = grads or backward
        if needs_gradients and not outputs:
            raise GraphError(
                "render: a Graph holds no tensors to walk backward from; pass the loss itself to see gradients"
            )
        graph = _with_backward(outputs) if backward and detail == "op" else forward
        level = collapse(graph, detail)
        found = gradients(outputs, level) if needs_gradients else None
        if backward and found is not None and detail != "op":
            level = mirrored(level, found)
        labels = Labels(level, values=values, grads=grads, gradients=found)

        def laid_out(level: Level, labels: Labels) -> tuple[Layout, list[list[str]]]:
            shown = {None, *shown_columns(level.columns, max_steps)}
            lines = [labels.lines(box) if box.column in shown else [""] for box in level.boxes]
            sizes = [style.box_size(box.kind, text, level.detail) for box, text in zip(level.boxes, lines)]
            return compose(level, sizes, max_steps=max_steps, dot=dot, timeout=timeout), lines

        layout, lines = laid_out(level, labels)
        fold = None
        if rolled:
            cells = level if detail == "cell" else collapse(forward, "cell")
            if not any(box.kind == "cell" for box in cells.boxes):
                raise GraphError("render: rolled=True folds a recurrence, and this graph has none; draw it unrolled")
            rows = layout if cells is level else laid_out(cells, Labels(cells))[0]
            fold = folded(cells, rows, layout, dot=dot, timeout=timeout)
        source = dot_source(level, layout, lines, labels, captions=captions, title=title, rolled=fold)
        picture = Picture(source, positioned=True, renderer=dot, timeout=timeout)
    if path is not None:
        picture.save(path)
    return picture


def _check(path: Any, detail: Any, max_steps: Any, captions: Any, title: Any, dot: Any, timeout: Any) -> None:
    """Refuse what makes no sense before any work is done."""
    if detail not in DETAILS:
        raise ArgumentError(f'render: detail is "cell", "gate" or "op", not {detail!r:.40}')
    if max_steps is not None and (not isinstance(max_steps, int) or max_steps < 2):
        raise ArgumentError(
            f"render: max_steps is at least 2 (the first and the last step), or None for all, not {max_steps!r:.40}"
        )
    if captions is not None and not isinstance(captions, (Mapping, Sequence)):
        raise ArgumentError(f"render: captions is a list of texts or {{step from 0: text}}, not {captions!r:.40}")
    if title is not None and not isinstance(title, str):
        raise ArgumentError(f"render: title is a text, not {title!r:.40}")
    if timeout is not None and not (isinstance(timeout, (int, float)) and timeout > 0):
        raise ArgumentError(
            f"render: timeout is a number of seconds above 0, or None for the default, not {timeout!r:.40}"
        )
    for name, file in (("path", path), ("dot", dot)):
        if file is not None and not isinstance(file, (str, os.PathLike)):
            raise ArgumentError(f"render: {name} is the name of a file, not {file!r:.40}")
    if path is not None:
        format_of(as_path(path))


def _graph(what: Any) -> tuple[tg.Graph, list[tg.Tensor]]:
    """The graph to draw, and the tensors it ends in, where there are any."""
    if isinstance(what, tg.Graph):
        return what, []
    outputs = traced(what) if isinstance(what, tg.nn.Module) else list(_flat(what))
    if not outputs or not all(isinstance(x, tg.Tensor) for x in outputs):
        raise ArgumentError(f"render: draws a tensor, several tensors, a Graph or a module, not {type(what).__name__}")
    return tg.Graph(*outputs), outputs


def _flat(what: Any) -> Iterator[Any]:
    """The tensors in a layer's result, ``(output, (h_n, c_n))``, one after the other."""
    if isinstance(what, (tuple, list)):
        for item in what:
            yield from _flat(item)
    else:
        yield what


def _with_backward(outputs: list[tg.Tensor]) -> tg.Graph:
    """The graph of ``outputs`` and of the gradients of all leaves, which the reverse walk records as it goes."""
    check_outputs(outputs)
    with tg.enable_grad():
        seeds = [tg.tensor(np.ones(x.shape, x.dtype), name="1") for x in outputs]
        leaves = [step.gradient for step in tg.walk(outputs, seeds, create_graph=True) if step.node.op is None]
    return tg.Graph(*outputs, *leaves)
