"""Layers without a memory: Linear, Embedding, Dropout, the norms, and the nonlinearities for a Sequential."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arguments import answering, probability
from ..array_conversion import asked_dtype
from ..errors import ArgumentError, DTypeError, ShapeError
from ..settings import get_default_dtype, no_grad
from ..tensors import Tensor, as_tensor
from . import functional as F
from . import init
from .functional import Approximate
from .module import Module, Parameter


def positive(layer: str, **sizes: int) -> None:
    """Refuse sizes that are no positive integers."""
    for name, size in sizes.items():
        if not isinstance(size, (int, np.integer)) or size < 1:
            raise ShapeError(f"{layer}: {name} must be a positive integer, not {size!r}")


def parameters_dtype(layer: str, dtype: Any, device: Any) -> Any:
    """The dtype of a new layer's parameters, float32 or float64; ``device`` is None or the "cpu", which is all."""
    asked = asked_dtype(layer, (), dtype, device)
    wanted = np.dtype(get_default_dtype() if asked is None else asked)
    if wanted not in (np.float32, np.float64):
        raise DTypeError(f"{layer}: parameters are float32 or float64, not {wanted}; give dtype=tg.float32, say")
    return wanted


def new_parameter(shape: tuple[int, ...], bound: float, dtype: Any) -> Parameter:
    """A parameter drawn uniformly from [-bound, bound), PyTorch's default for linear and recurrent layers."""
    parameter = Parameter(np.zeros(shape), dtype)
    init.uniform_(parameter, -bound, bound)
    return parameter


def not_in_place(layer: str, inplace: bool) -> None:
    """Refuse PyTorch's ``inplace``: values are kept, for the walk back and for pictures."""
    if inplace:
        raise ArgumentError(f"{layer}: nothing is written in place, the graph holds what was there; leave inplace out")


class Linear(Module):
    """``y = x W^T + b``: (..., ``in_features``) -> (..., ``out_features``).

    Parameters ``weight`` (out, in) and, unless ``bias`` is False, ``bias`` (out,), uniform in ``±1/sqrt(in_features)``.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.Linear(3, 2)(tg.ones(5, 3)).shape
    (5, 2)
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        positive("Linear", in_features=in_features, out_features=out_features)
        dtype = parameters_dtype("Linear", dtype, device)
        self.in_features, self.out_features = in_features, out_features
        bound = 1 / math.sqrt(in_features)
        self.weight = new_parameter((out_features, in_features), bound, dtype)
        self.bias = new_parameter((out_features,), bound, dtype) if bias else None

    def forward(self, x: Any) -> Tensor:
        """The affine map of ``x``."""
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The settings that the module's repr shows."""
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"


class Embedding(Module):
    """A table of vectors looked up by integer: (...) -> (..., ``embedding_dim``). A one-hot vector times W *is* a row.

    Parameter ``weight`` (``num_embeddings``, embedding_dim), standard normal; the row ``padding_idx`` starts at 0 and
    receives no gradient, so it stays what it is. An index outside is an `OutOfRangeError`, such a padding an
    `ArgumentError`.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.Embedding(10, 3)(tg.tensor([[1, 2], [3, 9]])).shape
    (2, 2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        positive("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        dtype = parameters_dtype("Embedding", dtype, device)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.weight = Parameter(np.zeros((num_embeddings, embedding_dim)), dtype)
        init.normal_(self.weight)
        self.padding_idx = padding_idx
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ArgumentError(f"Embedding: padding_idx {padding_idx} is not one of the {num_embeddings} rows")
            with no_grad():
                self.weight[padding_idx] = 0.0

    @classmethod
    def from_pretrained(cls, embeddings: Any, freeze: bool = True, padding_idx: int | None = None) -> Embedding:
        """A table that begins with the rows ``embeddings`` (num_embeddings, embedding_dim), also the padding's.

        It is learned only without ``freeze``. Raises `ShapeError` unless there are two dimensions.

        >>> import tinygrad_rnn as tg
        >>> tg.nn.Embedding.from_pretrained([[1.0, 2.0], [3.0, 4.0]])([1]).tolist()
        [[3.0, 4.0]]
        """
        rows = as_tensor(embeddings)
        if rows.ndim != 2:
            raise ShapeError(f"Embedding.from_pretrained: a table has two dimensions, not {rows.shape}")
        count, size = rows.shape
        made = cls(count, size, padding_idx, dtype=rows.dtype)
        made.weight = Parameter(rows, requires_grad=not freeze)
        return made

    def forward(self, indices: Any) -> Tensor:
        """One row per index."""
        return F.embedding(indices, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        """The settings that the module's repr shows."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"


