"""Learning rates that change from step to step, with ``torch.optim.lr_scheduler``'s names and numbers.

A scheduler sets the rate of every group of the optimizer when it is made and at each ``step()``, which follows the
optimizer's. A compiled step reads the rates anew in every call, so nothing is compiled again.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..arguments import answering, integer
from ..errors import ArgumentError, DataError, GraphError, MissingMethodError
from ..nn.cell_settings import one_of
from ..optimizers import Optimizer
from ..source_line import user_site
from ..thread_state import current


def _outside_of_compiled() -> None:
    """A compiled function is run once and replayed: what a schedule counts would be counted once."""
    if current.tracer is not None:
        raise GraphError(
            "a schedule's step() counts in Python, and a compiled function does once; call it after the compiled step "
            f"[at {user_site()}]"
        )


class LRScheduler:
    """Base: the ``optimizer``, the rates it started with, and the number of steps taken; a subclass says the rate.

    ``last_epoch`` is the number of steps that another schedule of this optimizer has taken, and this one goes on after;
    -1 for none. Raises `ArgumentError` for what is no optimizer, or one whose first rates are not known.

    >>> import tinygrad_rnn as tg
    >>> class Inverse(tg.lr_scheduler.LRScheduler):
    ...     def rate(self, step, base):
    ...         return base / (1 + step)
    >>> schedule = Inverse(tg.optim.SGD([tg.nn.Parameter([1.0])], lr=1.0))
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise ArgumentError(f"{type(self).__name__} schedules an optimizer, not {type(optimizer).__name__}")
        self.optimizer, self.last_epoch = optimizer, integer(last_epoch, "last_epoch") + 1
        # a second schedule begins with the rates of before the first
        first = optimizer.initial_lrs
        if self.last_epoch < 0 or (self.last_epoch and len(first) < len(optimizer.param_groups)):
            raise ArgumentError(
                f"{type(self).__name__}: last_epoch={last_epoch} goes on after a schedule that this optimizer had; for "
                "a saved one make it anew, and give what it was to its load_state_dict"
            )
        first += [float(group["lr"]) for group in optimizer.param_groups[len(first) :]]
        self.base_lrs = list(first)
        self._set()

    def rate(self, step: int, base: float) -> float:
        """The learning rate after ``step`` steps of a group that began with ``base``; subclasses say."""
        raise MissingMethodError(f"{type(self).__name__} has no rate method; define one")

    def _set(self) -> None:
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = self.rate(self.last_epoch, base)

    def step(self) -> None:
        """Count one step, and set the optimizer's rates. Raises `GraphError` while a function is compiled."""
        _outside_of_compiled()
        self.last_epoch += 1
        self._set()

    def get_last_lr(self) -> list[float]:
        """The rates in force, one a group."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """The state of the schedule as plain numbers."""
        return {key: value for key, value in vars(self).items() if isinstance(value, (int, float, str, list))}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`; the optimizer's rates are set to what they were then."""
        own = self.state_dict()
        if not isinstance(state_dict, Mapping) or own.keys() != state_dict.keys():
            raise DataError(f"{type(self).__name__}: the state has not the entries {', '.join(sorted(own))}")
        known = {key: value for key, value in state_dict.items() if key in vars(self)}
        for key, value in known.items():
            if not _fits(value, own[key]):
                raise DataError(
                    f"{type(self).__name__}: {key} in the state is {value!r:.40}, not like {own[key]!r:.40}"
                )
        vars(self).update({key: list(value) if type(value) is list else value for key, value in known.items()})
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

    def __init__(self, optimizer: Optimizer, lr_lambda: Callable[[int], float], last_epoch: int = -1) -> None:
        self.lr_lambda = lr_lambda
        super().__init__(optimizer, last_epoch)

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

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1 or not 0 <= end_factor <= 1:
            raise ArgumentError(f"LinearLR: factors are from 0 to 1, not {start_factor!r} and {end_factor!r}")
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, _steps("LinearLR", total_iters)
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, base: float) -> float:
        """``base * (start + (end - start) * min(step, total) / total)``."""
        done = min(step, self.total_iters) / self.total_iters
        return base * (self.start_factor + (self.end_factor - self.start_factor) * done)


