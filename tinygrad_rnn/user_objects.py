"""Objects of users' classes: what they are, without running their code; their containers, rebuilt with other parts.

`isinstance` asks an object that is of another class for its ``__class__``. What looks attributes up in a way of its own
(``def __getattribute__(self, name): return table[name]``) may answer that with an error.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeGuard, TypeVar, overload

Kind = TypeVar("Kind")


@overload
def is_of(thing: Any, kind: type[Kind]) -> TypeGuard[Kind]: ...
@overload
def is_of(thing: Any, kind: tuple[type, ...]) -> bool: ...
def is_of(thing: Any, kind: Any) -> bool:
    """As ``isinstance(thing, kind)``, without a look at the thing itself.

    >>> from tinygrad_rnn.user_objects import is_of
    >>> class Table:
    ...     def __getattribute__(self, name):
    ...         return {"rate": 0.5}[name]
    >>> is_of(Table(), dict), is_of(Table(), Table)
    (False, True)
    """
    return issubclass(type(thing), kind)


def entries_of(holder: Any) -> dict[str, Any] | None:
    """An object's ``__dict__``, whatever the object would answer; None if it has none."""
    try:
        entries = object.__getattribute__(holder, "__dict__")
    except (AttributeError, TypeError):
        return None
    return entries if type(entries) is dict else None


def of_parts(like: Any, parts: Sequence[Any] | Mapping[Any, Any], attributes: Mapping[str, Any]) -> Any:
    """A tuple, list or dict of the class of ``like``, made of other parts and attributes without its ``__init__``.

    >>> from collections import OrderedDict
    >>> from tinygrad_rnn.user_objects import of_parts
    >>> made = of_parts(OrderedDict(a=1), {"a": 2}, {})
    >>> type(made).__name__, made["a"]
    ('OrderedDict', 2)
    """
    kind: Any = type(like)
    made: Any
    if kind in (tuple, list, dict):
        return kind(parts)
    if issubclass(kind, tuple):
        try:
            made = tuple.__new__(kind, parts)
        except TypeError:  # of C's, which may have its own form
            return kind(parts)
    else:
        made = kind.__new__(kind)
    if attributes:
        object.__getattribute__(made, "__dict__").update(attributes)
    if isinstance(parts, Mapping):
        if issubclass(kind, defaultdict):
            made.default_factory = like.default_factory
        for key, part in parts.items():
            made[key] = part
    elif issubclass(kind, list):
        list.extend(made, parts)
    return made


def each_part(f: Callable[..., Any], *trees: Any) -> Any:
    """``f`` of the parts, and of the attributes, at the same places of tuples, lists or dicts: one like the first."""
    first, kind = trees[0], type(trees[0])
    if kind is tuple or kind is list:
        return kind(map(f, *trees))
    parts: Any
    if issubclass(kind, dict):
        parts = {key: f(*(tree[key] for tree in trees)) for key in first}
        if kind is dict:
            return parts
    else:
        parts = list(map(f, *trees))
    entries: list[Any] = [entries_of(tree) or {} for tree in trees]
    return of_parts(first, parts, {name: f(*(each[name] for each in entries)) for name in entries[0]})
