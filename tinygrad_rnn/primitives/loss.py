"""Softmax cross-entropy, fused because its gradient (probabilities minus one-hot) is the lecture's simplest."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ShapeError
from . import dtypes
from .choices import not_equal, where
from .elementwise import tanh
from .index import check_targets, one_hot
from .record import Primitive, Shape
from .reduce import shifted_logarithm, softmax
from .shape import reshape


def _cross_entropy_shape(logits: Shape, target: Shape, *, ignore_index: int) -> Shape:
    if not logits or logits[:-1] != target:
        raise ShapeError(
            f"logits {logits} want targets of shape {logits[:-1]}, one class index per row, but got {target}"
        )
    return target


def _check(logits: Any, target: Any, *, ignore_index: int) -> None:
    _cross_entropy_shape(logits.shape, target.shape, ignore_index=ignore_index)  # NumPy would broadcast
    check_targets(target, logits.shape[-1], ignore_index)


def _cross_entropy(logits: Any, target: Any, *, ignore_index: int) -> Any:
    keep = target != ignore_index
    picked = np.take_along_axis(logits, np.where(keep, target, 0)[..., None], -1)[..., 0]
    top, logarithm = shifted_logarithm(logits, -1)
    return np.where(keep, logarithm[..., 0] - (picked - top[..., 0]), 0)


def _cross_entropy_grad(g: Any, y: Any, logits: Any, target: Any, *, ignore_index: int) -> Any:
    expected = one_hot(target, num_classes=logits.shape[-1], dtype=logits.dtype, strict=False)
    column = (*target.shape, 1)
    keep = reshape(not_equal(target, ignore_index), shape=column)
    # of the target's own probability e^-y, minus 1: from the loss, as 1 - e^-y would round to 0 where it is near 1
    t = tanh(y * 0.5)
    miss = reshape(-2 * t / (1 + t), shape=column)
    difference = softmax(logits, axis=-1) * (1 - expected) + expected * miss
    return where(keep, reshape(g, shape=column) * difference, 0)


#: One loss per row of ``logits`` (..., C); rows whose target is ``ignore_index`` give 0.
cross_entropy = Primitive(
    "cross_entropy",
    "cross-entropy",
    _cross_entropy_shape,
    _cross_entropy,
    vjp=(_cross_entropy_grad, None),
    rule=(r"\bar x = \bar y\,(\operatorname{softmax}(x) - \mathbf 1_{k})", ""),
    check=_check,
    along=lambda live, _any_along, _shape, *, ignore_index: reshape(live, shape=(*live.shape, 1)),
    kernel="cross_entropy",
    kind="reduction",
    dtype=dtypes.real_first,
    usual={"ignore_index": -100},
    sentence="sends to {targets} the probabilities minus 1 at the right class",
)
