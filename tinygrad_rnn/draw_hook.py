"""The way from the engine to the package that draws, which the engine does not import.

`tinygrad_rnn` registers a function that imports `viz` (`draw_with`); who wants a picture calls `drawing`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from .errors import DataError

if TYPE_CHECKING:
    from .diagnosis.edited_walks import Edit, Record
    from .graph import Graph


class Drawing(Protocol):
    """The functions of `viz` that the engine calls."""

    SideBySide: Callable[[Record, Edit], Any]  #: the true walk and an edited one beside each other

    def render(self, what: Any, path: Any = None, **options: Any) -> Any:
        """A picture of a loss or a graph, written to ``path``."""

    def rules(self, graph: Graph) -> Callable[[int, int], str]:
        """The debugger's text of what a node, by its index, sends to an operand: ``∂L/∂h₂ = ∂L/∂(h₂ Wy) Wyᵀ``."""

    def marks(self, graph: Graph) -> list[str]:
        """Marks behind nodes' names that tell them from another cell's, such as ⁽²⁾: one a node, or nothing."""


_found: Callable[[], Any] | None = None


def draw_with(find: Callable[[], Any]) -> None:
    """Register ``find``, which returns the package that draws; it is called when a picture is wanted."""
    global _found
    _found = find


def drawing() -> Drawing:
    """The package that draws pictures, imported when one is asked for."""
    if _found is None:
        raise DataError("pictures are not loaded; write import tinygrad_rnn before importing parts of it")
    who: Drawing = _found()
    return who
