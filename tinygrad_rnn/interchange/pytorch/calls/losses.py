"""PyTorch's losses and what is computed of distances."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .... import functional as T
from .... import primitives as P
from ....nn import functional as F
from ....tensors import Tensor
from .table import handles

if TYPE_CHECKING:
    from ..recorder import Call


def loss(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a loss under its ``names``; it is not told PyTorch's former words for ``reduction``, which must be None."""

    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        @handles(*names)
        def mirror(_call: Call, *args: Any, size_average: Any = None, reduce: Any = None, **settings: Any) -> Any:
            return function(*args, **settings) if size_average is None and reduce is None else NotImplemented

        return function

    return enter


@loss("cross_entropy", "cross_entropy_loss")
def _cross_entropy(
    x: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: F.Reduction = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    if not isinstance(reduction, str) or target.dtype.kind not in "iu":
        return NotImplemented
    if weight is None and not label_smoothing:
        return _losses(F.cross_entropy(x, target, ignore_index, "none"), target, ignore_index, reduction)
    return F.cross_entropy(x, target, ignore_index, reduction, weight=weight, label_smoothing=label_smoothing)


def _losses(losses: Tensor, target: Tensor, ignore_index: int, reduction: str) -> Any:
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    # counted, not a mean: the targets of another call may be ones to ignore
    return losses.sum() / (target != ignore_index).astype(losses.dtype).sum()


def _nll(x: Tensor, target: Tensor, weight: Any, ignore_index: int, reduction: str) -> Any:
    losses = F.nll_loss(x, target, ignore_index, "none")
    if weight is None:
        return _losses(losses, target, ignore_index, reduction)
    kept = target != ignore_index
    share = T.where(kept, T.take(weight, T.where(kept, target, 0)), 0.0)
    weighted = losses * share
    if reduction == "none":
        return weighted
    return weighted.sum() if reduction == "sum" else weighted.sum() / share.sum()


@loss("nll_loss")
def _nll_loss(x: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Any = "mean") -> Any:
    return _nll(x, target, weight, ignore_index, reduction) if isinstance(reduction, str) else NotImplemented


def _reduced(losses: Tensor, reduction: Any) -> Any:
    if reduction in ("none", 0):
        return losses
    return losses.sum() if reduction in ("sum", 2) else losses.mean()


@loss("binary_cross_entropy_with_logits")
def _bce_with_logits(x: Any, target: Any, weight: Any = None, reduction: Any = "mean", pos_weight: Any = None) -> Any:
    if pos_weight is not None:
        return NotImplemented
    losses = x.softplus() - target * x
    return _reduced(losses if weight is None else losses * weight, reduction)


@handles("cosine_similarity")
def _cosine_similarity(_call: Call, x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    return F.cosine_similarity(x1, x2, dim, eps)


@loss("cosine_embedding_loss")
def _cosine_embedding_loss(x1: Any, x2: Any, target: Any, margin: float = 0.0, reduction: Any = "mean") -> Any:
    lengths = (((x1 * x1).sum(-1) + 1e-12) * ((x2 * x2).sum(-1) + 1e-12)).sqrt()
    cosine = (x1 * x2).sum(-1) / lengths
    apart = P.where(cosine > margin, cosine - margin, 0.0)
    losses = P.where(P.equal(target, 1), 1.0 - cosine, P.where(P.equal(target, -1), apart, 0.0))
    return _reduced(losses, reduction)


@handles("cdist")
def _cdist(_call: Call, x1: Any, x2: Any, p: float = 2.0, compute_mode: Any = None) -> Any:
    """The distance of each row of ``x1`` (..., P, M) to each of ``x2`` (..., R, M): (..., P, R)."""
    return (x1.expand_dims(-2) - x2.expand_dims(-3)).norm(p, axis=-1)
