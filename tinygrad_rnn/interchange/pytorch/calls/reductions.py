"""PyTorch's reductions over dimensions, softmax, running sums and orders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .... import functional as T
from ....tensors import Tensor
from ...composed_operators import as_boolean, flat_positions, running_logsumexp
from ...program import constant
from .table import axes_of, float_like, handles

if TYPE_CHECKING:
    from ..recorder import Call


@handles("sum")
def _sum(call: Call, x: Any, dim: Any = None, keepdim: bool = False, **_kwargs: Any) -> Any:
    x = float_like(x, call)
    axis = axes_of(dim if dim is not None else _kwargs.get("axis"))
    if axis == () or not x.ndim:
        axis = None
    if x.dtype.kind == "b":
        x = x.astype(np.int64)
    return x.sum(axis, keepdim)


@handles("mean")
def _mean(call: Call, x: Any, dim: Any = None, keepdim: bool = False, **_kwargs: Any) -> Any:
    axis = axes_of(dim if dim is not None else _kwargs.get("axis"))
    return float_like(x, call).mean(None if axis == () or not x.ndim else axis, keepdim)


@handles("var", "std")
def _var(
    call: Call, x: Any, dim: Any = None, unbiased: Any = True, keepdim: bool = False, *, correction: Any = None
) -> Any:
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    correction = int(unbiased) if correction is None else int(correction)
    result = x.var(axes_of(dim), keepdims=keepdim, correction=correction)
    return result.sqrt() if call.name == "std" else result


@handles("prod")
def _prod(_call: Call, x: Any, dim: Any = None, keepdim: bool = False, **_kwargs: Any) -> Any:
    return x.prod(dim, keepdim)


@handles("max", "min", "amax", "amin")
def _extreme(call: Call, x: Any, *args: Any, **kwargs: Any) -> Any:
    smallest = call.name in ("min", "amin")
    dim = args[0] if args else kwargs.get("dim")
    if isinstance(dim, Tensor):
        return (T.minimum if smallest else T.maximum)(x, dim)
    keepdim = args[1] if len(args) > 1 else kwargs.get("keepdim", False)
    if call.name in ("amax", "amin") or dim is None:
        axis = None if dim is None or dim == () or dim == [] else axes_of(dim)
        return x.amin(axis, keepdim) if smallest else x.amax(axis, keepdim)
    return tuple(x.min(dim, keepdim) if smallest else x.max(dim, keepdim))


@handles("argmax", "argmin")
def _argmax(call: Call, x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    at = (-x if call.name == "argmin" else x).argmax(dim)
    return at.expand_dims(dim % x.ndim) if keepdim and dim is not None else at


@handles("any", "all")
def _any(call: Call, x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    found = as_boolean(x).astype(np.int64)
    found = found.amax(axes_of(dim), keepdim) if call.name == "any" else found.amin(axes_of(dim), keepdim)
    return found > 0


@handles("logsumexp")
def _logsumexp(_call: Call, x: Any, dim: Any, keepdim: bool = False) -> Any:
    return x.logsumexp(axes_of(dim), keepdim)


@handles("softmax", "_softmax", "log_softmax", "_log_softmax")
def _softmax(call: Call, x: Any, dim: Any = None, *_args: Any, **_kwargs: Any) -> Any:
    if dim is None:
        return NotImplemented
    x = float_like(x, call)
    return x.log_softmax(dim) if "log" in call.name else x.softmax(dim)


@handles("cumsum")
def _cumsum(call: Call, x: Any, dim: int, **_kwargs: Any) -> Any:
    x = float_like(x, call)
    return (x.astype(np.int64) if x.dtype.kind == "b" else x).cumsum(dim) if x.ndim else x


@handles("logcumsumexp")
def _logcumsumexp(_call: Call, x: Any, dim: int) -> Any:
    return running_logsumexp(x, dim) if x.ndim else x


@handles("topk", "sort", "kthvalue", "median", "nanmedian", "mode", "cummax", "cummin")
def _found(call: Call, x: Any, *args: Any, **kwargs: Any) -> Any:
    """Elements that PyTorch found, with where it found them: read at these places again."""
    if not isinstance(call.out, tuple) or not x.ndim:
        return NotImplemented
    at = call.out[1]
    numbers = [a for a in args if isinstance(a, int) and not isinstance(a, bool)]
    before = 1 if call.name in ("topk", "kthvalue") and "k" not in kwargs else 0
    dim = kwargs.get("dim", numbers[before] if len(numbers) > before else -1)
    call.recorder.note(f"{call.name}: the order stays as it was found")
    chosen = constant(at.numpy())
    places = chosen.expand_dims(dim % x.ndim) if chosen.ndim < x.ndim else chosen
    found = T.take(x.reshape(-1), flat_positions(x, dim, places))
    return found.reshape(chosen.shape), chosen
