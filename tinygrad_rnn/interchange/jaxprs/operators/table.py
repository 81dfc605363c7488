"""The table of primitives: by JAX's name, a function of the equation, its operands and its parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: operands are tensors, arrays and numbers, at least one of them a tensor; parameters are keywords under JAX's names
TABLE: dict[str, Callable[..., Any]] = {}
#: primitives whose operands may be narrower than the result: ours broadcast
ELEMENTWISE: set[str] = set()
#: equations with a jaxpr of their own: a function of the run, the equation and the operands as they come
CALLS: dict[str, Callable[..., list[Any]]] = {}


def primitive(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a function under the names of its primitives."""

    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        TABLE.update(dict.fromkeys(names, function))
        return function

    return enter


def elementwise(**functions: Callable[..., Any]) -> None:
    """Enter functions of each element by itself, without parameters that matter."""
    for name, function in functions.items():
        name = name.rstrip("_")
        TABLE[name] = lambda _eqn, *operands, _function=function, **_params: _function(*operands)
        ELEMENTWISE.add(name)


def calls(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a function of equations that have a jaxpr of their own."""

    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        CALLS.update(dict.fromkeys(names, function))
        return function

    return enter
