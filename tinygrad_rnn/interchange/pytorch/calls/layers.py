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
    if kwargs.get("max_norm", rest[1] if len(rest) > 2 else None) is not None or True in (
        kwargs.get("scale_grad_by_freq"),
        kwargs.get("sparse"),
        *rest[1:],
    ):
        return NotImplemented
    rows = F.embedding(indices, weight)
    if padding is None or (padding == -1 and first.dtype.kind not in "iu") or not weight.requires_grad:
        return rows
    # the padding row has a value, but no gradient
    padded = (indices == padding % weight.shape[0]).expand_dims(-1)
    return T.where(padded, F.embedding(indices, call.detached(weight)), rows)


@handles("one_hot")
def _one_hot(call: Call, x: Any, num_classes: int = -1) -> Any:
    return P.one_hot(x, num_classes=int(call.out.shape[-1]), dtype=np.dtype(np.int64), strict=True)


@handles("dropout", "native_dropout", "feature_dropout", "alpha_dropout")
def _dropout(call: Call, x: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    if call.name not in ("dropout", "dropout_"):
        return NotImplemented
    if not training or p == 0:
        return x
    return x * dropout_mask(call, [x.shape], p)[0]


def dropout_mask(call: Call, shapes: list[tuple[int, ...]], p: float) -> list[Tensor]:
    """The masks PyTorch drew in this call, in the order it drew them: drawn once more from the same state."""
    out = call.out[0] if isinstance(call.out, (tuple, list)) else call.out
    after = torch.get_rng_state()
    torch.set_rng_state(call.random_state)
    try:
        drawn = [torch.dropout(torch.ones(shape, dtype=out.dtype), p, True).numpy() for shape in shapes]
    finally:
        torch.set_rng_state(after)
    call.recorder.note("dropout: the mask stays as it was drawn", True)
    return [constant(mask, "dropout mask") for mask in drawn]


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
    call: Call, query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: Any = None, enable_gqa: bool = False,
) -> Any:  # fmt: skip
    if enable_gqa or dropout_p:
        return NotImplemented
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = (query @ key.transpose(-1, -2)) * scale
    if is_causal:
        scores = T.where(constant(np.tril(np.ones(scores.shape[-2:], bool))), scores, -np.inf)
    if attn_mask is not None:
        scores = T.where(attn_mask, scores, -np.inf) if attn_mask.dtype.kind == "b" else scores + attn_mask
    return scores.softmax(-1) @ value
