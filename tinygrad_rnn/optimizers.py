"""Optimizers with ``torch.optim``'s update rules, defaults and ``state_dict`` layout.

Each step writes the parameters in place and leaves the gradients alone; call ``zero_grad`` before the next backward.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .arguments import answering
from .errors import ArgumentError, DataError, DTypeError, GraphError, ShapeError
from .nn.module import forget_gradient
from .primitives import maximum, sqrt
from .settings import no_grad
from .tensors import Tensor
from .thread_state import Recorder, current

if TYPE_CHECKING:
    from .compiler.guards import Guards

State = dict[str, Any]
#: parameters that share their settings: "params", and each setting under its name
Group = Mapping[str, Any]
#: update rules are written once: on arrays they compute, on the tensors of a function being compiled they record
Value = Any
Rates = tuple[Value, ...]
Params = Iterable[Tensor] | Iterable[dict[str, Any]]


class Optimizer:
    """Base of all: the parameters in groups, the settings of each, a state per parameter; a subclass says how one
    is updated.

    ``params`` are tensors, or groups: dicts with ``"params"`` and the settings in which they differ from the call's.
    ``maximize`` goes up the gradient. ``param_groups`` holds the settings in force, to be read and changed.

    ``defaults`` are the call's settings. Raises `GraphError` without a parameter, `DTypeError` for what is none.

    >>> import tinygrad_rnn as tg
    >>> w = tg.nn.Parameter([1.0])
    >>> adam = tg.optim.Adam([{"params": w, "lr": 0.5}], lr=0.1)
    >>> isinstance(adam, tg.optim.Optimizer), adam.param_groups[0]["lr"]
    (True, 0.5)
    """

    def __init__(self, params: Params, **defaults: Any) -> None:
        name = type(self).__name__
        if not isinstance(params, Iterable):
            cure = "model.parameters()" if hasattr(params, "parameters") else "a list of tensors"
            raise DTypeError(f"{name} optimizes tensors, not {type(params).__name__}; pass {cure}")
        given: list[Any] = [params] if isinstance(params, (Tensor, dict)) else list(params)
        if not given:
            raise GraphError(f"{name} got no parameters to optimize; pass model.parameters()")
        self.defaults = self._judged(defaults)
        self.params: list[Tensor] = []
        self.initial_lrs: list[float] = []  # of before the first schedule, which all schedules begin with
        self.param_groups: list[dict[str, Any]] = []
        self.state: list[State] = []
        for group in given if all(isinstance(each, dict) for each in given) else [{"params": given}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """More parameters, ``{"params": ..., "lr": ...}``; settings that it leaves out are those of the call.

        >>> import tinygrad_rnn as tg
        >>> body, head = tg.nn.Linear(2, 2), tg.nn.Linear(2, 1)
        >>> adam = tg.optim.Adam([{"params": body.parameters(), "lr": 1e-4}], lr=1e-3)
        >>> adam.add_param_group({"params": head.parameters()})
        >>> [group["lr"] for group in adam.param_groups]
        [0.0001, 0.001]
        """
        name = type(self).__name__
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise DTypeError(f'{name}: a group is a dict with "params", not {param_group!r:.60}')
        settings = {key: value for key, value in param_group.items() if key != "params"}
        if unknown := settings.keys() - self.defaults.keys():
            raise ArgumentError(
                f"{name} has no setting {', '.join(sorted(map(str, unknown)))}; it has {', '.join(self.defaults)}"
            )
        params = param_group["params"]
        added: list[Tensor] = [params] if isinstance(params, Tensor) else list(params)
        for p in added:
            if not isinstance(p, Tensor):
                raise DTypeError(
                    f"{name} optimizes tensors, not {type(p).__name__}; use model.parameters(), or groups only"
                )
            if p.op is not None or not p.requires_grad:
                raise GraphError(f"{name} optimizes leaves that require a gradient, which {p._described()} is not")
        if len({p.serial for p in (*self.params, *added)}) != len(self.params) + len(added):
            raise GraphError(f"{name} got a parameter twice; it would be updated twice")
        group = {**self.defaults, **self._judged(settings)}
        self.params += added
        self.param_groups.append({"params": added, **group})
        self.state += [self._initial(p, group) for p in added]

    def _judged(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Settings that make sense, as plain numbers; from a call or from a file."""
        judged: dict[str, Any] = {}
        for name, value in settings.items():
            value = tuple(value) if isinstance(value, list) else value  # JSON has no tuples
            values = value if name == "betas" and isinstance(value, tuple) else (value,)
            if name in _FLAGS:
                if value not in (False, True):
                    raise DTypeError(f"{type(self).__name__}: {name} must be True or False, not {value!r:.40}")
                judged[name] = bool(value)
                continue
            if not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values):
                raise DTypeError(f"{type(self).__name__}: {name} must be a number, not {value!r:.40}")
            if not all(v >= 0 for v in values):
                raise ArgumentError(f"{type(self).__name__}: {name} must not be negative, but is {value}")
            if not all(v <= sys.float_info.max for v in values):
                raise ArgumentError(f"{type(self).__name__}: {name} must be a finite number, but is {value!s:.40}")
            if name == "betas" and not (len(values) == 2 and all(v < 1 for v in values)):
                raise ArgumentError(
                    f"{type(self).__name__}: betas are two, from 0 up to, not including, 1, but are {value}"
                )
            judged[name] = value
        return judged

    @property
    def lr(self) -> float:
        """The learning rate, of the first group if there are several; assign to change it in all of them."""
        return float(self.param_groups[0]["lr"])

    @lr.setter
    def lr(self, value: float) -> None:
        for group in self.param_groups:
            group["lr"] = value

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or with ``set_to_none=False`` make those that are there zeros."""
        for p in self.params:
            forget_gradient(p, set_to_none)

    def _due(self) -> Iterator[tuple[dict[str, Any], list[tuple[Tensor, State]]]]:
        """Each group with those of its parameters that have a gradient, and their states."""
        states = iter(self.state)
        for group in self.param_groups:
            yield group, [(p, state) for p, state in zip(group["params"], states) if p.grad is not None]

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; ``closure`` is called before, and what it returns is returned."""
        loss = None if closure is None else closure()
        if current.tracer is not None:
            self._trace_step(current.tracer)
            return loss
        with no_grad():
            for group, pairs in self._due():
                for p, state in pairs:
                    assert p.grad is not None
                    if "step" in state:
                        state["step"] += 1
                    rates = self._rates(state.get("step", 0), group)
                    g = -p.grad._array if group["maximize"] else p.grad._array
                    p.copy_(self._updated(p._array, g, state, rates, group))
        return loss

    def _trace_step(self, tracer: Recorder) -> None:
        """The update as assignments; the rates, which change from step to step, are computed anew in every call."""
        tracer.guard(self, _settings)
        with no_grad():
            for group, pairs in self._due():
                for steps in dict.fromkeys(state.get("step", 0) for _, state in pairs):
                    alike = [(p, state) for p, state in pairs if state.get("step", 0) == steps]
                    shared = _Rates(self, group, [state for _, state in alike])
                    tracer.guard(shared, _counted_alike)
                    rates = tracer.scalars(shared, alike[0][0].dtype)
                    for p, state in alike:
                        names = [key for key in state if key != "step"]
                        for key in names:  # after `Module.double` a plain step makes it float64, too
                            state[key] = state[key].astype(np.result_type(state[key], p.dtype), copy=False)
                        kept = {key: tracer.slot(state, key) for key in names}
                        before = dict(kept)
                        g = -p.grad if group["maximize"] else p.grad  # type: ignore[operator]
                        p.copy_(self._updated(p, g, kept, rates, group))
                        for key, value in kept.items():
                            if value is not before.get(key):
                                tracer.assign_slot(state, key, value)

    def _initial(self, p: Tensor, group: Group) -> State:
        return {}

    def _rates(self, step: int, group: Group) -> tuple[float, ...]:
        """The numbers in the update rule that may differ from step to step: here the learning rate and the momentum.

        A compiled step takes them as inputs; all other settings of the ``group`` are constants in it.
        """
        return (group["lr"], group["momentum"]) if group.get("momentum") else (group["lr"],)

    def _updated(self, p: Value, g: Value, state: State, rates: Rates, group: Group) -> Value:
        """The new value of parameter ``p`` with gradient ``g``; new entries of its ``state`` are assigned to that."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Settings and the state of every parameter by position: ``{"state": {0: {...}}, "param_groups": [{...}]}``."""
        state = {i: {key: np.copy(value) for key, value in s.items()} for i, s in enumerate(self.state) if s}
        groups, start = [], 0
        for group in self.param_groups:
            end = start + len(group["params"])
            groups.append({**group, **self._marks(), "params": list(range(start, end))})
            start = end
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from a `state_dict` (PyTorch's own fits too); one that does not fit changes nothing."""
        try:
            groups = list(state_dict["param_groups"])
            saved = {int(i): dict(s) for i, s in state_dict["state"].items()}
            counts = [len(group["params"]) for group in groups]
        except (KeyError, ValueError, TypeError, AttributeError):
            raise DataError(
                f"not an optimizer's state_dict, but {state_dict!r:.80}: it wants a dict with the settings of each "
                'group, a list, under "param_groups", and a dict of each parameter\'s state, by number, under "state"'
            ) from None
        own = [len(group["params"]) for group in self.param_groups]
        if counts != own or any(not 0 <= i < sum(own) for i in saved):
            theirs, mine = (f"{sum(n)} parameters in groups of {n}" for n in (counts, own))
            raise DataError(f"the saved state is for {theirs}, but this optimizer has {mine}")
        settings = [self._settings_of(group) for group in groups]
        each = [group for group, count in zip(settings, own) for _ in range(count)]
        state = [self._loaded(i, p, saved.get(i, {}), group) for i, (p, group) in enumerate(zip(self.params, each))]
        self.state, self.defaults = state, {**self.defaults, **settings[0]}
        for group, changed in zip(self.param_groups, settings):
            group.update(changed)

    def _marks(self) -> dict[str, Any]:
        """Marks of a saved group beside its settings, as PyTorch's."""
        return {}

    def _settings_of(self, group: Group) -> dict[str, Any]:
        """The settings in a saved group, judged; what would change a step and is not ours is refused."""
        known = {key: _plain(value) for key, value in group.items() if key in self.defaults}
        known = {**{key: False for key in _SINCE if key in self.defaults}, **known}
        if missing := self.defaults.keys() - known.keys():
            raise DataError(f"the saved settings lack {', '.join(sorted(missing))}, which {type(self).__name__} has")
        for key, value in group.items():
            if key in self._marks():
                if bool(value) == self._marks()[key]:
                    continue
                raise DataError(
                    f"the saved settings say {key}={value!r:.40}: they are {'AdamW' if value else 'Adam'}'s, whose "
                    f"weight decay is another than {type(self).__name__}'s"
                )
            if key not in self.defaults and key not in _WITHOUT_EFFECT and value:
                raise DataError(f"the saved settings say {key}={value!r:.40}, which {type(self).__name__} cannot do")
        try:
            return self._judged(known)
        except (DTypeError, ArgumentError) as error:
            raise DataError(f"the saved settings make no sense: {error.detail}") from None

    def _loaded(self, i: int, p: Tensor, saved: State, group: Group) -> State:
        """The state of one parameter from a file, each entry checked against what this optimizer keeps."""
        state = self._initial(p, group)
        saved = {key: value for key, value in saved.items() if value is not None}  # PyTorch's momentum before it begins
        kept = {*state, "step", *(["momentum_buffer"] if isinstance(self, SGD) else [])}
        if strange := saved.keys() - kept:
            raise DataError(
                f"the state of parameter {i} holds {', '.join(sorted(map(str, strange)))}, which {type(self).__name__} "
                "does not keep; is it another optimizer's?"
            )
        given = dict(saved)
        for key, value in saved.items():
            try:
                array = np.asarray(value)
                if array.dtype.kind not in "fiub":
                    raise TypeError
                given[key] = int(array) if key == "step" else array.astype(p.dtype)
            except (ValueError, TypeError, OverflowError):
                raise DataError(f"optimizer state {key} of parameter {i} is {value!r:.40}, not real numbers") from None
            if key == "step" and (given[key] != value or given[key] < 0):
                raise DataError(f"optimizer state step of parameter {i} is {value!r:.40}; it counts updates, from 0 up")
            if key != "step" and given[key].shape != p.shape:
                raise ShapeError(f"optimizer state {key} of parameter {i} has shape {given[key].shape}, not {p.shape}")
            if key in _NOT_NEGATIVE and np.any(given[key] < 0):
                raise DataError(f"optimizer state {key} of parameter {i} is a mean of squares, but has negative ones")
        self._complete(given, saved)
        if given and (missing := state.keys() - given.keys()):
            raise DataError(f"the state of parameter {i} lacks {', '.join(sorted(missing))}")
        return {**state, **given} if state else {key: value for key, value in given.items() if key != "step"}

    def _complete(self, state: State, saved: State) -> None:
        """Fill in what a loaded state does not say."""

    def __repr__(self) -> str:
        name, groups = type(self).__name__, [_plainly(group) for group in self.param_groups]
        return f"{name}({groups[0]})" if len(groups) == 1 else "\n  ".join([f"{name}(", *groups]) + "\n)"


def _plainly(group: Group) -> str:
    """The settings of a group; flags only where they are set."""
    return ", ".join(f"{k}={v}" for k, v in group.items() if k != "params" and not (k in _SINCE and not v))


#: settings that are yes or no
_FLAGS = ("maximize", "amsgrad", "nesterov", "centered")
#: flags that version 0.1.0 did not have, and did not save
_SINCE = ("maximize", "amsgrad")
#: what is kept of a parameter and cannot be negative
_NOT_NEGATIVE = ("exp_avg_sq", "max_exp_avg_sq", "square_avg", "variance", "sum")
#: entries of PyTorch's groups that say how a step is computed, not what
_WITHOUT_EFFECT = ("params", "foreach", "fused", "capturable", "differentiable", "initial_lr", "param_names")


def _plain(value: Any) -> Any:
    """A number that came as an array or a tensor of one element, as a number."""
    one = hasattr(value, "item") and not isinstance(value, (int, float)) and math.prod(getattr(value, "shape", ())) == 1
    return value.item() if one else value


class _Rates:
    """An optimizer's rates for the coming step, asked for before each call of a compiled function; once the call has
    succeeded the step is counted."""

    def __init__(self, optimizer: Optimizer, group: dict[str, Any], states: list[State]) -> None:
        self.optimizer, self.group, self.states = optimizer, group, states
        self.counted = [state for state in states if "step" in state]

    def __call__(self) -> tuple[float, ...]:
        return self.optimizer._rates(self.states[0].get("step", 0) + 1, self.group)

    def ahead(self, count: int) -> list[tuple[float, ...]]:
        """The rates of the next ``count`` steps."""
        if not self.counted:
            return [self()] * count
        step = self.states[0]["step"]
        return [self.optimizer._rates(step + k, self.group) for k in range(1, count + 1)]

    def count(self, steps: int = 1) -> None:
        for state in self.counted:
            state["step"] += steps


def _counted_alike(rates: _Rates, conditions: Guards) -> None:
    """Condition of a compiled step: parameters that have their rates in common have been updated equally often.

    One of them may have been frozen meanwhile.
    """
    if len(rates.counted) > 1:
        conditions.add("len(set(map({}, {}))) == 1", operator.itemgetter("step"), rates.counted)


def _settings(optimizer: Optimizer, conditions: Guards) -> None:
    """Conditions of a compiled step: everything but the rates and the numbers themselves is as it was."""
    conditions.add("len({}.param_groups) == {}", optimizer, len(optimizer.param_groups))
    for i, group in enumerate(optimizer.param_groups):
        conditions.add("{}.param_groups[{}] is {}", optimizer, i, group)
        known = tuple(group["params"])
        conditions.add("len({}[{}]) == {}", group, "params", len(known))
        conditions.add("all(map({}, {}[{}], {}))", operator.is_, group, "params", known)
        for name in optimizer.defaults.keys() - {"lr", "momentum", "betas"}:
            conditions.add("{}[{}] == {}", group, name, group[name])
        if "momentum" in group:  # its size is one of the rates
            conditions.add("bool({}[{}]) is {}", group, "momentum", bool(group["momentum"]))
        if "betas" in group:
            conditions.add("{}[{}][1] == {}", group, "betas", group["betas"][1])
    conditions.add("{}.state is {}", optimizer, optimizer.state)
    conditions.add("len({}) == {}", optimizer.state, len(optimizer.state))
    for i, state in enumerate(optimizer.state):
        conditions.add("{}[{}] is {}", optimizer.state, i, state)
        if not state:
            conditions.add("not {}", state)


def _decayed(p: Value, g: Value, group: Group) -> Value:
    """The gradient with that of the penalty ``weight_decay / 2 * p * p`` added."""
    return g + group["weight_decay"] * p if group["weight_decay"] else g


def _given(names: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a constructor, from its local names."""
    return {name: value for name, value in names.items() if name not in ("self", "__class__")}


class SGD(Optimizer):
    """Stochastic gradient descent: ``p -= lr * g``.

    With ``momentum`` m: ``v = m v + (1 - dampening) g``, ``p -= lr * v``. ``nesterov`` steps by ``g + m v`` instead
    (with no ``dampening``, else `ArgumentError`); ``weight_decay`` adds that times p to g. ``params`` and
    ``maximize`` as of `Optimizer`.

    >>> import tinygrad_rnn as tg
    >>> p = tg.nn.Parameter([1.0])
    >>> (p * p).sum().backward()
    >>> tg.optim.SGD([p], lr=0.25).step()
    >>> p.item()
    0.5
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        maximize: bool = False,
    ) -> None:
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ArgumentError("SGD: nesterov wants a momentum above 0 and no dampening")
        super().__init__(**_given(locals()))

    def _rates(self, step: int, group: Group) -> tuple[float, ...]:
        return (group["lr"], group["momentum"], 1 - group["dampening"]) if group["momentum"] else (group["lr"],)

    def _updated(self, p: Value, g: Value, state: State, rates: Rates, group: Group) -> Value:
        g = _decayed(p, g, group)
        if group["momentum"]:
            old = state.get("momentum_buffer")
            state["momentum_buffer"] = g * 1 if old is None else rates[1] * old + rates[2] * g
            g = g + rates[1] * state["momentum_buffer"] if group["nesterov"] else state["momentum_buffer"]
        return p - rates[0] * g


class Adagrad(Optimizer):
    """``s += g^2``; ``p -= lr g / (sqrt(s) + eps)`` (Duchi, Hazan and Singer 2011).

    ``s`` starts at ``initial_accumulator_value``; ``lr`` is divided by ``1 + (step - 1) lr_decay``;
    ``weight_decay`` adds that times p to g. ``params`` and ``maximize`` as of `Optimizer`.

    >>> import tinygrad_rnn as tg
    >>> p = tg.nn.Parameter([1.0])
    >>> (p * p).sum().backward()
    >>> tg.optim.Adagrad([p], lr=0.25).step()
    >>> p.item()
    0.75
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        maximize: bool = False,
    ) -> None:
        super().__init__(**_given(locals()))

    def _initial(self, p: Tensor, group: Group) -> State:
        return {"step": 0, "sum": np.full(p.shape, group["initial_accumulator_value"], p.dtype)}

    def _rates(self, step: int, group: Group) -> tuple[float, ...]:
        return (group["lr"] / (1 + (step - 1) * group["lr_decay"]),)

    def _updated(self, p: Value, g: Value, state: State, rates: Rates, group: Group) -> Value:
        g = _decayed(p, g, group)
        state["sum"] = state["sum"] + g * g
        return p - rates[0] * g / (sqrt(state["sum"]) + group["eps"])


class RMSprop(Optimizer):
    """``s = alpha s + (1 - alpha) g^2``; ``p -= lr g / (sqrt(s) + eps)`` (Tieleman and Hinton 2012, lecture 6.5).

    ``centered`` divides by the standard deviation, ``sqrt(s - m^2)``, ``m`` the running mean of ``g`` (Graves 2013).
    That difference loses its digits once ``g`` settles, and then falls below 0. So the variance is kept for itself:
    ``v = alpha v + alpha (1 - alpha) (g - m)^2``, with the mean before this step, equals ``s - m^2``. And what each
    addition to the mean loses is kept: else it would stop short of a ``g`` that stays as it is.

    ``momentum`` adds up the steps; ``weight_decay`` adds that times p to g. ``params`` and ``maximize`` as of
    `Optimizer`.

    >>> import tinygrad_rnn as tg
    >>> p = tg.nn.Parameter([1.0])
    >>> (p * p).sum().backward()
    >>> tg.optim.RMSprop([p], lr=0.25, alpha=0.75).step()
    >>> p.item()
    0.5
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        maximize: bool = False,
    ) -> None:
        super().__init__(**_given(locals()))

    def _initial(self, p: Tensor, group: Group) -> State:
        keys = ["square_avg", *(["momentum_buffer"] if group["momentum"] else [])]
        keys += ["grad_avg", "grad_avg_rest", "variance"] if group["centered"] else []
        return {"step": 0, **{key: np.zeros_like(p._array) for key in keys}}

    def _complete(self, state: State, saved: State) -> None:
        if {"square_avg", "grad_avg"} <= state.keys():  # PyTorch keeps the two means only
            state.setdefault("variance", np.maximum(state["square_avg"] - state["grad_avg"] ** 2, 0))
            state.setdefault("grad_avg_rest", np.zeros_like(state["grad_avg"]))

    def _updated(self, p: Value, g: Value, state: State, rates: Rates, group: Group) -> Value:
        g, alpha = _decayed(p, g, group), group["alpha"]
        state["square_avg"] = alpha * state["square_avg"] + (1 - alpha) * g * g
        variance = state["square_avg"]
        if group["centered"]:
            mean, rest = state["grad_avg"], state["grad_avg_rest"]
            apart = (g - mean) - rest
            variance = state["variance"] = alpha * (state["variance"] + (1 - alpha) * apart * apart)
            nearer = (1 - alpha) * apart + rest
            state["grad_avg"] = mean + nearer
            state["grad_avg_rest"] = nearer - (state["grad_avg"] - mean)  # Kahan (1965)
        update = g / (sqrt(variance) + group["eps"])
        if group["momentum"]:
            update = state["momentum_buffer"] = rates[1] * state["momentum_buffer"] + update
        return p - rates[0] * update


