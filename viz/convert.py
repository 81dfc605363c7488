"""An SVG picture as PNG or PDF without Graphviz, cairo or a browser, always in the same typeface."""

from __future__ import annotations

import io
import re
from functools import cache
from pathlib import Path
from typing import Any

from tinygrad_rnn.optional import needed

#: Matplotlib brings this typeface along; it has every sign that pictures use. It is a little wider than Helvetica.
_FONT, _NARROWER = "DejaVu Sans", 0.86
_STYLES = {"": ("normal", "normal"), "-Bold": ("bold", "normal"), "-Oblique": ("normal", "italic")}


def svg_to_png(svg: str, zoom: float = 2.0) -> bytes:
    """The picture as PNG on white, ``zoom`` pixels for each of its pixels of 1/96 inch."""
    with needed("a picture as PNG", "png"):
        import resvg_py

    drawn = resvg_py.svg_to_bytes(
        svg_string=_in_our_font(svg), dpi=96, zoom=zoom, background="white", font_files=list(_fonts()),
        skip_system_fonts=True,
    )  # fmt: skip
    return bytes(drawn)


def svg_to_pdf(svg: str) -> bytes:
    """The picture as PDF, of lines and letters, not of pixels."""
    with needed("a picture as PDF", "pdf"):
        from reportlab.graphics import renderPDF
        from reportlab.pdfgen.canvas import Canvas
        from svglib.svglib import svg2rlg

    _register()
    # links and tooltips are nothing to draw, and their targets nothing to load
    plain = re.sub(r"<title>.*?</title>|xlink:title=\"[^\"]*\"", "", _in_our_font(svg), flags=re.DOTALL)
    drawing: Any = svg2rlg(io.BytesIO(plain.encode()))
    pages = io.BytesIO()
    canvas = Canvas(pages, pagesize=(drawing.width, drawing.height), invariant=1)
    renderPDF.draw(drawing, canvas, 0, 0)
    canvas.save()
    return pages.getvalue()


@cache
def _fonts() -> tuple[str, ...]:
    with needed("a picture as PNG or PDF", "png"):  # for its typeface
        import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return tuple(str(folder / f"DejaVuSans{style}.ttf") for style in _STYLES)


@cache
def _register() -> None:
    with needed("a picture as PDF", "pdf"):
        from svglib.fonts import register_font

    for file, (weight, style) in zip(_fonts(), _STYLES.values(), strict=True):
        register_font(_FONT, file, weight, style)


def _in_our_font(svg: str) -> str:
    """Graphviz's letters in our typeface, as wide as they were."""
    if 'class="graph' not in svg:
        return svg
    svg = re.sub(r'font-family="[^"]*"', f'font-family="{_FONT}"', svg)
    return re.sub(r'font-size="([\d.]+)"', lambda m: f'font-size="{float(m[1]) * _NARROWER:.2f}"', svg)
