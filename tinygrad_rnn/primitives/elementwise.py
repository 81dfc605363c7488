"""Elementwise primitives: arithmetic and the nonlinearities.

`relu` and `abs` have derivative 0 at 0, as in PyTorch.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from . import dtypes, kinks
from .choices import cast, equal, less_equal, where
from .record import Primitive, broadcast, same_shape


def _sigmoid(x: Any) -> Any:
    # exp of a non-positive real part only: stable at any magnitude, and analytic for a complex step
    positive = x.real >= 0
    e = np.exp(np.where(positive, -x, x))
    return np.where(positive, 1, e) / (1 + e)


def _softplus(x: Any) -> Any:
    positive = x.real > 0
    return np.where(positive, x, 0) + np.log1p(np.exp(np.where(positive, -x, x)))


def _abs(x: Any) -> Any:
    return np.abs(x) if not np.iscomplexobj(x) else x * np.sign(x.real)


add = Primitive(
    "add",
    "+",
    broadcast,
    operator.add,
    vjp=(lambda g, _y, _a, _b: g, lambda g, _y, _a, _b: g),
    rule=(r"\bar a = \bar y", r"\bar b = \bar y"),
    infix="+",
    sentence="hands its gradient on, unchanged, to {targets}",
)
sub = Primitive(
    "sub",
    "−",
    broadcast,
    operator.sub,
    vjp=(lambda g, _y, _a, _b: g, lambda g, _y, _a, _b: -g),
    rule=(r"\bar a = \bar y", r"\bar b = -\bar y"),
    infix="-",
    sentence="hands its gradient on to {targets}, with its sign turned for what is subtracted",
)
mul = Primitive(
    "mul",
    "⊙",
    broadcast,
    operator.mul,
    vjp=(lambda g, _y, _a, b: g * b, lambda g, _y, a, _b: g * a),
    rule=(r"\bar a = \bar y \odot b", r"\bar b = \bar y \odot a"),
    infix="*",
    sentence="sends to {targets} its gradient times the other factor",
)
div = Primitive(
    "div",
    "⊘",
    broadcast,
    operator.truediv,
    vjp=(lambda g, _y, _a, b: g / b, lambda g, y, _a, b: -g * y / b),
    rule=(r"\bar a = \bar y \oslash b", r"\bar b = -\bar y \odot y \oslash b"),
    dtype=dtypes.real,
    infix="/",
    sentence="sends its gradient on to {targets}, divided by the divisor",
)
floor_divide = Primitive(
    "floor_divide",
    "⌊⊘⌋",
    broadcast,
    lambda a, b: np.floor_divide(np.real(a), np.real(b)),
    kink=kinks.at_whole_quotients,
)
neg = Primitive(
    "neg",
    "−",
    same_shape,
    operator.neg,
    vjp=(lambda g, _y, _x: -g,),
    rule=(r"\bar x = -\bar y",),
    exact=True,
    sentence="turns the sign of its gradient for {targets}",
)
exp = Primitive(
    "exp",
    "exp",
    same_shape,
    np.exp,
    vjp=(lambda g, y, _x: g * y,),
    rule=(r"\bar x = \bar y \odot y",),
    dtype=dtypes.real,
    latex=r"\exp",
    sentence="multiplies its gradient by its own value, for {targets}",
)
log = Primitive(
    "log",
    "log",
    same_shape,
    np.log,
    vjp=(lambda g, _y, x: g / x,),
    rule=(r"\bar x = \bar y \oslash x",),
    dtype=dtypes.real,
    kink=kinks.steep_at_zero,
    latex=r"\log",
    sentence="divides its gradient by its input, for {targets}",
)
sqrt = Primitive(
    "sqrt",
    "√",
    same_shape,
    np.sqrt,
    vjp=(lambda g, y, _x: g * 0.5 / y,),
    rule=(r"\bar x = \bar y \oslash (2 y)",),
    dtype=dtypes.real,
    kink=kinks.steep_at_zero,
    sentence="divides its gradient by twice its own value, for {targets}",
)
sin: Primitive = Primitive(
    "sin",
    "sin",
    same_shape,
    np.sin,
    vjp=(lambda g, _y, x: g * cos(x),),
    rule=(r"\bar x = \bar y \odot \cos x",),
    dtype=dtypes.real,
    latex=r"\sin",
)
cos: Primitive = Primitive(
    "cos",
    "cos",
    same_shape,
    np.cos,
    vjp=(lambda g, _y, x: -g * sin(x),),
    rule=(r"\bar x = -\bar y \odot \sin x",),
    dtype=dtypes.real,
    latex=r"\cos",
)
tanh = Primitive(
    "tanh",
    "tanh",
    same_shape,
    np.tanh,
    vjp=(lambda g, y, _x: g * (1 - y * y),),
    rule=(r"\bar x = \bar y \odot (1 - y^2)",),
    kernel="tanh",
    kernel_dtypes="f",
    dtype=dtypes.real,
    latex=r"\tanh",
    sentence="multiplies its gradient by the slope 1 − {y}²{slope}, for {targets}",
)


def _erf(x: Any) -> Any:
    """``2 / sqrt(pi) * integral of exp(-t^2) from 0 to x``; for complex numbers by a series that has no cancellation.

    M. Abramowitz, I. A. Stegun (1964), 7.1.6. Beyond 6 it is 1 to the last digit of float64.
    """
    if not np.iscomplexobj(x):
        kept = x.dtype if np.asarray(x).dtype.kind == "f" else np.float64
        return np.asarray(_real_erf(x)).astype(kept)
    z = np.where(np.abs(x.real) > 6, 6 * np.sign(x.real) + 1j * x.imag, x)
    term = total = 2 / np.sqrt(np.pi) * z * np.exp(-z * z)
    for n in range(1, 160):
        term = term * (2 * z * z / (2 * n + 1))
        total = total + term
    return total


_real_erf = np.frompyfunc(math.erf, 1, 1)
erf = Primitive(
    "erf",
    "erf",
    same_shape,
    _erf,
    vjp=(lambda g, _y, x: g * (2 / math.sqrt(math.pi) * exp(-x * x)),),
    rule=(r"\bar x = \bar y \odot \tfrac{2}{\sqrt\pi} e^{-x^2}",),
    dtype=dtypes.real,
)


def _erfc(x: Any) -> Any:
    """``1 - erf(x)`` without that difference; for complex numbers beyond 2 by a continued fraction.

    M. Abramowitz, I. A. Stegun (1964), 7.1.14.
    """
    if not np.iscomplexobj(x):
        kept = x.dtype if np.asarray(x).dtype.kind == "f" else np.float64
        return np.asarray(_real_erfc(x)).astype(kept)
    z = np.where(x.real > 2, x, 2)
    fraction = z
    for n in range(80, 0, -1):
        fraction = z + n / 2 / fraction
    return np.where(x.real > 2, np.exp(-z * z) / np.sqrt(np.pi) / fraction, 1 - _erf(x))


_real_erfc = np.frompyfunc(math.erfc, 1, 1)
erfc = Primitive(
    "erfc",
    "erfc",
    same_shape,
    _erfc,
    vjp=(lambda g, _y, x: g * (-2 / math.sqrt(math.pi) * exp(-x * x)),),
    rule=(r"\bar x = -\bar y \odot \tfrac{2}{\sqrt\pi} e^{-x^2}",),
    dtype=dtypes.real,
)
sigmoid = Primitive(
    "sigmoid",
    "σ",
    same_shape,
    _sigmoid,
    vjp=(lambda g, y, _x: g * (y * (1 - y)),),
    rule=(r"\bar x = \bar y \odot y \odot (1 - y)",),
    kernel="sigmoid",
    dtype=dtypes.real,
    latex=r"\sigma",
    sentence="multiplies its gradient by the slope {y} ⊙ (1 − {y}){slope}, for {targets}",
)
softplus = Primitive(
    "softplus",
    "softplus",
    same_shape,
    _softplus,
    vjp=(lambda g, _y, x: g * sigmoid(x),),
    rule=(r"\bar x = \bar y \odot \sigma(x)",),
    dtype=dtypes.real,
)
relu = Primitive(
    "relu",
    "relu",
    same_shape,
    lambda x: np.maximum(x, 0),
    vjp=(lambda g, _y, x: where(less_equal(x, 0), 0, g),),
    rule=(r"\bar x = \bar y \odot [x > 0]",),
    exact=True,
    kink=kinks.at_zero,
    sentence="lets its gradient through to {targets} where the input was positive, and stops it elsewhere",
)
abs_ = Primitive(
    "abs",
    "|·|",
    same_shape,
    _abs,
    vjp=(lambda g, _y, x: g * sign(x),),
    rule=(r"\bar x = \bar y \odot \operatorname{sign} x",),
    exact=True,
    kink=kinks.at_zero,
)
sign: Primitive = Primitive("sign", "sign", same_shape, lambda x: np.sign(x.real), exact=True, kink=kinks.at_zero)


# An exponent of 0 makes the derivative 0 everywhere, also at base 0, where n * 0 ** (n - 1) would be nan;
# and the slope of 0 ** b in b is 0 where b > 0.
def _slope_in_base(a: Any, b: Any) -> Any:
    if not hasattr(b, "dtype"):
        return b * a ** (b and b - 1)
    return b * where(equal(b, 0), where(equal(a, 0), 1, a), a) ** (b - 1)


def _base(a: Any, y: Any) -> Any:
    """The base whose logarithm is taken: in the precision of the result, also where it is an integer of few bits."""
    a = cast(a, dtype=y.dtype) if getattr(a, "dtype", y.dtype).kind in "iub" else a
    return where(equal(a, 0), 1, a)


power = Primitive(
    "pow",
    "^",
    broadcast,
    operator.pow,
    vjp=(
        lambda g, _y, a, b: g * _slope_in_base(a, b),
        lambda g, y, a, _b: g * (y * log(_base(a, y))),
    ),
    rule=(r"\bar a = \bar y \odot b\, a^{b-1}", r"\bar b = \bar y \odot y \odot \log a"),
    kink=kinks.of_power,
    infix="**",
    sentence="multiplies its gradient by the slope of the power, for {targets}",
)
