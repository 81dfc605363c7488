"""Learning rates that change from step to step, with ``torch.optim.lr_scheduler``'s names and numbers.

A scheduler sets the rate of every group of the optimizer when it is made and at each ``step()``, which follows the
optimizer's. A compiled step reads the rates anew in every call, so nothing is compiled again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from .arguments import answerable
from .errors import ArgumentError, DataError
from .optimizers import Optimizer


class LRScheduler:
    """Base: the ``optimizer``, the rates it started with, and the number of steps taken; a subclass says the rate.

    Raises `ArgumentError` for what is no optimizer.

    >>> import tinygrad_rnn as tg
    >>> class Inverse(tg.lr_scheduler.LRScheduler):
    ...     def rate(self, step, base):
    ...         return base / (1 + step)
    >>> schedule = Inverse(tg.optim.SGD([tg.nn.Parameter([1.0])], lr=1.0))
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.5]
    """

    @answerable
    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise ArgumentError(f"{type(self).__name__} schedules an optimizer, not {type(optimizer).__name__}")
        self.optimizer, self.last_epoch = optimizer, 0
        self.base_lrs = [float(group["lr"]) for group in optimizer.param_groups]
        self._set()

    def rate(self, step: int, base: float) -> float:
        """The learning rate after ``step`` steps of a group that began with ``base``; subclasses say."""
        raise NotImplementedError(f"{type(self).__name__} has no rate method; define one")

    def _set(self) -> None:
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = self.rate(self.last_epoch, base)

    def step(self) -> None:
        """Count one step, and set the optimizer's rates."""
        self.last_epoch += 1
        self._set()

    def get_last_lr(self) -> list[float]:
        """The rates in force, one a group."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule stands: plain numbers."""
        return {key: value for key, value in vars(self).items() if isinstance(value, (int, float, str, list))}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`; the optimizer's rates are set to what they were then."""
        own = self.state_dict()
        if not isinstance(state_dict, Mapping) or own.keys() != state_dict.keys():
            raise DataError(f"{type(self).__name__}: the state has not the entries {', '.join(sorted(own))}")
        for key, value in state_dict.items():
            if not _fits(value, own[key]):
                raise DataError(f"{type(self).__name__}: {key} in the state is {value!r:.40}")
        vars(self).update({key: list(value) if type(value) is list else value for key, value in state_dict.items()})
        self._set()


def _fits(value: Any, own: Any) -> bool:
    """Whether a value from a state is of the kind that ours is: a text, a number, or as many numbers."""
    if isinstance(own, list):
        return type(value) is list and len(value) == len(own) and all(type(v) in (int, float) for v in value)
    return type(value) in (int, float, str, bool) and isinstance(value, str) == isinstance(own, str)


class LambdaLR(LRScheduler):
    """The first rate of the ``optimizer`` times ``lr_lambda(step)``: any schedule of one's own, warm-up among them.

    >>> import tinygrad_rnn as tg
    >>> adam = tg.optim.Adam([tg.nn.Parameter([1.0])], lr=0.5)
    >>> warmup = tg.lr_scheduler.LambdaLR(adam, lambda step: min(1.0, (step + 1) / 4))
    >>> adam.lr
    0.125
    """

    @answerable
    def __init__(self, optimizer: Optimizer, lr_lambda: Callable[[int], float]) -> None:
        self.lr_lambda = lr_lambda
        super().__init__(optimizer)

    def rate(self, step: int, base: float) -> float:
        """``base * lr_lambda(step)``."""
        return base * self.lr_lambda(step)


class LinearLR(LRScheduler):
    """From ``start_factor`` to ``end_factor`` of the first rate in a straight line over ``total_iters``: warm-up.

    ``base * (start + (end - start) * min(step, total) / total)`` for each group of the ``optimizer``. Raises
    `ArgumentError` for factors outside [0, 1].

    >>> import tinygrad_rnn as tg
    >>> sgd = tg.optim.SGD([tg.nn.Parameter([1.0])], lr=1.0)
    >>> warmup = tg.lr_scheduler.LinearLR(sgd, start_factor=0.5, total_iters=2)
    >>> warmup.step()
    >>> sgd.lr
    0.75
    """

    @answerable
    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5
    ) -> None:
        if not 0 < start_factor <= 1 or not 0 <= end_factor <= 1:
            raise ArgumentError(f"LinearLR: factors are from 0 to 1, not {start_factor!r} and {end_factor!r}")
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, _steps("LinearLR", total_iters)
        super().__init__(optimizer)

    def rate(self, step: int, base: float) -> float:
        """``base * (start + (end - start) * min(step, total) / total)``."""
        done = min(step, self.total_iters) / self.total_iters
        return base * (self.start_factor + (self.end_factor - self.start_factor) * done)


class StepLR(LRScheduler):
    """Times ``gamma`` every ``step_size`` steps: ``base * gamma ** (step // step_size)``, for each group of
    the ``optimizer``.

    >>> import tinygrad_rnn as tg
    >>> sgd = tg.optim.SGD([tg.nn.Parameter([1.0])], lr=1.0)
    >>> schedule = tg.lr_scheduler.StepLR(sgd, step_size=2, gamma=0.5)
    >>> for _ in range(3):
    ...     schedule.step()
    >>> sgd.lr
    0.5
    """

    @answerable
    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        self.step_size, self.gamma = _steps("StepLR", step_size), gamma
        super().__init__(optimizer)

    def rate(self, step: int, base: float) -> float:
        """``base * gamma ** (step // step_size)``."""
        return base * self.gamma ** (step // self.step_size)


class ExponentialLR(LRScheduler):
    """Times ``gamma`` every step: ``base * gamma ** step``, for each group of the ``optimizer``.

    >>> import tinygrad_rnn as tg
    >>> sgd = tg.optim.SGD([tg.nn.Parameter([1.0])], lr=1.0)
    >>> schedule = tg.lr_scheduler.ExponentialLR(sgd, gamma=0.5)
    >>> schedule.step()
    >>> sgd.lr
    0.5
    """

    @answerable
    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = gamma
        super().__init__(optimizer)

    def rate(self, step: int, base: float) -> float:
        """``base * gamma ** step``."""
        return base * self.gamma**step


class CosineAnnealingLR(LRScheduler):
    """Down to ``eta_min`` in ``T_max`` steps along half a cosine, and up again, for each group of the ``optimizer``.

    ``eta_min + (base - eta_min) (1 + cos(pi step / T_max)) / 2``. I. Loshchilov, F. Hutter (2017), ICLR, equation 5.

    >>> import tinygrad_rnn as tg
    >>> sgd = tg.optim.SGD([tg.nn.Parameter([1.0])], lr=1.0)
    >>> schedule = tg.lr_scheduler.CosineAnnealingLR(sgd, T_max=2)
    >>> schedule.step()
    >>> sgd.lr
    0.5
    """

    @answerable
    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        self.T_max, self.eta_min = _steps("CosineAnnealingLR", T_max), eta_min
        super().__init__(optimizer)

    def rate(self, step: int, base: float) -> float:
        """Of the half cosine."""
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * step / self.T_max)) / 2


class OneCycleLR(LRScheduler):
    """Up from ``max_lr / div_factor`` to ``max_lr``, then down to that over ``final_div_factor``, along two cosines.

    The first ``pct_start`` of ``total_steps`` goes up, for each group of the ``optimizer``. The momentum stays as
    it is: ``cycle_momentum`` is False here, and True by default in PyTorch. Raises `ArgumentError` for it, and for
    a part outside [0, 1]. L. N. Smith, N. Topin (2018), arXiv:1708.07120.

    >>> import tinygrad_rnn as tg
    >>> sgd = tg.optim.SGD([tg.nn.Parameter([1.0])])
    >>> schedule = tg.lr_scheduler.OneCycleLR(sgd, max_lr=1.0, total_steps=10, div_factor=4.0)
    >>> sgd.lr
    0.25
    """

    @answerable
    def __init__(
        self, optimizer: Optimizer, max_lr: float, total_steps: int, pct_start: float = 0.3, div_factor: float = 25.0,
        final_div_factor: float = 1e4, cycle_momentum: bool = False,
    ) -> None:  # fmt: skip
        if cycle_momentum:
            raise ArgumentError("OneCycleLR: only the rate is scheduled, no momentum; give cycle_momentum=False")
        if not 0 <= pct_start <= 1:
            raise ArgumentError(f"OneCycleLR: pct_start is from 0 to 1, not {pct_start!r}")
        self.max_lr, self.total_steps, self.pct_start = max_lr, _steps("OneCycleLR", total_steps), pct_start
        self.div_factor, self.final_div_factor = div_factor, final_div_factor
        super().__init__(optimizer)

    def rate(self, step: int, base: float) -> float:
        """Of the two half cosines; a step after the last is an error."""
        if step >= self.total_steps + 1:
            raise ArgumentError(f"OneCycleLR: step {step} of a cycle of {self.total_steps}; make it longer")
        lowest, top = self.max_lr / self.div_factor, self.pct_start * self.total_steps - 1
        if step <= top:
            return _along_cosine(lowest, self.max_lr, step / top)
        return _along_cosine(
            self.max_lr, lowest / self.final_div_factor, (step - top) / (self.total_steps - 1 - top)
        )  # fmt: skip


class ReduceLROnPlateau:
    """Times ``factor`` when ``step(metric)`` has brought no improvement for more than ``patience`` calls in a row.

    ``mode="min"``: an improvement is below the best by the relative ``threshold``; "max": above. After a cut
    ``cooldown`` calls are not counted. No rate of the ``optimizer`` falls below ``min_lr``. Raises `ArgumentError`
    for another mode or a factor from 1 on.

    >>> import tinygrad_rnn as tg
    >>> sgd = tg.optim.SGD([tg.nn.Parameter([1.0])], lr=1.0)
    >>> schedule = tg.lr_scheduler.ReduceLROnPlateau(sgd, factor=0.5, patience=1)
    >>> for loss in (3.0, 3.0, 3.0):
    ...     schedule.step(loss)
    >>> sgd.lr
    0.5
    """

    @answerable
    def __init__(
        self, optimizer: Optimizer, mode: str = "min", factor: float = 0.1, patience: int = 10,
        threshold: float = 1e-4, cooldown: int = 0, min_lr: float = 0.0,
    ) -> None:  # fmt: skip
        if mode not in ("min", "max"):
            raise ArgumentError(f'ReduceLROnPlateau: mode is "min" or "max", not {mode!r}')
        if not factor < 1:
            raise ArgumentError(f"ReduceLROnPlateau: factor is below 1, not {factor!r}")
        self.optimizer, self.mode, self.factor, self.patience = optimizer, mode, factor, patience
        self.threshold, self.cooldown, self.min_lr = threshold, cooldown, min_lr
        self.best, self.num_bad_epochs, self.cooldown_counter = math.inf if mode == "min" else -math.inf, 0, 0

    def step(self, metrics: float) -> None:
        """Judge one value of what is watched."""
        value = float(metrics)
        sign = 1 if self.mode == "min" else -1
        bound = self.best * (1 - sign * self.threshold)
        better = value < bound if sign > 0 else value > bound
        self.best = value if better else self.best
        self.num_bad_epochs = 0 if better else self.num_bad_epochs + 1
        if self.cooldown_counter:
            self.cooldown_counter, self.num_bad_epochs = self.cooldown_counter - 1, 0
        if self.num_bad_epochs > self.patience:
            for group in self.optimizer.param_groups:
                group["lr"] = max(group["lr"] * self.factor, self.min_lr)
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0


def _along_cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * done))


def _steps(name: str, value: int) -> int:
    if type(value) is not int or value < 1:
        raise ArgumentError(f"{name}: a number of steps is a positive integer, not {value!r}")
    return value
