"""Copies of a tensor: which of its attributes a copy shares, has of its own, or does not have."""

from __future__ import annotations

import copy
from contextlib import suppress
from types import MemberDescriptorType
from typing import Any, TypeVar

import numpy as np

from .recorded_value import Recorded
from .version_counters import Memory

T = TypeVar("T", bound=Recorded)

#: what belongs to one tensor, and to no copy of it: its memory, its identity, its place in a graph, its hooks
_OF_ONE_TENSOR = {"_array", "_memory", "serial", "op", "operands", "attrs"}
_OF_ONE_TENSOR |= {"_hooks", "_retains_grad", "_spent", "_freed", "_starts"}
#: what never changes and need not be copied; code objects cannot be
_SHARED_BY_COPIES = {"_made_at", "scope", "_name", "role", "_requires_grad"}


def copied(x: T, value: np.ndarray[Any, Any]) -> T:
    """A leaf like ``x`` that holds ``value``, with an identity and a memory of its own."""
    result = type(x).__new__(type(x))
    mine = {key: kept for key, kept in vars(x).items() if key not in _OF_ONE_TENSOR}
    vars(result).update(mine, _array=value, _memory=Memory())
    for key, slot in slots(type(x)).items():
        with suppress(AttributeError):  # an empty one
            setattr(result, key, slot.__get__(x))
    return result


def copy_attributes(x: T, result: T, memo: dict[int, Any]) -> None:
    """Replace what ``result``, a copy, shares with ``x`` and may change by deep copies."""
    for key in (vars(x).keys() | slots(type(x))) - _OF_ONE_TENSOR - _SHARED_BY_COPIES:
        with suppress(AttributeError):
            setattr(result, key, copy.deepcopy(getattr(x, key), memo))


def slots(kind: type) -> dict[str, MemberDescriptorType]:
    """The slots of classes that Python code wrote, under their names."""
    return {
        name: slot
        for owner in kind.__mro__
        if "__slots__" in vars(owner)
        for name, slot in vars(owner).items()
        if type(slot) is MemberDescriptorType
    }