class ConstantLR(LRScheduler):
    """The first rate times ``factor`` for ``total_iters`` steps, then that rate: of all the ``optimizer``'s groups.

    ``base * factor`` while ``step < total_iters``, and ``base`` from there on. Raises `ArgumentError` for a factor
    outside [0, 1].

    >>> import tinygrad_rnn as tg
    >>> sgd = tg.optim.SGD([tg.nn.Parameter([1.0])], lr=1.0)
    >>> schedule = tg.lr_scheduler.ConstantLR(sgd, factor=0.5, total_iters=2)
    >>> rates = [sgd.lr]
    >>> for _ in range(2):
    ...     schedule.step()
    ...     rates.append(sgd.lr)
    >>> rates
    [0.5, 0.5, 1.0]
    """

    def __init__(self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5, last_epoch: int = -1) -> None:
        if not 0 <= factor <= 1:
            raise ArgumentError(f"ConstantLR: factor is from 0 to 1, not {factor!r}")
        self.factor, self.total_iters = factor, _steps("ConstantLR", total_iters)
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, base: float) -> float:
        """``base * factor`` before step ``total_iters``, then ``base``."""
        return base * self.factor if step < self.total_iters else base


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

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size, self.gamma = _steps("StepLR", step_size), gamma
        super().__init__(optimizer, last_epoch)

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

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

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

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max, self.eta_min = _steps("CosineAnnealingLR", T_max), eta_min
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, base: float) -> float:
        """The rate on the half cosine."""
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * step / self.T_max)) / 2


