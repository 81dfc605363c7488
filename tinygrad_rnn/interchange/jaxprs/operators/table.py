"""The table of primitives: by JAX's name, a function of the equation, its operands and its parameters."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ...tables import entering

#: operands are tensors, arrays and numbers, at least one of them a tensor; parameters are keywords under JAX's names
TABLE: dict[str, Callable[..., Any]] = {}
#: primitives whose operands may be narrower than the result: ours broadcast
ELEMENTWISE: set[str] = set()
#: equations with a jaxpr of their own: a function of the run, the equation and the operands as they come
CALLS: dict[str, Callable[..., list[Any]]] = {}


#: ``@primitive("add")`` enters a function in the table, ``@calls("scan")`` one of equations that have a jaxpr
primitive = partial(entering, TABLE)
calls = partial(entering, CALLS)


def plain(**functions: Callable[..., Any]) -> None:
    """Enter functions of the operands alone: the parameters of their equations say nothing that matters."""
    for name, function in functions.items():
        TABLE[name] = lambda _eqn, *operands, _function=function, **_params: _function(*operands)


def elementwise(**functions: Callable[..., Any]) -> None:
    """Enter functions of each element by itself, without parameters that matter."""
    plain(**functions)
    ELEMENTWISE.update(functions)
