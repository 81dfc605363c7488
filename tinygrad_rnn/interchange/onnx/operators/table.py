"""The table of operators: by name, a function of the node and, as our tensors, of its inputs.

An operator's attributes are keywords of its function, under ONNX's names; what a function has no keyword for is not
supported, and the importer says so. An attribute that later became an input has one parameter for both.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import update_wrapper
from typing import Any

import numpy as np

from ....errors import DataError
from ....tensors import Tensor
from ...tables import entering

TABLE: dict[tuple[str, str], Callable[..., Any]] = {}


def operator(*names: str, domain: str = "") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a function under the names of its operators."""
    return entering(TABLE, *((domain, name) for name in names))


def simple(**functions: Callable[..., Any]) -> None:
    """Enter functions of tensors and attributes, which need not be told the node."""
    for name, function in functions.items():
        TABLE["", name] = _without_the_node(function)


def _without_the_node(function: Callable[..., Any]) -> Callable[..., Any]:
    def called(_node: Any, *tensors: Any, **attributes: Any) -> Any:
        return function(*tensors, **attributes)

    return update_wrapper(called, function, assigned=(), updated=())  # so that `keywords` sees the function's own


def keywords(function: Callable[..., Any]) -> set[str]:
    """The attributes a function knows."""
    return {p.name for p in inspect.signature(function).parameters.values() if p.name not in ("node", "_node")}


def static(x: Any, what: str) -> np.ndarray[Any, Any]:
    """A value that decides how things are computed, such as a shape."""
    if x is None:
        raise DataError(f"{what} is missing")
    return x.numpy() if isinstance(x, Tensor) else np.asarray(x)


def single(x: Any, what: str) -> Any:
    """The one number of such a value, as Python's."""
    return static(x, what).reshape(()).item()


def integers(x: Any, what: str) -> tuple[int, ...]:
    """A list of integers, from an attribute or an input."""
    return tuple(int(n) for n in static(x, what).reshape(-1))


def axis_of(axis: int, rank: int) -> int:
    """An axis, counted from the front."""
    if not -rank <= axis < max(1, rank):
        raise DataError(f"axis {axis} is none of a tensor of {rank} dimension(s)")
    return axis % max(1, rank)


def affordable(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape that a file asks for, if memory can hold it."""
    from ..reading import MOST_ELEMENTS

    sizes = tuple(int(n) for n in shape)
    if any(n < 0 for n in sizes) or np.prod(sizes, dtype=object) > MOST_ELEMENTS:
        raise DataError(f"shape {sizes} is asked for, which no tensor here can have")
    return sizes
