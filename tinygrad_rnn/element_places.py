"""The place of an element in an array: found, and as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def first_place(condition: Any) -> tuple[int, ...]:
    """The index of the first element for which an array of conditions is true."""
    return tuple(map(int, np.argwhere(condition)[0]))


def subscript(at: Sequence[int]) -> str:
    """An index as it is written behind a name; nothing of a scalar.

    >>> from tinygrad_rnn.element_places import subscript
    >>> f"w{subscript((0, 2))}", f"loss{subscript(())}"
    ('w[0, 2]', 'loss')
    """
    return f"[{', '.join(map(str, at))}]" if at else ""
