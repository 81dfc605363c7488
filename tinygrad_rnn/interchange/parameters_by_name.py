"""Parameters and modules that a function uses by name, without taking them as arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any


def variables(function: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """Variables around a function, its defaults, attributes of its object, with their names."""
    function = inspect.unwrap(function)
    if inspect.ismethod(function):
        yield from vars(function.__self__).items() if hasattr(function.__self__, "__dict__") else ()
        function = function.__func__
    if inspect.isfunction(function):
        yield from inspect.getclosurevars(function).nonlocals.items()
        yield from ((n, function.__globals__[n]) for n in _names(function.__code__) if n in function.__globals__)
        parameters = inspect.signature(function).parameters.values()
        yield from ((p.name, p.default) for p in parameters if p.default is not p.empty)


def _names(code: CodeType) -> list[str]:
    """Names that a function looks up outside, and those that the functions written inside it do."""
    inner = [name for part in code.co_consts if isinstance(part, CodeType) for name in _names(part)]
    return list(dict.fromkeys([*code.co_names, *inner]))
