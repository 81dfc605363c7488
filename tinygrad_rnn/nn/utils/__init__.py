"""Gradient clipping; names and results are ``torch.nn.utils``'s."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import partial, reduce
from typing import Any

import numpy as np

from ... import primitives as P
from ...arguments import answering
from ...errors import ArgumentError, DTypeError, GraphError
from ...settings import no_grad
from ...tensors import Tensor, from_array
from ...thread_state import Recorder, current


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[tuple[Tensor, Tensor]]:
    if not isinstance(parameters, Iterable):
        cure = "model.parameters()" if hasattr(parameters, "parameters") else "a list of tensors"
        raise DTypeError(f"clipping takes tensors, not {type(parameters).__name__}; pass {cure}")
    tensors = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    if strange := [p for p in tensors if not isinstance(p, Tensor)]:
        raise DTypeError(f"clipping takes tensors, not {type(strange[0]).__name__}; pass model.parameters()")
    if not tensors and isinstance(parameters, Iterator):
        raise GraphError("clipping got a generator with nothing in it, perhaps used up; pass model.parameters() anew")
    return [(p, p.grad) for p in tensors if p.grad is not None]


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float | str = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients by ``max_norm / (norm + 1e-6)`` if the norm of them all together exceeds ``max_norm``.

    Keeps the direction (Pascanu, Mikolov and Bengio 2013). Returns the norm before clipping.
    ``error_if_nonfinite`` makes an infinite or nan norm an error that names the parameter, before anything is changed.

    ``parameters``: one tensor or several; ``norm_type``: a number, or infinity for the largest element, or 0 for how
    many of the gradients have an element that is not 0: the norm of their norms, as PyTorch's. Raises
    `ArgumentError` for a negative ``max_norm`` or another ``norm_type``.

    >>> import tinygrad_rnn as tg
    >>> x = tg.ones(1, requires_grad=True)
    >>> (x * 5).sum().backward()
    >>> tg.nn.utils.clip_grad_norm_(x, 1.0).item(), round(x.grad.item(), 4)
    (5.0, 1.0)
    """
    if isinstance(max_norm, str) or not max_norm >= 0:
        raise ArgumentError(f"clip_grad_norm_: max_norm must be a number from 0 up, not {max_norm!r}")
    try:
        norm_type = float(norm_type)  # also "inf"
    except (TypeError, ValueError):
        raise ArgumentError(f"clip_grad_norm_: norm_type is a number or infinity, not {norm_type!r}") from None
    pairs = _gradients(parameters)
    if current.tracer is not None and pairs:
        return _clip_traced(current.tracer, pairs, max_norm, norm_type, error_if_nonfinite)
    if not pairs:
        return from_array(np.zeros((), np.float32))
    arrays = [g._array.astype(np.float64) for _, g in pairs]
    largest = [float(np.max(np.abs(g), initial=0.0)) for g in arrays]
    if error_if_nonfinite:
        _refuse_nonfinite([p._described() for p, _ in pairs], *largest)
    unit = float(np.max(largest))  # the squares of what is divided by it neither overflow nor vanish
    unit = unit if 0 < unit < math.inf and norm_type != 0 else 1.0  # so many elements are not 0, whatever their unit
    with np.errstate(all="ignore"):  # an infinite norm is an answer, too
        total = float(np.linalg.norm([np.linalg.norm((g / unit).ravel(), norm_type) for g in arrays], norm_type))
        factor = _factor(max_norm, total, unit, max(unit, 1.0))
        if not factor >= 1:  # also when nan
            for (p, g), wide in zip(pairs, arrays, strict=True):
                p.grad = from_array((wide * factor).astype(g.dtype))
        return from_array(np.asarray(np.float64(total) * unit).astype(pairs[0][1].dtype))


def _factor(max_norm: float, total: Any, unit: Any, at_least_one: Any) -> Any:
    """``max_norm / (total * unit + 1e-6)``, divided by a unit above 1 on both sides of the fraction."""
    return (max_norm / at_least_one) / (total * (unit / at_least_one) + 1e-6 / at_least_one)


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limit every element of every gradient to [-clip_value, clip_value]. Changes the direction.

    ``parameters``: one tensor or several. Raises `ArgumentError` for a negative ``clip_value``.

    >>> import tinygrad_rnn as tg
    >>> x = tg.ones(1, requires_grad=True)
    >>> (x * 5).sum().backward()
    >>> tg.nn.utils.clip_grad_value_(x, 1.0)
    >>> x.grad.item()
    1.0
    """
    if not clip_value >= 0:
        raise ArgumentError(f"clip_grad_value_: clip_value must be a number from 0 up, not {clip_value}")
    for p, g in _gradients(parameters):
        if current.tracer is not None:
            p.grad = P.minimum(P.maximum(g, -clip_value), clip_value)
        else:
            p.grad = from_array(np.asarray(np.clip(g._array, -clip_value, clip_value)))


def _refuse_nonfinite(names: list[str], *largest: Any) -> None:
    """``largest`` is each gradient's largest element: a norm may be too large for its dtype where no number is."""
    for name, n in zip(names, largest, strict=True):
        if not math.isfinite(n):
            raise GraphError(f"clip_grad_norm_: the gradient of {name} has norm {n}; look for the step that made it")


def _clip_traced(
    tracer: Recorder, pairs: list[tuple[Tensor, Tensor]], max_norm: float, norm_type: float, error_if_nonfinite: bool
) -> Tensor:
    """`clip_grad_norm_` written in primitives, for a function being compiled."""
    with no_grad():
        largest = [abs(g).max() if g.numel() else g.sum() for _, g in pairs]
        unit: Any = reduce(P.maximum, largest)
        if error_if_nonfinite:
            names = [p._described() for p, _ in pairs]
            tracer.confirm(partial(_refuse_nonfinite, names), largest)
        unit = P.where(unit > 0, P.where(unit < math.inf, unit, 1.0), 1.0) if norm_type else 1.0
        scaled = [g / unit for _, g in pairs]
        if norm_type == math.inf:
            total = reduce(P.maximum, [n / unit for n in largest])
        elif norm_type == 0:
            total = reduce(P.add, [P.cast(n != 0, dtype=n.dtype) for n in largest])
        elif norm_type == 2:
            total = reduce(P.add, [(g * g).sum() for g in scaled]).sqrt()
        else:
            total = reduce(P.add, [(abs(g) ** norm_type).sum() for g in scaled]) ** (1 / norm_type)
        scale = P.minimum(_factor(max_norm, total, unit, P.maximum(unit, 1.0)), 1.0)  # a nan stays one
        for p, g in pairs:
            p.grad = g * scale
        return total * unit


from . import rnn  # noqa: E402, F401

answering(globals(), "rnn")
