"""Parameters and modules that a function uses by name, without taking them as arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from types import CodeType, FrameType, ModuleType
from typing import Any

from ..source_line import in_library


def variables(function: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """Variables around a function, its defaults, attributes of its object, with their names."""
    if inspect.ismethod(function):  # first: what it wraps, if anything, is no method and has no object
        yield from vars(function.__self__).items() if hasattr(function.__self__, "__dict__") else ()
        yield from variables(function.__func__)
    elif (wrapped := inspect.unwrap(function)) is not function:
        yield from variables(wrapped)
    elif inspect.isfunction(function):
        yield from inspect.getclosurevars(function).nonlocals.items()
        yield from ((n, function.__globals__[n]) for n in _names(function.__code__) if n in function.__globals__)
        parameters = inspect.signature(function).parameters.values()
        yield from ((p.name, p.default) for p in parameters if p.default is not p.empty)


def _names(code: CodeType) -> list[str]:
    """Names that a function looks up outside, and those that the functions written inside it do."""
    inner = [name for part in code.co_consts if isinstance(part, CodeType) for name in _names(part)]
    return list(dict.fromkeys([*code.co_names, *inner]))


def name_in(frame: FrameType | None, value: Any) -> str:
    """The name of ``value`` in the user's running functions, the innermost first: ``W``, ``cell.W``, ``weights.0``.

    Without a name (``step().W``) it is a ``parameter``.
    """
    while frame is not None:
        if not in_library(frame):
            for scope in (frame.f_locals, frame.f_globals):
                for name, known in list(scope.items()):
                    for path, part in _parts(name, known):
                        if part is value:
                            return path.removeprefix("self.")
        frame = frame.f_back
    return "parameter"


def _parts(name: str, value: Any, depth: int = 2) -> Iterator[tuple[str, Any]]:
    """A value, its entries or attributes, and theirs, with dotted names."""
    yield name, value
    inner: Any = value if isinstance(value, Mapping) else {}
    if isinstance(value, (list, tuple)):
        inner = dict(enumerate(value))
    elif not isinstance(value, (type, ModuleType)):
        inner = inner or getattr(value, "__dict__", {})
    for key, part in inner.items() if depth else ():
        yield from _parts(f"{name}.{key}", part, depth - 1)
