"""Of what dtype a result is, from the operands' dtypes alone: what NumPy and the engine give when they compute it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .record import Primitive, broadcast, same_shape

_COMPARISONS = {"greater", "greater_equal", "less", "less_equal", "equal", "not_equal"}


def result_dtype(op: Primitive, operands: Sequence[Any], attrs: dict[str, Any]) -> np.dtype[Any]:
    """The dtype NumPy would give; ``operands`` are things with a dtype, or Python numbers."""
    kinds = [getattr(x, "dtype", x) for x in operands]
    if "dtype" in attrs:
        return np.dtype(attrs["dtype"])
    if op.name in _COMPARISONS:
        return np.dtype(bool)
    if op.name in ("argmax", "argsort"):
        return np.dtype(np.int64)
    if op.name == "take":
        return np.dtype(kinds[0])
    if op.name == "scatter_rows":
        return np.dtype(kinds[0])
    if op.name == "cross_entropy":
        kinds = kinds[:1]
    if op.name == "where":
        kinds = kinds[1:]
    dtype = np.result_type(*kinds)
    if (
        dtype.kind == "b" and op.shape in (broadcast, same_shape) and op.name not in _TO_FLOAT
    ):  # NumPy makes integers of some, and refuses others
        ones = (np.ones(1, x.dtype) if hasattr(x, "dtype") else x for x in operands)
        return np.asarray(op.reference(*ones, **attrs)).dtype
    if dtype.kind in "iu":  # where NumPy has no integer for it, the engine takes a float
        whole, limits = [x for x in operands if isinstance(x, int)], np.iinfo(dtype)
        if any(not limits.min <= x <= limits.max or (op.name == "pow" and x < 0) for x in whole):
            return np.dtype(np.float64)
    if dtype.kind in "biu":
        if op.name in ("sum", "cumsum") and dtype.itemsize < 8:
            return np.dtype(np.uint64 if dtype.kind == "u" else np.int64)
        if op.name in _TO_FLOAT:
            return np.dtype(np.float64)
    return dtype


_TO_FLOAT = {
    "div", "erf", "exp", "log", "sqrt", "sin", "cos", "tanh", "sigmoid", "softplus", "softmax", "log_softmax",
    "logsumexp", "cross_entropy",
}  # fmt: skip
