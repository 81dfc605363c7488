"""The step-by-step debugger of backpropagation: record a walk once, then move through it in both directions."""

from __future__ import annotations

import os
from typing import Any

from tinygrad_rnn import Tensor
from tinygrad_rnn.arguments import answering
from tinygrad_rnn.bptt.recording import Trace, record
from tinygrad_rnn.files import PathLike

from . import views
from .session import Session

Session.views = views


def debug(target: Tensor | Trace | PathLike, gradient: Any = None, *, every: int = 1, anyway: bool = False) -> Session:
    """Record the walk back from a loss and return a `Session` to move through it.

    ``target``: the loss tensor (a scalar, or any tensor together with its upstream ``gradient``), a `Trace`, or the
    path of a saved one. ``.grad`` and the graph stay as they are. ``every=10`` keeps one time step in ten; a walk of
    more than 50,000 steps or 1 GB is refused with what it would cost, unless ``anyway``. Raises `GraphError` for a
    tensor no gradient flows from or a graph that was walked backward already, `DataError` for a damaged file.

    >>> import tinygrad_rnn as tg, viz
    >>> w = tg.tensor([0.5], requires_grad=True, name="w")
    >>> session = viz.debug((w * w).sum())
    >>> session.goto(2)
    >>> session.sentence()
    '(w ⊙ w) sends to w (twice) its gradient times the other factor.'
    """
    if isinstance(target, Trace):
        return Session(target)
    if isinstance(target, (str, os.PathLike)):
        return Session(Trace.load(target))
    return Session(record(target, gradient, every=every, anyway=anyway))


__all__ = ["Session", "Trace", "debug", "record"]


answering(globals())
