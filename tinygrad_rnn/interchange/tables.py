"""Tables of functions by name, one a foreign format, each filled by a decorator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Key = TypeVar("Key")
Function = TypeVar("Function", bound=Callable[..., Any])


def entering(table: dict[Key, Function], *keys: Key) -> Callable[[Function], Function]:
    """A decorator that enters a function in ``table``, under each of ``keys``.

    >>> from tinygrad_rnn.interchange.tables import entering
    >>> table = {}
    >>> @entering(table, "Neg", "Negative")
    ... def negative(x):
    ...     return -x
    >>> table["Neg"](1), len(table)
    (-1, 2)
    """

    def enter(function: Function) -> Function:
        table.update(dict.fromkeys(keys, function))
        return function

    return enter


def enter_each(decorator: Callable[..., Callable[[Any], Any]], functions: dict[str, Callable[..., Any]]) -> None:
    """Enter functions by a ``decorator`` such as `entering` makes, each under the names that its key lists.

    >>> from functools import partial
    >>> from tinygrad_rnn.interchange.tables import enter_each, entering
    >>> table = {}
    >>> enter_each(partial(entering, table), {"Neg Negative": lambda x: -x})
    >>> sorted(table)
    ['Neg', 'Negative']
    """
    for names, function in functions.items():
        decorator(*names.split())(function)