class Dropout(Module):
    """In training, zero each element with probability ``p`` and scale the rest by ``1 / (1 - p)``.

    Raises `ArgumentError` unless ``p`` is from 0 to 1, and for ``inplace``.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.Dropout(0.5).eval()(tg.tensor([1.0, 2.0]))
    tensor([1., 2.])
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        not_in_place("Dropout", inplace)
        self.p = probability(p, "Dropout: p")

    def forward(self, x: Tensor) -> Tensor:
        """``x`` with some elements dropped."""
        return F.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        """The settings that the module's repr shows."""
        return f"p={self.p}"


class Identity(Module):
    """Returns its argument unchanged: a placeholder for a layer. Any ``args`` and ``kwargs`` are ignored.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.Identity()(3)
    3
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Any) -> Any:
        """``x``."""
        return x


class _OfOneFunction(Module):
    """A function of a tensor as a module; ``settings`` are attributes, and keywords of the function."""

    function: Callable[..., Tensor]
    settings: tuple[str, ...] = ()

    def forward(self, x: Any) -> Tensor:
        """The function of ``x``, a tensor of the same shape."""
        return self.function(as_tensor(x), **{name: getattr(self, name) for name in self.settings})

    def extra_repr(self) -> str:
        """The settings that the module's repr shows."""
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in self.settings)


class Softmax(_OfOneFunction):
    """`Tensor.softmax` along ``dim``, or ``axis`` (None: the last).

    >>> import tinygrad_rnn as tg
    >>> tg.nn.Softmax(dim=1)([[0.0, 0.0]]).tolist()
    [[0.5, 0.5]]
    """

    function = staticmethod(F.softmax)
    settings = ("dim",)

    def __init__(self, dim: int | None = None, *, axis: int | None = None) -> None:
        self.dim = axis if dim is None else dim

    def forward(self, x: Any) -> Tensor:
        """A tensor of the input's shape; what is normalized along ``dim`` adds up to 1."""
        return self.function(as_tensor(x), dim=-1 if self.dim is None else self.dim)


class LogSoftmax(Softmax):
    """`Tensor.log_softmax` along ``dim``, or ``axis`` (None: the last).

    >>> import tinygrad_rnn as tg
    >>> tg.nn.LogSoftmax(dim=0)([0.0, 1000.0]).tolist()
    [-1000.0, 0.0]
    """

    function = staticmethod(F.log_softmax)

    def __init__(self, dim: int | None = None, *, axis: int | None = None) -> None:
        super().__init__(dim, axis=axis)


class Tanh(_OfOneFunction):
    """``tanh(x)``, elementwise, in [-1, 1].

    >>> import tinygrad_rnn as tg
    >>> tg.nn.Tanh()([0.0, 99.0]).tolist()
    [0.0, 1.0]
    """

    function = staticmethod(F.tanh)


class Sigmoid(_OfOneFunction):
    """``1 / (1 + exp(-x))``, elementwise, in [0, 1].

    >>> import tinygrad_rnn as tg
    >>> tg.nn.Sigmoid()([0.0, 99.0]).tolist()
    [0.5, 1.0]
    """

    function = staticmethod(F.sigmoid)


class ReLU(_OfOneFunction):
    """``max(x, 0)``, elementwise. ``inplace`` is False, or an `ArgumentError`.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.ReLU()([-1.0, 2.0]).tolist()
    [0.0, 2.0]
    """

    function = staticmethod(F.relu)

    def __init__(self, inplace: bool = False) -> None:
        not_in_place("ReLU", inplace)


class LeakyReLU(_OfOneFunction):
    """``x`` where positive, ``negative_slope * x`` elsewhere. ``inplace`` is False, or an `ArgumentError`.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.LeakyReLU(0.5)([-1.0, 2.0]).tolist()
    [-0.5, 2.0]
    """

    function = staticmethod(F.leaky_relu)
    settings = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        not_in_place("LeakyReLU", inplace)
        self.negative_slope = negative_slope


class ELU(_OfOneFunction):
    """`functional.elu`, with its ``alpha`` kept. ``inplace`` is False, or an `ArgumentError`.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.ELU()([0.0, 2.0]).tolist()
    [0.0, 2.0]
    """

    function = staticmethod(F.elu)
    settings = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        not_in_place("ELU", inplace)
        self.alpha = alpha


