"""Optimizers with ``torch.optim``'s update rules, defaults and ``state_dict`` layout.

Each step writes the parameters in place and leaves the gradients alone; call ``zero_grad`` before the next backward.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .errors import DataError, DTypeError, GraphError, ShapeError
from .mode import no_grad
from .tensor import Array, Tensor

State = dict[str, Any]


class Optimizer:
    """What they share: the parameters, the settings, a state per parameter; a subclass says how one is updated."""

    def __init__(self, params: Iterable[Tensor], **defaults: Any) -> None:
        name = type(self).__name__
        self.params = [params] if isinstance(params, Tensor) else list(params)
        if not self.params:
            raise GraphError(f"{name} got no parameters to optimize; pass model.parameters()")
        for p in self.params:
            if not isinstance(p, Tensor):
                cure = "one optimizer a group" if isinstance(p, dict) else "model.parameters()"
                raise DTypeError(f"{name} optimizes tensors, not {type(p).__name__}; use {cure}")
            if p.op is not None or not p.requires_grad:
                raise GraphError(f"{name} optimizes leaves that require a gradient, which {p._described()} is not")
        if len({p.serial for p in self.params}) != len(self.params):
            raise GraphError(f"{name} got a parameter twice; it would be updated twice")
        for name, value in defaults.items():
            values = value if isinstance(value, tuple) else (value,)
            if not all(isinstance(v, (int, float)) for v in values):
                raise DTypeError(f"{type(self).__name__}: {name} must be a number, not {value!r}")
            if not all(v >= 0 for v in values):
                raise ValueError(f"{type(self).__name__}: {name} must not be negative, but is {value}")
        self.defaults = defaults
        self.state: list[State] = [self._initial(p) for p in self.params]

    @property
    def lr(self) -> float:
        """The learning rate; assign to change it."""
        return float(self.defaults["lr"])

    @lr.setter
    def lr(self, value: float) -> None:
        self.defaults["lr"] = value

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for p in self.params:
            p.grad = None

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        with no_grad():
            for p, state in zip(self.params, self.state, strict=True):
                if p.grad is not None:
                    p.copy_(self._updated(p._array, p.grad._array, state, **self.defaults))

    def _initial(self, p: Tensor) -> State:
        return {}

    def _updated(self, p: Array, g: Array, state: State, **settings: Any) -> Array:
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Settings and the state of every parameter by position: ``{"state": {0: {...}}, "param_groups": [{...}]}``."""
        state = {i: {key: np.copy(value) for key, value in s.items()} for i, s in enumerate(self.state) if s}
        return {"state": state, "param_groups": [{**self.defaults, "params": list(range(len(self.params)))}]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from a `state_dict` (PyTorch's own fits too); one that does not fit changes nothing."""
        try:
            (group,) = state_dict["param_groups"]
            saved = {int(i): dict(s) for i, s in state_dict["state"].items()}
            count = len(group["params"])
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise DataError(f"not an optimizer's state_dict: {error!r}") from None
        if count != len(self.params) or any(i >= count for i in saved):
            raise DataError(f"the state is for {count} parameters, this optimizer has {len(self.params)}")
        loaded = []
        for i, p in enumerate(self.params):
            state = self._initial(p)
            for key, value in saved.get(i, {}).items():
                if value is None:  # PyTorch's word for a momentum that has not begun
                    continue
                try:
                    state[key] = int(value) if key == "step" else np.asarray(value).astype(p.dtype)
                except (ValueError, TypeError) as error:
                    raise DataError(f"optimizer state {key} of parameter {i} is no number: {error}") from None
                if key != "step" and state[key].shape != p.shape:
                    found = state[key].shape
                    raise ShapeError(f"optimizer state {key} of parameter {i} has shape {found}, not {p.shape}")
            loaded.append(state)
        self.state = loaded
        known = {key: value for key, value in group.items() if key in self.defaults}
        self.defaults.update({key: tuple(v) if isinstance(v, list) else v for key, v in known.items()})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in self.defaults.items())})"


