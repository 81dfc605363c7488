"""Losses as modules, for who prefers objects to functions."""

from __future__ import annotations

from typing import Any

from ..arguments import answering
from ..tensors import Tensor
from . import functional as F
from .functional import Reduction
from .module import Module


class CrossEntropyLoss(Module):
    """`functional.cross_entropy`, ``-log softmax(logits)[target]``, with its settings kept.

    ``ignore_index``, ``reduction``, ``weight`` and ``label_smoothing`` as there.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.CrossEntropyLoss()(tg.zeros(1, 4), [2]).item()
    1.3862943649291992
    """

    def __init__(
        self,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
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
    """`functional.nll_loss`, ``-log_probabilities[target]``, ``ignore_index``, ``reduction`` and ``weight`` kept.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.NLLLoss()([[-1.0, -2.0]], [1]).item()
    2.0
    """

    def __init__(self, ignore_index: int = -100, reduction: Reduction = "mean", *, weight: Any = None) -> None:
        self.ignore_index, self.reduction, self.weight = ignore_index, reduction, weight

    def forward(self, log_probabilities: Any, target: Any) -> Tensor:
        """The loss of predictions against targets, reduced as ``reduction`` says."""
        return F.nll_loss(log_probabilities, target, self.ignore_index, self.reduction, weight=self.weight)


class MSELoss(Module):
    """`functional.mse_loss`, ``(x - target)^2``, with its ``reduction`` kept.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.MSELoss()([1.0, 3.0], [0.0, 0.0]).item()
    5.0
    """

    def __init__(self, reduction: Reduction = "mean") -> None:
        self.reduction = reduction

    def forward(self, x: Any, target: Any) -> Tensor:
        """The loss of predictions against targets, reduced as ``reduction`` says."""
        return F.mse_loss(x, target, self.reduction)


class L1Loss(Module):
    """`functional.l1_loss`, ``|x - target|``, with its ``reduction`` kept.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.L1Loss()([1.0, -3.0], [0.0, 0.0]).item()
    2.0
    """

    def __init__(self, reduction: Reduction = "mean") -> None:
        self.reduction = reduction

    def forward(self, x: Any, target: Any) -> Tensor:
        """The loss of predictions against targets, reduced as ``reduction`` says."""
        return F.l1_loss(x, target, self.reduction)


class HuberLoss(Module):
    """`functional.huber_loss`, quadratic up to ``delta`` and linear beyond, with its ``reduction`` kept.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.HuberLoss(reduction="none")([0.5, 3.0], [0.0, 0.0]).tolist()
    [0.125, 2.5]
    """

    def __init__(self, reduction: Reduction = "mean", delta: float = 1.0) -> None:
        self.reduction, self.delta = reduction, delta

    def forward(self, x: Any, target: Any) -> Tensor:
        """The loss of predictions against targets, reduced as ``reduction`` says."""
        return F.huber_loss(x, target, self.reduction, self.delta)


class SmoothL1Loss(Module):
    """`functional.smooth_l1_loss`, quadratic below ``beta`` and linear beyond, with its ``reduction`` kept.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.SmoothL1Loss(reduction="none")([0.5, 3.0], [0.0, 0.0]).tolist()
    [0.125, 2.5]
    """

    def __init__(self, reduction: Reduction = "mean", beta: float = 1.0) -> None:
        self.reduction, self.beta = reduction, beta

    def forward(self, x: Any, target: Any) -> Tensor:
        """The loss of predictions against targets, reduced as ``reduction`` says."""
        return F.smooth_l1_loss(x, target, self.reduction, self.beta)


class BCELoss(Module):
    """`functional.binary_cross_entropy` of probabilities, with its ``weight`` and ``reduction`` kept.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.BCELoss()([1.0], [0.0]).item()
    100.0
    """

    def __init__(self, weight: Any = None, reduction: Reduction = "mean") -> None:
        self.weight, self.reduction = weight, reduction

    def forward(self, x: Any, target: Any) -> Tensor:
        """The loss of predictions against targets, reduced as ``reduction`` says."""
        return F.binary_cross_entropy(x, target, self.weight, self.reduction)


class BCEWithLogitsLoss(Module):
    """`functional.binary_cross_entropy_with_logits` with its ``weight``, ``reduction`` and ``pos_weight`` kept.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.BCEWithLogitsLoss()([100.0], [0.0]).item()
    100.0
    """

    def __init__(self, weight: Any = None, reduction: Reduction = "mean", pos_weight: Any = None) -> None:
        self.weight, self.reduction, self.pos_weight = weight, reduction, pos_weight

    def forward(self, x: Any, target: Any) -> Tensor:
        """The loss of predictions against targets, reduced as ``reduction`` says."""
        return F.binary_cross_entropy_with_logits(x, target, self.weight, self.reduction, self.pos_weight)


answering(globals())