class Hardtanh(_OfOneFunction):
    """`functional.hardtanh` between ``min_val`` and ``max_val``. ``inplace`` is False, or an `ArgumentError`.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.Hardtanh()([0.5, 2.0]).tolist()
    [0.5, 1.0]
    """

    function = staticmethod(F.hardtanh)
    settings = ("min_val", "max_val")

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        not_in_place("Hardtanh", inplace)
        self.min_val, self.max_val = min_val, max_val


class Softplus(_OfOneFunction):
    """``log(1 + exp(x))``, elementwise.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.Softplus()([100.0]).tolist()
    [100.0]
    """

    function = staticmethod(F.softplus)


class LogSigmoid(_OfOneFunction):
    """``log(sigmoid(x))``, elementwise.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.LogSigmoid()([-100.0]).tolist()
    [-100.0]
    """

    function = staticmethod(F.logsigmoid)


class Flatten(Module):
    """`Tensor.flatten` from ``start_dim`` to ``end_dim`` (``start_axis``, ``end_axis``).

    >>> import tinygrad_rnn as tg
    >>> tg.nn.Flatten()(tg.ones(2, 3, 4)).shape
    (2, 12)
    """

    def __init__(
        self, start_dim: int = 1, end_dim: int = -1, *, start_axis: int | None = None, end_axis: int | None = None
    ) -> None:
        self.start_dim = start_dim if start_axis is None else start_axis
        self.end_dim = end_dim if end_axis is None else end_axis

    def forward(self, x: Any) -> Tensor:
        """A tensor of fewer dimensions."""
        return as_tensor(x).flatten(self.start_dim, self.end_dim)


class GELU(_OfOneFunction):
    """``x * Phi(x)``, elementwise; ``approximate`` ("none" or "tanh") as of `functional.gelu`.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.GELU()([0.0, 30.0]).tolist()
    [0.0, 30.0]
    """

    function = staticmethod(F.gelu)
    settings = ("approximate",)

    def __init__(self, approximate: Approximate = "none") -> None:
        self.approximate = approximate


class SiLU(_OfOneFunction):
    """``x * sigmoid(x)``, elementwise. ``inplace`` is False, or an `ArgumentError`.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.SiLU()([0.0, 99.0]).tolist()
    [0.0, 99.0]
    """

    function = staticmethod(F.silu)

    def __init__(self, inplace: bool = False) -> None:
        not_in_place("SiLU", inplace)


class _Norm(Module):
    """Base of the two norms: the shape they normalize, a weight of ones, and where asked for a bias of zeros."""

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None,
        affine: bool,
        bias: bool,
        device: Any,
        dtype: Any,
    ) -> None:
        sizes = tuple(normalized_shape) if isinstance(normalized_shape, Sequence) else (normalized_shape,)
        for size in sizes:
            positive(type(self).__name__, normalized_shape=size)
        self.normalized_shape, self.eps = sizes, eps
        dtype = parameters_dtype(type(self).__name__, dtype, device)
        self.weight = Parameter(np.ones(sizes), dtype) if affine else None
        self.bias = Parameter(np.zeros(sizes), dtype) if affine and bias else None

    def extra_repr(self) -> str:
        """The settings that the module's repr shows."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.weight is not None}"


class LayerNorm(_Norm):
    """`functional.layer_norm` over the last dimensions, ``normalized_shape``: a mean of 0, a variance of 1.

    With ``elementwise_affine`` a learned ``weight`` (ones) and, with ``bias``, a bias (zeros) of that shape; ``eps`` is
    added to the variance.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.LayerNorm(3)(tg.ones(2, 3)).tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(normalized_shape, eps, elementwise_affine, bias, device, dtype)

    def forward(self, x: Any) -> Tensor:
        """A tensor of the input's shape, each row of mean 0 and variance 1 before weight and bias."""
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps or 0.0)


class RMSNorm(_Norm):
    """`functional.rms_norm` over the last dimensions, ``normalized_shape``: a mean square of 1.

    With ``elementwise_affine`` a learned ``weight`` (ones) of that shape; ``eps`` (None: the dtype's epsilon) is
    added to the mean square.

    >>> import tinygrad_rnn as tg
    >>> tg.nn.RMSNorm(2, eps=0.0)([1.0, -1.0]).tolist()
    [1.0, -1.0]
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(normalized_shape, eps, elementwise_affine, False, device, dtype)

    def forward(self, x: Any) -> Tensor:
        """A tensor of the input's shape, each row of mean square 1 before the weight."""
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)


answering(globals())
