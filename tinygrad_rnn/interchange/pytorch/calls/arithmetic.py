"""Arithmetic, nonlinearities, comparisons and logic of PyTorch's, one function a call."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .... import functional as T
from .... import primitives as P
from ....nn import functional as F
from ....tensors import Tensor, as_tensor
from ...composed_operators import OF_ONE, as_boolean, elu
from ...tables import enter_each
from .table import float_like, handles, numpy_dtype, widened

if TYPE_CHECKING:
    from ..recorder import Call


def _scaled(x: Any, factor: Any) -> Any:
    return x if factor == 1 else x * factor


def _whole(x: Tensor) -> Tensor:
    """Cut off towards 0."""
    return P.where(x < 0, -(-x).floor(), x.floor())


def _power(x: Any, y: Any) -> Any:
    return x.square() if isinstance(y, (int, float)) and y == 2 else x**y


def _remainder(x: Any, y: Any) -> Any:
    """The rest, of the sign of ``y``: between two jumps it moves as ``x`` does, and against ``y``."""
    return x - as_tensor(x) // y * y


def _hypotenuse(x: Any, y: Any) -> Tensor:
    shape = np.broadcast_shapes(x.shape, y.shape)
    return T.stack([x.broadcast_to(shape), y.broadcast_to(shape)]).norm(axis=0)


def _binary(function: Callable[[Any, Any], Any], *names: str) -> None:
    """Enter a function of two operands, which are brought to the result's dtype first."""
    handles(*names)(lambda call, x, y: function(*widened(call, x, y)))


_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "mul multiply rmul": operator.mul,
    "truediv true_divide": operator.truediv,
    "rdiv rtruediv": lambda x, y: y / x,
    "rfloordiv": lambda x, y: y // x,
    "pow": _power,
    "rpow": lambda x, y: _power(y, x),
    "remainder mod": _remainder,
    "rmod": lambda x, y: _remainder(y, x),
    "fmod": lambda x, y: x - _whole(as_tensor(x) / y) * y,
    "matmul mm bmm mv dot": operator.matmul,
    "rmatmul": lambda x, y: y @ x,
    "hypot": _hypotenuse,
    "maximum": T.maximum,
    "minimum": T.minimum,
    "gt greater": P.greater,
    "ge greater_equal": P.greater_equal,
    "lt less": P.less,
    "le less_equal": P.less_equal,
    "eq": P.equal,
    "ne not_equal": P.not_equal,
}
for _names, _function in _BINARY.items():
    _binary(_function, *_names.split())


@handles("add", "radd")
def _add(call: Call, x: Any, y: Any, *, alpha: Any = 1) -> Any:
    x, y = widened(call, x, y)
    return x + _scaled(y, alpha)


@handles("sub", "subtract")
def _sub(call: Call, x: Any, y: Any, *, alpha: Any = 1) -> Any:
    x, y = widened(call, x, y)
    return x - _scaled(y, alpha)


@handles("div", "divide", "floor_divide", "floordiv")
def _div(call: Call, x: Any, y: Any, *, rounding_mode: Any = None) -> Any:
    x, y = widened(call, x, y)
    if rounding_mode == "floor" or "floor" in call.name:
        return as_tensor(x) // y
    return x / y if rounding_mode is None else _whole(as_tensor(x) / y).astype(numpy_dtype(call.out.dtype))


@handles("addmm", "addmv")
def _addmm(_call: Call, bias: Any, x: Any, y: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    product = _scaled(x @ y, alpha)
    return product if beta == 0 else _scaled(bias, beta) + product


@handles("einsum")
def _einsum(_call: Call, equation: str, *operands: Any) -> Any:
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    return T.einsum(equation, *operands)


def _unary(function: Callable[[Tensor], Tensor], *names: str) -> None:
    """Enter a function of each element; of integers its result may be floats."""

    @handles(*names)
    def mirror(call: Call, x: Any, inplace: bool = False, *, out: Any = None) -> Any:
        return function(float_like(x, call))


_UNARY: dict[str, Callable[[Any], Any]] = {
    **OF_ONE,
    "negative": operator.neg,
    "absolute": Tensor.abs,
    "sgn": P.sign,
    "log2": lambda x: x.log() / math.log(2.0),
    "log10": lambda x: x.log() / math.log(10.0),
    "logsigmoid log_sigmoid": F.logsigmoid,
    "silu": F.silu,
    "mish": lambda x: x * x.softplus().tanh(),
    "floor": Tensor.floor,
    "ceil": lambda x: -(-x).floor(),
    "trunc fix": _whole,
    "round": Tensor.round,
}
for _names, _of_one in _UNARY.items():
    _unary(_of_one, *_names.split())


@handles("softplus")
def _softplus(_call: Call, x: Any, beta: float = 1, threshold: float = 20) -> Any:
    soft = x.softplus() if beta == 1 else (x * beta).softplus() / beta
    return P.where(x * beta > threshold, x, soft)


def _logical(function: Callable[..., Any], *names: str) -> None:
    """Enter a function of booleans; of integers these calls are about bits, which nothing here is."""

    @handles(*names)
    def mirror(call: Call, *operands: Any) -> Any:
        return function(*map(as_boolean, operands)) if call.out.dtype == torch.bool else NotImplemented


_logical(lambda x: P.equal(x, False), "logical_not", "invert", "bitwise_not")
_logical(operator.mul, "logical_and", "and", "bitwise_and", "rand")
_logical(lambda x, y: P.where(x, True, y), "logical_or", "or", "bitwise_or", "ror")
_logical(P.not_equal, "logical_xor", "xor", "bitwise_xor")

enter_each(
    handles,
    {
        "lerp": lambda _, x, end, weight: x + weight * (end - x),
        "gelu": lambda _, x, approximate="none": F.gelu(x, approximate),
        "elu": lambda _, x, *scales, inplace=False, **named: elu(x, *scales, **named),
        "clamp clip": lambda _, x, min=None, max=None: x.clip(min, max),
        "where": lambda call, condition, x, y: T.where(condition, *widened(call, x, y)),
    },
)
