"""The data of a flow: numbers along time for every recurrent layer, and their text and file forms."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import tinygrad_rnn as tg
from tinygrad_rnn.bptt.carried_state import origins
from tinygrad_rnn.bptt.statistics import plain
from tinygrad_rnn.errors import ArgumentError
from tinygrad_rnn.files import PathLike, as_path, write_atomically

from ..debugger.inspection import Inspection
from .layer_measures import Layer, Series

PANELS = ("norms", "jacobians", "products", "reach", "transfer")
FORMATS = ("svg", "png", "pdf", "csv", "json")


@dataclass(frozen=True)
class Flow:
    """The result of `viz.flow`: pure data that shows itself in a notebook and saves itself by suffix."""

    layers: tuple[Layer, ...]
    panels: tuple[str, ...]
    title: str | None = None

    @cached_property
    def figure(self) -> Any:
        """The matplotlib figure."""
        from . import figure

        return figure.draw(self.layers, self.panels, self.title)

    def to(self, format: str) -> bytes:
        """The figure as svg, png or pdf; the numbers as csv (one a line) or json."""
        if format not in FORMATS:
            raise ArgumentError(f"no format of a flow is called {format!r:.40}; use one of {', '.join(FORMATS)}")
        if format == "csv":
            return self._csv().encode()
        if format == "json":
            return json.dumps([_words(asdict(layer)) for layer in self.layers], indent=1).encode()
        from ..plotting import encoded

        return encoded(self.figure, format)

    @property
    def svg(self) -> str:
        """The figure as SVG text."""
        return self.to("svg").decode()

    def save(self, path: PathLike) -> Flow:
        """Write to ``path`` in the format its suffix names (svg, png, pdf, csv, json), and return the flow."""
        suffix = as_path(path).suffix[1:].lower()
        if not suffix:
            raise ArgumentError(
                f"the file name {str(path)[-60:]!r} has no suffix; end it in one of .{', .'.join(FORMATS)}"
            )
        write_atomically(path, self.to(suffix))
        return self

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None, **_options: Any) -> dict[str, str]:
        return {"image/svg+xml": self.svg, "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"Flow({', '.join(layer.label for layer in self.layers)}; .save('name.svg'), .layers, .figure)"

    def _csv(self) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("network", "layer", "quantity", "s", "t", "value"))
        for layer in self.layers:
            writer.writerows((layer.network, layer.name, *row) for row in _rows(layer))
        return text.getvalue()


def _rows(layer: Layer) -> Iterator[tuple[str, int | str, int, float]]:
    """(quantity, s, t, value); of singular values s is their rank, from 1."""
    for role, series in layer.norms.items():
        yield from ((f"norm of dL/d{role}_t", "", t, x) for t, x in series.items())
    yield from (("singular value", rank, t, x) for t, s in layer.spectra.items() for rank, x in enumerate(s, 1))
    for quantity in ("bounds", "products", "product_bounds"):
        yield from ((quantity[:-1].replace("_", " "), "", t, x) for t, x in getattr(layer, quantity).items())
    for quantity, rows in ((f"norm of dL_s/d{layer.state}_t", layer.reach), ("transfer", layer.transfer)):
        yield from ((quantity, s, t, x) for s, row in rows.items() for t, x in row.items())


def _words(value: Any) -> Any:
    """The data with words for what JSON has no number for."""
    if isinstance(value, dict):
        return {key: _words(item) for key, item in value.items()}
    return [_words(item) for item in value] if isinstance(value, tuple) else plain(value)


def measured(sessions: Mapping[str, Inspection], panels: Sequence[str] | None, title: str | None) -> Flow:
    """The flow of every recurrent layer of these networks, as far as ``panels`` asks for it."""
    if panels is None:
        several = any(len(origins(session.trace)) > 1 for session in sessions.values())
        panels = (*PANELS[:3], "reach" if several else "transfer")
    unknown = [name for name in panels if name not in PANELS]
    if unknown or not panels:
        raise tg.ArgumentError(
            f"flow: panels are some of {', '.join(PANELS)}, not {', '.join(map(str, unknown)) or 'none'}"
        )
    layers = tuple(layer for name, session in sessions.items() for layer in _layers(name, session, panels))
    return Flow(layers, tuple(name for name in PANELS if name in panels), title)


def _layers(network: str, session: Inspection, panels: Sequence[str]) -> Iterator[Layer]:
    if not session.moments:
        raise tg.GraphError("flow: no state here is carried from one time step to the next")
    norms = session.state_norms(session.last)
    for path, moments in session.moments.items():
        name = ".".join(path)
        roles = moments[-1].nodes
        gains = session.gains(path) if {"jacobians", "products"} & set(panels) else []
        yield Layer(
            network,
            name if len(session.moments) > 1 or not network else "",
            {
                r: {x.time: x.norm for x in norms if (x.layer, x.role) == (name, r) and x.norm is not None}
                for r in roles
            },
            {g.time + 1: g.spectrum for g in gains if g.spectrum},
            {g.time + 1: g.bound for g in gains if g.bound is not None},
            *_products(gains, moments),
            session.triangle(path) if "reach" in panels else {},
            session.transfers(path) if "transfer" in panels else {},
            str(session.names.marks.get(path, "")),
        )


def _products(gains: Sequence[Any], moments: Sequence[Any]) -> tuple[Series, Series]:
    """The products at each time of the earlier state: a gain's reaches from the end to the state before its own."""
    times = [moment.time + 1 for moment in moments[:-1]]
    return (
        {t: g.product for t, g in zip(times, gains) if g.product is not None},
        {t: g.product_bound for t, g in zip(times, gains) if g.product_bound is not None},
    )
