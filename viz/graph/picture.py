"""Picture: a drawing that shows itself in a notebook and saves itself by suffix."""

from __future__ import annotations

import html
import re
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tinygrad_rnn.errors import ArgumentError
from tinygrad_rnn.files import PathLike, as_path, write_atomically

from .. import style
from . import graphviz_program

FORMATS = ("svg", "png", "pdf", "dot", "json")
#: Signs in a label that the bundled renderer has no outlines of, and what stands there where no other draws PNGs.
_BEYOND = re.compile(r'label="(?:[^"\\]|\\.)*[⊙⊘]')
_PLAINER = str.maketrans("⊙⊘", "×÷")


def format_of(path: Path) -> str:
    """The format a file's suffix names. Raises `ArgumentError` if it names none."""
    format = path.suffix[1:].lower()
    if format not in FORMATS:
        known = ", ".join(f".{name}" for name in FORMATS)
        what = f"ends in {path.suffix[:40]!r}, which is no format of pictures" if format else "has no suffix"
        raise ArgumentError(f"the file name {str(path)[-60:]!r} {what}; end it in one of {known}")
    return format


class Picture:
    """A drawing, which `render` returns.

    In a notebook it shows itself; ``save("name.svg")`` writes svg, png, pdf, dot or json (Graphviz's own JSON, with
    coordinates), by suffix, whole or not at all. ``dot`` is the DOT source, whose coordinates are final: another
    program draws it with ``neato -n2``.

    Made by `render`.

    >>> import tinygrad_rnn as tg
    >>> picture = tg.viz.render(tg.ones(2) * 2.0)
    >>> picture.save("product.svg") is picture, picture.svg.count("<svg")
    (True, 1)
    """

    def __init__(self, dot: str, *, positioned: bool, renderer: PathLike | None = None, timeout: float | None = None):
        self.dot = dot
        self.positioned = positioned
        self._renderer = renderer
        self._timeout = timeout

    def to(self, format: str) -> bytes:
        """The picture's bytes in ``format``, one of svg, png, pdf, dot, json."""
        if format not in FORMATS:
            raise ArgumentError(f"no picture format is called {format!r:.40}; use one of {', '.join(FORMATS)}")
        if format == "dot":
            return self.dot.encode()
        if format == "pdf":  # which graphviz-pure does not write
            from .png_pdf import svg_to_pdf

            return svg_to_pdf(self.svg)
        source = self.dot
        if format == "png":
            from .png_pdf import svg_to_png, unknown_letters

            if find_spec("resvg_py") is None:
                source = source.translate(_PLAINER)
            if _BEYOND.search(source) or unknown_letters(source):
                return svg_to_png(self.svg)
        drawn = graphviz_program.run(
            source, format, positioned=self.positioned, dot=self._renderer, timeout=self._timeout
        )
        return _portable(drawn, self.about) if format == "svg" else drawn

    @cached_property
    def svg(self) -> str:
        """The picture as SVG text."""
        return self.to("svg").decode()

    def save(self, path: PathLike) -> Picture:
        """Write the picture to ``path`` in the format its suffix names, and return it.

        If it cannot be drawn, its DOT source is written beside it, and the error says so.
        """
        target = as_path(path)
        format = format_of(target)
        try:
            write_atomically(target, self.to(format))
        except graphviz_program.RenderError as error:
            fallback = target.with_suffix(".dot")
            write_atomically(fallback, self.dot.encode())
            command = "neato -n2" if self.positioned else "dot"
            raise graphviz_program.RenderError(
                f"{error}. Its source is saved as {fallback}: {command} -T{format} {fallback} -o {target}"
            ) from None
        return self

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None, **_options: Any) -> dict[str, str]:
        return {"image/svg+xml": self.svg, "text/plain": repr(self)}

    @property
    def about(self) -> str:
        """The text that a screen reader has for the picture: its size, and what the boxes say, in their order."""
        steps = len(set(re.findall(r"\bid=(step_s\d+_t\d+)", self.dot)))
        said = re.findall(r'^\s*[nw]\w+ \[label="?([^"\\<>]+?)"?(?:\\n[^"]*")? class=', self.dot, re.MULTILINE)
        kind = f"A network over time, {steps} steps from left to right" if steps else "A graph"
        return style.elided(f"{kind}; its boxes: {', '.join(said)}", 600)

    def __repr__(self) -> str:
        boxes = len(re.findall(r"^\s*\w+ \[", self.dot, re.MULTILINE))
        return f"Picture({boxes} boxes; .save('name.svg'), .svg, .dot)"


def _portable(svg: bytes, about: str) -> bytes:
    """The same SVG without the comment that tells which version drew it, with a text for those who do not see it;
    printed alone it is no wider than the page."""
    svg = re.sub(rb"<!-- Generated by graphviz.*?-->\n", b"", svg, count=1, flags=re.DOTALL)
    svg = svg.replace(b"<svg ", f'<svg role="img" aria-label="{html.escape(about)}" '.encode(), 1)
    start = svg.find(b">", svg.find(b"<svg")) + 1
    return svg[:start] + b"\n<style>@media print { svg:root { max-width: 100%; height: auto } }</style>" + svg[start:]
