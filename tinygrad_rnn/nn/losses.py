"""Losses as modules, for who prefers objects to functions."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor
from . import functional as F
from .module import Module


class CrossEntropyLoss(Module):
    """`functional.cross_entropy` with its settings kept."""

    def __init__(self, ignore_index: int = -100, reduction: str = "mean") -> None:
        self.ignore_index, self.reduction = ignore_index, reduction

    def forward(self, logits: Any, target: Any) -> Tensor:
        """The loss."""
        return F.cross_entropy(logits, target, self.ignore_index, self.reduction)


class NLLLoss(Module):
    """`functional.nll_loss` with its settings kept."""

    def __init__(self, ignore_index: int = -100, reduction: str = "mean") -> None:
        self.ignore_index, self.reduction = ignore_index, reduction

    def forward(self, log_probabilities: Any, target: Any) -> Tensor:
        """The loss."""
        return F.nll_loss(log_probabilities, target, self.ignore_index, self.reduction)


class MSELoss(Module):
    """`functional.mse_loss` with its settings kept."""

    def __init__(self, reduction: str = "mean") -> None:
        self.reduction = reduction

    def forward(self, x: Any, target: Any) -> Tensor:
        """The loss."""
        return F.mse_loss(x, target, self.reduction)
