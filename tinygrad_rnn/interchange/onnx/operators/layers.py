"""Products, layers and losses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .... import functional as T
from ....errors import DataError
from ....tensors import Tensor, as_tensor
from ...convolution import convolved
from .table import axis_of, operator, simple

if TYPE_CHECKING:
    from ..running import Node

simple(MatMul=T.matmul, Einsum=lambda *tensors, equation: T.einsum(equation, *tensors))


@operator("Gemm")
def _gemm(
    _node: Node,
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Tensor:
    product = (a.T if transA else a) @ (b.T if transB else b)
    product = product if alpha == 1 else product * alpha
    if c is None or not beta:
        return product
    return product + (c if beta == 1 else c * beta)


@operator("LayerNormalization")
def _layer_norm(
    _node: Node,
    x: Tensor,
    scale: Tensor,
    bias: Tensor | None = None,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> Any:
    axes = tuple(range(axis_of(axis, x.ndim), x.ndim))
    mean = x.mean(axes, True)
    centred = x - mean
    inverse = 1.0 / ((centred * centred).mean(axes, True) + epsilon).sqrt()
    scaled = centred * inverse * scale
    return (scaled if bias is None else scaled + bias), mean, inverse


@operator("RMSNormalization")
def _rms_norm(
    _node: Node, x: Tensor, scale: Tensor, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Tensor:
    axes = tuple(range(axis_of(axis, x.ndim), x.ndim))
    return x / ((x * x).mean(axes, True) + epsilon).sqrt() * scale


@operator("BatchNormalization")
def _batch_norm(
    _node: Node,
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
    spatial: int = 1,
) -> Tensor:
    if training_mode:
        raise DataError("it is in training mode; export the model for inference")
    shape = (-1, *(1,) * (x.ndim - 2))
    factor = scale / (variance + epsilon).sqrt()
    return x * factor.reshape(shape) + (bias - mean * factor).reshape(shape)


@operator("Conv")
def _conv(
    _node: Node,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    kernel_shape: Any = None,
    strides: Any = None,
    dilations: Any = None,
    pads: Any = None,
    group: int = 1,
    auto_pad: str = "NOTSET",
) -> Tensor:
    """x (N, C, ...), weight (M, C / group, ...)."""
    rank = x.ndim - 2
    kernel = weight.shape[2:]
    steps, gaps = list(strides or [1] * rank), list(dilations or [1] * rank)
    widths = list(pads or [0] * 2 * rank)
    reach = [(k - 1) * gap + 1 for k, gap in zip(kernel, gaps)]
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        missing = [max(0, (-(-n // step) - 1) * step + r - n) for n, step, r in zip(x.shape[2:], steps, reach)]
        less, more = [m // 2 for m in missing], [m - m // 2 for m in missing]
        widths = less + more if auto_pad == "SAME_UPPER" else more + less
    elif auto_pad not in ("NOTSET", "VALID"):
        raise DataError(f"auto_pad {auto_pad!r} is none of NOTSET, VALID, SAME_UPPER, SAME_LOWER")
    if x.shape[1] != weight.shape[1] * group or weight.shape[0] % group:
        raise DataError(f"input {x.shape} and kernel {weight.shape} do not fit in {group} group(s)")
    if any(widths):
        x = x.pad([(0, 0), (0, 0), *zip(widths[:rank], widths[rank:])])
    made = convolved(x, weight, steps, gaps, group)
    return made if bias is None else made + bias.reshape((-1, *(1,) * rank))


@operator("SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss")
def _loss(
    node: Node, x: Tensor, labels: Tensor, weights: Any = None, reduction: str = "mean", ignore_index: Any = None
) -> Any:
    """The weighted logarithms at the labels, reduced, and of scores all logarithms too; x is (N, C, ...)."""
    logs = x.log_softmax(1) if node.op == "SoftmaxCrossEntropyLoss" else x
    kept = as_tensor(np.ones(labels.shape, bool)) if ignore_index is None else labels != ignore_index
    at = T.where(kept, labels, 0)
    if at.numpy().min(initial=0) < 0 or at.numpy().max(initial=0) >= x.shape[1]:
        raise DataError(f"a label is none of the {x.shape[1]} classes")
    share = T.where(kept, 1.0 if weights is None else T.take(weights, at), 0.0).astype(x.dtype)
    loss = -logs.gather(1, at.expand_dims(1)).squeeze(1) * share
    if reduction != "none":
        loss = loss.sum() / (1.0 if reduction == "sum" else share.sum())
    return loss if logs is x else (loss, logs)
