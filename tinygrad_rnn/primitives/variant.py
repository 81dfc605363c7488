"""A primitive with some entries changed, such as a wrong rule to test with; the engine's own stays as it is."""

from __future__ import annotations

from typing import Any

from .record import Primitive


def variant(op: Primitive, **changes: Any) -> Primitive:
    """``op`` with other entries, and not in the table; ``copy`` gives a primitive itself.

    >>> from tinygrad_rnn.primitives import TABLE
    >>> variant(TABLE["mul"], symbol="times").symbol, TABLE["mul"].symbol
    ('times', '⊙')
    """
    made = object.__new__(type(op))
    vars(made).update(vars(op), **changes)
    return made
