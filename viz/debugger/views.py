"""The views of a session: a page, a notebook, a terminal. Each is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable

from tinygrad_rnn.files import PathLike
from tinygrad_rnn.optional_packages import needed

from .inspection import Inspection


def html(session: Inspection, path: PathLike | None, title: str | None) -> str:
    """Everything as one page, written to ``path`` if given."""
    from .web import page

    return page.Page(page.html(session, title)) if path is None else page.write(session, path, title)


def mimebundle(session: Inspection) -> dict[str, str]:
    """The forms in which a notebook shows a session."""
    from .web import page

    return page.mimebundle(session)


def terminal(session: Inspection, commands: Iterable[str]) -> None:
    """The line debugger: ``commands``, then what is typed."""
    with needed("the line debugger"):
        from .terminal import line_debugger
    line_debugger.run(session, commands)
