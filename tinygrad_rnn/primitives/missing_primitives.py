"""Placeholders for operations that a file names and this process does not have."""

from __future__ import annotations

from typing import Any, NoReturn

from ..errors import GraphError
from .record import OWN, TABLE, Primitive, Unlisted


class Absent(Unlisted):
    """An operation known by name only: its results are those in the file, and nothing can be computed by it.

    Make it with `absent`.
    """

    @property
    def missing(self) -> str:
        """The error message where its rule is wanted."""
        name = self.name if self.name.isprintable() else ascii(self.name)
        return f"the rule of {name} is not in this process; import the module that defines it"


def absent(name: str) -> Absent:
    """A placeholder for operation ``name``; asking it for its rule is a `GraphError` that says where rules are.

    >>> from tinygrad_rnn.primitives.missing_primitives import absent
    >>> absent("own_swish").pull(0, 1.0, None, [], {})
    Traceback (most recent call last):
    tinygrad_rnn...GraphError: the rule of own_swish is not in this process; import the module that defines it...
    """

    def refuse(*_operands: Any, **_attrs: Any) -> NoReturn:
        raise GraphError(op.missing)

    def rule(_slot: int, _g: Any, _y: Any, *_operands: Any, **_attrs: Any) -> NoReturn:
        refuse()

    op = Absent(
        name,
        name,
        refuse,
        refuse,
        vjp=rule,
        rule=(r"\bar x = \text{by a rule that is not in this process}",),
        sentence="sends to {targets} what its rule gave when the walk was recorded",
    )
    return op


def is_built_in(op: Primitive) -> bool:
    """Whether every process has it: one of the engine's own, not one that merely bears such a name."""
    return op.name in OWN and TABLE[op.name] is op
