"""Pictures of unrolled graphs. ``import viz; viz.render(loss, "picture.svg")``."""

from .debugger import debug
from .engine import RenderError
from .picture import Picture
from .render import render

__all__ = ["Picture", "RenderError", "debug", "render"]
