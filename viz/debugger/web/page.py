"""The debugger as one HTML page that needs nothing else: no server, no network, no Python.

All data stands in one JSON block in which no character can end it; the script and the style sheet are named by their
hashes in the page's Content-Security-Policy, so that nothing else that might have got into the page can run, load or
send anything.
"""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from tinygrad_rnn.errors import DataError
from tinygrad_rnn.files import PathLike, as_path, write_atomically

from ... import style
from ...graph.render import render
from ..inspection import Inspection
from . import page_data
from .graph_picture import TIMELESS_LIMIT, GraphPicture, draw

#: The parts of the script, in order.
SCRIPTS = ("walk.js", "panels.js", "charts.js", "page.js")
#: Time steps that are drawn of a sequence whose graph is too large for a box each.
STEPS_DRAWN = 500
TITLE_LIMIT = 80


def html(session: Inspection, title: str | None = None) -> str:
    """The page as text. It opens where the session stands."""
    drawings = drawn(session)
    found = page_data.describe(session)
    found["pictures"] = [{"detail": d.detail, "boxes": d.boxes, "edges": d.edges} for d in drawings]
    found["position"] = session.position
    script = "\n".join(_static(name) for name in SCRIPTS)
    sheet = _static("page.css")
    name = style.shown(title or session.names[session.trace.output], TITLE_LIMIT)
    formulas = "".join(f"<template>{formula}</template>" for formula in found.pop("formulas"))
    return Template(_static("page.html")).substitute(
        policy=f"default-src 'none'; script-src 'sha256-{_hash(script)}'; style-src 'sha256-{_hash(sheet)}'; "
        "base-uri 'none'; form-action 'none'",
        title=escape(name),
        style=sheet,
        script=script,
        data=_inert(found),
        pictures="".join(f'<div class="picture" id="picture-{d.detail}" hidden>{d.svg}</div>' for d in drawings),
        formulas=formulas,
    )


class Page(str):
    """A page's text, which at a prompt is a line that says what it is and not the text itself."""

    written: PathLike | None = None  #: the file it was written to

    def __repr__(self) -> str:
        where = "" if self.written is None else f", written to {self.written}"
        return f"<page of {len(self):,} characters{where}>"


def write(session: Inspection, path: PathLike, title: str | None = None) -> Page:
    """The page, written to ``path``, and its text."""
    if as_path(path).suffix.lower() not in (".html", ".htm"):
        raise DataError(f"a page is written to a file that ends in .html, not {str(path)!r}")
    text = Page(html(session, title))
    text.written = path
    write_atomically(path, text.encode())
    return text


def drawn(session: Inspection) -> list[GraphPicture]:
    """The pictures the page can switch between, the first one first; none of what would be a wall of boxes."""
    graph = session.graph
    if len(graph) <= page_data.NODE_LIMIT:
        return [draw(graph, "gate"), draw(graph, "op")] if session.moments else [draw(graph, "op")]
    return [draw(graph, "cell", STEPS_DRAWN)] if graph.steps else []


def mimebundle(session: Inspection) -> dict[str, str]:
    """The session for a notebook: the page in a frame that can touch nothing else, the picture, one line of text."""
    frame = (
        f'<iframe sandbox="allow-scripts" srcdoc="{escape(html(session))}" title="backpropagation, step by step" '
        'width="100%" height="760" style="border:0"></iframe>'
    )
    found = {"text/html": frame, "text/plain": repr(session)}
    graph = session.graph
    if graph.steps or len(graph) <= TIMELESS_LIMIT:
        found["image/svg+xml"] = render(graph, detail="gate" if len(graph) <= page_data.NODE_LIMIT else "cell").svg
    return found


def _inert(value: Any) -> str:
    """JSON that can stand inside a script element, whatever is in it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _static(name: str) -> str:
    return files(__package__).joinpath("static", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
