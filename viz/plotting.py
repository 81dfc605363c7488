"""Settings of every plotted figure: it is the same bytes each time, and needs no display."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tinygrad_rnn.optional_packages import needed

#: Okabe and Ito's colours, dark enough for lines on white; each has a marker, for who cannot tell colours apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8A6100", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")

_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def settings() -> Iterator[None]:
    """matplotlib set up for our figures, and as it was afterwards."""
    with needed("a plot", "plot"):
        import matplotlib

    # two threads would each put back what the other had set
    with _ONE_AT_A_TIME, matplotlib.rc_context({"svg.hashsalt": "tinygrad_rnn", "svg.fonttype": "none"}):
        yield


def encoded(figure: Any, format: str, dpi: int = 160) -> bytes:
    """A matplotlib figure as svg, png or pdf, without the date."""
    buffer = io.BytesIO()
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(format)
    with settings():
        figure.savefig(buffer, format=format, dpi=dpi, metadata=undated)
    return buffer.getvalue()
