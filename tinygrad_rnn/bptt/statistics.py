"""Numbers about one array: its length, its signs, what is not a number, and how much of it is saturated."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

import tinygrad_rnn as tg

from ..norms import norm
from .recording import Array

#: A sigmoid outside [LOW, 1 - LOW], a tanh beyond ±(1 - LOW) passes on less than a fifth of the most it could.
LOW = 0.05


@dataclass(frozen=True, slots=True)
class Measure:
    """What `measure` found."""

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

    def data(self) -> dict[str, Any]:
        """As JSON-able data; what JSON has no number for is text."""
        return {key: plain(value) for key, value in asdict(self).items()}


def measure(array: Array) -> Measure:
    """Count and measure the elements."""
    with np.errstate(all="ignore"):
        nan, infinite = int(np.isnan(array).sum()), int(np.isinf(array).sum())
        ends = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
        negative, positive = int((array < 0).sum()), int((array > 0).sum())
        return Measure(array.size, norm(array), *ends, negative, int((array == 0).sum()), positive, infinite, nan)


def saturated(node: tg.Node) -> float | None:
    """How much of a sigmoid, tanh or relu lets (almost) no gradient through, from 0 to 1; None of others."""
    if node.op is None or node.value is None or not node.value.size:
        return None
    y = node.value
    if node.op.name == "sigmoid":
        flat = (y < LOW) | (y > 1 - LOW)
    elif node.op.name == "tanh":
        flat = np.abs(y) > 1 - LOW
    elif node.op.name == "relu":
        flat = y <= 0
    else:
        return None
    return float(np.mean(flat))


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
