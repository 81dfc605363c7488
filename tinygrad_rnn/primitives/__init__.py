"""The table of primitives, one record each, grouped by family."""

from .elementwise import (
    abs_, add, cast, cos, div, equal, exp, greater, greater_equal, less, less_equal, log, maximum, minimum, mul,
    neg, not_equal, power, relu, sigmoid, sign, sin, softplus, sqrt, sub, tanh, where,
)  # fmt: skip
from .index import argmax, getitem, one_hot, scatter, scatter_rows, take
from .linalg import einsum, linear, matmul
from .loss import cross_entropy
from .record import TABLE, Primitive
from .reduce import cumsum, log_softmax, logsumexp, max_, softmax, sum_
from .shape import broadcast_to, concat, permute, reshape, stack

__all__ = [
    "TABLE", "Primitive", "abs_", "add", "argmax", "broadcast_to", "cast", "concat", "cos", "cross_entropy", "cumsum",
    "div", "einsum", "equal", "exp", "getitem", "greater", "greater_equal", "less", "less_equal", "linear", "log",
    "log_softmax", "logsumexp", "matmul", "max_", "maximum", "minimum", "mul", "neg", "not_equal", "one_hot", "permute",
    "power", "relu", "reshape", "scatter", "scatter_rows", "sigmoid", "sign", "sin", "softmax", "softplus", "sqrt",
    "stack", "sub", "sum_", "take", "tanh", "where", "cross_entropy",
]  # fmt: skip
