"""Session: what `viz.debug` returns, an inspection of a walk that its views show: a page, a terminal, a notebook."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from tinygrad_rnn.arguments import answering_methods
from tinygrad_rnn.files import PathLike

from .inspection import Inspection
from .step_sentences import what_if


class Views(Protocol):
    """The functions that show a session."""

    def html(self, session: Inspection, path: PathLike | None, title: str | None) -> str: ...
    def mimebundle(self, session: Inspection) -> dict[str, str]: ...
    def terminal(self, session: Inspection, commands: Iterable[str]) -> None: ...


@answering_methods("Session")
class Session(Inspection):
    """Looks at a `Trace` from a movable position, and shows what it sees; `viz.debug` makes it.

    ``position`` is a step of the walk back, counted from 1; 0 is the loss, negative ones are the forward pass, and
    where none is given it is the cursor's. ``node`` is a node's number in the graph; ``names.find`` knows it by name.

    >>> import tinygrad_rnn as tg, viz
    >>> cell, h = tg.nn.RNNCell(2, 3, bias=False), tg.zeros(1, 3)
    >>> for t in tg.steps(3):
    ...     h = cell(tg.ones(1, 2), h)
    >>> session = viz.debug(h.sum())

    Moving, and where one is:

    >>> session.goto(2)
    >>> session.where().name, session.expression(session.node_at())
    ('h_3', 'tanh(a_3)')
    >>> session.other_time(1), session.next_box(), session.turn_of(session.names.find("h_1"))
    (6, 3, 10)
    >>> session.sentence()
    'At t=3 the hidden state h_3 multiplies its gradient by the slope 1 − h_3² (here ...

    What the step does, and what is there by then:

    >>> [flow.name for flow in session.flows()], [rule.kind for rule in session.rules()], session.check()[0].passed
    (['a_3'], ['diagonal'], True)
    >>> weight, state = session.names.find("W_hh"), session.names.find("h_1")
    >>> session.shown(weight), session.arrived(weight), session.gradient(weight), session.value(state).shape
    ('W_hh', (0, 3), None, (1, 3))
    >>> session.gradient(weight, session.last).shape, session.site(state) is None
    ((3, 3), False)
    >>> sorted(session.measures()), len(session.frontier().done), sorted(session.snapshot())[:2]
    (['incoming', 'outgoing', 'ratios', 'saturated'], 2, ['flows', 'frontier'])

    The whole walk:

    >>> [row.time for row in session.ledger(weight).rows], [row.time for row in session.state_norms()]
    ([3, 2, 1], [1, 2, 3])
    >>> session.layer(), len(session.gains()), sorted(session.triangle()[3]), sorted(session.transfers()[3])
    ((), 2, [1, 2, 3], [1, 2])
    >>> [hop.name for hop in session.path(state)]
    ['L', 'h_3', 'a_3', '(h_2 W_hhᵀ)', 'h_2', 'a_2', '(h_1 W_hhᵀ)']
    >>> sorted(session.split(state, session.last).ways), session.cuts(), session.origin()
    (['from its output', 'through the next step'], [], None)
    >>> session.clip(100.0).scale
    1.0

    Supposing another gradient, and going back to the walk as it was:

    >>> session.what_if(session.names.find("h_2"), 0.0)
    >>> session.gradient(state, session.last).tolist()
    [[0.0, 0.0, 0.0]]
    >>> session.reset(), session.use(session.recorded)
    (None, None)

    Saved, as a page, and at a prompt:

    >>> viz.debug(session.save("walk.trace").recorded).last
    15
    >>> session.html("walk.html")[:15]
    '<!doctype html>'
    >>> session.terminal(["quit"])
    Backpropagation, one node at a time...
    """

    views: Views  #: given by the package, so that a session depends on none of them

    def save(self, path: PathLike) -> Session:
        """Save the walk that is shown in the file ``path``, which `viz.debug` reads, and return the session."""
        self.trace.save(path)
        return self

    def html(self, path: PathLike | None = None, *, title: str | None = None) -> str:
        """Everything as one HTML page that needs no network and no Python, written to ``path`` if given.

        ``title`` stands above it and is by default the loss's name.

        It opens at the cursor's position and steps through both passes. Graphs of more than 3,000 nodes are collapsed
        by time step, and the page says so. Raises `DataError` if the file cannot be written or is not named .html,
        `RenderError` if there is no Graphviz to lay the graph out.
        """
        return self.views.html(self, path, title)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None, **_options: Any) -> dict[str, str]:
        return self.views.mimebundle(self)

    def terminal(self, commands: Iterable[str] = ()) -> None:
        """Start the line debugger here: carry out ``commands``, then what is typed, until ``quit``."""
        self.views.terminal(self, commands)

    def __repr__(self) -> str:
        said = f"{what_if(self)} {self.sentence()}".lstrip()
        return f"Session at {self.position} of {self.first}..{self.last}: {said}"
