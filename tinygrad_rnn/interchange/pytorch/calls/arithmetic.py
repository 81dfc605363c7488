"""Arithmetic, nonlinearities, comparisons and logic of PyTorch's, one function a call."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from .... import functional as T
from .... import primitives as P
from ....nn import functional as F
from ....tensors import Tensor, as_tensor
from ...composed_operators import as_boolean, clamped, elu
from .table import TABLE, float_like, handles, numpy_dtype, widened

if TYPE_CHECKING:
    from ..recorder import Call


@handles("add")
def _add(call: Call, x: Any, y: Any, *, alpha: Any = 1) -> Any:
    x, y = widened(call, x, y)
    return (
        as_tensor(x) + (y if alpha == 1 else y * alpha)
        if not isinstance(x, Tensor)
        else x + (y if alpha == 1 else y * alpha)
    )


@handles("sub", "subtract")
def _sub(call: Call, x: Any, y: Any, *, alpha: Any = 1) -> Any:
    x, y = widened(call, x, y)
    return x - (y if alpha == 1 else y * alpha)


@handles("rsub")
def _rsub(call: Call, x: Any, y: Any, *, alpha: Any = 1) -> Any:
    x, y = widened(call, x, y)
    return y - (x if alpha == 1 else x * alpha)


@handles("radd")
def _radd(call: Call, x: Any, y: Any) -> Any:
    x, y = widened(call, x, y)
    return y + x


@handles("mul", "multiply")
def _mul(call: Call, x: Any, y: Any) -> Any:
    x, y = widened(call, x, y)
    return x * y


@handles("rmul")
def _rmul(call: Call, x: Any, y: Any) -> Any:
    return _mul(call, y, x)


@handles("div", "true_divide", "truediv", "divide")
def _div(call: Call, x: Any, y: Any, *, rounding_mode: Any = None) -> Any:
    x, y = widened(call, x, y)
    if rounding_mode == "floor":
        return as_tensor(x) // y
    return x / y if rounding_mode is None else _whole(as_tensor(x) / y).astype(numpy_dtype(call.out.dtype))


def _whole(x: Tensor) -> Tensor:
    """Cut off towards 0."""
    return P.where(x < 0, -(-x).floor(), x.floor())


@handles("floor_divide", "floordiv")
def _floor_divide(call: Call, x: Any, y: Any) -> Any:
    return _div(call, x, y, rounding_mode="floor")


@handles("rfloordiv")
def _rfloor_divide(call: Call, x: Any, y: Any) -> Any:
    return _div(call, y, x, rounding_mode="floor")


@handles("remainder", "mod")
def _remainder(call: Call, x: Any, y: Any) -> Any:
    """The rest, of the sign of ``y``: between two jumps it moves as ``x`` does, and against ``y``."""
    x, y = widened(call, x, y)
    return x - as_tensor(x) // y * y


@handles("rmod")
def _rremainder(call: Call, x: Any, y: Any) -> Any:
    return _remainder(call, y, x)


@handles("fmod")
def _fmod(call: Call, x: Any, y: Any) -> Any:
    """The rest, of the sign of ``x``."""
    x, y = widened(call, x, y)
    return x - _whole(as_tensor(x) / y) * y


@handles("rdiv", "rtruediv", "reciprocal")
def _rdiv(call: Call, x: Any, y: Any = 1.0) -> Any:
    x, y = widened(call, x, y)
    return y / x


@handles("pow")
def _pow(call: Call, x: Any, y: Any) -> Any:
    x, y = widened(call, x, y)
    if isinstance(y, (int, float)) and y == 2:
        return x.square()
    return x**y


@handles("rpow")
def _rpow(call: Call, x: Any, y: Any) -> Any:
    return _pow(call, y, x)


@handles("matmul", "mm", "bmm", "mv", "dot")
def _matmul(_call: Call, x: Any, y: Any) -> Any:
    return x @ y


@handles("rmatmul")
def _rmatmul(_call: Call, x: Any, y: Any) -> Any:
    return y @ x


@handles("addmm", "baddbmm", "addmv")
def _addmm(_call: Call, bias: Any, x: Any, y: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    product = x @ y if alpha == 1 else (x @ y) * alpha
    return product if beta == 0 else (bias if beta == 1 else bias * beta) + product


@handles("addcmul")
def _addcmul(_call: Call, x: Any, a: Any, b: Any, *, value: Any = 1) -> Any:
    return x + (a * b if value == 1 else a * b * value)


@handles("addcdiv")
def _addcdiv(_call: Call, x: Any, a: Any, b: Any, *, value: Any = 1) -> Any:
    return x + (a / b if value == 1 else a / b * value)


@handles("lerp")
def _lerp(_call: Call, x: Any, end: Any, weight: Any) -> Any:
    return x + weight * (end - x)


@handles("outer", "ger")
def _outer(_call: Call, x: Any, y: Any) -> Any:
    return T.outer(x, y)


@handles("einsum")
def _einsum(_call: Call, equation: str, *operands: Any) -> Any:
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    return T.einsum(equation, *operands)


def _elementwise(method: str) -> Callable[..., Any]:
    def mirror(call: Call, x: Any, **_inplace: Any) -> Any:
        return getattr(float_like(x, call), method)()

    return mirror


for _method in ("exp", "log", "sqrt", "sin", "cos", "tanh", "sigmoid", "square", "floor"):
    TABLE[_method] = _elementwise(_method)


def _composed(function: Callable[[Tensor], Tensor]) -> Callable[..., Any]:
    return lambda call, x: function(float_like(x, call))


_COMPOSED: dict[str, Callable[[Tensor], Tensor]] = {
    "expm1": lambda x: x.exp() - 1.0, "exp2": lambda x: (x * math.log(2.0)).exp(),
    "log2": lambda x: x.log() / math.log(2.0), "log10": lambda x: x.log() / math.log(10.0),
    "sinh": lambda x: (x.exp() - (-x).exp()) * 0.5, "cosh": lambda x: (x.exp() + (-x).exp()) * 0.5,
    "tan": lambda x: x.sin() / x.cos(), "erf": P.erf, "erfc": P.erfc, "ceil": lambda x: -(-x).floor(),
    "trunc": _whole, "fix": _whole, "frac": lambda x: x - _whole(x), "round": lambda x: x.round(),
}  # fmt: skip
TABLE.update({name: _composed(function) for name, function in _COMPOSED.items()})


@handles("neg", "negative")
def _neg(_call: Call, x: Any) -> Any:
    return -x


@handles("abs", "absolute")
def _abs(_call: Call, x: Any) -> Any:
    return x.abs()


@handles("relu")
def _relu(_call: Call, x: Any, inplace: bool = False) -> Any:
    return x.relu()


@handles("sign", "sgn")
def _sign(_call: Call, x: Any) -> Any:
    return P.sign(x)


@handles("rsqrt")
def _rsqrt(call: Call, x: Any) -> Any:
    return 1.0 / float_like(x, call).sqrt()


@handles("log1p")
def _log1p(call: Call, x: Any) -> Any:
    return (float_like(x, call) + 1.0).log()


@handles("logsigmoid", "log_sigmoid")
def _logsigmoid(_call: Call, x: Any) -> Any:
    return -(-x).softplus()


@handles("gelu")
def _gelu(_call: Call, x: Any, approximate: str = "none") -> Any:
    return F.gelu(x, approximate)


@handles("silu")
def _silu(_call: Call, x: Any, inplace: bool = False) -> Any:
    return F.silu(x)


@handles("hardtanh")
def _hardtanh(_call: Call, x: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    return clamped(x, min_val, max_val)


@handles("hardsigmoid")
def _hardsigmoid(_call: Call, x: Any, inplace: bool = False) -> Any:
    return clamped((x + 3.0) / 6.0, 0.0, 1.0)


@handles("leaky_relu")
def _leaky_relu(_call: Call, x: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    return x.leaky_relu(negative_slope)


@handles("elu")
def _elu(_call: Call, x: Any, *scales: float, inplace: bool = False, **named: float) -> Any:
    return elu(x, *scales, **named)


@handles("softplus")
def _softplus(_call: Call, x: Any, beta: float = 1, threshold: float = 20) -> Any:
    soft = x.softplus() if beta == 1 else (x * beta).softplus() / beta
    return P.where(x * beta > threshold, x, soft)


@handles("clamp", "clip")
def _clamp(_call: Call, x: Any, min: Any = None, max: Any = None) -> Any:
    return x.clip(min, max)


@handles("clamp_min")
def _clamp_min(_call: Call, x: Any, min: Any) -> Any:
    return x.clip(min, None)


@handles("clamp_max")
def _clamp_max(_call: Call, x: Any, max: Any) -> Any:
    return x.clip(None, max)


@handles("maximum")
def _maximum(_call: Call, x: Any, y: Any) -> Any:
    return T.maximum(x, y)


@handles("minimum")
def _minimum(_call: Call, x: Any, y: Any) -> Any:
    return T.minimum(x, y)


def _comparison(op: P.Primitive) -> Callable[..., Any]:
    return lambda _call, x, y: op(x, y)


for _names, _op in (
    (("gt", "greater"), P.greater),
    (("ge", "greater_equal"), P.greater_equal),
    (("lt", "less"), P.less),
    (("le", "less_equal"), P.less_equal),
    (("eq",), P.equal),
    (("ne", "not_equal"), P.not_equal),
):
    for _name in _names:
        TABLE[_name] = _comparison(_op)


@handles("logical_not", "invert", "bitwise_not")
def _not(call: Call, x: Any) -> Any:
    return P.equal(x, 0) if call.out.dtype == torch.bool else NotImplemented


@handles("logical_and", "and", "bitwise_and", "rand")
def _and(_call: Call, x: Any, y: Any) -> Any:
    return as_boolean(x) * as_boolean(y) if _call.out.dtype == torch.bool else NotImplemented


@handles("logical_or", "or", "bitwise_or", "ror")
def _or(_call: Call, x: Any, y: Any) -> Any:
    return P.where(as_boolean(x), True, as_boolean(y)) if _call.out.dtype == torch.bool else NotImplemented


@handles("logical_xor", "xor", "bitwise_xor")
def _xor(_call: Call, x: Any, y: Any) -> Any:
    return P.not_equal(as_boolean(x), as_boolean(y)) if _call.out.dtype == torch.bool else NotImplemented


@handles("where")
def _where(call: Call, condition: Any, x: Any, y: Any) -> Any:
    return T.where(condition, *widened(call, x, y))


@handles("masked_fill")
def _masked_fill(_call: Call, x: Any, mask: Any, value: Any) -> Any:
    return x.masked_fill(mask, value)