class CosineAnnealingWarmRestarts(LRScheduler):
    """Down to ``eta_min`` in ``T_0`` steps along half a cosine, and again from the top, each ``T_mult`` times as long.

    ``eta_min + (base - eta_min) (1 + cos(pi at / length)) / 2``, ``at`` a restart 0, for each group of the
    ``optimizer``; ``last_epoch`` as in `LRScheduler`. I. Loshchilov, F. Hutter (2017), ICLR, equation 5.

    >>> import tinygrad_rnn as tg
    >>> sgd = tg.optim.SGD([tg.nn.Parameter([1.0])], lr=1.0)
    >>> schedule = tg.lr_scheduler.CosineAnnealingWarmRestarts(sgd, T_0=2)
    >>> rates = [sgd.lr]
    >>> for _ in range(2):
    ...     schedule.step()
    ...     rates.append(sgd.lr)
    >>> rates
    [1.0, 0.5, 1.0]
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_0, self.T_mult, self.eta_min = _steps("CosineAnnealingWarmRestarts", T_0), T_mult, eta_min
        _steps("CosineAnnealingWarmRestarts", T_mult)
        self.part = 0.0  #: of the step that is under way
        super().__init__(optimizer, last_epoch)

    def step(self, epoch: float | None = None) -> None:
        """Count one step, or go to ``epoch``, which may be within one: ``epoch + batch / batches``, say."""
        _outside_of_compiled()
        whole = math.floor(epoch) if epoch is not None else self.last_epoch + 1
        if whole < 0:
            raise ArgumentError(f"CosineAnnealingWarmRestarts: an epoch is 0 or later, not {epoch}")
        self.last_epoch, self.part = whole, self.part if epoch is None else epoch - whole
        self._set()

    def rate(self, step: int, base: float) -> float:
        """The rate on the half cosine that began at the last restart."""
        at, length = step + self.part, self.T_0
        while self.T_mult > 1 and at >= length:
            at, length = at - length, length * self.T_mult
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * (at % length) / length)) / 2


class MultiStepLR(LRScheduler):
    """Times ``gamma`` at each of the ``milestones``, numbers of steps, for each group of the ``optimizer``.

    Raises `ArgumentError` for milestones that do not go up.

    >>> import tinygrad_rnn as tg
    >>> sgd = tg.optim.SGD([tg.nn.Parameter([1.0])], lr=1.0)
    >>> schedule = tg.lr_scheduler.MultiStepLR(sgd, milestones=[1, 5], gamma=0.5)
    >>> schedule.step()
    >>> sgd.lr
    0.5
    """

    def __init__(
        self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones, self.gamma = _milestones("MultiStepLR", milestones), gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, base: float) -> float:
        """``base * gamma ** (how many milestones are reached)``."""
        return base * self.gamma ** bisect_right(self.milestones, step)


class SequentialLR(LRScheduler):
    """One schedule after the other, each from its own step 0 at one of the ``milestones``: warm-up, then a decay.

    ``schedulers`` are schedules of this ``optimizer``, one more than milestones. Raises `ArgumentError` if not.

    >>> import tinygrad_rnn as tg
    >>> s, adam = tg.lr_scheduler, tg.optim.Adam([tg.nn.Parameter([1.0])], lr=0.5)
    >>> both = s.SequentialLR(adam, [s.LinearLR(adam, 0.5, total_iters=2), s.StepLR(adam, 1, 0.5)], milestones=[2])
    >>> rates = [adam.lr]
    >>> for _ in range(4):
    ...     both.step()
    ...     rates.append(adam.lr)
    >>> rates
    [0.25, 0.375, 0.5, 0.25, 0.125]
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = -1
    ) -> None:
        self._parts, self.milestones = tuple(schedulers), _milestones("SequentialLR", milestones)
        if len(self._parts) != len(self.milestones) + 1:
            raise ArgumentError(
                f"SequentialLR: {len(self._parts)} schedules want one milestone fewer, not {len(self.milestones)}"
            )
        for each in self._parts:
            if not isinstance(each, LRScheduler) or each.optimizer is not optimizer:
                raise ArgumentError(f"SequentialLR: {type(each).__name__} is no schedule of this optimizer")
        super().__init__(optimizer, last_epoch)

    def _set(self) -> None:
        at = bisect_right(self.milestones, self.last_epoch)
        active = self._parts[at]
        active.last_epoch = self.last_epoch - (self.milestones[at - 1] if at else 0)
        active._set()

    def state_dict(self) -> dict[str, Any]:
        """The state of the schedule, and of each of its parts, under ``schedulers``."""
        return {**super().state_dict(), "schedulers": [each.state_dict() for each in self._parts]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`; the optimizer's rates are set to what they were then."""
        parts = state_dict.get("schedulers") if isinstance(state_dict, Mapping) else None
        if not isinstance(parts, list) or len(parts) != len(self._parts):
            raise DataError(f"SequentialLR: the state has not the entries of {len(self._parts)} schedulers")
        for each, part in zip(self._parts, parts, strict=True):
            each.load_state_dict(part)
        super().load_state_dict({**state_dict, "schedulers": self.state_dict()["schedulers"]})


class OneCycleLR(LRScheduler):
    """Up from ``max_lr / div_factor`` to ``max_lr``, then down to ``max_lr / div_factor / final_div_factor``.

    The first ``pct_start`` of the steps goes up. With ``three_phase`` as many steps go down to where it began, and the
    rest to the end. ``total_steps``, or ``epochs`` times ``steps_per_epoch``. Along halves of a cosine, or straight
    lines with ``anneal_strategy="linear"``. The momentum (of Adam the first of ``betas``) goes from ``max_momentum``
    down to ``base_momentum`` and up again, unless ``cycle_momentum=False``. ``max_lr`` and the two momenta may be
    lists, one number a group of the ``optimizer``. Raises `ArgumentError` for a part outside [0, 1], without a number
    of steps, and for an optimizer without momentum. L. N. Smith, N. Topin (2018), arXiv:1708.07120; the defaults are
    PyTorch's.

    >>> import tinygrad_rnn as tg
    >>> sgd = tg.optim.SGD([tg.nn.Parameter([1.0])], momentum=0.9)
    >>> schedule = tg.lr_scheduler.OneCycleLR(sgd, max_lr=1.0, total_steps=10, div_factor=4.0)
    >>> sgd.lr, sgd.param_groups[0]["momentum"]
    (0.25, 0.95)
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ArgumentError("OneCycleLR: give total_steps, or epochs and steps_per_epoch")
            total_steps = _steps("OneCycleLR", epochs) * _steps("OneCycleLR", steps_per_epoch)
        if not 0 <= pct_start <= 1:
            raise ArgumentError(f"OneCycleLR: pct_start is from 0 to 1, not {pct_start!r}")
        one_of("OneCycleLR: anneal_strategy", anneal_strategy, "cos", "linear")
        self.total_steps, self.pct_start = _steps("OneCycleLR", total_steps), pct_start
        self.anneal_strategy, self.cycle_momentum, self.three_phase = anneal_strategy, cycle_momentum, three_phase
        self.div_factor, self.final_div_factor = div_factor, final_div_factor
        if cycle_momentum and isinstance(optimizer, Optimizer) and not optimizer.defaults.keys() & _MOMENTA:
            raise ArgumentError(
                f"OneCycleLR: {type(optimizer).__name__} has no momentum to cycle; give cycle_momentum=False"
            )
        groups = len(getattr(optimizer, "param_groups", ()))
        self.max_lr = _each("max_lr", max_lr, groups)
        self.base_momentum = _each("base_momentum", base_momentum, groups)
        self.max_momentum = _each("max_momentum", max_momentum, groups)
        super().__init__(optimizer, last_epoch)

    def _set(self) -> None:
        for group, top, low, high in zip(
            self.optimizer.param_groups, self.max_lr, self.base_momentum, self.max_momentum, strict=True
        ):
            first = top / self.div_factor
            group["lr"] = self._at(self.last_epoch, [first, top, first], first / self.final_div_factor)
            if self.cycle_momentum:
                momentum = self._at(self.last_epoch, [high, low, high], high)
                if "betas" in group:
                    group["betas"] = (momentum, *group["betas"][1:])
                else:
                    group["momentum"] = momentum

    def _at(self, step: int, turns: list[float], end: float) -> float:
        """The value at a step on the way past the turns: up, down and, with three phases, on to the end."""
        if step > self.total_steps:
            raise ArgumentError(f"OneCycleLR: step {step} of a cycle of {self.total_steps}; make total_steps larger")
        up = self.pct_start * self.total_steps
        ends = [up - 1, 2 * up - 2, self.total_steps - 1] if self.three_phase else [up - 1, self.total_steps - 1]
        values = [*turns, end] if self.three_phase else [*turns[:2], end]
        start = 0.0
        for phase, stop in enumerate(ends):
            if step <= stop or phase == len(ends) - 1:
                done = (step - start) / (stop - start)
                begin, end = values[phase], values[phase + 1]
                if self.anneal_strategy == "linear":
                    return begin + (end - begin) * done
                return end + (begin - end) / 2 * (1 + math.cos(math.pi * done))
            start = stop
        raise AssertionError("the last phase has no end")


class ReduceLROnPlateau(LRScheduler):
    """Times ``factor`` when ``step(metric)`` has brought no improvement for more than ``patience`` calls in a row.

    ``mode="min"``: an improvement is below the best by the ``threshold``, which is relative ("rel", the
    ``threshold_mode``) or a difference ("abs"); "max": above. After a cut ``cooldown`` calls are not counted. No rate
    of the ``optimizer`` falls below ``min_lr``; changes of at most ``eps`` are left out. Raises `ArgumentError` for
    another mode or a factor from 1 on.

    >>> import tinygrad_rnn as tg
    >>> sgd = tg.optim.SGD([tg.nn.Parameter([1.0])], lr=1.0)
    >>> schedule = tg.lr_scheduler.ReduceLROnPlateau(sgd, factor=0.5, patience=1)
    >>> for loss in (3.0, 3.0, 3.0):
    ...     schedule.step(loss)
    >>> sgd.lr
    0.5
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        eps: float = 1e-8,
    ) -> None:
        for name, value, known in [("mode", mode, ("min", "max")), ("threshold_mode", threshold_mode, ("rel", "abs"))]:
            if value not in known:
                raise ArgumentError(f'ReduceLROnPlateau: {name} is "{known[0]}" or "{known[1]}", not {value!r}')
        if not factor < 1:
            raise ArgumentError(f"ReduceLROnPlateau: factor is below 1, not {factor!r}")
        self.mode, self.factor, self.patience, self.threshold = mode, factor, patience, threshold
        self.threshold_mode, self.cooldown, self.min_lr, self.eps = threshold_mode, cooldown, min_lr, eps
        self.best, self.num_bad_epochs, self.cooldown_counter = math.inf if mode == "min" else -math.inf, 0, 0
        super().__init__(optimizer)

    def _set(self) -> None:
        """The rates are the optimizer's own, until they are reduced."""

    def step(self, metrics: float) -> None:  # type: ignore[override]
        """Judge one value of what is watched. Raises `GraphError` while a function is compiled."""
        _outside_of_compiled()
        self.last_epoch += 1
        value = float(metrics)
        sign = 1 if self.mode == "min" else -1
        relative = self.threshold_mode == "rel"
        bound = self.best * (1 - sign * self.threshold) if relative else self.best - sign * self.threshold
        better = value < bound if sign > 0 else value > bound
        self.best = value if better else self.best
        self.num_bad_epochs = 0 if better else self.num_bad_epochs + 1
        if self.cooldown_counter:
            self.cooldown_counter, self.num_bad_epochs = self.cooldown_counter - 1, 0
        if self.num_bad_epochs > self.patience:
            for group in self.optimizer.param_groups:
                reduced = max(group["lr"] * self.factor, self.min_lr)
                group["lr"] = reduced if group["lr"] - reduced > self.eps else group["lr"]
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0


#: settings that are a momentum
_MOMENTA = {"momentum", "betas"}


def _each(name: str, value: float | Sequence[float], groups: int) -> list[float]:
    """One number for each group of parameters."""
    values = [float(v) for v in value] if isinstance(value, (list, tuple)) else [float(value)] * groups  # type: ignore[arg-type]
    if len(values) != groups:
        raise ArgumentError(f"OneCycleLR: {name} has {len(values)} numbers for {groups} groups of parameters")
    return values


def _milestones(name: str, values: Sequence[int]) -> list[int]:
    found = [_steps(name, value) for value in values]
    if found != sorted(found):
        raise ArgumentError(f"{name}: milestones go up, which {found} do not")
    return found


def _steps(name: str, value: int) -> int:
    if type(value) is not int or value < 1:
        raise ArgumentError(f"{name}: a number of steps is a positive integer, not {value!r}")
    return value


answering(globals())