class Adam(Optimizer):
    """Running means of ``g`` and ``g^2``, bias-corrected: ``p -= lr m / (sqrt(v) + eps)`` (Kingma and Ba 2015).

    ``m = b1 m + (1 - b1) g``, ``v = b2 v + (1 - b2) g^2`` with the two ``betas``, divided by ``1 - b1^t`` and ``1 -
    b2^t``. ``amsgrad`` divides by the largest ``v`` so far (Reddi, Kale and Kumar 2018), whose correction is that
    of the step. ``weight_decay`` adds that times p to g. ``params`` and ``maximize`` as of `Optimizer`.

    >>> import tinygrad_rnn as tg
    >>> p = tg.nn.Parameter([1.0])
    >>> (p * p).sum().backward()
    >>> tg.optim.Adam([p], lr=0.25).step()
    >>> p.item()
    0.75
    """

    decoupled = False

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        maximize: bool = False,
    ) -> None:
        super().__init__(**_given(locals()))

    def _marks(self) -> dict[str, Any]:
        return {"decoupled_weight_decay": self.decoupled}  # as PyTorch's

    def _initial(self, p: Tensor, group: Group) -> State:
        keys = ["exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if group["amsgrad"] else [])]
        return {"step": 0, **{key: np.zeros_like(p._array) for key in keys}}

    def _rates(self, step: int, group: Group) -> tuple[float, ...]:
        lr, betas = group["lr"], group["betas"]
        first, second = 1 - betas[0] ** step, 1 - betas[1] ** step
        return lr / first, second**0.5, 1 - lr * group["weight_decay"], betas[0], 1 - betas[0]

    def _updated(self, p: Value, g: Value, state: State, rates: Rates, group: Group) -> Value:
        if not self.decoupled:
            g = _decayed(p, g, group)
        elif group["weight_decay"]:
            p = p * rates[2]
        beta = group["betas"][1]
        m = state["exp_avg"] = rates[3] * state["exp_avg"] + rates[4] * g
        v = state["exp_avg_sq"] = beta * state["exp_avg_sq"] + (1 - beta) * g * g
        if group["amsgrad"]:
            v = state["max_exp_avg_sq"] = maximum(state["max_exp_avg_sq"], v)
        return p - rates[0] * m / (sqrt(v) / rates[1] + group["eps"])


class AdamW(Adam):
    """`Adam` with the weight decay applied to the parameter, not to the gradient (Loshchilov and Hutter 2019).

    First ``p -= lr weight_decay p``; then as there, with ``params``, ``lr``, ``betas``, ``eps``, ``amsgrad``,
    ``maximize``.

    >>> import tinygrad_rnn as tg
    >>> p = tg.nn.Parameter([1.0])
    >>> (p * p).sum().backward()
    >>> tg.optim.AdamW([p], lr=0.25, weight_decay=1.0).step()
    >>> p.item()
    0.5
    """

    decoupled = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize)


answering(globals())
