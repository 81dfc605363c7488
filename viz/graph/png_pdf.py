"""An SVG picture as PNG or PDF without Graphviz, cairo or a browser, always in the same typeface."""

from __future__ import annotations

import io
import re
from functools import cache
from pathlib import Path
from typing import Any

from tinygrad_rnn.optional_packages import needed
from tinygrad_rnn.source_line import warn

#: Matplotlib brings this typeface along; it has every sign that pictures use. It is a little wider than Helvetica.
_FONT, _NARROWER = "DejaVu Sans", 0.86
LARGEST_PAGE = 14_400.0  #: points, the most that PDF allows
_STYLES = {"": ("normal", "normal"), "-Bold": ("bold", "normal"), "-Oblique": ("normal", "italic")}


def svg_to_png(svg: str, zoom: float = 2.0) -> bytes:
    """The picture as PNG on white, ``zoom`` pixels for each of its pixels of 1/96 inch."""
    with needed("a picture as PNG", "png"):
        import resvg_py

    foreign = unknown_letters(svg)
    others = [_font_for(foreign)] if foreign else []
    drawn = resvg_py.svg_to_bytes(
        svg_string=_in_our_font(svg),
        dpi=96,
        zoom=zoom,
        background="white",
        font_files=[*_fonts(), *filter(None, others)],
        skip_system_fonts=True,
    )
    return bytes(drawn)


def unknown_letters(svg: str) -> str:
    """The letters that are not in our typeface, such as Chinese ones."""
    beyond = {c for c in svg if ord(c) > 0x2E7F}
    return "".join(sorted(c for c in beyond if ord(c) not in _known())) if beyond else ""


@cache
def _known() -> frozenset[int]:
    with needed("a picture as PNG or PDF", "png"):
        from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(_fonts()[0]).get_charmap())


@cache
def _font_for(letters: str) -> str | None:
    """The file of a typeface on this machine that has most of these letters; says so if none has them all."""
    with needed("a picture as PNG or PDF", "png"):
        from matplotlib import font_manager
        from matplotlib.ft2font import FT2Font

    wanted, best, most = set(map(ord, letters)), None, (0, False)
    for file in sorted(font_manager.findSystemFonts()):
        try:
            font = FT2Font(file)
        except (OSError, RuntimeError):  # a file that is no outline font
            continue
        has = len(wanted & set(font.get_charmap())), not font.style_flags  # of several not the bold one
        best, most = (file, has) if has > most and has[0] else (best, most)
    if most[0] < len(wanted):
        warn(
            f"no typeface on this machine has {letters[:8]!r}: a PNG shows boxes for them; install one, or save as "
            ".svg or .pdf, which leave them to the viewer"
        )
    return best


def svg_to_pdf(svg: str) -> bytes:
    """The picture as PDF, of lines and letters, not of pixels; made smaller if it is larger than a page can be."""
    with needed("a picture as PDF", "pdf"):
        from reportlab.graphics import renderPDF
        from reportlab.pdfgen.canvas import Canvas
        from svglib.svglib import svg2rlg

    _register()
    # links and tooltips are nothing to draw, and their targets nothing to load
    plain = re.sub(r"<title>.*?</title>|xlink:title=\"[^\"]*\"", "", _in_our_font(svg), flags=re.DOTALL)
    plain = plain.replace("font-weight: 700", "font-weight: bold")  # svglib looks typefaces up by weights' names
    drawing: Any = svg2rlg(io.BytesIO(plain.encode()))
    _in_viewers_fonts(drawing)
    pages = io.BytesIO()
    scale = min(1.0, LARGEST_PAGE / max(drawing.width, drawing.height))
    canvas = Canvas(pages, pagesize=(scale * drawing.width, scale * drawing.height), invariant=1)
    canvas.scale(scale, scale)
    renderPDF.draw(drawing, canvas, 0, 0)
    canvas.save()
    return pages.getvalue()


#: Korean, Japanese and Chinese typefaces that every viewer of PDF brings along.
_VIEWERS = "HYSMyeongJo-Medium", "HeiseiMin-W3", "STSong-Light"


def _in_viewers_fonts(shape: Any) -> None:
    """Gives Chinese, Japanese and Korean texts of a drawing a typeface for them.

    The SVG does not name it: svglib knows files of typefaces only, and would take what fontconfig finds, or boxes.
    """
    for inner in getattr(shape, "contents", ()):
        _in_viewers_fonts(inner)
    text = getattr(shape, "text", "")
    if unknown_letters(text):
        hangul, kana = re.search("[\uac00-\ud7af]", text), re.search("[\u3040-\u30ff]", text)
        shape.fontName = _VIEWERS[0 if hangul else 1 if kana else 2]
        _register_viewers(shape.fontName)


@cache
def _register_viewers(name: str) -> None:
    with needed("a picture as PDF", "pdf"):
        from reportlab.pdfbase.cidfonts import UnicodeCIDFont
        from reportlab.pdfbase.pdfmetrics import registerFont

    registerFont(UnicodeCIDFont(name))


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
