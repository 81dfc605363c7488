"""Numbers about one array: its length, its signs, and what is not a number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..norms import norm
from .recording import Array


@dataclass(frozen=True, slots=True)
class Measure:
    """The result of `measure`."""

    size: int
    norm: float  #: Euclidean length; nan or inf if an element is
    smallest: float
    largest: float
    negative: int
    zero: int
    positive: int
    infinite: int
    nan: int

    @property
    def finite(self) -> bool:
        """Whether every element is a finite number."""
        return not self.infinite and not self.nan


def measure(array: Array) -> Measure:
    """Count and measure the elements."""
    with np.errstate(all="ignore"):
        nan, infinite = int(np.isnan(array).sum()), int(np.isinf(array).sum())
        ends = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
        negative, positive = int((array < 0).sum()), int((array > 0).sum())
        return Measure(array.size, norm(array), *ends, negative, int((array == 0).sum()), positive, infinite, nan)


def ratio(after: float, before: float) -> float | None:
    """``after / before``, or None where that says nothing."""
    return after / before if before and np.isfinite(before) and np.isfinite(after) else None


def plain(value: Any) -> Any:
    """A number JSON can hold; nan and infinities become the words."""
    if isinstance(value, float) and not np.isfinite(value):
        return str(float(value))
    return value


def listed(array: Array | None, limit: int) -> Any:
    """An array as nested lists if it has at most ``limit`` elements, else its shape and its first elements."""
    if array is None:
        return None
    if array.size <= limit:
        return _nested(array.tolist())
    return {"shape": list(array.shape), "first": _nested(array.ravel()[:limit].tolist())}


def _nested(value: Any) -> Any:
    return [_nested(x) for x in value] if isinstance(value, list) else plain(value)
