"""Quantised weights as the numbers they stand for. Activations are not rounded to 8 bits: that has no derivative.

A quantised model thus becomes the float model it approximates, and the module's notes say so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ....errors import DataError
from ....tensors import Tensor, as_tensor
from .recurrent import layer
from .table import axis_of, operator

if TYPE_CHECKING:
    from ..running import Node


def _spread(x: Tensor, like: Tensor, axis: int, block: int) -> Tensor:
    """A scale or zero point ``x`` in a shape that broadcasts with ``like``.

    It has one value for all, one for each index of ``axis``, or one for each ``block`` of indices along it.
    """
    rank = like.ndim
    if block:
        wanted = tuple(-(-n // block) if i == axis else n for i, n in enumerate(like.shape))
        if block < 0 or x.shape != wanted:
            raise DataError(f"scales and zero points of blocks of {block} are of shape {wanted}, not {x.shape}")
        return x[(*(slice(None),) * axis, np.arange(like.shape[axis]) // block)]
    if x.ndim == 0 or x.numel() == 1:
        return x.reshape(())
    return x.reshape(tuple(-1 if i == axis else 1 for i in range(rank)))


def _real(x: Tensor, zero: Tensor | None, like: Any) -> Tensor:
    """Steps above the zero point."""
    x = x.astype(like) if x.dtype != like else x
    return x if zero is None else x - zero.astype(like)


@operator("DequantizeLinear")
def _dequantize(
    node: Node,
    x: Tensor,
    scale: Tensor,
    zero: Tensor | None = None,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
) -> Tensor:
    axis = axis_of(axis, x.ndim) if x.ndim > 1 else 0
    scale = _spread(scale, x, axis, block_size)
    return _real(x, None if zero is None else _spread(zero, x, axis, block_size), scale.dtype) * scale


@operator("QuantizeLinear")
def _quantize(
    node: Node,
    x: Tensor,
    scale: Tensor,
    zero: Tensor | None = None,
    axis: int = 1,
    saturate: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
    precision: int = 0,
) -> Tensor:
    axis = axis_of(axis, x.ndim) if x.ndim > 1 else 0
    limits = np.iinfo(np.uint8 if zero is None else zero.dtype)
    steps = x / _spread(scale, x, axis, block_size)
    if zero is not None:
        steps = steps + _spread(zero, x, axis, block_size).astype(x.dtype)
    return steps.clip(float(limits.min), float(limits.max))


@operator("DynamicQuantizeLinear")
def _dynamic(_node: Node, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return x, as_tensor(np.ones((), x.dtype)), as_tensor(np.zeros((), np.uint8))


@operator("MatMulInteger")
def _matmul_integer(
    _node: Node, a: Tensor, b: Tensor, a_zero: Tensor | None = None, b_zero: Tensor | None = None
) -> Tensor:
    like = a.dtype if a.dtype.kind == "f" else b.dtype if b.dtype.kind == "f" else np.dtype(np.int32)
    if a_zero is not None and a_zero.ndim == 1 and a_zero.numel() > 1:
        a_zero = a_zero.expand_dims(1)
    return _real(a, a_zero, like) @ _real(b, b_zero, like)


@operator("DynamicQuantizeMatMul", domain="com.microsoft")
def _dynamic_matmul(
    _node: Node, a: Tensor, b: Tensor, scale: Tensor, zero: Tensor | None = None, bias: Tensor | None = None
) -> Tensor:
    product = a @ (_real(b, zero, a.dtype) * scale)
    return product if bias is None else product + bias


@operator("DynamicQuantizeLSTM", domain="com.microsoft")
def _dynamic_lstm(
    node: Node, x: Tensor, w: Tensor, r: Tensor, *optional: Any, **_attributes: Any
) -> tuple[Tensor, ...]:
    """W (D, I, 4H) and R (D, H, 4H): transposed against LSTM; a scale for a direction, or for each of its columns."""

    def weight(q: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
        shape = (q.shape[0], 1, -1)
        return (_real(q, zero.reshape(shape), scale.dtype) * scale.reshape(shape)).transpose(1, 2)

    *more, w_scale, w_zero, r_scale, r_zero = optional  # B, sequence_lens, initial_h, initial_c, P in front
    return layer(node, x, weight(w, w_scale, w_zero), weight(r, r_scale, r_zero), *more, **_attributes)
