"""The page: every topic with its text, formulas, figures, what its program printed, and the program."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterable
from html import escape
from pathlib import Path

import tinygrad_rnn as tg
from tinygrad_rnn.optional_packages import needed

from .programs import Result
from .topics import Topic
from .translation import Translation

_HERE = Path(__file__).parent
PIXELS = 4 / 3  #: a point of a figure's own size in a browser
SMALLEST = 0.5  #: of that size, so that its text can be read; a narrower window scrolls it sideways
COLUMN = 860  #: pixels of the text's width; a wider figure takes the whole window
_SUBSCRIPT = re.compile(r"(?<=[A-Za-z])_(\{[^{}]{1,9}\}|[a-z]{1,2}\b|T\b|[0-9]\b)")  #: W_hh, h_{t-1}


def size(svg: str) -> tuple[int, int]:
    """Pixels of a figure: a browser that knows them keeps the place free, and a link to a topic leads there."""
    found = re.search(r'<svg[^>]*?\bwidth="([\d.]+)pt"[^>]*?\bheight="([\d.]+)pt"', svg[:2000])
    return (round(float(found[1]) * PIXELS), round(float(found[2]) * PIXELS)) if found else (0, 0)


def page(made: Iterable[tuple[Topic, Path, Result]], folder: Path, labels: Translation) -> str:
    """HTML of topics, each with its program and the result of it; the figures are read from ``folder``."""
    with needed("the lecture's page", "lecture"):
        from jinja2 import Environment, FileSystemLoader
        from markupsafe import Markup
        from pygments import highlight
        from pygments.formatters import HtmlFormatter
        from pygments.lexers import PythonLexer

    from ..mathml import mathml

    environment = Environment(loader=FileSystemLoader(_HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["subscripts"] = lambda text: Markup(_SUBSCRIPT.sub(_lowered, str(escape(text))))
    formatter = HtmlFormatter(nowrap=True)
    sections = [
        {
            "topic": topic,
            "result": result,
            "formulas": [Markup(mathml(_said(formula, labels))) for formula in topic.formulas],
            "code": Markup(highlight(program.read_text("utf-8"), PythonLexer(), formatter))
            if program.is_file()
            else "",
            "figures": [
                (name, caption, *size((folder / "figures" / f"{name}.svg").read_text("utf-8")))
                for name, caption in topic.captions.items()
                if f"figures/{name}.svg" in result.files
            ],
            "walk": topic.walk if (folder / "debugger" / topic.walk.partition("#")[0]).is_file() else "",
        }
        for topic, program, result in made
    ]
    colours = {name: Markup(HtmlFormatter(style=name).get_style_defs(".code")) for name in ("default", "github-dark")}
    script = (_HERE / "slides.js").read_text("utf-8")
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html").render(
        sections=sections,
        colours=colours,
        version=tg.__version__,
        smallest=SMALLEST,
        column=COLUMN,
        say=labels,
        script=Markup(script),
        script_hash=digest,
    )


def _said(formula: str, labels: Translation) -> str:
    """A formula with its words translated."""
    return re.sub(r"(?<=\\text\{)[^{}]*", lambda found: re.sub(r"[\\{}]", r"\\\g<0>", labels(found[0])), formula)


def _lowered(found: re.Match[str]) -> str:
    return f"<sub>{found[1].strip('{}')}</sub>"
