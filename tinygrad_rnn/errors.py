"""The errors a user can meet: each message is one line that says what, where, and what to do."""

from __future__ import annotations

from .source import installed, user_site


class TinygradError(Exception):
    """The common base: ``except tg.TinygradError`` catches whatever this package raises on purpose."""


class CallError(TinygradError):
    """A call that makes no sense; the message ends with the user's own line, if there is one."""

    def __init__(self, detail: str) -> None:
        detail = " ".join(detail.split())  # one line, also where it quotes an array
        site = user_site()
        known = installed(site.filename) or f"at {site}" in detail
        super().__init__(detail if known else f"{detail} [at {site}]")
        self.detail = detail


class ShapeError(CallError, ValueError):
    """Shapes that do not fit; the message names the operands, their shapes and the dimension."""


class DTypeError(CallError, TypeError):
    """A dtype an operation cannot work with, such as an integer tensor that should require a gradient."""


class ArgumentError(CallError, ValueError):
    """A setting that means nothing: a negative learning rate, a probability above 1."""


class OutOfRangeError(CallError, IndexError):
    """An index, a class target or a token id outside what it points into."""


class GraphError(CallError, RuntimeError):
    """A graph asked for something it cannot give: backward twice, from a non-scalar, without a path."""


class MutationError(GraphError):
    """A value was written in place while a recorded graph still needed the old one."""


class DataError(TinygradError, ValueError):
    """Input from outside (a file, a text, a checkpoint) that cannot be used."""


class MissingPackageError(TinygradError, ModuleNotFoundError):
    """A package that only this feature needs is not installed; the message names the extra that brings it."""


class UnsupportedError(TinygradError, NotImplementedError):
    """A foreign program uses what cannot be imported; the message lists all of it, each with its line and a way out."""
