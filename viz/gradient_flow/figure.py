"""The figure of a flow: all norms in one panel, below it a column for each layer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import numpy as np

from tinygrad_rnn.optional_packages import needed

from .. import style
from ..plotting import COLOURS, MARKERS, settings
from .layer_measures import Layer, Series

#: decades below the largest that are shown of singular values, and of maps
SPECTRUM, DECADES = 4, 8


def draw(layers: Sequence[Layer], shown: Sequence[str], title: str | None) -> Any:
    """The panels that are ``shown`` of these layers, as a matplotlib figure."""
    with needed("the figure of a flow", "plot"):
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

    rows = [name for name in shown if name != "norms"]
    wide = "norms" in shown
    with settings():
        size = max(6.4, 3.2 * len(layers)) if rows else 6.4, 3.2 * wide + 2.7 * len(rows)
        figure: Any = Figure(figsize=size, layout="constrained")
        if title:
            figure.suptitle(_text(title), fontsize=12, weight="bold")
        above, below = figure, figure
        if wide and rows:
            above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(3.2, 2.7 * len(rows)))[:, 0]
        if wide:
            _norms(above.subplots(), layers)
        if rows:
            grid = below.subplots(len(rows), len(layers), squeeze=False, sharex="col", sharey="row")
            for name, line in zip(rows, grid):
                PAINTERS[name](line, layers)
            for axes, layer in zip(grid[0], layers):
                axes.set_title(_text(layer.label), fontsize=11)
            for axes in grid[-1]:
                axes.set_xlabel("time step t")
        for axes in figure.axes:
            if axes.get_xlabel():  # all but the colour bar
                axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    return figure


def _text(name: str) -> str:
    """A name from elsewhere, on one line and not as a formula."""
    return style.shown(name, 60).replace("$", r"\$")


def _state(layers: Sequence[Layer]) -> str:
    """The letter of the state in formulas; h where networks call theirs differently."""
    names = {layer.state for layer in layers}
    name = names.pop() if len(names) == 1 else "h"
    return name if len(name) == 1 else rf"\mathrm{{{name}}}" if name.isalnum() else "h"


def _xy(series: Series) -> tuple[list[int], Any]:
    times = sorted(series)
    return times, _drawable([series[t] for t in times])


def _drawable(values: Any) -> Any:
    """Values for a logarithmic axis: nan, which is not drawn, in place of 0, negative and infinite ones."""
    array = np.array(values, float)
    return np.where(np.isfinite(array) & (array > 0), array, np.nan)


def _norms(axes: Any, layers: Sequence[Layer]) -> None:
    for k, layer in enumerate(layers):
        for role, series in layer.norms.items():
            dashes, marker = ("-", MARKERS[k % 6]) if role == layer.state else ("--", "")
            axes.plot(
                *_xy(series),
                dashes,
                marker=marker,
                markersize=4,
                markevery=max(1, len(series) // 10),
                color=COLOURS[k % 6],
                label=_text(f"{layer.label}  {role}" if len(layer.norms) > 1 else layer.label),
            )
    label = rf"$\|\partial L/\partial {_state(layers)}_t\|$"
    axes.set(yscale="log", xlabel="time step t", ylabel=label, title="gradient of the loss, at the state of each step")
    axes.grid(alpha=0.3)
    if any(layer.label or len(layer.norms) > 1 for layer in layers):
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))


def _jacobians(line: Any, layers: Sequence[Layer]) -> None:
    for k, (axes, layer) in enumerate(zip(line, layers)):
        times = sorted(layer.spectra)
        if times:
            # a state that changes its size has more singular values at some steps
            rows = zip_longest(*(layer.spectra[t] for t in times), fillvalue=np.nan)
            values = _drawable(list(rows)).T
            axes.plot(times, values[:, 1:], color="#8c8c8c", linewidth=0.6)
            axes.plot(times, values[:, 0], color=COLOURS[k % 6], linewidth=2, label="largest")
        if layer.bounds:
            bound = "‖W‖ · largest slope"
            axes.plot(*_xy(layer.bounds), "--", color=style.INK, linewidth=1, label=bound)
            axes.legend(frameon=False, fontsize=8, loc="lower left")
    _logarithmic(line, "singular values\n" + r"$\partial s_t/\partial s_{t-1}$")
    low, high = line[0].get_ylim()
    line[0].set_ylim(bottom=max(low, high * 10.0**-SPECTRUM))


def _products(line: Any, layers: Sequence[Layer]) -> None:
    for k, (axes, layer) in enumerate(zip(line, layers)):
        axes.plot(*_xy(layer.product_bounds), "--", color=style.INK, linewidth=1, label="bound: product of the largest")
        axes.plot(*_xy(layer.products), color=COLOURS[k % 6], linewidth=2, label="largest of the product")
        axes.legend(frameon=False, fontsize=8)
    _logarithmic(line, "singular value\n" + r"$\partial s_T/\partial s_t$")


def _logarithmic(line: Any, label: str) -> None:
    for axes in line:
        axes.axhline(1, color=style.INK, linewidth=0.8, linestyle=":")
        axes.set(yscale="log")
        axes.grid(alpha=0.3)
    line[0].set_ylabel(label)


def _reach(line: Any, layers: Sequence[Layer]) -> None:
    _maps(line, [layer.reach for layer in layers], rf"$\|\partial L_s/\partial {_state(layers)}_t\|$", "loss of step s")


def _transfer(line: Any, layers: Sequence[Layer]) -> None:
    label = r"$\|\partial s_s/\partial s_t\|$"
    _maps(line, [layer.transfer for layer in layers], label, "state of step s")


def _maps(line: Any, maps: Sequence[dict[int, Series]], label: str, ylabel: str) -> None:
    """Rows s against columns t, colours by decades, the same in all maps."""
    with needed("the figure of a flow", "plot"):
        from matplotlib.colors import LogNorm
        from matplotlib.ticker import MaxNLocator

    line[0].set_ylabel(ylabel)
    line[0].yaxis.set_major_locator(MaxNLocator("auto", integer=True))
    cells = _drawable([x for rows in maps for row in rows.values() for x in row.values()])
    if np.isnan(cells).all():
        return
    top = np.nanmax(cells)
    scale = LogNorm(max(np.nanmin(cells), top * 10.0**-DECADES), top * 1.0001)
    for axes, rows in zip(line, maps):
        if not any(rows.values()):  # nothing to measure: another path's states lie between, or there are none
            continue
        origins, last = sorted(rows), max(t for row in rows.values() for t in row)
        table = _drawable([[rows[s].get(t, np.nan) for t in range(1, last + 1)] for s in origins])
        drawn = axes.pcolormesh(np.arange(1, last + 1), origins, table, norm=scale, cmap="cividis", rasterized=True)
    line[0].figure.colorbar(drawn, ax=list(line), label=label)


PAINTERS = {"jacobians": _jacobians, "products": _products, "reach": _reach, "transfer": _transfer}
