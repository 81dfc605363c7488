"""Loops that may take long report how far they are to a listener, such as a progress bar, where there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

Item = TypeVar("Item")
#: hands the items on, one by one; is told what is done with them, and how many there are
Listener = Callable[[Iterable[Any], str, int], Iterable[Any]]

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


def followed(items: Iterable[Item], what: str, total: int) -> Iterable[Item]:
    """``items``, of which there are ``total`` (at most); what is done with them is called ``what``.

    >>> from tinygrad_rnn.progress import followed, listening
    >>> seen = []
    >>> def listener(items, what, total):
    ...     for k, item in enumerate(items, 1):
    ...         yield item
    ...         seen.append(f"{what} {k}/{total}")
    >>> with listening(listener):
    ...     sum(followed([1, 2], "adding", 2))
    3
    >>> seen
    ['adding 1/2', 'adding 2/2']
    """
    listener = _listener.get()
    return items if listener is None else listener(items, what, total)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Within this, `followed` loops tell ``listener``."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
