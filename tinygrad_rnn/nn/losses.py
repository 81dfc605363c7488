"""Losses as modules, for who prefers objects to functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..arguments import answering
from ..tensors import Tensor
from . import functional as F
from .functional import Reduction
from .module import Module


class _Loss(Module):
    """A loss as a module: ``function`` with settings, which are attributes of the same names."""

    function: Callable[..., Tensor]

    def __init__(self, settings: dict[str, Any]) -> None:
        """``settings`` are the local names of a constructor."""
        self._settings = [name for name in settings if name not in ("self", "__class__")]
        for name in self._settings:
            setattr(self, name, settings[name])

    def forward(self, x: Any, target: Any) -> Tensor:
        """The loss of predictions against targets, reduced as ``reduction`` says."""
        return self.function(x, target, **{name: getattr(self, name) for name in self._settings})


class CrossEntropyLoss(_Loss):
    """`functional.cross_entropy`, ``-log softmax(logits)[target]``, with its settings kept.

    ``ignore_index``, ``reduction``, ``weight`` and ``label_smoothing`` as there.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.CrossEntropyLoss()(tg.zeros(1, 4), [2]).item()
    1.3862943649291992
    """

    function = staticmethod(F.cross_entropy)

    def __init__(
        self,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
        *,
        weight: Any = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(locals())

    def forward(self, logits: Any, target: Any) -> Tensor:
        """The loss of predictions against targets, reduced as ``reduction`` says."""
        return super().forward(logits, target)


class NLLLoss(_Loss):
    """`functional.nll_loss`, ``-log_probabilities[target]``, ``ignore_index``, ``reduction`` and ``weight`` kept.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.NLLLoss()([[-1.0, -2.0]], [1]).item()
    2.0
    """

    function = staticmethod(F.nll_loss)

    def __init__(self, ignore_index: int = -100, reduction: Reduction = "mean", *, weight: Any = None) -> None:
        super().__init__(locals())

    def forward(self, log_probabilities: Any, target: Any) -> Tensor:
        """The loss of predictions against targets, reduced as ``reduction`` says."""
        return super().forward(log_probabilities, target)


class MSELoss(_Loss):
    """`functional.mse_loss`, ``(x - target)^2``, with its ``reduction`` kept.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.MSELoss()([1.0, 3.0], [0.0, 0.0]).item()
    5.0
    """

    function = staticmethod(F.mse_loss)

    def __init__(self, reduction: Reduction = "mean") -> None:
        super().__init__(locals())


class L1Loss(_Loss):
    """`functional.l1_loss`, ``|x - target|``, with its ``reduction`` kept.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.L1Loss()([1.0, -3.0], [0.0, 0.0]).item()
    2.0
    """

    function = staticmethod(F.l1_loss)

    def __init__(self, reduction: Reduction = "mean") -> None:
        super().__init__(locals())


class HuberLoss(_Loss):
    """`functional.huber_loss`, quadratic up to ``delta`` and linear beyond, with its ``reduction`` kept.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.HuberLoss(reduction="none")([0.5, 3.0], [0.0, 0.0]).tolist()
    [0.125, 2.5]
    """

    function = staticmethod(F.huber_loss)

    def __init__(self, reduction: Reduction = "mean", delta: float = 1.0) -> None:
        super().__init__(locals())


class SmoothL1Loss(_Loss):
    """`functional.smooth_l1_loss`, quadratic below ``beta`` and linear beyond, with its ``reduction`` kept.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.SmoothL1Loss(reduction="none")([0.5, 3.0], [0.0, 0.0]).tolist()
    [0.125, 2.5]
    """

    function = staticmethod(F.smooth_l1_loss)

    def __init__(self, reduction: Reduction = "mean", beta: float = 1.0) -> None:
        super().__init__(locals())


class BCELoss(_Loss):
    """`functional.binary_cross_entropy` of probabilities, with its ``weight`` and ``reduction`` kept.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.BCELoss()([1.0], [0.0]).item()
    100.0
    """

    function = staticmethod(F.binary_cross_entropy)

    def __init__(self, weight: Any = None, reduction: Reduction = "mean") -> None:
        super().__init__(locals())


class BCEWithLogitsLoss(_Loss):
    """`functional.binary_cross_entropy_with_logits` with its ``weight``, ``reduction`` and ``pos_weight`` kept.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.BCEWithLogitsLoss()([100.0], [0.0]).item()
    100.0
    """

    function = staticmethod(F.binary_cross_entropy_with_logits)

    def __init__(self, weight: Any = None, reduction: Reduction = "mean", pos_weight: Any = None) -> None:
        super().__init__(locals())


answering(globals())
