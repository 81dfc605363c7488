"""Elementwise operators: arithmetic, activations, comparisons, logic, changes of type."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from .... import functional as T
from .... import primitives as P
from ....errors import DataError
from ....nn import functional as F
from ....tensors import Tensor, as_tensor
from ....words import words
from ...composed_operators import OF_ONE, as_boolean, elu, hard_sigmoid
from .table import operator, simple, static

if TYPE_CHECKING:
    from ..running import Node


def _divided(a: Tensor, b: Tensor) -> Tensor:
    if a.dtype.kind == "f":
        return a / b
    if a.dtype.kind == "u":
        return a // b
    whole = abs(a) // abs(b)  # ONNX's integers are cut off towards 0
    return T.where((a < 0) ^ (b < 0), -whole, whole)


def _power(a: Tensor, b: Tensor) -> Tensor:
    exponent = b.numpy()
    if exponent.size == 1 and float(exponent.reshape(())) == 2.0 and not b.requires_grad and b.ndim <= a.ndim:
        return a.square()
    return (a ** (b if b.dtype == a.dtype else b.astype(a.dtype))).astype(a.dtype)


_SHARED = words("Neg Abs Sign Reciprocal Exp Log Sqrt Sin Cos Erf Tanh Sigmoid Relu Softplus")
simple(
    **{name: OF_ONE[name.lower()] for name in _SHARED},
    Add=lambda a, b: a + b,
    Sub=lambda a, b: a - b,
    Mul=lambda a, b: a * b,
    Div=_divided,
    Pow=_power,
    Softsign=F.softsign,
    Mish=lambda x: x * x.softplus().tanh(),
    HardSwish=lambda x: x * hard_sigmoid(x, 1 / 6, 0.5),
    PRelu=lambda x, slope: T.where(x < 0, x * slope, x),
    Greater=P.greater,
    GreaterOrEqual=P.greater_equal,
    Less=P.less,
    LessOrEqual=P.less_equal,
    Equal=P.equal,
    Not=lambda x: ~x,
    And=lambda a, b: a & b,
    Or=lambda a, b: a | b,
    Xor=lambda a, b: a ^ b,
    Where=T.where,
    Identity=lambda x: x,
    IsNaN=lambda x: x.isnan(),
    Sum=lambda *xs: reduce(lambda a, b: a + b, xs),
    Mean=lambda *xs: reduce(lambda a, b: a + b, xs) / float(len(xs)),
    Max=lambda *xs: reduce(T.maximum, xs),
    Min=lambda *xs: reduce(T.minimum, xs),
)
simple(
    Clip=lambda x, min=None, max=None: x if min is None and max is None else x.clip(min, max),
    LeakyRelu=lambda x, alpha=0.01: T.where(x < 0, x * alpha, x),
    ThresholdedRelu=lambda x, alpha=1.0: T.where(x > alpha, x, 0.0),
    HardSigmoid=lambda x, alpha=0.2, beta=0.5: hard_sigmoid(x, alpha, beta),
    Elu=lambda x, alpha=1.0: elu(x, alpha),
    Celu=lambda x, alpha=1.0: elu(x, alpha, 1.0, 1.0 / alpha),
    Selu=lambda x, alpha=1.6732632423543772, gamma=1.0507009873554805: elu(x, alpha, gamma),
    Gelu=F.gelu,
    Swish=lambda x, alpha=1.0: x * (x * alpha).sigmoid(),
)


@operator("Floor", "Ceil", "Round")
def _rounded(node: Node, x: Tensor) -> Tensor:
    """A staircase: its derivative is 0."""
    return as_tensor({"Floor": np.floor, "Ceil": np.ceil, "Round": np.rint}[node.op](x.numpy()))


@operator("Mod")
def _mod(_node: Node, a: Tensor, b: Tensor, fmod: int = 0) -> Tensor:
    whole = (a.numpy() - np.fmod(a.numpy(), b.numpy())) / b.numpy() if fmod else np.floor(a.numpy() / b.numpy())
    return a - b * as_tensor(np.rint(whole).astype(a.dtype))


@operator("Cast", "CastLike")
def _cast(
    node: Node, x: Tensor, like: Tensor | None = None, to: int = 1, saturate: int = 1, round_mode: str = "up"
) -> Tensor:
    dtype = node.dtype(to) if like is None else like.dtype
    if x.dtype == dtype:
        return x
    return as_boolean(x) if dtype.kind == "b" else x.astype(dtype)


@operator("Constant")
def _constant(
    node: Node,
    value: Any = None,
    value_float: Any = None,
    value_floats: Any = None,
    value_int: Any = None,
    value_ints: Any = None,
) -> Tensor:
    if value is not None:
        return as_tensor(node.array(value))
    if value_int is not None or value_ints is not None:
        return as_tensor(np.asarray(value_ints if value_int is None else value_int, np.int64))
    return as_tensor(np.asarray(value_floats if value_float is None else value_float, np.float32))


@operator("Dropout")
def _dropout(
    _node: Node, x: Tensor, ratio: Any = 0.5, training_mode: Any = None, seed: int = 0
) -> tuple[Tensor, Tensor]:
    if training_mode is not None and bool(static(training_mode, "training_mode")) and float(static(ratio, "ratio")):
        raise DataError("it is in training mode, which draws random numbers; export the model for inference")
    return x, as_tensor(np.ones(x.shape, bool))


@operator("Hardmax")
def _hardmax(_node: Node, x: Tensor, axis: int = -1) -> Tensor:
    chosen = np.expand_dims(x.argmax(axis % x.ndim).numpy(), axis)
    places = np.arange(x.shape[axis]).reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])
    return as_tensor((places == chosen).astype(x.dtype))


@operator("RandomNormalLike", "RandomUniformLike", "RandomNormal", "RandomUniform", "Bernoulli", "Multinomial")
def _random(_node: Node, *_inputs: Any, **_attributes: Any) -> Tensor:
    raise DataError("it draws random numbers, which would be others than the model's; export it without")
