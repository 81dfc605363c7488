"""Graphs show themselves in a notebook as soon as viz is imported there; the engine knows nothing of pictures."""

from __future__ import annotations

import sys
from typing import Any

import tinygrad_rnn as tg

from .render import render


def register() -> None:
    """Tell a running IPython how a `tinygrad_rnn.Graph` looks; anywhere else, nothing."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None:
        shell.display_formatter.mimebundle_formatter.for_type(tg.Graph, _bundle)


def _bundle(graph: tg.Graph) -> dict[str, str]:
    return {**render(graph)._repr_mimebundle_(), "text/plain": str(graph)}
