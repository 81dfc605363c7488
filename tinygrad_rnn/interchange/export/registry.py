"""Primitives in other engines: a registry each, filled by a decorator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ...errors import ArgumentError, UnsupportedError
from ...primitives.record import TABLE, Primitive, Unlisted
from ..tables import entering

Rule = TypeVar("Rule", bound=Callable[..., Any])


def registering(rules: dict[Primitive, Rule], primitive: Primitive | str, what: str) -> Callable[[Rule], Rule]:
    """A decorator that enters a rule for ``primitive``, given itself or its name; errors begin with ``what``."""
    if isinstance(primitive, str) and primitive not in TABLE:
        raise ArgumentError(f"{what}: there is no primitive {primitive!r:.40}; tg.TABLE has their names")
    return entering(rules, TABLE[primitive] if isinstance(primitive, str) else primitive)


def family(names: str) -> frozenset[Primitive]:
    """The primitives of these names."""
    return frozenset(TABLE[name] for name in names.split())


#: operands that NumPy brings to one dtype before it computes; of the comparisons, only for the comparing
TOGETHER = family("add sub mul div floor_divide pow maximum minimum matmul linear einsum concat stack")
COMPARISONS = frozenset(op for op in TABLE.values() if op.is_boolean)


def no_rule(op: Primitive, site: str | None, format: str) -> UnsupportedError:
    """The error for a primitive, used at ``site``, that a ``format`` ("JAX" or "ONNX") does not have."""
    name = format.lower()
    if isinstance(op, Unlisted):
        return UnsupportedError(
            f"to_{name}: {op.name} (at {site}) has a backward pass of its own, which {format} would not know of"
        )
    return UnsupportedError(
        f"to_{name}: {op.name} (at {site}) has no rule for {format}; give it one: "
        f"@tg.interchange.{name}_rule({op.name}) above a function, see its documentation"
    )


def unknown_leaf(label: str, format: str) -> UnsupportedError:
    """The error for a value from outside that is neither an argument nor a weight."""
    return UnsupportedError(
        f"to_{format.lower()}: {label} is neither an argument nor a weight of the function; pass it as an argument"
    )
