"""What layers and losses compute, as functions; the names and arguments are ``torch.nn.functional``'s."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import primitives as P
from ..errors import ArgumentError, ShapeError
from ..functional import leaky_relu as leaky_relu
from ..functional import log_softmax as log_softmax
from ..functional import one_hot as one_hot
from ..functional import relu as relu
from ..functional import softmax as softmax
from ..functional import softplus as softplus
from ..functional import take
from ..primitives.record import integer
from ..random import generator
from ..scope import state
from ..tensor import Array, Tensor, as_tensor, from_array


def linear(x: Any, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x W^T + b``: (..., in), (out, in), (out,) -> (..., out)."""
    operands = (x, weight) if bias is None else (x, weight, bias)
    return as_tensor(weight)._record(P.linear, operands, {})


def embedding(indices: Any, weight: Tensor) -> Tensor:
    """Rows of ``weight`` (V, D) at integer ``indices`` (...): (..., D)."""
    return take(weight, indices)


def dropout(x: Any, p: float = 0.5, training: bool = True) -> Tensor:
    """Zero each element with probability ``p`` and scale the rest by ``1 / (1 - p)``; nothing when not training."""
    if not 0 <= p <= 1:
        raise ArgumentError(f"dropout: p is a probability, from 0 to 1, not {p}")
    x = as_tensor(x)
    if not training or p == 0:
        return x
    if p == 1:
        return x * 0.0
    shape, dtype = x.shape, x.dtype

    def mask() -> Array:
        return (generator().random(shape) >= p).astype(dtype) / dtype.type(1 - p)

    if state.tracer is not None:
        return x * state.tracer.refreshed(mask, x._array, "dropout mask")
    constant = from_array(mask())
    constant.name = "dropout mask"
    return x * constant


def cross_entropy(logits: Any, target: Any, ignore_index: int = -100, reduction: str = "mean") -> Tensor:
    """Softmax cross-entropy of integer class targets, ``-log softmax(logits)[target]``.

    ``logits`` (C,), (N, C) or (N, C, d1, ...), ``target`` (), (N,) or (N, d1, ...). Targets equal to ``ignore_index``
    contribute neither loss nor gradient, nor to the mean's count. ``reduction``: "mean", "sum" or "none".

    >>> import tinygrad_rnn as tg
    >>> tg.nn.functional.cross_entropy(tg.zeros(1, 4), tg.tensor([2]))
    tensor(1.3862944, op=div)
    """
    logits, target, ignore_index = as_tensor(logits), as_tensor(target), integer(ignore_index, "ignore_index")
    if logits.ndim > 2:
        logits = logits.permute([0, *range(2, logits.ndim), 1])
    losses = logits._record(P.cross_entropy, (logits, target), {"ignore_index": ignore_index})
    # a function being compiled must count anew in every call
    if reduction == "mean" and (state.tracer is not None or np.any(target.numpy() == ignore_index)):
        return losses.sum() / (target != ignore_index).astype(losses.dtype).sum()
    return _reduced(losses, reduction)


def nll_loss(log_probabilities: Any, target: Any, ignore_index: int = -100, reduction: str = "mean") -> Tensor:
    """``-log_probabilities[target]``, for inputs (C,), (N, C) or (N, C, d1, ...) that are already log-softmaxed."""
    x, target, ignore_index = as_tensor(log_probabilities), as_tensor(target), integer(ignore_index, "ignore_index")
    if x.ndim > 2:
        x = x.permute([0, *range(2, x.ndim), 1])
    if not x.ndim or target.shape != x.shape[:-1]:
        raise ShapeError(f"nll_loss: {x.shape} wants one class index per row, {x.shape[:-1]}, but got {target.shape}")
    keep = target != ignore_index
    chosen = P.one_hot(P.where(keep, target, 0), num_classes=x.shape[-1], dtype=x.dtype, strict=True)
    losses = P.where(keep, -(P.where(chosen > 0, x, 0)).sum(-1), 0)
    if reduction == "mean":
        return losses.sum() / keep.sum()
    return _reduced(losses, reduction)


def mse_loss(x: Any, target: Any, reduction: str = "mean") -> Tensor:
    """Squared differences, elementwise: averaged, summed or left alone."""
    x, target = as_tensor(x), as_tensor(target)
    if x.shape != target.shape:
        raise ShapeError(f"mse_loss: the input has shape {x.shape} but the target {target.shape}; make them equal")
    return _reduced((x - target).square(), reduction)


def _reduced(losses: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return losses
    if reduction not in ("mean", "sum"):
        raise ArgumentError(f'reduction is "mean", "sum" or "none", not {reduction!r}')
    return losses.mean() if reduction == "mean" else losses.sum()
