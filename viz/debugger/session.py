"""Session: what `viz.debug` returns, an inspection of a walk that its views show: a page, a terminal, a notebook."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from tinygrad_rnn.arguments import answerable, naming_keywords
from tinygrad_rnn.files import PathLike

from .inspection import Inspection
from .step_sentences import what_if


class Views(Protocol):
    """What a session is shown by."""

    def html(self, session: Inspection, path: PathLike | None, title: str | None) -> str: ...
    def mimebundle(self, session: Inspection) -> dict[str, str]: ...
    def terminal(self, session: Inspection, commands: Iterable[str]) -> None: ...


@naming_keywords("Session", answerable)
class Session(Inspection):
    """Looks at a `Trace` from a movable position, and shows what it sees."""

    views: Views  #: given by the package, so that a session depends on none of them

    def save(self, path: PathLike) -> Session:
        """Save the walk that is shown, which `viz.debug` and `Trace.load` read, and return the session."""
        self.trace.save(path)
        return self

    def html(self, path: PathLike | None = None, *, title: str | None = None) -> str:
        """Everything as one HTML page that needs no network and no Python, written to ``path`` if given.

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
