"""What can be done to a tensor: Python's operators and the methods, each a primitive or a few of them composed.

Methods take PyTorch's names and argument names; ``axis``/``keepdims`` and ``dim``/``keepdim`` mean the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import primitives as P
from .arguments import as_dtype, flag, number
from .errors import ArgumentError, DTypeError, ShapeError
from .primitives import record
from .recorded import Recorded
from .source import user_site

if TYPE_CHECKING:
    from .tensor import Tensor

#: annotations inside the class cannot say float: there it is the method
Number = float | int
Axis = int | tuple[int, ...] | None


def _axis(axis: Axis | list[int], dim: Axis | list[int]) -> Axis:
    chosen = axis if dim is None else dim
    return tuple(chosen) if isinstance(chosen, list) else chosen


def one_axis(name: str, axis: int | None, dim: int | None) -> int:
    """The one dimension that ``axis`` or ``dim`` names."""
    chosen = axis if dim is None else dim
    if chosen is None:
        raise ArgumentError(f"{name}: which dimension? give axis, or dim, as an integer")
    return record.integer(chosen, f"{name}: an axis")


def kept(keepdims: Any, keepdim: Any) -> bool:
    """Whether reduced dimensions stay, at size 1: NumPy's word or PyTorch's."""
    if type(keepdims) is bool and type(keepdim) is bool:
        return keepdims or keepdim
    return flag(keepdims, "keepdims") or flag(keepdim, "keepdim")


def _sizes(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """``x.reshape(2, 3)`` and ``x.reshape((2, 3))`` alike."""
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = tuple(sizes[0])
    return tuple(record.integer(n, "a size") for n in sizes)


class Operators(Recorded):
    """Mixed into `Tensor`: everything here is built on the primitives, which record themselves."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    ndim: int

    def _axes(self, name: str, axis: Axis, rank: int | None = None) -> tuple[int, ...]:
        """Axes as non-negative integers; an error says of which call."""
        try:
            return record.normalize_axis(axis, self.ndim if rank is None else rank)
        except ShapeError as error:
            raise ShapeError(f"{name}: {error.detail} [of shape {self.shape}; at {user_site()}]") from None

    # Arithmetic ------------------------------------------------------------------------------------------

    def __add__(self, other: Any) -> Tensor:
        return self._record(P.add, (self, other), {})

    def __radd__(self, other: Any) -> Tensor:
        return self._record(P.add, (other, self), {})

    def __sub__(self, other: Any) -> Tensor:
        return self._record(P.sub, (self, other), {})

    def __rsub__(self, other: Any) -> Tensor:
        return self._record(P.sub, (other, self), {})

    def __mul__(self, other: Any) -> Tensor:
        return self._record(P.mul, (self, other), {})

    def __rmul__(self, other: Any) -> Tensor:
        return self._record(P.mul, (other, self), {})

    def __truediv__(self, other: Any) -> Tensor:
        return self._record(P.div, (self, other), {})

    def __rtruediv__(self, other: Any) -> Tensor:
        return self._record(P.div, (other, self), {})

    def __pow__(self, other: Any) -> Tensor:
        return self._record(P.power, (self, other), {})

    def __rpow__(self, other: Any) -> Tensor:
        return self._record(P.power, (other, self), {})

    def __matmul__(self, other: Any) -> Tensor:
        return self._record(P.matmul, (self, other), {})

    def __rmatmul__(self, other: Any) -> Tensor:
        return self._record(P.matmul, (other, self), {})

    def __neg__(self) -> Tensor:
        return self._record(P.neg, (self,), {})

    def __abs__(self) -> Tensor:
        return self.abs()

    # Comparisons: elementwise, boolean, without a gradient -----------------------------------------------

    def __gt__(self, other: Any) -> Tensor:
        return self._record(P.greater, (self, other), {})

    def __ge__(self, other: Any) -> Tensor:
        return self._record(P.greater_equal, (self, other), {})

    def __lt__(self, other: Any) -> Tensor:
        return self._record(P.less, (self, other), {})

    def __le__(self, other: Any) -> Tensor:
        return self._record(P.less_equal, (self, other), {})

    def __eq__(self, other: Any) -> Tensor:  # type: ignore[override]
        return self._record(P.equal, (self, other), {})

    def __ne__(self, other: Any) -> Tensor:  # type: ignore[override]
        return self._record(P.not_equal, (self, other), {})

    __hash__ = object.__hash__

    # Elementwise functions -------------------------------------------------------------------------------

    def exp(self) -> Tensor:
        """``e ** x``, elementwise."""
        return self._record(P.exp, (self,), {})

    def log(self) -> Tensor:
        """Natural logarithm, elementwise; -inf at 0 and nan below, as NumPy."""
        return self._record(P.log, (self,), {})

    def sqrt(self) -> Tensor:
        """Square root, elementwise."""
        return self._record(P.sqrt, (self,), {})

    def square(self) -> Tensor:
        """``x * x``, elementwise."""
        return self._record(P.mul, (self, self), {})

    def sin(self) -> Tensor:
        """Sine, elementwise."""
        return self._record(P.sin, (self,), {})

    def cos(self) -> Tensor:
        """Cosine, elementwise."""
        return self._record(P.cos, (self,), {})

    def tanh(self) -> Tensor:
        """Hyperbolic tangent, elementwise; derivative ``1 - tanh(x) ** 2``."""
        return self._record(P.tanh, (self,), {})

    def sigmoid(self) -> Tensor:
        """Logistic function ``1 / (1 + e ** -x)``, elementwise and stable at any magnitude."""
        return self._record(P.sigmoid, (self,), {})

    def softplus(self) -> Tensor:
        """``log(1 + e ** x)``, elementwise and stable at any magnitude; derivative ``sigmoid(x)``."""
        return self._record(P.softplus, (self,), {})

    def relu(self) -> Tensor:
        """``max(x, 0)``, elementwise; the derivative at 0 is 0."""
        return self._record(P.relu, (self,), {})

    def leaky_relu(self, negative_slope: Number = 0.01) -> Tensor:
        """``x`` where positive, ``negative_slope * x`` elsewhere."""
        return P.where(self > 0, self, self * negative_slope)

    def abs(self) -> Tensor:
        """Absolute value, elementwise; the derivative at 0 is 0."""
        return self._record(P.abs_, (self,), {})

    def clip(self, min: Number | Tensor | None = None, max: Number | Tensor | None = None) -> Tensor:
        """``x`` limited to [min, max]; elements inside or on a limit keep their gradient, others get 0."""
        if min is None and max is None:
            raise ArgumentError("clip needs a min, a max or both")
        result: Any = self
        if min is not None:
            result = P.where(result < min, min, result)
        if max is not None:
            result = P.where(result > max, max, result)
        return result

    clamp = clip

    def astype(self, dtype: Any) -> Tensor:
        """The same values in another dtype; the gradient comes back in this tensor's own."""
        return self._record(P.cast, (self,), {"dtype": np.dtype(as_dtype(dtype, "astype").type)})

    def float(self) -> Tensor:
        """The values as float32; the gradient comes back in the dtype of this tensor."""
        return self.astype(np.float32)

    def double(self) -> Tensor:
        """The values as float64; the gradient comes back in the dtype of this tensor."""
        return self.astype(np.float64)

    # Reductions ------------------------------------------------------------------------------------------

    def sum(self, axis: Axis = None, keepdims: bool = False, *, dim: Axis = None, keepdim: bool = False) -> Tensor:
        """Sum over ``axis`` (an int, a tuple, or None for all)."""
        return self._record(P.sum_, (self,), {"axis": _axis(axis, dim), "keepdims": kept(keepdims, keepdim)})

    def mean(self, axis: Axis = None, keepdims: bool = False, *, dim: Axis = None, keepdim: bool = False) -> Tensor:
        """Arithmetic mean over ``axis``; nan of no elements."""
        axis = _axis(axis, dim)
        total = self.sum(axis, kept(keepdims, keepdim))
        count = record.size_of(self.shape) // max(1, record.size_of(total.shape))
        return total / count if count else total * np.nan

    def var(
        self, axis: Axis = None, keepdims: bool = False, *, correction: int | None = None,
        unbiased: bool | None = None, dim: Axis = None, keepdim: bool = False,
    ) -> Tensor:  # fmt: skip
        """Variance over ``axis``; ``correction=1`` (or ``unbiased=True``) divides by n - 1, PyTorch's default."""
        axis = _axis(axis, dim)
        if unbiased is not None and correction is not None:
            raise ArgumentError("var: unbiased and correction are two names of one setting; give one of them")
        if correction is None:
            correction = unbiased is None or flag(unbiased, "var: unbiased")
        fewer = number(correction, "var: correction")
        deviation = self - self.mean(axis, True)
        total = (deviation * deviation).sum(axis, kept(keepdims, keepdim))
        count = record.size_of(self.shape) // max(1, record.size_of(total.shape)) - fewer
        return total / count if count > 0 else total * np.nan

    def prod(self, axis: Axis = None, keepdims: bool = False, *, dim: Axis = None, keepdim: bool = False) -> Tensor:
        """Product over axes (None: all): a tree of multiplications, so zeros need no special rule."""
        axis, keep = _axis(axis, dim), kept(keepdims, keepdim)
        if axis is None:
            result = self.reshape(-1).prod(0)
            return result.reshape((1,) * self.ndim) if keep else result
        axes = self._axes("prod", axis)
        if len(axes) != 1:
            product: Any = self if axes else self * 1
            for each in axes:
                product = product.prod(each, True)
            return product if keep else product.reshape(tuple(n for i, n in enumerate(self.shape) if i not in axes))
        (axis,) = axes
        x: Any = self if self.shape[axis] != 1 else self * 1  # never itself: a product is another tensor
        before = (slice(None),) * axis
        if not self.shape[axis]:
            x = x.sum(axis, True) + 1.0
        while (n := x.shape[axis]) > 1:
            pairs = x[(*before, slice(0, n - n % 2, 2))] * x[(*before, slice(1, n, 2))]
            x = P.concat(pairs, x[(*before, slice(n - 1, n))], axis=axis) if n % 2 else pairs
        return x if keep else x.reshape(self.shape[:axis] + self.shape[axis + 1 :])

    def amax(self, axis: Axis = None, keepdims: bool = False, *, dim: Axis = None, keepdim: bool = False) -> Tensor:
        """Largest element over ``axis``; ties share the gradient equally."""
        return self._record(P.max_, (self,), {"axis": _axis(axis, dim), "keepdims": kept(keepdims, keepdim)})

    def amin(self, axis: Axis = None, keepdims: bool = False, *, dim: Axis = None, keepdim: bool = False) -> Tensor:
        """Smallest element over ``axis``; ties share the gradient equally."""
        return self._turned_over().amax(_axis(axis, dim), kept(keepdims, keepdim))._turned_over()

    def _turned_over(self) -> Tensor:
        """The elements so that the largest is the smallest, without overflow; turned over again they are as before."""
        if self.dtype.kind == "b":
            return self._record(P.equal, (self, False), {})
        if self.dtype.kind == "u":
            return np.iinfo(self.dtype).max - self
        return -1 - self if self.dtype.kind == "i" else -self

    def argmax(
        self, axis: int | None = None, keepdims: bool = False, *, dim: int | None = None, keepdim: bool = False
    ) -> Tensor:
        """Position of the first largest element along ``axis`` (None: in the flattened tensor); integers."""
        axis, keep = axis if dim is None else dim, kept(keepdims, keepdim)
        if axis is None:
            found = self.reshape(-1).argmax(0)
            return found.reshape((1,) * self.ndim) if keep else found
        found = self._record(P.argmax, (self,), {"axis": axis})
        return found.expand_dims(axis) if keep else found

    def logsumexp(
        self, axis: Axis = None, keepdims: bool = False, *, dim: Axis = None, keepdim: bool = False
    ) -> Tensor:
        """``log(sum(exp(x)))`` over ``axis``, stable at any magnitude."""
        return self._record(P.logsumexp, (self,), {"axis": _axis(axis, dim), "keepdims": kept(keepdims, keepdim)})

    def softmax(self, axis: int = -1, *, dim: int | None = None) -> Tensor:
        """Probabilities ``exp(x) / sum(exp(x))`` along ``axis``, stable at any magnitude."""
        return self._record(P.softmax, (self,), {"axis": axis if dim is None else dim})

    def log_softmax(self, axis: int = -1, *, dim: int | None = None) -> Tensor:
        """``log(softmax(x))`` along ``axis``, stable at any magnitude."""
        return self._record(P.log_softmax, (self,), {"axis": axis if dim is None else dim})

    def cumsum(self, axis: int = 0, *, dim: int | None = None) -> Tensor:
        """Running sum along ``axis``."""
        return self._record(P.cumsum, (self,), {"axis": record.integer(axis if dim is None else dim, "an axis")})

    # Shapes ----------------------------------------------------------------------------------------------

    def reshape(self, *shape: int | tuple[int, ...] | list[int]) -> Tensor:
        """The same elements in another shape; one size may be -1."""
        return self._record(P.reshape, (self,), {"shape": _sizes(shape)})

    view = reshape

    def permute(self, *dims: int | tuple[int, ...] | list[int]) -> Tensor:
        """Dimensions in another order."""
        return self._record(P.permute, (self,), {"axes": _sizes(dims)})

    def transpose(self, dim0: int, dim1: int) -> Tensor:
        """Two dimensions exchanged."""
        self._axes("transpose", (dim0,)), self._axes("transpose", (dim1,))
        axes = list(range(self.ndim))
        axes[dim0], axes[dim1] = axes[dim1], axes[dim0]
        return self.permute(axes)

    @property
    def T(self) -> Tensor:
        """All dimensions reversed: the transpose of a matrix."""
        return self.permute(tuple(reversed(range(self.ndim))))

    def broadcast_to(self, *shape: int | tuple[int, ...] | list[int]) -> Tensor:
        """Repeated along dimensions of size 1 (and new leading ones) to the given shape."""
        return self._record(P.broadcast_to, (self,), {"shape": _sizes(shape)})

    def expand_dims(self, axis: int | None = None, *, dim: int | None = None) -> Tensor:
        """A new dimension of size 1 at ``axis``."""
        (at,) = self._axes("expand_dims", one_axis("expand_dims", axis, dim), self.ndim + 1)
        return self.reshape((*self.shape[:at], 1, *self.shape[at:]))

    unsqueeze = expand_dims

    def squeeze(self, axis: Axis = None, *, dim: Axis = None) -> Tensor:
        """Dimensions of size 1 removed: all, or the ones named, which must be of size 1."""
        axis = _axis(axis, dim)
        if axis is None:
            return self.reshape(tuple(n for n in self.shape if n != 1))
        axes = self._axes("squeeze", axis)
        if any(self.shape[a] != 1 for a in axes):
            raise ShapeError(f"squeeze: axis {axis} of shape {self.shape} is not of size 1")
        return self.reshape(tuple(n for i, n in enumerate(self.shape) if i not in axes))

    def flip(self, axis: Axis = None, *, dim: Axis = None) -> Tensor:
        """Order reversed along ``axis`` (None: along all)."""
        axes = self._axes("flip", _axis(axis, dim))
        return self[tuple(slice(None, None, -1) if i in axes else slice(None) for i in range(self.ndim))]

    def split(
        self, split_size: int | list[int] | tuple[int, ...], axis: int = 0, *, dim: int | None = None
    ) -> tuple[Tensor, ...]:
        """Consecutive pieces along ``axis``: of ``split_size`` (the last may be smaller), or of the sizes listed."""
        (axis,) = self._axes("split", record.integer(axis if dim is None else dim, "an axis"))
        length = self.shape[axis]
        if isinstance(split_size, int):
            if split_size < 1:
                raise ShapeError(f"split: a piece must have at least one element, not {split_size}")
            split_size = [min(split_size, length - start) for start in range(0, length, split_size)]
        if not isinstance(split_size, (list, tuple)):
            raise DTypeError(f"split: the size of the pieces is an integer or a list of them, not {split_size!r}")
        split_size = [record.integer(n, "split: a size") for n in split_size]
        if sum(split_size) != length or min(split_size, default=0) < 0:
            raise ShapeError(f"split: pieces of {list(split_size)} do not add up to the {length} of axis {axis}")
        ends = np.cumsum(split_size).tolist()
        before = (slice(None),) * axis
        return tuple(self[(*before, slice(end - size, end))] for size, end in zip(split_size, ends))

    def chunk(self, chunks: int, axis: int = 0, *, dim: int | None = None) -> tuple[Tensor, ...]:
        """``chunks`` pieces of equal size along ``axis`` (the last may be smaller)."""
        (axis,) = self._axes("chunk", record.integer(axis if dim is None else dim, "an axis"))
        if record.integer(chunks, "chunk: chunks") < 1:
            raise ShapeError(f"chunk: there must be at least one piece, not {chunks}")
        return self.split(max(1, -(-self.shape[axis] // chunks)), axis)

    def pad(self, width: Any) -> Tensor:
        """Zeros added around: ``width`` is ``(before, after)`` for every dimension, or one such pair a dimension."""
        try:
            pairs = np.broadcast_to(np.asarray(width, np.int64), (self.ndim, 2))
        except (ValueError, TypeError, OverflowError):
            raise ShapeError(f"pad: {width} is not a (before, after) pair for each of {self.ndim} dimensions") from None
        if (pairs < 0).any():
            raise ShapeError(f"pad: widths must not be negative, but are {width}")
        index = tuple(slice(int(a), int(a) + n) for (a, _), n in zip(pairs, self.shape))
        shape = tuple(n + int(a) + int(b) for (a, b), n in zip(pairs, self.shape))
        return self._record(P.scatter, (self,), {"index": index, "shape": shape})

    def __getitem__(self, index: Any) -> Tensor:
        """NumPy's indexing: ints, slices, ``None``, ``...``, integer and boolean arrays or tensors."""
        index = index if isinstance(index, tuple) else (index,)
        plain = tuple(_plain_index(part) for part in index)
        return self._record(P.getitem, (self,), {"index": plain})


def _plain_index(part: Any) -> Any:
    if part is None or part is Ellipsis or type(part) is int:
        return part
    if isinstance(part, slice):
        bounds = part.start, part.stop, part.step
        return slice(*(None if bound is None else record.integer(bound, "a slice's bound") for bound in bounds))
    array = np.array(part)
    if array.size == 0 and isinstance(part, list):
        array = array.astype(np.int64)
    if array.dtype.kind not in "iub":
        raise DTypeError(f"indices must be integers, slices, booleans, None or ..., not {array.dtype}")
    return int(array) if array.ndim == 0 and array.dtype.kind != "b" else array
