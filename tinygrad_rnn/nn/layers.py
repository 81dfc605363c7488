"""Layers without a memory: Linear, Embedding, Dropout, and the nonlinearities for a Sequential."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import ArgumentError, ShapeError
from ..mode import get_default_dtype
from ..tensor import Tensor, as_tensor
from . import functional as F
from . import init
from .module import Module, Parameter


def positive(layer: str, **sizes: int) -> None:
    """Sizes must be positive integers."""
    for name, size in sizes.items():
        if not isinstance(size, (int, np.integer)) or size < 1:
            raise ShapeError(f"{layer}: {name} must be a positive integer, not {size!r}")


def new_parameter(shape: tuple[int, ...], bound: float, dtype: Any) -> Parameter:
    """A parameter drawn uniformly from [-bound, bound), PyTorch's default for linear and recurrent layers."""
    parameter = Parameter(np.zeros(shape), dtype or get_default_dtype())
    init.uniform_(parameter, -bound, bound)
    return parameter


class Linear(Module):
    """``y = x W^T + b``: (..., in_features) -> (..., out_features).

    Parameters ``weight`` (out, in) and ``bias`` (out,), uniform in ``±1/sqrt(in_features)``.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.Linear(3, 2)(tg.ones(5, 3)).shape
    (5, 2)
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, dtype: Any = None) -> None:
        positive("Linear", in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        bound = 1 / math.sqrt(in_features)
        self.weight = new_parameter((out_features, in_features), bound, dtype)
        self.bias = new_parameter((out_features,), bound, dtype) if bias else None

    def forward(self, x: Any) -> Tensor:
        """The affine map of ``x``."""
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Settings."""
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"


class Embedding(Module):
    """A table of vectors looked up by integer: (...) -> (..., embedding_dim). A one-hot vector times W *is* a row.

    Parameter ``weight`` (num_embeddings, embedding_dim), standard normal.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.Embedding(10, 3)(tg.tensor([[1, 2], [3, 9]])).shape
    (2, 2, 3)
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, dtype: Any = None) -> None:
        positive("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.weight = Parameter(np.zeros((num_embeddings, embedding_dim)), dtype or get_default_dtype())
        init.normal_(self.weight)

    def forward(self, indices: Any) -> Tensor:
        """One row per index."""
        return F.embedding(indices, self.weight)

    def extra_repr(self) -> str:
        """Settings."""
        return f"{self.num_embeddings}, {self.embedding_dim}"


class Dropout(Module):
    """In training, zero each element with probability ``p`` and scale the rest by ``1 / (1 - p)``.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.Dropout(0.5).eval()(tg.tensor([1.0, 2.0]))
    tensor([1., 2.])
    """

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ArgumentError(f"Dropout: p is a probability, from 0 to 1, not {p}")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """``x`` with some elements dropped."""
        return F.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        """Settings."""
        return f"p={self.p}"


class Tanh(Module):
    """``tanh(x)``, elementwise."""

    def forward(self, x: Any) -> Tensor:
        """Of the input's shape, in [-1, 1]."""
        return as_tensor(x).tanh()


class Sigmoid(Module):
    """``1 / (1 + exp(-x))``, elementwise."""

    def forward(self, x: Any) -> Tensor:
        """Of the input's shape, in [0, 1]."""
        return as_tensor(x).sigmoid()


class ReLU(Module):
    """``max(x, 0)``, elementwise."""

    def forward(self, x: Any) -> Tensor:
        """Of the input's shape, not negative."""
        return as_tensor(x).relu()
