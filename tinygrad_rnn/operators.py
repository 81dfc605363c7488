"""Python's operators and the methods of tensors, each a primitive or a few of them composed.

Methods take PyTorch's names and argument names; ``axis``/``keepdims`` and ``dim``/``keepdim`` mean the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import primitives as P
from .arguments import answering_methods, as_dtype, integer, number, switch
from .errors import ArgumentError, DTypeError, ShapeError
from .indexing_by_tensors import follows_tensors, taken
from .primitives import record
from .recorded_value import Recorded
from .source_line import user_site

if TYPE_CHECKING:
    from .tensors import Tensor

#: annotations inside the class cannot say float: there it is the method
Number = float | int
Axis = int | tuple[int, ...] | None


def either_axis(axis: Axis | list[int], dim: Axis | list[int]) -> Axis:
    """The dimensions that ``axis`` or ``dim`` names, whichever was given."""
    chosen = axis if dim is None else dim
    return tuple(chosen) if isinstance(chosen, list) else chosen


def one_axis(name: str, axis: int | None, dim: int | None) -> int:
    """The one dimension that ``axis`` or ``dim`` names."""
    chosen = axis if dim is None else dim
    if chosen is None:
        raise ArgumentError(f"{name}: which dimension? give axis, or dim, as an integer")
    return integer(chosen, f"{name}: an axis")


def kept(keepdims: Any, keepdim: Any) -> bool:
    """Whether reduced dimensions stay, at size 1: NumPy's word or PyTorch's, of which one may be left out (None)."""
    if type(keepdims) is bool and type(keepdim) is bool:
        return keepdims or keepdim
    words = {"keepdims": keepdims, "keepdim": keepdim}
    return any(switch(value, word) for word, value in words.items() if value is not None)


def _sizes(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """``x.reshape(2, 3)`` and ``x.reshape((2, 3))`` alike."""
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = tuple(sizes[0])
    return tuple(integer(n, "a size") for n in sizes)


@answering_methods("Tensor")
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
        return NotImplemented if other is None else self._record(P.equal, (self, other), {})

    def __ne__(self, other: Any) -> Tensor:  # type: ignore[override]
        return NotImplemented if other is None else self._record(P.not_equal, (self, other), {})

    __hash__ = object.__hash__

    # Elementwise functions -------------------------------------------------------------------------------

    def exp(self) -> Tensor:
        """``e ** x``, elementwise, of the shape of ``x``; derivative ``exp(x)``. Integers become the default dtype.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([0.0, -200.0]).exp()
        tensor([1., 0.], op=exp)
        """
        return self._record(P.exp, (self,), {})

    def log(self) -> Tensor:
        """Natural logarithm, elementwise; derivative ``1 / x``. -inf at 0 and nan below, as NumPy.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([1.0]).log().tolist()
        [0.0]
        """
        return self._record(P.log, (self,), {})

    def sqrt(self) -> Tensor:
        """Square root, elementwise; derivative ``1 / (2 sqrt(x))``, infinite at 0. nan below 0.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([4.0, 2.25]).sqrt().tolist()
        [2.0, 1.5]
        """
        return self._record(P.sqrt, (self,), {})

    def square(self) -> Tensor:
        """``x * x``, elementwise, in the dtype of ``x``; derivative ``2 x``.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([-3.0, 2.0]).square().tolist()
        [9.0, 4.0]
        """
        return self._record(P.mul, (self, self), {})

    def sin(self) -> Tensor:
        """Sine of an angle in radians, elementwise; derivative ``cos(x)``.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([0.0]).sin().tolist()
        [0.0]
        """
        return self._record(P.sin, (self,), {})

    def cos(self) -> Tensor:
        """Cosine of an angle in radians, elementwise; derivative ``-sin(x)``.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([0.0]).cos().tolist()
        [1.0]
        """
        return self._record(P.cos, (self,), {})

    def tanh(self) -> Tensor:
        """Hyperbolic tangent, elementwise; derivative ``1 - tanh(x) ** 2``.

        >>> import tinygrad_rnn as tg
        >>> x = tg.tensor([0.0, 99.0], requires_grad=True)
        >>> x.tanh().sum().backward()
        >>> x.grad
        tensor([1., 0.])
        """
        return self._record(P.tanh, (self,), {})

    def sigmoid(self) -> Tensor:
        """Logistic function ``1 / (1 + e ** -x)``, elementwise and stable at any magnitude; derivative ``y (1 - y)``.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([0.0, -200.0]).sigmoid().tolist()
        [0.5, 0.0]
        """
        return self._record(P.sigmoid, (self,), {})

    def softplus(self) -> Tensor:
        """``log(1 + e ** x)``, elementwise and stable at any magnitude; derivative ``sigmoid(x)``.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([-1000.0, 1000.0]).softplus().tolist()
        [0.0, 1000.0]
        """
        return self._record(P.softplus, (self,), {})

    def relu(self) -> Tensor:
        """``max(x, 0)``, elementwise; the derivative at 0 is 0.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([-1.0, 0.0, 2.0]).relu().tolist()
        [0.0, 0.0, 2.0]
        """
        return self._record(P.relu, (self,), {})

    def leaky_relu(self, negative_slope: Number = 0.01) -> Tensor:
        """``x`` where positive, ``negative_slope * x`` elsewhere; the derivative at 0 is ``negative_slope``.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([-8.0, 2.0]).leaky_relu(0.25).tolist()
        [-2.0, 2.0]
        """
        return P.where(self > 0, self, self * negative_slope)

    def abs(self) -> Tensor:
        """Absolute value, elementwise; the derivative is the sign, at 0 it is 0.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([-1.5, 2.0]).abs().tolist()
        [1.5, 2.0]
        """
        return self._record(P.abs_, (self,), {})

    def clip(self, min: Number | Tensor | None = None, max: Number | Tensor | None = None) -> Tensor:
        """``x`` limited to [``min``, ``max``], numbers or tensors that broadcast; either may be left out.

        Elements inside or on a limit keep their gradient, others get 0. Raises `ArgumentError` without any limit.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([-2.0, 0.5, 2.0]).clip(-1.0, 1.0).tolist()
        [-1.0, 0.5, 1.0]
        """
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
        """The same values in another dtype; the gradient comes back in this tensor's own.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([1.5, -1.5]).astype("int64").tolist()
        [1, -1]
        """
        return self._record(P.cast, (self,), {"dtype": np.dtype(as_dtype(dtype, "astype").type)})

    def float(self) -> Tensor:
        """The values as float32; the gradient comes back in the dtype of this tensor.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([1, 2]).float().tolist()
        [1.0, 2.0]
        """
        return self.astype(np.float32)

    def double(self) -> Tensor:
        """The values as float64; the gradient comes back in the dtype of this tensor.

        >>> import tinygrad_rnn as tg
        >>> tg.ones(2).double().dtype
        dtype('float64')
        """
        return self.astype(np.float64)

    # Reductions ------------------------------------------------------------------------------------------

    def sum(self, axis: Axis = None, keepdims: bool = False, *, dim: Axis = None, keepdim: bool = False) -> Tensor:
        """Sum over ``axis`` (an int, a tuple, or None for all), which ``keepdims`` leaves at size 1.

        float32 is added up in float32, pairwise; integers and booleans give integers.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([[1.0, 2.0], [3.0, 4.0]]).sum(0).tolist()
        [4.0, 6.0]
        """
        return self._record(P.sum_, (self,), {"axis": either_axis(axis, dim), "keepdims": kept(keepdims, keepdim)})

    def mean(self, axis: Axis = None, keepdims: bool = False, *, dim: Axis = None, keepdim: bool = False) -> Tensor:
        """Arithmetic mean over ``axis`` (an int, a tuple, or None for all), kept at size 1 by ``keepdims``; nan of
        nothing.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([[1.0, 2.0], [3.0, 4.0]]).mean(1, keepdims=True).tolist()
        [[1.5], [3.5]]
        """
        axis = either_axis(axis, dim)
        total = self.sum(axis, kept(keepdims, keepdim))
        count = record.size_of(self.shape) // max(1, record.size_of(total.shape))
        return total / count if count else total * np.nan

    def var(
        self,
        axis: Axis = None,
        *,
        keepdims: bool = False,
        correction: int | None = None,
        unbiased: bool | None = None,
        dim: Axis = None,
        keepdim: bool = False,
    ) -> Tensor:
        """Variance ``sum((x - mean)^2) / (n - correction)`` over ``axis`` (None: all).

        ``keepdims`` leaves that at size 1. ``correction`` is 1 unless told, PyTorch's default (NumPy's is 0);
        ``unbiased=False`` is another name of 0. nan where nothing is left to divide by. Raises `ArgumentError` if
        both are given.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([1.0, 3.0]).var().item(), tg.tensor([1.0, 3.0]).var(correction=0).item()
        (2.0, 1.0)
        """
        axis = either_axis(axis, dim)
        if unbiased is not None and correction is not None:
            raise ArgumentError("var: unbiased and correction are two names of one setting; give one of them")
        if correction is None:
            correction = unbiased is None or unbiased
        fewer = number(correction, "var: correction")
        deviation = self - self.mean(axis, True)
        total = (deviation * deviation).sum(axis, kept(keepdims, keepdim))
        count = record.size_of(self.shape) // max(1, record.size_of(total.shape)) - fewer
        return total / count if count > 0 else total * np.nan

    def prod(self, axis: Axis = None, keepdims: bool = False, *, dim: Axis = None, keepdim: bool = False) -> Tensor:
        """Product over ``axis`` (an int, a tuple, or None for all), which ``keepdims`` leaves at size 1; 1 of nothing.

        It is a tree of multiplications, so the gradient needs no division and zeros no special rule.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([[1.0, 2.0], [3.0, 4.0]]).prod(1).tolist()
        [2.0, 12.0]
        """
        axis, keep = either_axis(axis, dim), kept(keepdims, keepdim)
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
        """Largest element over ``axis`` (an int, a tuple, or None for all), which ``keepdims`` leaves at size 1.

        Ties share the gradient equally; `max` gives it to the first.

        >>> import tinygrad_rnn as tg
        >>> x = tg.tensor([2.0, 1.0, 2.0], requires_grad=True)
        >>> x.amax().backward()
        >>> x.grad.tolist()
        [0.5, 0.0, 0.5]
        """
        return self._record(P.max_, (self,), {"axis": either_axis(axis, dim), "keepdims": kept(keepdims, keepdim)})

    def amin(self, axis: Axis = None, keepdims: bool = False, *, dim: Axis = None, keepdim: bool = False) -> Tensor:
        """Smallest element over ``axis`` (an int, a tuple, or None for all), which ``keepdims`` leaves at size 1.

        Ties share the gradient equally; `min` gives it to the first.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([[2.0, 1.0], [4.0, 3.0]]).amin(1).tolist()
        [1.0, 3.0]
        """
        return self._turned_over().amax(either_axis(axis, dim), kept(keepdims, keepdim))._turned_over()

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
        """Position of the first largest element along ``axis`` (None: in the flattened tensor); int64, no gradient.

        ``keepdims`` leaves the axis at size 1.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([[1.0, 3.0], [4.0, 2.0]]).argmax(1).tolist()
        [1, 0]
        """
        axis, keep = axis if dim is None else dim, kept(keepdims, keepdim)
        if axis is None:
            found = self.reshape(-1).argmax(0)
            return found.reshape((1,) * self.ndim) if keep else found
        found = self._record(P.argmax, (self,), {"axis": axis})
        return found.expand_dims(axis) if keep else found

    def logsumexp(
        self, axis: Axis = None, keepdims: bool = False, *, dim: Axis = None, keepdim: bool = False
    ) -> Tensor:
        """``log(sum(exp(x)))`` over ``axis`` (None: all), which ``keepdims`` leaves at size 1; stable at any magnitude.

        The derivative is ``softmax(x)``.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([1000.0, 0.0]).logsumexp().item()
        1000.0
        """
        return self._record(P.logsumexp, (self,), {"axis": either_axis(axis, dim), "keepdims": kept(keepdims, keepdim)})

    def softmax(self, axis: int = -1, *, dim: int | None = None) -> Tensor:
        """Probabilities ``y = exp(x) / sum(exp(x))`` along ``axis``, of the shape of ``x``, stable at any magnitude.

        An upstream gradient g becomes ``y (g - sum(g y))``.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([0.0, 0.0, 1000.0]).softmax().tolist()
        [0.0, 0.0, 1.0]
        """
        return self._record(P.softmax, (self,), {"axis": axis if dim is None else dim})

    def log_softmax(self, axis: int = -1, *, dim: int | None = None) -> Tensor:
        """``x - logsumexp(x)`` along ``axis``, of the shape of ``x``: `softmax`'s logarithm, stable at any magnitude.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([0.0, 1000.0]).log_softmax().tolist()
        [-1000.0, 0.0]
        """
        return self._record(P.log_softmax, (self,), {"axis": axis if dim is None else dim})

    def cumsum(self, axis: int = 0, *, dim: int | None = None) -> Tensor:
        """Running sum along ``axis``, of the shape of ``x``: ``y[i] = x[0] + ... + x[i]``.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([1.0, 2.0, 3.0]).cumsum().tolist()
        [1.0, 3.0, 6.0]
        """
        return self._record(P.cumsum, (self,), {"axis": integer(axis if dim is None else dim, "an axis")})

    # Shapes ----------------------------------------------------------------------------------------------

    def reshape(self, *shape: int | tuple[int, ...] | list[int]) -> Tensor:
        """The same elements in another ``shape`` (sizes, or one tuple of them); one size may be -1.

        Raises `ShapeError` if the number of elements is another.

        >>> import tinygrad_rnn as tg
        >>> tg.arange(6).reshape(2, -1).tolist()
        [[0, 1, 2], [3, 4, 5]]
        """
        return self._record(P.reshape, (self,), {"shape": _sizes(shape)})

    view = reshape

    def permute(self, *dims: int | tuple[int, ...] | list[int]) -> Tensor:
        """Dimensions in another order: ``dims`` names each once, the first of the result first.

        >>> import tinygrad_rnn as tg
        >>> tg.zeros(2, 3, 4).permute(2, 0, 1).shape
        (4, 2, 3)
        """
        return self._record(P.permute, (self,), {"axes": _sizes(dims)})

    def transpose(self, dim0: int, dim1: int) -> Tensor:
        """Dimensions ``dim0`` and ``dim1`` exchanged.

        >>> import tinygrad_rnn as tg
        >>> tg.zeros(2, 3, 4).transpose(0, -1).shape
        (4, 3, 2)
        """
        for dim in (dim0, dim1):
            self._axes("transpose", (dim,))
        axes = list(range(self.ndim))
        axes[dim0], axes[dim1] = axes[dim1], axes[dim0]
        return self.permute(axes)

    @property
    def T(self) -> Tensor:
        """All dimensions reversed: the transpose of a matrix."""
        return self.permute(tuple(reversed(range(self.ndim))))

    def broadcast_to(self, *shape: int | tuple[int, ...] | list[int]) -> Tensor:
        """Repeated along dimensions of size 1, and new leading ones, to ``shape``; the gradient is summed over them.

        Raises `ShapeError` for another size that differs.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([[1.0], [2.0]]).broadcast_to(2, 3).tolist()
        [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]
        """
        return self._record(P.broadcast_to, (self,), {"shape": _sizes(shape)})

    def expand_dims(self, axis: int | None = None, *, dim: int | None = None) -> Tensor:
        """A new dimension of size 1 at ``axis``, counted in the result.

        >>> import tinygrad_rnn as tg
        >>> tg.zeros(2, 3).expand_dims(1).shape, tg.zeros(2, 3).unsqueeze(-1).shape
        ((2, 1, 3), (2, 3, 1))
        """
        (at,) = self._axes("expand_dims", one_axis("expand_dims", axis, dim), self.ndim + 1)
        return self.reshape((*self.shape[:at], 1, *self.shape[at:]))

    unsqueeze = expand_dims

    def squeeze(self, axis: Axis = None, *, dim: Axis = None) -> Tensor:
        """Without dimensions of size 1: all of them, or those of ``axis`` (an int or a tuple).

        Raises `ShapeError` for an ``axis`` of another size, where PyTorch changes nothing.

        >>> import tinygrad_rnn as tg
        >>> tg.zeros(1, 3, 1).squeeze().shape, tg.zeros(1, 3, 1).squeeze(0).shape
        ((3,), (3, 1))
        """
        axis = either_axis(axis, dim)
        if axis is None:
            return self.reshape(tuple(n for n in self.shape if n != 1))
        axes = self._axes("squeeze", axis)
        if any(self.shape[a] != 1 for a in axes):
            raise ShapeError(f"squeeze: axis {axis} of shape {self.shape} is not of size 1")
        return self.reshape(tuple(n for i, n in enumerate(self.shape) if i not in axes))

    def flip(self, axis: Axis = None, *, dim: Axis = None, dims: Axis | list[int] = None) -> Tensor:
        """Order reversed along ``axis``, ``dim`` or ``dims`` (an int, a tuple, or None for all).

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([[1, 2], [3, 4]]).flip(1).tolist()
        [[2, 1], [4, 3]]
        """
        axes = self._axes("flip", either_axis(either_axis(axis, dim), dims))
        return self[tuple(slice(None, None, -1) if i in axes else slice(None) for i in range(self.ndim))]

    def split(
        self, split_size: int | list[int] | tuple[int, ...], axis: int = 0, *, dim: int | None = None
    ) -> tuple[Tensor, ...]:
        """Consecutive pieces along ``axis``: of ``split_size`` (the last may be smaller), or of the sizes listed.

        Returns a tuple of tensors. Raises `ShapeError` for sizes that do not add up, `DTypeError` for what is no size.

        >>> import tinygrad_rnn as tg
        >>> [piece.tolist() for piece in tg.arange(5).split(2)]
        [[0, 1], [2, 3], [4]]
        """
        (axis,) = self._axes("split", integer(axis if dim is None else dim, "an axis"))
        length = self.shape[axis]
        if isinstance(split_size, int):
            if split_size < 1:
                raise ShapeError(f"split: a piece must have at least one element, not {split_size}")
            split_size = [min(split_size, length - start) for start in range(0, length, split_size)]
        if not isinstance(split_size, (list, tuple)):
            raise DTypeError(f"split: the size of the pieces is an integer or a list of them, not {split_size!r}")
        split_size = [integer(n, "split: a size") for n in split_size]
        if sum(split_size) != length or min(split_size, default=0) < 0:
            raise ShapeError(f"split: pieces of {list(split_size)} do not add up to the {length} of axis {axis}")
        ends = np.cumsum(split_size).tolist()
        before = (slice(None),) * axis
        return tuple(self[(*before, slice(end - size, end))] for size, end in zip(split_size, ends))

    def chunk(self, chunks: int, axis: int = 0, *, dim: int | None = None) -> tuple[Tensor, ...]:
        """``chunks`` pieces of equal size along ``axis`` (the last may be smaller).

        Raises `ShapeError` if ``chunks`` is below 1.

        >>> import tinygrad_rnn as tg
        >>> [part.tolist() for part in tg.arange(5).chunk(2)]
        [[0, 1, 2], [3, 4]]
        """
        (axis,) = self._axes("chunk", integer(axis if dim is None else dim, "an axis"))
        if integer(chunks, "chunk: chunks") < 1:
            raise ShapeError(f"chunk: there must be at least one piece, not {chunks}")
        return self.split(max(1, -(-self.shape[axis] // chunks)), axis)

    def pad(self, width: Any) -> Tensor:
        """Zeros added around: ``width`` is ``(before, after)`` for every dimension, or one such pair a dimension.

        Raises `ShapeError` for other widths, negative ones among them.

        >>> import tinygrad_rnn as tg
        >>> tg.tensor([1.0, 2.0]).pad((1, 2)).tolist()
        [0.0, 1.0, 2.0, 0.0, 0.0]
        """
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
        if follows_tensors(index):
            return taken(self, index)
        plain = tuple(_plain_index(part) for part in index)
        return self._record(P.getitem, (self,), {"index": plain})


def _plain_index(part: Any) -> Any:
    if part is None or part is Ellipsis or type(part) is int:
        return part
    if isinstance(part, slice):
        bounds = part.start, part.stop, part.step
        return slice(*(None if bound is None else integer(bound, "a slice's bound") for bound in bounds))
    array = np.array(part)
    if array.size == 0 and isinstance(part, list):
        array = array.astype(np.int64)
    if array.dtype.kind not in "iub":
        raise DTypeError(f"indices must be integers, slices, booleans, None or ..., not {array.dtype}")
    return int(array) if array.ndim == 0 and array.dtype.kind != "b" else array
