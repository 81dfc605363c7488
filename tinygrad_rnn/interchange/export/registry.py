"""What a primitive is in another engine: a registry each, filled by a decorator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ...errors import ArgumentError
from ...primitives.record import TABLE, Primitive

Rule = TypeVar("Rule", bound=Callable[..., Any])


def registering(rules: dict[Primitive, Rule], primitive: Primitive | str, what: str) -> Callable[[Rule], Rule]:
    """A decorator that enters a rule for ``primitive``, given itself or its name; errors begin with ``what``."""
    if isinstance(primitive, str) and primitive not in TABLE:
        raise ArgumentError(f"{what}: there is no primitive {primitive!r:.40}; tg.TABLE has their names")
    op = TABLE[primitive] if isinstance(primitive, str) else primitive

    def enter(rule: Rule) -> Rule:
        rules[op] = rule
        return rule

    return enter
