"""Further methods under PyTorch's names: operators as words, writing in place, new tensors like this one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import primitives as P
from .arguments import answering_methods, as_dtype, integer, number
from .composed_methods import Composed
from .errors import ShapeError
from .operators import one_axis
from .random import generator

if TYPE_CHECKING:
    from .tensors import Tensor


#: annotations inside the class cannot say int: there it is the method
Size = int


@answering_methods("Tensor")
class PyTorchMethods(Composed):
    """Mixed into `Tensor`: what PyTorch's programs write where NumPy's write an operator, or nothing at all."""

    if TYPE_CHECKING:

        def copy_(self, value: Any) -> Tensor: ...
        def detach(self) -> Tensor: ...

    # Operators as words ----------------------------------------------------------------------------------

    def add(self, other: Any, *, alpha: float = 1) -> Tensor:
        """``x + alpha * other``.

        >>> import tinygrad_rnn as tg
        >>> tg.ones(2).add(tg.tensor([1.0, 2.0]), alpha=0.5).tolist()
        [1.5, 2.0]
        """
        return self + self._times(alpha, other)

    def sub(self, other: Any, *, alpha: float = 1) -> Tensor:
        """``x - alpha * other``.

        >>> import tinygrad_rnn as tg
        >>> tg.ones(2).sub(tg.tensor([1.0, 2.0]), alpha=0.5).tolist()
        [0.5, 0.0]
        """
        return self - self._times(alpha, other)

    @staticmethod
    def _times(alpha: float, other: Any) -> Any:
        return other if number(alpha, "alpha") == 1 else alpha * other

    def mul(self, other: Any) -> Tensor:
        """``x * other``.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([1.0, -2.0]).mul(3.0).tolist()
        [3.0, -6.0]
        """
        return self * other

    def div(self, other: Any) -> Tensor:
        """``x / other``.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([1.0, -2.0]).div(2.0).tolist()
        [0.5, -1.0]
        """
        return self / other

    def pow(self, other: Any) -> Tensor:
        """``x ** other``.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([1.0, -2.0]).pow(2).tolist()
        [1.0, 4.0]
        """
        return self**other

    def eq(self, other: Any) -> Tensor:
        """``x == other``.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([1.0, -2.0]).eq(1.0).tolist()
        [True, False]
        """
        return self == other

    def ne(self, other: Any) -> Tensor:
        """``x != other``.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([1.0, -2.0]).ne(1.0).tolist()
        [False, True]
        """
        return self != other

    def lt(self, other: Any) -> Tensor:
        """``x < other``.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([1.0, -2.0]).lt(0.0).tolist()
        [False, True]
        """
        return self < other

    def le(self, other: Any) -> Tensor:
        """``x <= other``.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([1.0, -2.0]).le(1.0).tolist()
        [True, True]
        """
        return self <= other

    def gt(self, other: Any) -> Tensor:
        """``x > other``.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([1.0, -2.0]).gt(0.0).tolist()
        [True, False]
        """
        return self > other

    def ge(self, other: Any) -> Tensor:
        """``x >= other``.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([1.0, -2.0]).ge(1.0).tolist()
        [True, False]
        """
        return self >= other

    def matmul(self, other: Any) -> Tensor:
        """``x @ other``.

        >>> import tinygrad_rnn as tg
        >>> tg.ones(2, 3).matmul(tg.ones(3, 4)).shape
        (2, 4)
        """
        return self @ other

    def neg(self) -> Tensor:
        """``-x``.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([1.0, -2.0]).neg().tolist()
        [-1.0, 2.0]
        """
        return -self

    def mm(self, other: Any) -> Tensor:
        """``x @ other`` of two matrices. Raises `ShapeError` for anything else.

        >>> import tinygrad_rnn as tg
        >>> tg.ones(2, 3).mm(tg.ones(3, 4)).shape
        (2, 4)
        """
        other = self._coerced(other)
        if self.ndim != 2 or other.ndim != 2:
            raise ShapeError(f"mm: takes two matrices, not {self.shape} and {other.shape}; @ takes batches of them too")
        return self @ other

    def dot(self, other: Any) -> Tensor:
        """``sum(x * other)`` of two vectors. Raises `ShapeError` for anything else.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([1.0, 2.0]).dot([3.0, 4.0]).item()
        11.0
        """
        other = self._coerced(other)
        if self.ndim != 1 or other.ndim != 1:
            raise ShapeError(f"dot: takes two vectors, not {self.shape} and {other.shape}; @ takes matrices")
        return self @ other

    def floor(self) -> Tensor:
        """The largest whole number that is not above, elementwise; the derivative is 0.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([-0.5, 1.5]).floor().tolist()
        [-1.0, 1.0]
        """
        return self // 1

    def ceil(self) -> Tensor:
        """The smallest whole number that is not below, elementwise; the derivative is 0.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([0.5, 1.5]).ceil().tolist()
        [1.0, 2.0]
        """
        return -(-self // 1)

    def round(self) -> Tensor:
        """The nearest whole number, elementwise, of two the even one; the derivative is 0.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([0.5, 1.2, 1.5]).round().tolist()
        [0.0, 1.0, 2.0]
        """
        below = self // 1
        rest = self - below
        return below + P.where((rest > 0.5) | ((rest == 0.5) & (below % 2 == 1)), 1, 0)

    # Shapes ----------------------------------------------------------------------------------------------

    def t(self) -> Tensor:
        """The transpose of a matrix; a vector or a number as it is. Raises `ShapeError` for more dimensions.

        >>> import tinygrad_rnn as tg
        >>> tg.zeros(2, 3).t().shape
        (3, 2)
        """
        if self.ndim > 2:
            raise ShapeError(f"t: is for matrices, not for {self.shape}; say which two with transpose(0, 1)")
        return self.T

    def expand(self, *sizes: Any) -> Tensor:
        """`broadcast_to` of ``sizes``, where -1 is the size that a dimension has.

        >>> import tinygrad_rnn as tg
        >>> tg.ones(2, 1).expand(-1, 3).shape
        (2, 3)
        """
        given = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes
        whole = [integer(n, "expand: a size") for n in given]
        own = [-1] * (len(whole) - self.ndim) + list(self.shape)
        return self.broadcast_to(tuple(m if n == -1 else n for n, m in zip(whole, own[-len(whole) :], strict=False)))

    def expand_as(self, other: Any) -> Tensor:
        """`broadcast_to` the shape of ``other``.

        >>> import tinygrad_rnn as tg
        >>> tg.ones(2, 1).expand_as(tg.ones(2, 3)).shape
        (2, 3)
        """
        return self.broadcast_to(self._coerced(other).shape)

    def narrow(self, dim: Size | None = None, start: Size = 0, length: Size = 1, *, axis: Size | None = None) -> Tensor:
        """``length`` slices along ``dim`` from ``start``. Raises `ShapeError` where there are not so many.

        >>> import tinygrad_rnn as tg
        >>> tg.arange(5).narrow(0, 1, 3).tolist()
        [1, 2, 3]
        """
        (chosen,) = self._axes("narrow", one_axis("narrow", axis, dim))
        first, count = integer(start, "narrow: start"), integer(length, "narrow: length")
        first += self.shape[chosen] if first < 0 else 0
        if not 0 <= first <= first + count <= self.shape[chosen]:
            raise ShapeError(f"narrow: {count} from {start} is outside dimension {chosen} of {self.shape}")
        return self[(*[slice(None)] * chosen, slice(first, first + count))]

    def view_as(self, other: Any) -> Tensor:
        """In the shape of ``other``.

        >>> import tinygrad_rnn as tg
        >>> tg.arange(4).view_as(tg.ones(2, 2)).tolist()
        [[0, 1], [2, 3]]
        """
        return self.reshape(self._coerced(other).shape)

    # New ones, of the same dtype -------------------------------------------------------------------------

    def new_full(self, size: Any, fill_value: float, *, dtype: Any = None, device: Any = None) -> Tensor:
        """``fill_value`` everywhere, of shape ``size``, in the dtype of this tensor unless told.

        Raises `ShapeError` for a negative size.

        >>> import tinygrad_rnn as tg
        >>> tg.arange(2).new_full((2,), 7).tolist()
        [7, 7]
        """
        sizes = tuple(size) if isinstance(size, (tuple, list)) else (size,)
        whole = tuple(integer(n, "a size") for n in sizes)
        if min(whole, default=0) < 0:
            raise ShapeError(f"sizes must not be negative, but are {whole}")
        return self._coerced(np.full(whole, fill_value, as_dtype(self.dtype if dtype is None else dtype, "new_full")))

    def new_zeros(self, *size: Any, dtype: Any = None, device: Any = None) -> Tensor:
        """Zeros of shape ``size``, in the dtype of this tensor unless told.

        >>> import tinygrad_rnn as tg
        >>> tg.ones(1, dtype=tg.float64).new_zeros(2).dtype
        dtype('float64')
        """
        return self.new_full(size[0] if len(size) == 1 else size, 0, dtype=dtype, device=device)

    def new_ones(self, *size: Any, dtype: Any = None, device: Any = None) -> Tensor:
        """Ones of shape ``size``, in the dtype of this tensor unless told.

        >>> import tinygrad_rnn as tg
        >>> tg.arange(2).new_ones(1, 2).tolist()
        [[1, 1]]
        """
        return self.new_full(size[0] if len(size) == 1 else size, 1, dtype=dtype, device=device)

    # Written in place: as `copy_` does, so also of a leaf's data only --------------------------------------

    def fill_(self, value: float) -> Tensor:
        """Every element ``value``, in place.

        >>> import tinygrad_rnn as tg
        >>> tg.zeros(2).fill_(3.0).tolist()
        [3.0, 3.0]
        """
        return self.copy_(value)

    def zero_(self) -> Tensor:
        """Every element 0, in place.

        >>> import tinygrad_rnn as tg
        >>> tg.ones(2).zero_().tolist()
        [0.0, 0.0]
        """
        return self.copy_(0)

    def add_(self, other: Any, *, alpha: float = 1) -> Tensor:
        """``alpha * other`` added in place.

        >>> import tinygrad_rnn as tg
        >>> tg.ones(2).add_(tg.ones(2), alpha=-0.5).tolist()
        [0.5, 0.5]
        """
        return self.copy_(self.detach().add(other, alpha=alpha))

    def sub_(self, other: Any, *, alpha: float = 1) -> Tensor:
        """``alpha * other`` subtracted in place.

        >>> import tinygrad_rnn as tg
        >>> tg.ones(2).sub_(0.5).tolist()
        [0.5, 0.5]
        """
        return self.copy_(self.detach().sub(other, alpha=alpha))

    def mul_(self, other: Any) -> Tensor:
        """Multiplied in place by ``other``.

        >>> import tinygrad_rnn as tg
        >>> tg.ones(2).mul_(3).tolist()
        [3.0, 3.0]
        """
        return self.copy_(self.detach() * other)

    def div_(self, other: Any) -> Tensor:
        """Divided in place by ``other``.

        >>> import tinygrad_rnn as tg
        >>> tg.ones(2).div_(2).tolist()
        [0.5, 0.5]
        """
        return self.copy_(self.detach() / other)

    def clamp_(self, min: Any = None, max: Any = None) -> Tensor:
        """Limited in place to [``min``, ``max``].

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([-2.0, 2.0]).clamp_(-1, 1).tolist()
        [-1.0, 1.0]
        """
        return self.copy_(self.detach().clamp(min, max))

    def uniform_(self, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Drawn anew in place, uniformly from [``low``, ``high``).

        >>> import tinygrad_rnn as tg
        >>> tg.zeros(2).uniform_(5.0, 5.0).tolist()
        [5.0, 5.0]
        """
        bounds = number(low, "uniform_: low"), number(high, "uniform_: high")
        return self.copy_(generator().uniform(*bounds, self.shape))

    def normal_(self, mean: float = 0.0, std: float = 1.0) -> Tensor:
        """Drawn anew in place, from the normal distribution of ``mean`` and ``std``.

        >>> import tinygrad_rnn as tg
        >>> tg.zeros(2).normal_(5.0, 0.0).tolist()
        [5.0, 5.0]
        """
        return self.copy_(generator().normal(number(mean, "normal_: mean"), number(std, "normal_: std"), self.shape))

    # Dtypes ----------------------------------------------------------------------------------------------

    def type(self, dtype: Any) -> Tensor:
        """The same values in another ``dtype``: `astype`.

        >>> import tinygrad_rnn as tg
        >>> tg.ones(1).type(tg.long).tolist()
        [1]
        """
        return self.astype(dtype)

    def type_as(self, other: Any) -> Tensor:
        """In the dtype of ``other``.

        >>> import tinygrad_rnn as tg
        >>> tg.arange(2).type_as(tg.ones(1)).tolist()
        [0.0, 1.0]
        """
        return self.astype(self._coerced(other).dtype)

    def int(self) -> Tensor:
        """As int32, cut off towards 0; no gradient flows through integers.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([1.5, -1.5]).int().tolist()
        [1, -1]
        """
        return self.astype(np.int32)
