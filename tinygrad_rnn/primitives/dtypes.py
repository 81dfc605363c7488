"""Rules for a result's dtype, known before there is a result; a record names the one that is its own.

A rule is called with the operands' dtypes (of a Python number, with the number) and the primitive's settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

DType = np.dtype[Any]


def promoted(kinds: Sequence[Any], **_attrs: Any) -> DType:
    """The dtype NumPy promotes the operands to; float64 where a whole number does not fit the others' integers."""
    dtype = np.result_type(*kinds)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if any(isinstance(x, int) and not limits.min <= x <= limits.max for x in kinds):
            return np.dtype(np.float64)
    return dtype


def real(kinds: Sequence[Any], **_attrs: Any) -> DType:
    """The promoted dtype if that is a float's, else float64: of functions whose results are no integers."""
    dtype = np.result_type(*kinds)
    return np.dtype(np.float64) if dtype.kind in "biu" else dtype


def real_first(kinds: Sequence[Any], **attrs: Any) -> DType:
    """As `real`, of the first operand alone: the others are positions."""
    return real(kinds[:1], **attrs)


def widened(kinds: Sequence[Any], **attrs: Any) -> DType:
    """The promoted dtype, integers and booleans as 64-bit integers: of sums."""
    dtype = promoted(kinds, **attrs)
    if dtype.kind in "biu":
        return np.dtype(np.uint64 if dtype.kind == "u" else np.int64)
    return dtype


def first(kinds: Sequence[Any], **_attrs: Any) -> DType:
    """That of the first operand, which is only moved."""
    return np.dtype(kinds[0])


def of_branches(kinds: Sequence[Any], **attrs: Any) -> DType:
    """The promoted dtype of all operands but the first, which is a condition."""
    return promoted(kinds[1:], **attrs)


def boolean(_kinds: Sequence[Any], **_attrs: Any) -> DType:
    """True or false."""
    return np.dtype(bool)


def position(_kinds: Sequence[Any], **_attrs: Any) -> DType:
    """A position along an axis."""
    return np.dtype(np.int64)


def asked(_kinds: Sequence[Any], *, dtype: Any, **_attrs: Any) -> DType:
    """The one that the setting ``dtype`` names."""
    return np.dtype(dtype)
