"""The errors a user can meet: each message is one line that says what, where, and what to do."""

from __future__ import annotations

from .source_line import installed, user_site


class TinygradError(Exception):
    """The common base: ``except tg.TinygradError`` catches whatever this package raises on purpose.

    >>> import tinygrad_rnn as tg
    >>> try:
    ...     tg.ones(2) + tg.ones(3)
    ... except tg.TinygradError as error:
    ...     type(error).__name__
    'ShapeError'
    """


class CallError(TinygradError):
    """A call that makes no sense; the message ends with the user's own line, if there is one."""

    def __init__(self, detail: str) -> None:
        detail = " ".join(detail.split())  # one line, also where it quotes an array
        site = user_site()
        known = installed(site.filename) or f"at {site}" in detail
        super().__init__(detail if known else f"{detail} [at {site}]")
        self.detail = detail


class ShapeError(CallError, ValueError):
    """Shapes that do not fit; the message names the operands, their shapes and the dimension.

    >>> import tinygrad_rnn as tg
    >>> tg.ones(2, 3) @ tg.ones(2, 3)
    Traceback (most recent call last):
    tinygrad_rnn...ShapeError: matmul...(2, 3)...
    """


class ArgumentError(CallError, ValueError):
    """A setting that means nothing: a negative learning rate, a probability above 1.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.Dropout(1.5)
    Traceback (most recent call last):
    tinygrad_rnn...ArgumentError: Dropout: p is a probability, from 0 to 1, not 1.5...
    """


class DTypeError(ArgumentError, TypeError):
    """A dtype or a type a call cannot work with: an integer tensor that should require a gradient, a text for a number.

    >>> import tinygrad_rnn as tg
    >>> tg.tensor([1, 2], requires_grad=True)
    Traceback (most recent call last):
    tinygrad_rnn...DTypeError: ...int64...
    """


class KeywordError(ArgumentError, TypeError):
    """A keyword that a call does not take, where the message names the nearest; or too many arguments, or too few.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.Linear(3, 2, biass=False)
    Traceback (most recent call last):
    tinygrad_rnn...KeywordError: Linear has no argument 'biass'; did you mean 'bias'?...
    """


class MissingMethodError(ArgumentError, NotImplementedError):
    """A class of the user's lacks a method that its base asks for, such as a module's ``forward``."""


class OutOfRangeError(CallError, IndexError):
    """An index, a class target or a token id outside what it points into.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.Embedding(3, 2)([5])
    Traceback (most recent call last):
    tinygrad_rnn...OutOfRangeError: take...5...
    """


class GraphError(CallError, RuntimeError):
    """A graph asked for something it cannot give: backward twice, from a non-scalar, without a path.

    >>> import tinygrad_rnn as tg
    >>> tg.ones(2, requires_grad=True).backward()
    Traceback (most recent call last):
    tinygrad_rnn...GraphError: backward...
    """


class MutationError(GraphError):
    """A value was written in place while a recorded graph still needed the old one.

    >>> import tinygrad_rnn as tg
    >>> w = tg.ones(2, requires_grad=True)
    >>> loss = (w * w).sum()
    >>> with tg.no_grad():
    ...     w[0] = 5.0
    >>> loss.backward()
    Traceback (most recent call last):
    tinygrad_rnn...MutationError: ...
    """


class DataError(TinygradError, ValueError):
    """Input from outside (a file, a text, a checkpoint) that cannot be used.

    >>> import tinygrad_rnn as tg
    >>> tg.load("nowhere.safetensors")
    Traceback (most recent call last):
    tinygrad_rnn...DataError: there is no file nowhere.safetensors
    """


class MissingPackageError(TinygradError, ModuleNotFoundError):
    """A package that only this feature needs is not installed; the message names the extra that brings it."""


class UnsupportedError(TinygradError, NotImplementedError):
    """A foreign program uses what cannot be imported; the message lists all of it, each with its line and a way out."""
