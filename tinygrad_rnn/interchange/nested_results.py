"""Nested arguments and results: taken apart into leaves, and put together again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of nested lists, tuples and mappings, with where it is, such as ``[0]['state'][1]``."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from leaves(value, f"{path}[{key!r}]")
    elif isinstance(tree, (list, tuple)):
        for index, value in enumerate(tree):
            yield from leaves(value, f"{path}[{index}]")
    else:
        yield path, tree


def mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """The same nesting with ``function`` of every leaf."""
    if isinstance(tree, Mapping):
        return {key: mapped(function, value) for key, value in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        items = [mapped(function, value) for value in tree]
        return type(tree)(*items) if type(tree).__bases__ == (tuple,) else tuple(items)
    if isinstance(tree, (list, tuple)):
        return (list if isinstance(tree, list) else tuple)(mapped(function, value) for value in tree)
    if isinstance(tree, slice):
        return slice(function(tree.start), function(tree.stop), function(tree.step))
    return function(tree)
