"""Pictures of unrolled graphs, and the backward pass step by step.

``import viz; viz.render(loss, "picture.svg")`` draws; ``viz.debug(loss)`` records a backward pass to walk over.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinygrad_rnn.source import pass_over

from .engine import RenderError
from .notebook import register
from .picture import Picture
from .render import render

if TYPE_CHECKING:
    from .debugger import debug

__all__ = ["Picture", "RenderError", "debug", "render"]

pass_over(Path(__file__).parent)
register()


def __getattr__(name: str) -> Any:
    if name == "debug":  # a picture needs no debugger: it is imported when first asked for
        from .debugger import debug

        return debug
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
