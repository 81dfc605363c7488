"""Gradient clipping; names and results are ``torch.nn.utils``'s."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .. import primitives as P
from ..errors import ArgumentError, GraphError
from ..mode import no_grad
from ..scope import state
from ..tensor import Tensor, from_array


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[tuple[Tensor, Tensor]]:
    tensors = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [(p, p.grad) for p in tensors if p.grad is not None]


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """Scale all gradients by ``max_norm / (norm + 1e-6)`` if the norm of them all together exceeds ``max_norm``.

    Keeps the direction (Pascanu, Mikolov and Bengio 2013). Returns the norm before clipping.
    ``error_if_nonfinite`` makes an infinite or nan norm an error that names the parameter, before anything is changed.
    """
    if not max_norm >= 0:
        raise ArgumentError(f"clip_grad_norm_: max_norm must be a number from 0 up, not {max_norm}")
    pairs = _gradients(parameters)
    if state.tracer is not None and pairs:
        return _clip_traced(pairs, max_norm, norm_type, error_if_nonfinite)
    if not pairs:
        return from_array(np.zeros((), np.float32))
    with np.errstate(over="ignore"):  # an infinite norm is an answer, too
        norms = [float(np.linalg.norm(g._array.ravel().astype(np.float64), norm_type)) for _, g in pairs]
    total = float(np.linalg.norm(norms, norm_type))
    if error_if_nonfinite:
        _refuse_nonfinite([p._described() for p, _ in pairs], total, norms)
    scale = max_norm / (total + 1e-6)
    if not scale >= 1:  # also when nan
        for p, g in pairs:
            p.grad = from_array(np.asarray(g._array * g.dtype.type(scale)))
    return from_array(np.asarray(total, pairs[0][1].dtype))


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limit every element of every gradient to [-clip_value, clip_value]. Changes the direction."""
    if not clip_value >= 0:
        raise ArgumentError(f"clip_grad_value_: clip_value must be a number from 0 up, not {clip_value}")
    for p, g in _gradients(parameters):
        if state.tracer is not None:
            p.grad = P.minimum(P.maximum(g, -clip_value), clip_value)
        else:
            p.grad = from_array(np.asarray(np.clip(g._array, -clip_value, clip_value)))


def _refuse_nonfinite(names: list[str], total: Any, norms: Sequence[Any]) -> None:
    if not math.isfinite(total):
        name = next((name for name, n in zip(names, norms, strict=True) if not math.isfinite(n)), "all")
        raise GraphError(f"clip_grad_norm_: the gradient of {name} has norm {total}; look for the step that made it")


def _clip_traced(
    pairs: list[tuple[Tensor, Tensor]], max_norm: float, norm_type: float, error_if_nonfinite: bool
) -> Tensor:
    """`clip_grad_norm_` written in primitives, for a function being compiled."""
    with no_grad():
        if norm_type == math.inf:
            powers = [abs(g).max() for _, g in pairs]
            total = powers[0]
            for power in powers[1:]:
                total = P.maximum(total, power)
        else:
            powers = [(g * g if norm_type == 2 else abs(g) ** norm_type).sum() for _, g in pairs]
            total = powers[0]
            for power in powers[1:]:
                total = total + power
            total = total.sqrt() if norm_type == 2 else total ** (1 / norm_type)
        if error_if_nonfinite:
            names = [p._described() for p, _ in pairs]
            state.tracer.confirm(lambda total, *powers: _refuse_nonfinite(names, total, powers), [total, *powers])
        scale = P.minimum(max_norm / (total + 1e-6), 1.0)  # a nan stays one
        for p, g in pairs:
            p.grad = g * scale
    return total
