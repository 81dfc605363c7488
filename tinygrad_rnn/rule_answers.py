"""The result of a derivative's rule, brought to its operand's shape and dtype, or a message that says what is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np

from .primitives import Primitive, broadcast_to, cast, reshape, sum_
from .recorded_value import is_tensor


def fitted(value: Any, x: Any) -> Any:
    """A rule's answer in the operand's shape and dtype."""
    if value.dtype.kind not in "fiub":
        raise TypeError(f"a gradient of {value.dtype}")
    if value.shape != x.shape:
        value = unbroadcast(value, x.shape)
    return value if value.dtype is x.dtype else cast(value, dtype=x.dtype)


def no_gradient(op: Primitive, site: Any, slot: int, value: Any, shape: tuple[int, ...]) -> str | None:
    """The error for ``value``, a rule's answer for an operand of ``shape`` that is no gradient of it at all."""
    where = f"the rule of {op.name} (at {site}) for operand {slot} gives"
    want = f"an array of shape {shape} is wanted, or one that broadcasting made of it"
    if not (is_tensor(value) or isinstance(value, (np.ndarray, np.generic))):
        return f"{where} {'None' if value is None else f'a {type(value).__name__}'}; {want}"
    if value.dtype.kind not in "fiub":
        return f"{where} an array of {value.dtype}; real numbers are wanted"
    try:
        whole = np.broadcast_shapes(value.shape, shape)
    except ValueError:
        whole = None
    return None if whole in (value.shape, shape) else f"{where} an array of shape {value.shape}; {want}"


def unbroadcast(value: Any, shape: tuple[int, ...]) -> Any:
    """Undo broadcasting: an operand that was repeated receives the sum over its repetitions."""
    extra = len(value.shape) - len(shape)
    if extra < 0:  # a rule may answer with something smaller, such as one number
        return broadcast_to(value, shape=shape)
    repeated = tuple(range(extra)) + tuple(
        extra + i for i, n in enumerate(shape) if n == 1 and value.shape[extra + i] != 1
    )
    if not repeated:
        return broadcast_to(value, shape=shape)
    kept = len(repeated) > extra
    value = sum_(value, axis=repeated, keepdims=kept)
    return reshape(value, shape=shape) if extra and kept else value
