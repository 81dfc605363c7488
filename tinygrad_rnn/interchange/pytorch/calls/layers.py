"""PyTorch's layers that have one call: linear maps, embeddings, dropout, normalisation, attention."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .... import functional as T
from .... import primitives as P
from ....nn import functional as F
from ....tensors import Tensor
from ...composed_operators import padded, set_apart
from ...convolution import convolved
from ...program import constant
from .table import handles

if TYPE_CHECKING:
    from ..recorder import Call


@handles("linear")
def _linear(_call: Call, x: Any, weight: Any, bias: Any = None) -> Any:
    return F.linear(x, weight, bias)


@handles("bilinear")
def _bilinear(_call: Call, x: Any, y: Any, weight: Any, bias: Any = None) -> Any:
    result = T.einsum("...i,oij,...j->...o", x, weight, y)
    return result if bias is None else result + bias


@handles("embedding")
def _embedding(call: Call, *args: Any, **kwargs: Any) -> Any:
    # F.embedding(input, weight, ...) and aten's embedding(weight, indices, ...) differ in their order
    first, second, *rest = args
    indices, weight = (first, second) if first.dtype.kind in "iu" else (second, first)
    padding = kwargs.get("padding_idx", rest[0] if rest else None)
    aten = first is weight  # (weight, indices, padding_idx, scale_grad_by_freq, sparse)
    max_norm = None if aten else kwargs.get("max_norm", rest[1] if len(rest) > 1 else None)
    if max_norm is not None:
        return NotImplemented
    by_frequency = kwargs.get("scale_grad_by_freq", len(rest) > (at := 1 if aten else 3) and rest[at])
    rows = F.embedding(indices, weight)
    if by_frequency and weight.requires_grad:  # the same rows, each with a share of the gradient
        often = P.scatter_rows(np.ones(indices.numel(), weight.dtype), indices.reshape(-1), rows=weight.shape[0])
        there = F.embedding(indices, call.detached(weight))
        rows = there + (rows - there) / T.take(often, indices).expand_dims(-1)
    if padding is None or (padding == -1 and first.dtype.kind not in "iu") or not weight.requires_grad:
        return rows
    # the padding row has a value, but no gradient
    padded = (indices == padding % weight.shape[0]).expand_dims(-1)
    return T.where(padded, F.embedding(indices, call.detached(weight)), rows)


@handles("one_hot")
def _one_hot(call: Call, x: Any, num_classes: int = -1) -> Any:
    return P.one_hot(x, num_classes=int(call.out.shape[-1]), dtype=np.dtype(np.int64), strict=True)


@handles("dropout", "feature_dropout")
def _dropout(call: Call, x: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    if not training or p == 0:
        return x
    dropped = call.args[0]
    if call.name.startswith("feature"):  # whole channels
        dropped = dropped.new_empty((*x.shape[:2], *(1,) * (x.ndim - 2)))
    return x * dropout_mask(call, [dropped], p)[0]


def dropout_mask(call: Call, dropped: list[Any], p: float) -> list[Tensor]:
    """The masks PyTorch drew in this call, in the order it drew them: drawn once more from the same state.

    ``dropped`` are tensors of PyTorch's that lie in memory as those did whose elements it dropped, for so it draws.
    """
    after = torch.get_rng_state()
    torch.set_rng_state(call.random_state)
    try:
        drawn = [torch.dropout(torch.ones_like(x, requires_grad=False), p, True).numpy() for x in dropped]
    finally:
        torch.set_rng_state(after)
    call.recorder.note("dropout: the mask stays as it was drawn", True)
    return [constant(mask, "dropout mask") for mask in drawn]


@handles("_embedding_bag", "_embedding_bag_forward_only")
def _embedding_bag(
    call: Call,
    weight: Any,
    indices: Any,
    offsets: Any,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    _sparse: bool = False,
    weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int = -1,
) -> Any:
    """The sum (mode 0) or mean (1) of each bag's rows."""
    if mode > 1 or scale_grad_by_freq:
        return NotImplemented
    count, first = int(call.out[0].shape[0]), offsets.numpy()
    call.recorder.note("embedding_bag: the bags stay as they were divided")
    bags = constant(np.searchsorted(first[:count], np.arange(indices.numel()), side="right") - 1)
    kept = (indices != padding_idx).astype(weight.dtype)
    share = kept if weights is None else kept * weights
    total = P.scatter_rows(F.embedding(indices, weight) * share.expand_dims(-1), bags, rows=count)
    if mode == 1:
        total = total / P.scatter_rows(kept, bags, rows=count).clip(1.0, None).expand_dims(-1)
    return total, None, None, None


@handles("convolution")
def _convolution(
    _call: Call,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
) -> Any:
    """x (N, C, ...), weight (M, C / groups, ...); transposed: (C, M / groups, ...), and x is set apart instead."""
    if transposed:
        kernels = weight.reshape((groups, weight.shape[0] // groups, *weight.shape[1:])).transpose(1, 2)
        kernels = kernels.reshape((-1, *kernels.shape[2:]))
        weight = kernels.flip(tuple(range(2, kernels.ndim)))
        for axis, step in enumerate(stride):
            x = set_apart(x, axis + 2, step - 1)
        reach = [(k - 1) * gap for k, gap in zip(weight.shape[2:], dilation)]
        wide = [(r - pad, r - pad + more) for r, pad, more in zip(reach, padding, output_padding)]
        stride = [1] * len(stride)
    else:
        wide = [(pad, pad) for pad in padding]
    made = convolved(padded(x, [(0, 0), (0, 0), *wide]), weight, stride, dilation, groups)
    return made if bias is None else made + bias.reshape((-1, *(1,) * len(wide)))


@handles("avg_pool2d")
def _avg_pool(
    _call: Call,
    x: Any,
    kernel: Any,
    stride: Any = (),
    padding: Any = (0, 0),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor: Any = None,
) -> Any:
    if ceil_mode or x.ndim != 4 or (any(padding) and not count_include_pad):
        return NotImplemented
    channels, size = x.shape[1], divisor or math.prod(kernel)
    even = constant(np.full((channels, 1, *kernel), 1 / size, x.dtype))
    wide = padded(x, [(0, 0), (0, 0), *((pad, pad) for pad in padding)])
    return convolved(wide, even, stride or kernel, (1, 1), channels)


@handles("layer_norm")
def _layer_norm(
    _call: Call, x: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5, *_cudnn: Any
) -> Any:
    return F.layer_norm(x, normalized_shape, weight, bias, eps)


@handles("rms_norm")
def _rms_norm(_call: Call, x: Any, normalized_shape: Any, weight: Any = None, eps: Any = None) -> Any:
    return F.rms_norm(x, normalized_shape, weight, eps)


@handles("scaled_dot_product_attention")
def _attention(
    call: Call,
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: Any = None,
    enable_gqa: bool = False,
) -> Any:
    if enable_gqa or dropout_p:
        return NotImplemented
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = (query @ key.transpose(-1, -2)) * scale
    if is_causal:
        scores = T.where(constant(np.tril(np.ones(scores.shape[-2:], bool))), scores, -np.inf)
    if attn_mask is not None:
        scores = T.where(attn_mask, scores, -np.inf) if attn_mask.dtype.kind == "b" else scores + attn_mask
    return scores.softmax(-1) @ value
