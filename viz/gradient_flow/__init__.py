"""The flow of a loss's gradient back through time, measured and plotted; of several networks, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tinygrad_rnn as tg
from tinygrad_rnn.arguments import answerable, answering
from tinygrad_rnn.files import PathLike

from ..debugger import debug
from ..debugger.session import Session
from .layer_measures import Layer
from .measured_flow import PANELS, Flow, measured

__all__ = ["PANELS", "Flow", "Layer", "flow"]


@answerable
def flow(
    what: Any,
    path: PathLike | None = None,
    *,
    panels: Sequence[str] | None = None,
    title: str | None = None,
    every: int = 1,
    anyway: bool = False,
) -> Flow:
    """Measure how the gradient of a loss flows back through time; write the figure to ``path`` if given.

    ``what`` is a loss, a session of the debugger, a recorded walk or the path of a saved one (see `viz.debug`, whose
    ``every`` and ``anyway`` these are); or {name: such a thing} to put several networks side by side. No ``.grad`` is
    touched. ``panels`` says what is measured and drawn, by default the first three and one of the maps:

    - ``"norms"``: ``||dL/dh_t||``, and ``||dL/dc_t||`` of an LSTM, at every time step t;
    - ``"jacobians"``: the singular values of ``ds_t/ds_(t-1)`` (s is h, of an LSTM h and c together, and
      of layers that feed each other back the states of all);
    - ``"products"``: the largest singular value of ``ds_T/ds_t``, and its bound, the product of single steps' largest
      (R. Pascanu, T. Mikolov, Y. Bengio 2013, ICML), where each step reads just the one before;
    - ``"reach"``: a map over (s, t) of ``||dL_s/dh_t||``, how much of the loss of step s reaches the state of step t;
    - ``"transfer"``: a map over (s, t) of the largest singular value of ``ds_s/ds_t``, for a loss at one step only.

    Raises `GraphError` if nothing is carried from one time step to the next, or the graph was walked already.

    ``title`` is written above the figure.

    >>> import tinygrad_rnn as tg, viz
    >>> from tinygrad_rnn.sequence_patterns import build
    >>> found = viz.flow({"RNN": build("many-to-one", "rnn"), "LSTM": build("many-to-one", "lstm")})
    >>> [layer.network for layer in found.layers]
    ['RNN', 'LSTM']
    >>> sorted(found.layers[0].norms["h"])
    [1, 2, 3, 4]
    """
    named = what if isinstance(what, Mapping) else {"": what}
    if not named:
        raise tg.ArgumentError("flow: there is no network to measure; give a loss, or losses by name")
    sessions = {
        str(name): target if isinstance(target, Session) else debug(target, every=every, anyway=anyway)
        for name, target in named.items()
    }
    found = measured(sessions, panels, title)
    if path is not None:
        found.save(path)
    return found


answering(globals())
