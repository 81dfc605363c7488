"""A session's numbers along time as a figure for a slide or a paper."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.files import PathLike, as_path, write_atomically
from tinygrad_rnn.optional_packages import needed

from .. import style
from ..plotting import encoded
from .inspection import Inspection


def plot(session: Inspection, node: int | None, path: PathLike) -> None:
    """Gradient norms of the carried states along time, or what each time step adds to the gradient of ``node``."""
    with needed("a plot", "plot"):
        from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    if node is None:
        _norms(session, figure.subplots())
    else:
        _ledger(session, node, *figure.subplots(2, 1, sharex=True, height_ratios=(2, 1)))
    write_atomically(path, encoded(figure, as_path(path).suffix[1:].lower()))


def _norms(session: Inspection, axes: Any) -> None:
    rows = session.state_norms(session.last)
    if not rows:
        raise tg.GraphError("no state here is carried from one time step to the next")
    for layer, role in dict.fromkeys((row.layer, row.role) for row in rows):
        points = [(row.time, row.norm) for row in rows if (row.layer, row.role) == (layer, role) and row.norm]
        label = f"{role} of {style.visible(layer)}" if layer else role
        color = style.STROKES["c" if role == "c" else "h"][0]
        axes.plot(*zip(*points), "o-" if role == "h" else "s--", color=color, label=label, markersize=4)
    axes.set(xlabel="time step t", ylabel="norm of the gradient", yscale="log")
    axes.legend(frameon=False)


def _ledger(session: Inspection, node: int, above: Any, below: Any) -> None:
    found = session.ledger(node, session.last)
    rows = [row for row in found.rows if row.time is not None]
    if not rows:
        raise tg.GraphError(f"no time step contributes to the gradient of {found.name}")
    times = [row.time for row in rows]
    above.bar(times, [row.norm for row in rows], color=style.STROKES["h"][0])
    above.set(ylabel="norm", title=f"what each time step adds to the gradient of {found.name}".replace("$", r"\$"))
    shares = np.array([np.nan if row.share is None else row.share for row in rows])
    below.bar(times, shares, color=[style.STROKES["c" if share < 0 else "h"][0] for share in shares])
    below.axhline(0, color=style.INK, linewidth=0.6)
    below.set(xlabel="time step t", ylabel="share")
    below.yaxis.set_major_formatter(lambda share, _position: f"{100 * share:g}%")