class SGD(Optimizer):
    """Stochastic gradient descent: ``p -= lr * g``; with momentum ``v = m v + (1 - dampening) g``, ``p -= lr * v``.

    >>> import tinygrad_rnn as tg
    >>> p = tg.nn.Parameter([1.0])
    >>> (p * p).sum().backward()
    >>> tg.optim.SGD([p], lr=0.25).step()
    >>> p.item()
    0.5
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float = 1e-3, momentum: float = 0.0, dampening: float = 0.0,
        weight_decay: float = 0.0, nesterov: bool = False,
    ) -> None:  # fmt: skip
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("SGD: nesterov wants a momentum above 0 and no dampening")
        super().__init__(
            params, lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay, nesterov=nesterov
        )

    def _updated(  # type: ignore[override]
        self, p: Array, g: Array, state: State, *, lr: float, momentum: float, dampening: float,
        weight_decay: float, nesterov: bool,
    ) -> Array:  # fmt: skip
        if weight_decay:
            g = g + weight_decay * p
        if momentum:
            old = state.get("momentum_buffer")
            state["momentum_buffer"] = np.array(g) if old is None else momentum * old + (1 - dampening) * g
            g = g + momentum * state["momentum_buffer"] if nesterov else state["momentum_buffer"]
        return p - lr * g


class Adagrad(Optimizer):
    """``s += g^2``; ``p -= lr g / (sqrt(s) + eps)`` (Duchi, Hazan and Singer 2011)."""

    def __init__(
        self, params: Iterable[Tensor], lr: float = 1e-2, lr_decay: float = 0.0, weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0, eps: float = 1e-10,
    ) -> None:  # fmt: skip
        super().__init__(
            params, lr=lr, lr_decay=lr_decay, weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value, eps=eps,
        )  # fmt: skip

    def _initial(self, p: Tensor) -> State:
        return {"step": 0, "sum": np.full(p.shape, self.defaults["initial_accumulator_value"], p.dtype)}

    def _updated(  # type: ignore[override]
        self, p: Array, g: Array, state: State, *, lr: float, lr_decay: float, weight_decay: float, eps: float,
        initial_accumulator_value: float,
    ) -> Array:  # fmt: skip
        state["step"] += 1
        if weight_decay:
            g = g + weight_decay * p
        state["sum"] = state["sum"] + g * g
        return p - lr / (1 + (state["step"] - 1) * lr_decay) * g / (np.sqrt(state["sum"]) + eps)


class RMSprop(Optimizer):
    """``s = alpha s + (1 - alpha) g^2``; ``p -= lr g / (sqrt(s) + eps)`` (Tieleman and Hinton 2012, lecture 6.5)."""

    def __init__(
        self, params: Iterable[Tensor], lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8,
        weight_decay: float = 0.0, momentum: float = 0.0, centered: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(
            params, lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay, momentum=momentum, centered=centered
        )

    def _initial(self, p: Tensor) -> State:
        keys = ["square_avg", *(["momentum_buffer"] if self.defaults["momentum"] else [])]
        keys += ["grad_avg"] if self.defaults["centered"] else []
        return {"step": 0, **{key: np.zeros_like(p._array) for key in keys}}

    def _updated(  # type: ignore[override]
        self, p: Array, g: Array, state: State, *, lr: float, alpha: float, eps: float, weight_decay: float,
        momentum: float, centered: bool,
    ) -> Array:  # fmt: skip
        state["step"] += 1
        if weight_decay:
            g = g + weight_decay * p
        state["square_avg"] = alpha * state["square_avg"] + (1 - alpha) * g * g
        variance = state["square_avg"]
        if centered:
            state["grad_avg"] = alpha * state["grad_avg"] + (1 - alpha) * g
            variance = variance - state["grad_avg"] ** 2
        update = g / (np.sqrt(variance) + eps)
        if momentum:
            update = state["momentum_buffer"] = momentum * state["momentum_buffer"] + update
        return p - lr * update


class Adam(Optimizer):
    """Running means of ``g`` and ``g^2``, bias-corrected: ``p -= lr m / (sqrt(v) + eps)`` (Kingma and Ba 2015)."""

    decoupled = False

    def __init__(
        self, params: Iterable[Tensor], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:  # fmt: skip
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"{type(self).__name__}: betas lie from 0 up to, not including, 1, but are {betas}")
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def _initial(self, p: Tensor) -> State:
        return {"step": 0, "exp_avg": np.zeros_like(p._array), "exp_avg_sq": np.zeros_like(p._array)}

    def _updated(  # type: ignore[override]
        self,
        p: Array,
        g: Array,
        state: State,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
    ) -> Array:
        state["step"] += 1
        if weight_decay and self.decoupled:
            p = p * (1 - lr * weight_decay)
        elif weight_decay:
            g = g + weight_decay * p
        m = state["exp_avg"] = betas[0] * state["exp_avg"] + (1 - betas[0]) * g
        v = state["exp_avg_sq"] = betas[1] * state["exp_avg_sq"] + (1 - betas[1]) * g * g
        m_scale, v_scale = 1 - betas[0] ** state["step"], 1 - betas[1] ** state["step"]
        return p - lr / m_scale * m / (np.sqrt(v) / v_scale**0.5 + eps)


class AdamW(Adam):
    """Adam with the weight decay applied to the parameter, not to the gradient (Loshchilov and Hutter 2019)."""

    decoupled = True

    def __init__(
        self, params: Iterable[Tensor], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:  # fmt: skip
        super().__init__(params, lr, betas, eps, weight_decay)
