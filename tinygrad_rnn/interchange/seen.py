"""What a function sees by name: the parameters and modules of a program that takes none as arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any


def variables(function: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """Variables around a function, its defaults, attributes of its object, with their names."""
    function = inspect.unwrap(function)
    if inspect.ismethod(function):
        yield from vars(function.__self__).items() if hasattr(function.__self__, "__dict__") else ()
        function = function.__func__
    if inspect.isfunction(function):
        seen = inspect.getclosurevars(function)
        yield from seen.nonlocals.items()
        yield from seen.globals.items()
        defaults = function.__defaults__ or ()
        names = function.__code__.co_varnames[: function.__code__.co_argcount]
        yield from zip(names[len(names) - len(defaults) :], defaults, strict=True)
        yield from (function.__kwdefaults__ or {}).items()
