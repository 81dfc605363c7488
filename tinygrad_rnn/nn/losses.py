"""Losses as modules, for who prefers objects to functions."""

from __future__ import annotations

from typing import Any

from ..arguments import answerable
from ..tensor import Tensor
from . import functional as F
from .module import Module


class CrossEntropyLoss(Module):
    """`functional.cross_entropy` with its settings kept."""

    @answerable
    def __init__(
        self,
        ignore_index: int = -100,
        reduction: str = "mean",
        *,
        weight: Any = None,
        label_smoothing: float = 0.0,
    ) -> None:
        self.ignore_index, self.reduction = ignore_index, reduction
        self.weight, self.label_smoothing = weight, label_smoothing

    def forward(self, logits: Any, target: Any) -> Tensor:
        """The loss of predictions against targets, reduced as ``reduction`` says."""
        return F.cross_entropy(
            logits, target, self.ignore_index, self.reduction, weight=self.weight, label_smoothing=self.label_smoothing
        )


class NLLLoss(Module):
    """`functional.nll_loss` with its settings kept."""

    @answerable
    def __init__(self, ignore_index: int = -100, reduction: str = "mean") -> None:
        self.ignore_index, self.reduction = ignore_index, reduction

    def forward(self, log_probabilities: Any, target: Any) -> Tensor:
        """The loss of predictions against targets, reduced as ``reduction`` says."""
        return F.nll_loss(log_probabilities, target, self.ignore_index, self.reduction)


class MSELoss(Module):
    """`functional.mse_loss` with its settings kept."""

    @answerable
    def __init__(self, reduction: str = "mean") -> None:
        self.reduction = reduction

    def forward(self, x: Any, target: Any) -> Tensor:
        """The loss of predictions against targets, reduced as ``reduction`` says."""
        return F.mse_loss(x, target, self.reduction)


class L1Loss(Module):
    """`functional.l1_loss` with its settings kept."""

    @answerable
    def __init__(self, reduction: str = "mean") -> None:
        self.reduction = reduction

    def forward(self, x: Any, target: Any) -> Tensor:
        """The loss of predictions against targets, reduced as ``reduction`` says."""
        return F.l1_loss(x, target, self.reduction)


class HuberLoss(Module):
    """`functional.huber_loss` with its settings kept."""

    @answerable
    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        self.reduction, self.delta = reduction, delta

    def forward(self, x: Any, target: Any) -> Tensor:
        """The loss of predictions against targets, reduced as ``reduction`` says."""
        return F.huber_loss(x, target, self.reduction, self.delta)


class BCEWithLogitsLoss(Module):
    """`functional.binary_cross_entropy_with_logits` with its settings kept."""

    @answerable
    def __init__(self, weight: Any = None, reduction: str = "mean", pos_weight: Any = None) -> None:
        self.weight, self.reduction, self.pos_weight = weight, reduction, pos_weight

    def forward(self, x: Any, target: Any) -> Tensor:
        """The loss of predictions against targets, reduced as ``reduction`` says."""
        return F.binary_cross_entropy_with_logits(x, target, self.weight, self.reduction, self.pos_weight)
