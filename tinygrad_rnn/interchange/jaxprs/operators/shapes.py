"""Operators that move elements and compute nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from .... import functional as T
from ....tensors import Tensor, as_tensor
from ...composed_operators import padded, set_apart
from ...convolution import convolved
from ...tables import enter_each
from ..conversion import Spread
from .table import primitive


@primitive("broadcast_in_dim")
def _broadcast_in_dim(_eqn: Any, x: Tensor, *_sizes: Any, shape: Any, broadcast_dimensions: Any, **_params: Any) -> Any:
    sizes = [1] * len(shape)
    for size, at in zip(x.shape, broadcast_dimensions, strict=True):
        sizes[at] = size
    narrow = x if tuple(sizes) == x.shape else x.reshape(sizes)
    return narrow if narrow.shape == tuple(shape) else Spread(narrow, tuple(shape))


@primitive("reshape", "squeeze", "expand_dims")
def _reshape(eqn: Any, x: Tensor, *_sizes: Any, **_params: Any) -> Tensor:
    shape = tuple(eqn.outvars[0].aval.shape)
    return x if x.shape == shape else x.reshape(shape)


@primitive("slice")
def _slice(_eqn: Any, x: Tensor, start_indices: Any, limit_indices: Any, strides: Any, **_params: Any) -> Tensor:
    steps = strides or (1,) * x.ndim
    index = tuple(slice(int(a), int(b), int(s)) for a, b, s in zip(start_indices, limit_indices, steps))
    return x[index] if x.ndim else x


@primitive("pad")
def _pad(_eqn: Any, x: Any, value: Any, padding_config: Any, **_params: Any) -> Tensor:
    x = as_tensor(x)
    filling = value.numpy() if isinstance(value, Tensor) else np.asarray(value)
    for axis, (_, _, between) in enumerate(padding_config):
        x = set_apart(x, axis, between, filling.item())
    return padded(x, [(int(low), int(high)) for low, high, _ in padding_config], filling.item())


@primitive("conv_general_dilated")
def _conv(
    eqn: Any,
    x: Any,
    weight: Any,
    window_strides: Any,
    padding: Any,
    lhs_dilation: Any,
    rhs_dilation: Any,
    dimension_numbers: Any,
    feature_group_count: int,
    batch_group_count: int,
    **_params: Any,
) -> Tensor:
    """Batch and channels brought to the front, and back; a dilated input has zeros between its elements."""
    x = as_tensor(x).permute(tuple(dimension_numbers.lhs_spec))
    weight = as_tensor(weight).permute(tuple(dimension_numbers.rhs_spec))
    if batch_group_count > 1:  # each part of the batch meets kernels of its own, as groups of channels do
        x = x.reshape((batch_group_count, -1, *x.shape[1:])).transpose(0, 1)
        x = x.reshape((x.shape[0], -1, *x.shape[3:]))
    wide = [(0, 0, 0)] * 2 + [(low, high, n - 1) for (low, high), n in zip(padding, lhs_dilation)]
    groups = max(feature_group_count, batch_group_count)
    made = convolved(_pad(eqn, x, 0.0, wide), weight, window_strides, rhs_dilation, groups)
    return made.permute(tuple(np.argsort(dimension_numbers.out_spec).tolist()))


enter_each(
    primitive,
    {
        "transpose": lambda _, x, permutation, **_params: x.permute(tuple(permutation)),
        "concatenate": lambda _, *tensors, dimension, **_params: T.concat(tensors, dimension),
        "stack": lambda eqn, *tensors, **params: T.stack(tensors, params.get("axis", params.get("dimension", 0))),
        "unstack": lambda eqn, x, **params: list(x.unbind(params.get("axis", params.get("dimension", 0)))),
        "split": lambda _, x, sizes, axis, **_params: list(x.split([int(n) for n in sizes], axis)),
        "rev": lambda _, x, dimensions, **_params: x.flip(tuple(dimensions)) if dimensions else x,
    },
)
